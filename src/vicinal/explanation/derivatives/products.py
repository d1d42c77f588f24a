"""How streams pass products, normalisations and poolings."""

from typing import Any

import torch
from torch import Tensor

from vicinal.explanation.derivatives.elementwise import reciprocal, rsqrt
from vicinal.explanation.derivatives.streams import (
    Streams,
    joined,
    product,
    shifted,
    square,
    summed,
    through,
)

Factor = Streams | Tensor | float


def add(a: Factor, b: Factor, *, alpha: float = 1.0) -> Streams:
    """Add alpha times b."""
    if isinstance(a, Streams):
        return summed(a, b, alpha) if isinstance(b, Streams) else shifted(a, alpha * b)
    assert isinstance(b, Streams)
    return shifted(b.like(alpha * b.stack), a)


def subtract(a: Factor, b: Factor, *, alpha: float = 1.0) -> Streams:
    """Subtract alpha times b."""
    return add(a, b, alpha=-alpha)


def subtract_from(a: Factor, b: Factor, alpha: float = 1.0) -> Streams:
    """Subtract alpha times a from b, which ATen calls rsub."""
    return add(b, a, alpha=-alpha)


def multiply(a: Factor, b: Factor) -> Streams:
    """Multiply number by number."""
    if isinstance(a, Streams) and isinstance(b, Streams):
        if a.stack is b.stack:
            return square(a)
        rank = max(a.stack.ndim, b.stack.ndim) - 1
        return product(a.of_rank(rank), b.of_rank(rank), torch.mul)
    if not isinstance(a, Streams):
        a, b = b, a
    assert isinstance(a, Streams)
    assert not isinstance(b, Streams)
    if isinstance(b, Tensor):
        a = a.of_rank(b.ndim)
    return a.like(a.stack * b)


def divide(a: Factor, b: Factor) -> Streams:
    """Divide number by number."""
    return multiply(a, through(b, *reciprocal(b.value)) if isinstance(b, Streams) else 1 / b)


def matmul(a: Factor, b: Factor) -> Streams:
    """Matrix products of two axes, or of three with a batch in front; or matrix times vector."""
    if isinstance(a, Streams) and isinstance(b, Streams):
        return product(a, b, torch.matmul)
    if isinstance(a, Streams):
        assert isinstance(b, Tensor)
        if b.ndim == 2:  # one product for all streams
            rows = a.stack.reshape(-1, a.stack.shape[-1]) @ b
            return a.like(rows.reshape(*a.stack.shape[:-1], b.shape[-1]))
        return a.like(torch.matmul(a.stack, b))
    assert isinstance(a, Tensor)
    assert isinstance(b, Streams)
    return b.like(torch.matmul(a, b.stack))


def matmul_and_add(
    bias: Factor, a: Factor, b: Factor, *, beta: float = 1.0, alpha: float = 1.0
) -> Streams:
    """Multiply matrices and add: beta * bias + alpha * a b."""
    out = matmul(a, b)
    if alpha != 1:
        out = multiply(out, alpha)
    if isinstance(bias, Streams):
        return add(out, bias, alpha=beta)
    return offset(out, bias if beta == 1 else beta * bias)


def offset(fresh: Streams, constant: Tensor | float) -> Streams:
    """Add a constant in the memory of streams that nothing else holds."""
    fresh.stack[0].add_(constant)
    return fresh


def convolution(a: Factor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Streams:
    """One convolution of all streams, the bias to the value alone."""
    assert isinstance(a, Streams)
    merged = torch.ops.aten.convolution(a.stack.flatten(0, 1), weight, None, *geometry)
    out = a.like(merged.unflatten(0, a.stack.shape[:2]))
    if bias is None:
        return out
    return offset(out, bias.reshape(-1, *[1] * (merged.ndim - 2)))


def softmax(a: Streams, dim: int, *_: Any) -> Streams:
    """Softmax: p'' = p (w - <p, w>) with w = u² + a'', u = a' - <p, a'>."""
    p = a.value.softmax(dim)
    dim = dim % p.ndim
    u = a.first - (p * a.first).sum(dim + 1, keepdim=True)
    w = u.square().sum(0)
    if a.second is not None:
        w = w + a.second
    return joined(p, p * u, p * (w - (p * w).sum(dim, keepdim=True)))


def log_softmax(a: Streams, dim: int, *_: Any) -> Streams:
    """(log p)'' = a'' - <p, a'' + u²> with u = a' - <p, a'>."""
    logs = a.value.log_softmax(dim)
    p, dim = logs.exp(), dim % logs.ndim
    u = a.first - (p * a.first).sum(dim + 1, keepdim=True)
    w = u.square().sum(0)
    second = a.second if a.second is not None else torch.zeros_like(w)
    return joined(logs, u, second - (p * w).sum(dim, keepdim=True))


def standardised(a: Streams, dims: tuple[int, ...], eps: float) -> Streams:
    """(a - mean) / √(variance + eps) over trailing axes."""
    centred = a.like(a.stack - a.stack.mean(dims, keepdim=True))
    spread = square(centred)
    variance = shifted(spread.like(spread.stack.mean(dims, keepdim=True)), eps)
    return product(centred, through(variance, *rsqrt(variance.value)), torch.mul)


def layer_norm(
    a: Streams, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Streams:
    """Normalisation over the last axes of each example."""
    return _scaled(standardised(a, tuple(range(-len(shape), 0)), eps), weight, bias)


def group_norm(
    a: Streams,
    weight: Tensor | None,
    bias: Tensor | None,
    n: int,
    channels: int,
    pixels: int,
    groups: int,
    eps: float,
) -> Streams:
    """Normalisation over groups of channels of each example."""
    grouped = a.like(a.stack.reshape(len(a.stack), n, groups, -1))
    out = standardised(grouped, (-1,), eps)
    out = out.like(out.stack.reshape(-1, *a.stack.shape[1:]))
    wide = [1] * (a.stack.ndim - 3)
    return _scaled(
        out,
        None if weight is None else weight.reshape(-1, *wide),
        None if bias is None else bias.reshape(-1, *wide),
    )


def batch_norm(
    a: Streams,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
) -> Streams:
    """Normalisation by running statistics: a scale and a shift of each channel."""
    scale = torch.rsqrt(variance + eps) * (1 if weight is None else weight)
    shift = -mean * scale if bias is None else bias - mean * scale
    wide = [1] * (a.stack.ndim - 3)
    return _scaled(a, scale.reshape(-1, *wide), shift.reshape(-1, *wide))


def _scaled(a: Streams, weight: Tensor | None, bias: Tensor | None) -> Streams:
    if weight is not None:
        a = a.like(a.stack * weight)
    return a if bias is None else shifted(a, bias)


def gathered(a: Streams, index: Tensor, axes: int) -> Streams:
    """The entries that a max pooling chose, by index over the last `axes` axes, flattened."""
    flat = a.stack.flatten(-axes)
    where = index.flatten(-axes).expand(len(flat), *[-1] * (index.ndim - axes + 1))
    return a.like(flat.gather(-1, where).reshape(len(flat), *index.shape))
