"""Applying a draw to inputs and hidden features, with no more passes over memory than needed."""

from collections.abc import Callable, Mapping
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from vicinal.mixing.draw import Blend, Draw, Mixture, check_draw, per_sample, tensors
from vicinal.mixing.memory import check_out, has_memory, refuse_gradients

LONG = 2**16  # coordinates; below that, calls cost more than passes over memory
PART = 2**17  # coordinates that are still in the cache when the next pass comes


def each(function: Callable[..., Tensor], *xs: Any) -> Any:
    """A function of tensors, applied part by part to tuples and mappings of the same build."""
    if isinstance(xs[0], tuple):
        return tuple(each(function, *parts) for parts in zip(*xs, strict=True))
    if isinstance(xs[0], Mapping):
        return {name: each(function, *(x[name] for x in xs)) for name in xs[0]}
    return function(*xs)


@overload
def mix(x: Tensor, draw: Mixture | None, *, out: Tensor | None = None) -> Tensor: ...
@overload
def mix(x: tuple[Any, ...], draw: Mixture | None) -> tuple[Any, ...]: ...
@overload
def mix(x: Mapping[str, Any], draw: Mixture | None) -> dict[str, Any]: ...
def mix(x: Any, draw: Mixture | None, *, out: Tensor | None = None) -> Any:
    r"""The mixed inputs, $m \odot x_i + (1-m) \odot x_{\pi(i)}$ with m the kept weights.

    The same draw may be applied to inputs, hidden features or dense targets.

    Args:
        x: floating values of any shape, first axis the batch; or a tuple or mapping of such
            tensors, all mixed with this draw. Spatial weights fit only tensors of their height
            and width; one weight per sample fits all.
        draw: partner π, kept weights m. None returns x itself.
        out: memory for the result, of the shape, dtype and device of x. No part of it may lie
            between the first and the last value of x in memory. It saves the cost of fresh
            memory, which is larger than that of mixing. No gradients.

    Returns:
        A new tensor (or `out`) of the shape, dtype, device and memory format of x; x is
        unchanged. Where the kept weight is 1 the values of x come back bit for bit, where it is
        0 the partner's, also where the other value is infinite or NaN (but for the sign of a 0).

    Raises:
        TypeError: if x does not hold floating values, or the draw needs the model.
        ValueError: if the draw was made for another batch size, device, height or width, or `out`
            does not fit.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412, equation 1, with a weight per
        coordinate as in Park, Yun, Chun (2022), arXiv:2208.09913.

    Example:
        >>> from vicinal.mixing.draw import Draw
        >>> half = torch.tensor([0.5, 0.5])
        >>> mix(torch.tensor([0.0, 1.0]), Draw(torch.tensor([1, 0]), keep=half, share=half))
        tensor([0.5000, 0.5000])
    """
    if isinstance(x, tuple | Mapping):
        if out is not None:
            raise TypeError("out= takes the result of one tensor. Mix several without it.")
        return each(lambda part: mix(part, draw), x)
    tensors(x=x)
    if out is not None:
        tensors(out=out)
        check_out(x, out)
    if draw is None:
        if out is None:
            return x
        refuse_gradients(x=x, out=out)
        return out.copy_(x)
    if not x.is_floating_point():
        raise TypeError(
            f"mixing needs floating values, got {x.dtype}. For images of 8 bits pass "
            "x.float() / 255; for labels use soft_targets or mixed_loss, for masks of class ids "
            "mixed_ids or dense_loss; token ids are mixed after their embedding."
        )
    check_draw(x, draw)
    if out is not None:
        weights = draw.shares if isinstance(draw, Blend) else draw.keep
        refuse_gradients(x=x, out=out, draw=weights)
    if isinstance(draw, Blend):
        return _blend(x, draw, out)
    keep = fitted(draw.keep, x)
    graph = torch.is_grad_enabled() and (x.requires_grad or keep.requires_grad)
    if not has_memory(x, draw.partner, keep):
        mixed = between(_partners(x, draw, None), _at(x, draw.own_place, slice(None)), keep)
        return mixed if out is None else out.copy_(mixed)
    mixed = _mixed(x, draw, keep, out, graph)
    if _whole(mixed, keep):
        return mixed
    exact = _exact(mixed, _partners(x, draw, None), _at(x, draw.own_place, slice(None)), keep)
    return exact if out is None else out.copy_(exact)


def _mixed(x: Tensor, draw: Draw, keep: Tensor, out: Tensor | None, graph: bool) -> Tensor:
    """The interpolation, with as few passes over memory as the draw allows."""
    if not graph and (draw.place is not None or draw.own_place is not None):
        return _blend_moved(x, draw, keep, torch.empty_like(x) if out is None else out)
    if not graph and _runs_are_long(x, draw.partner):
        return _blend_runs(x, draw.partner, keep, torch.empty_like(x) if out is None else out)
    # one fresh batch of memory: gather the partners, then blend in place
    other = _partners(x, draw, out)
    return other.lerp_(_at(x, draw.own_place, slice(None)), keep)


def _partners(x: Tensor, draw: Draw, out: Tensor | None) -> Tensor:
    """The values of the partners, each read at its place, in fresh memory or in `out`."""
    other = _gather(x, draw.partner, out)
    if draw.place is None:
        return other
    there = at_place(other, draw.place).contiguous(memory_format=_layout(x))
    return there if out is None else out.copy_(there)


def between(other: Tensor, own: Tensor, keep: Tensor) -> Tensor:
    """The interpolation; where the weight is 1 or 0 it is one of the two, whatever the other is."""
    mixed = torch.lerp(other, own, keep)
    return mixed if _whole(mixed, keep) else _exact(mixed, other, own, keep)


def _exact(mixed: Tensor, other: Tensor, own: Tensor, keep: Tensor) -> Tensor:
    return torch.where(keep == 1, own, torch.where(keep == 0, other, mixed))


def _whole(mixed: Tensor, keep: Tensor) -> bool:
    """Whether no value can have been lost beside infinity or NaN, which 0 does not annul.

    Where one was, the interpolation gave NaN, and so does the sum: one pass over the result, while
    to choose every value costs ten times that of interpolating. It is taken of those samples alone
    whose weight can have done so. Off this machine's memory nothing can be looked at without
    waiting: never sure.
    """
    if keep.requires_grad and torch.is_grad_enabled():
        return True  # choosing would cut the weight off from the loss
    if not has_memory(mixed, keep):
        return False
    with torch.no_grad():
        if keep[:1].numel() == 1:
            ends = (keep.round() == keep).flatten().nonzero()[:, 0]
            if not len(ends):
                return True
            mixed = mixed if len(keep) == 1 else mixed.index_select(0, ends)
        return not bool(mixed.sum().isnan())


def fitted(keep: Float[Tensor, "n *rest"], x: Shaped[Tensor, "n *shape"]) -> Tensor:
    """Kept weights, reshaped to broadcast against x, in its dtype if that is floating."""
    if x.is_floating_point():
        keep = keep.to(x.dtype)
    n = len(x)
    if keep.numel() == n:
        return keep.reshape(n, *[1] * (x.ndim - 1))
    if x.ndim >= 3 and keep.ndim >= 3 and keep.shape[-2:] == x.shape[-2:]:
        height, width = x.shape[-2:]
        if keep.numel() == n * height * width:
            return keep.reshape(n, *[1] * (x.ndim - 3), height, width)
    drop = keep.ndim - x.ndim
    if drop > 0 and set(keep.shape[1 : 1 + drop]) == {1} and keep.shape[1 + drop :] == x.shape[1:]:
        return keep.reshape(x.shape)  # labels have no axis of channels
    if keep.ndim == x.ndim and all(k in (1, s) for k, s in zip(keep.shape, x.shape, strict=True)):
        return keep
    raise ValueError(
        f"the draw keeps weights of shape {tuple(keep.shape)}, which do not fit values of shape "
        f"{tuple(x.shape)}. Weights per pixel apply only to the height and width that they were "
        "drawn for; to mix other values along with them, use one weight per sample: "
        "Draw(draw.partner, draw.share, draw.share)."
    )


def _gather(x: Tensor, rows: Tensor, out: Tensor | None) -> Tensor:
    """x[rows] in the memory format of x, or in `out`."""
    if out is not None:
        return torch.index_select(x, 0, rows, out=out)
    if _layout(x) is torch.contiguous_format:
        return x.index_select(0, rows)
    return x.movedim(1, -1).index_select(0, rows).movedim(-1, 1)


def _layout(x: Tensor) -> torch.memory_format:
    for ndim, layout in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        if x.ndim == ndim and not x.is_contiguous() and x.is_contiguous(memory_format=layout):
            return layout
    return torch.contiguous_format


def at_place(other: Tensor, place: Int[Tensor, "n *sides"]) -> Tensor:
    """Values of the partners, each coordinate read at its place."""
    while place.ndim > other.ndim and place.shape[1] == 1:  # labels of signals as high as 1
        place = place.squeeze(1)
    n, *sides = place.shape
    if other.ndim <= len(sides) or list(other.shape[-len(sides) :]) != sides:
        raise ValueError(
            f"the draw reads partners of height and width {', '.join(map(str, sides))}, the values "
            f"have shape {tuple(other.shape)}. It applies only to images and masks of the size "
            "drawn for."
        )
    flat = other.flatten(-len(sides))
    rows = place.reshape(n, *[1] * (flat.ndim - 2), -1)
    return flat.gather(-1, rows.expand_as(flat)).reshape(other.shape)


def _blend(x: Tensor, draw: Blend, out: Tensor | None) -> Tensor:
    """Nested interpolation, from the last partner to the sample itself."""
    shares = draw.shares.to(x.dtype)
    total = shares.flip(1).cumsum(1).flip(1)
    # where all weights so far are 0 the sum so far will be dropped, whatever it is
    steps = torch.where(total > 0, shares / total, 1.0)
    if not has_memory(x, draw.partners, steps):
        mixed = _nested(x, x, draw.partners, steps)
        return mixed if out is None else out.copy_(mixed)
    if torch.is_grad_enabled() and (x.requires_grad or shares.requires_grad):
        return _nested(x, x, draw.partners, steps)
    out = torch.empty_like(x) if out is None else out
    ends = (steps.round() == steps)[:, :-1].any(1)
    for rows in _parts(x):
        some = x[rows], x, draw.partners[rows], steps[rows]
        if ends[rows].any():
            out[rows] = _nested(*some)
        else:
            _nested(*some, out[rows])
    return out


def _nested(
    own: Tensor, x: Tensor, partners: Tensor, steps: Tensor, out: Tensor | None = None
) -> Tensor:
    """From the last partner to the sample; in `out`, where given, weights lie between 0 and 1."""
    blend = _gather(x, partners[:, -1], out)
    for j in range(steps.shape[1] - 2, -1, -1):
        source = own if j == 0 else x.index_select(0, partners[:, j - 1])
        weight = per_sample(steps[:, j], x.ndim)
        blend = between(blend, source, weight) if out is None else blend.lerp_(source, weight)
    return blend


def _parts(x: Tensor) -> list[slice]:
    """Runs of samples that are small enough to stay in the cache between two passes."""
    step = max(1, PART // max(1, x[:1].numel()))
    return [slice(first, first + step) for first in range(0, len(x), step)]


def _runs_are_long(x: Tensor, partner: Tensor) -> bool:
    """Whether consecutive samples with consecutive partners can be blended without a gather."""
    # counted before any slice is made: a shuffle has a run per sample
    if x.numel() < LONG:
        return False
    return x.numel() >= LONG * (1 + int(np.count_nonzero(_ends(partner))))


def _ends(partner: Tensor) -> Bool[np.ndarray, " borders"]:
    """Whether the partner of the next sample is another than the next sample of the partner."""
    rows = partner.numpy()
    return np.asarray(rows[1:] - rows[:-1] != 1)


def _runs(partner: Tensor) -> list[slice]:
    """The longest slices of samples whose partners are consecutive: two for a roll."""
    starts = (np.flatnonzero(_ends(partner)) + 1).tolist()
    return [
        slice(first, last)
        for first, last in zip([0, *starts], [*starts, len(partner)], strict=True)
    ]


def _blend_runs(x: Tensor, partner: Tensor, keep: Tensor, out: Tensor) -> Tensor:
    for run in _runs(partner):
        first = int(partner[run.start])
        other = x[first : first + run.stop - run.start]
        torch.lerp(other, x[run], keep[run] if len(keep) > 1 else keep, out=out[run])
    return out


def _blend_moved(x: Tensor, draw: Draw, keep: Tensor, out: Tensor) -> Tensor:
    """Part by part, so that nothing but the result is as large as the batch."""
    for rows in _parts(x):
        other = _at(x.index_select(0, draw.partner[rows]), draw.place, rows)
        own = _at(x[rows], draw.own_place, rows)
        torch.lerp(other, own, keep[rows] if len(keep) > 1 else keep, out=out[rows])
    return out


def _at(x: Tensor, place: Tensor | None, rows: slice) -> Tensor:
    return x if place is None else at_place(x, place[rows])
