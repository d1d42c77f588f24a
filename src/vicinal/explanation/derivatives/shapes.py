"""How streams pass operations that only move, copy or average numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vicinal.explanation.derivatives.streams import Streams

aten = torch.ops.aten


def _axis(a: Streams, dim: int, extra: int = 0) -> int:
    """The axis of the stack for an axis of the tensor; `extra` axes are about to be added."""
    return int(dim % (a.stack.ndim - 1 + extra)) + 1


def _axes(a: Streams, dims: Sequence[int] | None) -> list[int]:
    return [_axis(a, d) for d in (range(a.stack.ndim - 1) if dims is None or not dims else dims)]


def _permute(a: Streams, dims: Sequence[int]) -> Tensor:
    return a.stack.permute(0, *_axes(a, dims))


def _expand(a: Streams, size: Sequence[int], *, implicit: bool = False) -> Tensor:
    return a.of_rank(len(size)).stack.expand(len(a.stack), *size)


def _squeeze(a: Streams, dims: int | Sequence[int] | None = None) -> Tensor:
    given = [dims] if isinstance(dims, int) else dims
    ones = [k for k in _axes(a, given) if a.stack.shape[k] == 1]
    return a.stack.squeeze(ones) if ones else a.stack.view_as(a.stack)


def _slice(
    a: Streams, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    sliced: Tensor = aten.slice(a.stack, _axis(a, dim), start, end, step)
    return sliced


def _mean(
    a: Streams, dims: Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    return a.stack.mean(_axes(a, dims), keepdim=keepdim, dtype=dtype)


def _sum(
    a: Streams, dims: Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    return a.stack.sum(_axes(a, dims), keepdim=keepdim, dtype=dtype)


def _cumsum(a: Streams, dim: int, *, dtype: Any = None) -> Tensor:
    return a.stack.cumsum(_axis(a, dim), dtype=dtype)


def _clone(a: Streams, *, memory_format: torch.memory_format | None = None) -> Tensor:
    if memory_format in (None, torch.preserve_format):
        return a.stack.clone()
    merged = a.stack.flatten(0, 1).clone(memory_format=memory_format)
    return merged.reshape(a.stack.shape)


def _to(
    a: Streams, *, dtype: Any = None, device: Any = None, memory_format: Any = None, **_: Any
) -> Tensor:
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"a cast to {dtype}, which jumps")
    return a.stack.to(dtype=dtype or a.stack.dtype, device=device or a.stack.device)


def _pad(a: Streams, pad: Sequence[int], value: float = 0) -> Tensor:
    padded: Tensor = aten.constant_pad_nd(a.stack, pad, 0)
    if value:
        edge = torch.ones_like(a.value)
        padded[0] += value * (1 - aten.constant_pad_nd(edge, pad, 0))
    return padded


def _index(a: Streams, indices: Sequence[Tensor | None]) -> Tensor:
    places = [k for k, index in enumerate(indices) if index is not None]
    if places[-1] - places[0] >= len(places):
        raise IndexError("indices with axes between them, which move in front of the streams")
    chosen: Tensor = aten.index(a.stack, [None, *indices])
    return chosen


def _roll(a: Streams, shifts: Sequence[int], dims: Sequence[int] = ()) -> Tensor:
    if not dims:
        return a.stack.flatten(1).roll(tuple(shifts), 1).reshape(a.stack.shape)
    return a.stack.roll(tuple(shifts), tuple(_axes(a, dims)))


VIEWS: dict[Any, Callable[..., Tensor]] = {
    aten._reshape_alias: lambda a, size, stride: a.stack.reshape(-1, *size),
    aten.alias: lambda a: a.stack.view_as(a.stack),
    aten.detach: lambda a: a.stack.view_as(a.stack),
    aten.expand: _expand,
    aten.permute: _permute,
    aten.select: lambda a, dim, index: a.stack.select(_axis(a, dim), index),
    aten.slice: _slice,
    aten.squeeze: _squeeze,
    aten.t: lambda a: a.stack.transpose(-1, -2) if a.stack.ndim == 3 else a.stack,
    aten.transpose: lambda a, i, j: a.stack.transpose(_axis(a, i), _axis(a, j)),
    aten.unsqueeze: lambda a, dim: a.stack.unsqueeze(_axis(a, dim, 1)),
    aten.view: lambda a, size: a.stack.reshape(len(a.stack), *size),
}
"""Operations whose result shares memory with their argument."""

COPIES: dict[Any, Callable[..., Tensor]] = {
    aten._to_copy: _to,
    aten._unsafe_view: lambda a, size: a.stack.reshape(len(a.stack), *size),
    aten.clone: _clone,
    aten.constant_pad_nd: _pad,
    aten.cumsum: _cumsum,
    aten.flip: lambda a, dims: a.stack.flip(_axes(a, dims)),
    aten.index: _index,
    aten.index_select: lambda a, dim, index: a.stack.index_select(_axis(a, dim), index),
    aten.mean: _mean,
    aten.neg: lambda a: -a.stack,
    aten.repeat: lambda a, times: a.of_rank(len(times)).stack.repeat(1, *times),
    aten.roll: _roll,
    aten.sum: _sum,
}
"""Linear operations that act on all streams through their own axes."""

SPLITS: dict[Any, Callable[..., Sequence[Tensor]]] = {
    aten.split: lambda a, size, dim=0: a.stack.split(size, _axis(a, dim)),
    aten.split_with_sizes: lambda a, sizes, dim=0: a.stack.split(sizes, _axis(a, dim)),
    aten.unbind: lambda a, dim=0: a.stack.unbind(_axis(a, dim)),
}
"""Views that come in several parts."""

BY_EXAMPLE = {
    aten._adaptive_avg_pool2d,
    aten._adaptive_avg_pool3d,
    aten.avg_pool1d,
    aten.avg_pool2d,
    aten.avg_pool3d,
    aten.channel_shuffle,
    aten.col2im,
    aten.im2col,
    aten.pixel_shuffle,
    aten.pixel_unshuffle,
    aten.reflection_pad2d,
    aten.replication_pad2d,
    aten.upsample_bilinear2d,
    aten.upsample_nearest2d,
}
"""Linear operations on each example of a batch: streams become further examples."""

POOLS = {
    aten.adaptive_max_pool2d: 2,
    aten.max_pool2d_with_indices: 2,
    aten.max_pool3d_with_indices: 3,
}
"""Poolings that choose, with the number of axes that their indices run over."""

BLIND = {
    aten.empty_like,
    aten.eq,
    aten.full_like,
    aten.ge,
    aten.gt,
    aten.isnan,
    aten.le,
    aten.logical_not,
    aten.lt,
    aten.ne,
    aten.new_empty,
    aten.new_full,
    aten.new_ones,
    aten.new_zeros,
    aten.ones_like,
    aten.rand_like,
    aten.randn_like,
    aten.sign,
    aten.zeros_like,
}
"""Operations whose result does not change with their argument, almost everywhere."""
