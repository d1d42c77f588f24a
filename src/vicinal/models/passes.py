"""Passes through a model that take only as many examples at once as memory allows.

One example more costs what two small passes show: the tensors that autograd keeps of a pass of two
examples beyond those of a pass of one. With gradients a pass needs all of these, without them a few
as large as the largest.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MEMORY = 2**29  # bytes that a pass may take for what is between inputs and outputs
LIVE = 4  # tensors as large as the largest that are held at once where no gradient is needed
UNSEEN = 64  # numbers inside of a model for each one of its input, where autograd sees none
FEW = 8  # examples that are never parted


class Passes:
    """A function of a batch, to be called with any number of examples.

    Without gradients a batch is cut, and the outputs are put together again. What is not a plain
    tensor, such as a tensor that carries derivatives, goes through as it is.

    Args:
        f: maps a batch (n, ...) to outputs (n, ...), each example for itself.
        inputs: whether batches that need gradients are cut too. The outputs then can be
            differentiated once and by the inputs alone, and what was cut passes once more for it.
    """

    def __init__(self, f: Callable[[Tensor], Tensor], *, inputs: bool = False) -> None:
        self.f, self.inputs = f, inputs
        self.known: dict[tuple[Any, ...], tuple[int, int]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs."""
        if type(x) is not Tensor or len(x) <= FEW:
            return self.f(x)
        graph = torch.is_grad_enabled()
        if graph and not (self.inputs and x.requires_grad):
            return self.f(x)
        size = self.size(x, gradients=graph)
        if len(x) <= size:
            return self.f(x)
        if graph:
            outputs: Tensor = _Recomputed.apply(self.f, x, size)  # type: ignore[no-untyped-call]
            return outputs
        return torch.cat([self.f(part) for part in torch.split(x, size)])

    def size(self, x: Tensor, *, gradients: bool) -> int:
        """How many examples such as these one pass may take."""
        key = (x.shape[1:], x.dtype, x.device)
        if key not in self.known:
            self.known[key] = _of_one_more(self.f, x)
        kept, largest = self.known[key]
        return max(1, MEMORY // (kept if gradients else LIVE * largest))


class _Recomputed(torch.autograd.Function):
    """Outputs without a graph; the passes are done again, part by part, for the gradient."""

    @staticmethod
    def forward(ctx: Any, f: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
        ctx.f, ctx.size = f, size
        ctx.save_for_backward(x)
        return torch.cat([f(part) for part in torch.split(x, size)])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        (x,) = ctx.saved_tensors
        parts = zip(torch.split(x, ctx.size), torch.split(gradient, ctx.size), strict=True)
        return None, torch.cat([_gradient(ctx.f, *part) for part in parts]), None


def _gradient(f: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        outputs = f(leaf)
        if not outputs.requires_grad:  # the model cuts its own gradients
            return torch.zeros_like(x)
        (found,) = torch.autograd.grad(outputs, leaf, gradient, allow_unused=True)
    return torch.zeros_like(x) if found is None else found


def _of_one_more(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[int, int]:
    """Bytes of one more example: of all that autograd keeps, and of the largest of it."""
    try:
        one, two = (_kept(f, x[:rows]) for rows in (1, 2))
    except Exception:  # someone's model may take no gradients
        one, two = [], []
    more = [b - a for a, b in zip(one, two, strict=False)]
    unseen = UNSEEN * x[0].nbytes
    if len(one) != len(two) or not any(size > 0 for size in more):
        return max(1, unseen), max(1, unseen)
    return max(1, sum(more)), max(1, *more)


def _kept(f: Callable[[Tensor], Tensor], x: Tensor) -> list[int]:
    """Bytes of the tensors that autograd keeps of a pass, in the order in which it meets them."""
    sizes: dict[int, int] = {}

    def met(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    with (
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(met, lambda tensor: tensor),
    ):
        outputs = f(x.detach().clone().requires_grad_())  # held, so that no memory is used twice
        del outputs
    return list(sizes.values())
