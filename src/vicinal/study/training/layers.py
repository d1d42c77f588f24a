"""Layers of a stack of models: one call for all members, or a call for each.

`vmap` makes one grouped convolution of those of all members, and one BatchNorm over the channels of
all of them. On a CPU that pays for small images. For others a grouped convolution takes up to twice
as long as the convolutions one by one, and the members' channels lie between one another in memory.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

LAYERS = {
    F.batch_norm,
    F.conv1d,
    F.conv2d,
    F.conv3d,
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
}
LARGE = 1e5
"""Numbers in the input or output of one member, from which on a call for each member is faster.

On one core the grouped convolution of 8 members, with its gradients, took 0.5 to 0.9 of the time
of the calls for 8e3 to 6e4 numbers, 0.9 to 1.1 for 1.3e5, 1.3 for 2.6e5 and 2.2 for 5e5.
"""


class MemberByMember(TorchFunctionMode):
    """While it is active, `vmap` runs large layers as one call for each of its members.

    These are convolutions and BatchNorm. Values, gradients and running statistics are those of the
    calls one by one, also where only the input or only the weight differs between members.

    Example:
        >>> x, weight = torch.ones(2, 1, 1, 3), torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1)
        >>> with MemberByMember():
        ...     torch.vmap(F.conv1d)(x, weight).flatten(1)
        tensor([[1., 1., 1.],
                [2., 2., 2.]])
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """What torch calls in place of each of its functions."""
        kwargs = kwargs or {}
        if func not in LAYERS or not _size(func, args, kwargs) >= LARGE:
            return func(*args, **kwargs)

        def positional(*values: Any) -> Tensor:
            named = zip(kwargs, values[len(args) :], strict=True)
            out: Tensor = func(*values[: len(args)], **dict(named))
            return out

        return _Members.apply(positional, *args, *kwargs.values())  # type: ignore[no-untyped-call]


def _size(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """Numbers in the input of one member, or in its output where that has more channels."""
    x: Tensor = args[0] if args else kwargs["input"]
    if func is F.batch_norm:
        return x.numel()
    weight: Tensor = args[1] if len(args) > 1 else kwargs["weight"]
    channels = x.shape[1 - weight.ndim]
    widest: int = max(channels, *weight.shape[:2])
    return x.numel() / channels * widest


class _Members(torch.autograd.Function):
    """A function whose rule for `vmap` is a loop, which autograd records as it is."""

    @staticmethod
    def forward(function: Callable[..., Tensor], *values: Any) -> Tensor:
        return function(*values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """What no member is part of has no gradient here, and torch says so when asked for it."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], function: Callable[..., Tensor], *values: Any
    ) -> tuple[Tensor, int]:
        # unbind, and not value[k]: the gradient of each of those is as large as the whole
        each = [
            value.unbind(dim)
            if isinstance(value, Tensor) and dim is not None
            else [value] * info.batch_size
            for value, dim in zip(values, in_dims[1:], strict=True)
        ]
        return torch.stack([function(*own) for own in zip(*each, strict=True)]), 0
