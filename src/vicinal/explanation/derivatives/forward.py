"""Forward propagation: value, first and second derivatives pass through the model together.

A `Jet` is a tensor that carries its streams. It meets each ATen operation of the model, whatever
code called it, so no model has to be rewritten; linear layers and convolutions are called once
for all streams, and the second derivative is carried only from the first curved operation on.
An operation without a rule raises `Unsupported`.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import enable_reentrant_dispatch

from vicinal.explanation.derivatives import products
from vicinal.explanation.derivatives.elementwise import FUNCTIONS
from vicinal.explanation.derivatives.shapes import BLIND, BY_EXAMPLE, COPIES, POOLS, SPLITS, VIEWS
from vicinal.explanation.derivatives.streams import Streams, rectified, square, through

aten = torch.ops.aten


class Unsupported(Exception):
    """This engine has no rule for something that the model does."""


class Jet(Tensor):
    """A tensor with its derivatives; to the model it has the shape and kind of its value."""

    streams: Streams
    aliased: bool  # whether other jets may share its memory

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, streams: Streams, *, aliased: bool = False) -> "Jet":
        """Wrap streams."""
        value = streams.value
        jet: Jet = Tensor._make_wrapper_subclass(
            cls, value.shape, strides=value.stride(), dtype=value.dtype, device=value.device
        )
        jet.streams, jet.aliased = streams, aliased
        return jet

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Propagate streams through one operation; autograd sees what is done with them."""
        with enable_reentrant_dispatch() if torch.is_grad_enabled() else nullcontext():
            if func._schema.is_mutable:
                return _in_place(func, args, kwargs or {})
            return _apply(func.overloadpacket, args, kwargs or {})


def outputs_along(
    f: Callable[[Tensor], Tensor], x: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """f(x), its first derivatives along directions (D, *x.shape), the sum of the second.

    Raises:
        Unsupported: if the model uses an operation without a rule.
    """
    out = f(Jet(Streams(torch.cat((x[None], directions)), len(directions))))
    if not isinstance(out, Jet):
        raise Unsupported("outputs that are no function of the inputs")
    streams = out.streams
    return streams.value, streams.first, streams.second


def _in_place(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do op_(a, ...) as a = op(a, ...), where nothing else looks at the memory of a."""
    name = func.overloadpacket.__name__
    target = args[0] if args else None
    if not name.endswith("_") or not isinstance(target, Jet) or target.aliased:
        raise Unsupported(f"{name} in memory that is shared")
    plain = getattr(aten, name[:-1])
    result = _apply(plain, args, kwargs)
    if result.shape != target.shape or result.dtype != target.dtype:
        raise Unsupported(f"{name} that changes shape or kind")
    target.streams = result.streams
    return target


def _apply(packet: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = [_streams(argument) for argument in args]
    if packet in RULES:
        return _wrapped(RULES[packet](*given, **kwargs))
    a = given[0]
    if not isinstance(a, Streams) or any(isinstance(b, Streams) for b in given[1:]):
        raise Unsupported(f"a rule for {packet}")
    if packet in FUNCTIONS:
        return _wrapped(through(a, *FUNCTIONS[packet](a.value, *given[1:], **kwargs)))
    if packet in BLIND:
        return packet(a.value, *given[1:], **kwargs)
    if packet in VIEWS or packet in SPLITS:
        args[0].aliased = True
        if packet in VIEWS:
            return Jet(a.like(VIEWS[packet](a, *given[1:], **kwargs)), aliased=True)
        parts = SPLITS[packet](a, *given[1:], **kwargs)
        return [Jet(a.like(part), aliased=True) for part in parts]
    if packet in COPIES:
        return Jet(a.like(COPIES[packet](a, *given[1:], **kwargs)))
    if packet in BY_EXAMPLE:
        merged = packet(a.stack.flatten(0, 1), *given[1:], **kwargs)
        return Jet(a.like(merged.unflatten(0, a.stack.shape[:2])))
    if packet in POOLS:
        _, index = packet(a.value, *given[1:], **kwargs)
        return Jet(products.gathered(a, index, POOLS[packet])), index
    raise Unsupported(f"a rule for {packet}")


def _streams(argument: Any) -> Any:
    if isinstance(argument, Jet):
        return argument.streams
    if isinstance(argument, list | tuple):
        return type(argument)(_streams(part) for part in argument)
    return argument


def _wrapped(result: Any) -> Any:
    if isinstance(result, Streams):
        return Jet(result)
    if isinstance(result, tuple):
        return tuple(_wrapped(part) for part in result)
    return result


def _all_streams(parts: Sequence[Streams | Tensor]) -> list[Tensor]:
    """Stacks of equal height for jets and constants, to be put side by side."""
    jets = [part for part in parts if isinstance(part, Streams)]
    height, directions = max(len(jet.stack) for jet in jets), jets[0].directions
    assert all(jet.directions == directions for jet in jets)
    stacks = []
    for part in parts:
        stack = part.stack if isinstance(part, Streams) else part[None]
        missing = stack.new_zeros(height - len(stack), *stack.shape[1:])
        stacks.append(torch.cat((stack, missing)))
    return stacks


def _cat(parts: Sequence[Streams | Tensor], dim: int = 0) -> Streams:
    jet = next(part for part in parts if isinstance(part, Streams))
    stacks = _all_streams(parts)
    return jet.like(torch.cat(stacks, dim % (stacks[0].ndim - 1) + 1))


def _stack(parts: Sequence[Streams | Tensor], dim: int = 0) -> Streams:
    jet = next(part for part in parts if isinstance(part, Streams))
    stacks = _all_streams(parts)
    return jet.like(torch.stack(stacks, dim % stacks[0].ndim + 1))


def _where(condition: Tensor, a: products.Factor, b: products.Factor) -> Streams:
    jet = next(s for s in (a, b) if isinstance(s, Streams))
    parts = [s if isinstance(s, Streams | Tensor) else jet.stack.new_tensor(s) for s in (a, b)]
    stacks = _all_streams(parts)
    rank = max(condition.ndim, *(stack.ndim - 1 for stack in stacks))
    # chosen, not weighed by 0 and 1: what is not chosen may be infinite
    first, second = (jet.like(stack).of_rank(rank).stack for stack in stacks)
    return jet.like(torch.where(condition, first, second))


def _masked_fill(a: Streams, mask: Tensor, value: Tensor | float) -> Streams:
    a = a.of_rank(mask.ndim)
    return a.like(
        torch.cat((a.value.masked_fill(mask, value)[None], a.stack[1:].masked_fill(mask, 0)))
    )


def _extreme(a: Streams, dims: Any, keepdim: bool, largest: bool) -> tuple[Streams, Tensor]:
    dim = dims if isinstance(dims, int) else dims[0]
    if not isinstance(dims, int) and len(dims) != 1:
        raise Unsupported("a rule for extremes over several axes")
    index = (a.value.argmax if largest else a.value.argmin)(dim, keepdim=True)
    axis = dim % a.value.ndim + 1
    where = index[None].expand(len(a.stack), *index.shape)
    chosen = a.stack.gather(axis, where)
    return a.like(chosen if keepdim else chosen.squeeze(axis)), (
        index if keepdim else index.squeeze(dim)
    )


def _variance(
    a: Streams, dims: Any = None, *, correction: float | None = None, keepdim: bool = False
) -> Streams:
    axes = [d % a.value.ndim + 1 for d in (dims or range(a.value.ndim))]
    count = torch.tensor([a.stack.shape[k] for k in axes]).prod().item()
    squares = square(a.like(a.stack - a.stack.mean(axes, keepdim=True)))
    freedom = count - (1 if correction is None else correction)
    return a.like(squares.stack.sum(axes, keepdim=keepdim) / freedom)


def _log_sigmoid(a: Streams) -> tuple[Streams, None]:
    return through(a, *FUNCTIONS[aten.log_sigmoid_forward](a.value)), None


def _norm(
    a: Streams, order: float = 2, dims: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Streams:
    if order != 2 or dtype is not None:
        raise Unsupported(f"a rule for norms of order {order}")
    axes = [d % a.value.ndim + 1 for d in (dims or range(a.value.ndim))]
    total = square(a)
    total = a.like(total.stack.sum(axes, keepdim=keepdim))
    return through(total, *FUNCTIONS[aten.sqrt](total.value))


def _batch_norm(
    a: Streams,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Any:
    if training:
        raise Unsupported("batch statistics")
    return products.batch_norm(a, weight, bias, mean, variance, eps), None, None


RULES: dict[Any, Callable[..., Any]] = {
    aten._fused_sdp_choice: lambda *_, **__: 0,  # the mathematical kernel
    aten._log_softmax: products.log_softmax,
    aten._safe_softmax: products.softmax,
    aten._softmax: products.softmax,
    aten.add: products.add,
    aten.addmm: products.matmul_and_add,
    aten.amax: lambda a, dims=(), keepdim=False: _extreme(a, dims, keepdim, True)[0],
    aten.amin: lambda a, dims=(), keepdim=False: _extreme(a, dims, keepdim, False)[0],
    aten.baddbmm: products.matmul_and_add,
    aten.bmm: products.matmul,
    aten.cat: _cat,
    aten.convolution: products.convolution,
    aten.div: products.divide,
    aten.linalg_vector_norm: _norm,
    aten.log_sigmoid_forward: _log_sigmoid,
    aten.masked_fill: _masked_fill,
    aten.max: lambda a, dim, keepdim=False: _extreme(a, dim, keepdim, True),
    aten.min: lambda a, dim, keepdim=False: _extreme(a, dim, keepdim, False),
    aten.mm: products.matmul,
    aten.mul: products.multiply,
    aten.mv: products.matmul,
    aten.native_batch_norm: _batch_norm,
    aten.native_group_norm: lambda *args: (products.group_norm(*args), None, None),
    aten.native_layer_norm: lambda *args: (products.layer_norm(*args), None, None),
    aten.relu: rectified,
    aten.rsub: products.subtract_from,
    aten.stack: _stack,
    aten.sub: products.subtract,
    aten.var: _variance,
    aten.where: _where,
}
"""Operations with several arguments or results."""
