"""The draw, everything random about a mixed batch, and the functions that apply it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

Model = Callable[..., Any]
"""Any callable from a batch to outputs; Manifold Mixup needs it to be an nn.Module."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps (outputs, y) to one loss per example, (n,)."""


@dataclass(frozen=True)
class Draw:
    """All that is random about one mixed batch; it can be saved, inspected and replayed.

    Attributes:
        partner: π, which sample each sample is mixed with.
        keep: own weight per coordinate; it broadcasts against x. One weight per sample, of
            any number of axes, fits inputs, hidden features and tables alike.
        share: own weight in the loss, in [0, 1].
        place: which coordinate of the partner is read at each coordinate of the last two axes,
            counted row by row; None reads the same coordinate.
    """

    partner: Int[Tensor, " n"]
    keep: Float[Tensor, "n *rest"]
    share: Float[Tensor, " n"]
    place: Int[Tensor, "n height width"] | None = None

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "Draw":
        """The same draw on another device, for batches that are moved after they were drawn."""
        return moved(self, device, non_blocking)


@dataclass(frozen=True)
class Blend:
    """A mixture of k samples at one weight each: the draw of k-way mixing.

    Attributes:
        partners: which samples each sample is mixed with.
        shares: the weights, in inputs and loss alike, own first; rows sum to 1 exactly.
    """

    partners: Int[Tensor, "n others"]
    shares: Float[Tensor, "n k"]

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "Blend":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


Mixture = Draw | Blend
"""What `mix`, `mixed_loss`, `soft_targets` and the metrics apply."""


@runtime_checkable
class Objective(Protocol):
    """A draw that asks for more than one mixed batch, and says itself what is minimised.

    Such are the draws of RegMixup, MixupE, MIT, SaliencyMix, Manifold Mixup and Noisy Feature
    Mixup. Apply them with `vicinal_losses`; nothing in them is random any more.
    """

    @property
    def draw(self) -> Mixture | None:
        """The mixture within, for metrics; None where it needs the model."""

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """Per-example losses, not averaged."""

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "Objective":
        """The same draw on another device."""


AnyDraw = Mixture | Objective | None
Strategy = Callable[[Tensor, Tensor, np.random.Generator], AnyDraw]
"""A function of (x, y, rng) to a draw. Training without mixing is the strategy None."""


Record = TypeVar("Record", bound=Any)


def moved(record: Record, device: torch.device | str | int, non_blocking: bool) -> Record:
    """A record with all its tensors, and the draws in it, on another device."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    changes = {
        name: value.to(device, non_blocking=non_blocking)
        for name, value in values.items()
        if isinstance(value, Tensor | Draw | Blend | Objective)
    }
    return replace(record, **changes)


def weights_like(x: Tensor, values: np.ndarray) -> Tensor:
    """Weights in the floating dtype of x (float32 for integers), on its device."""
    dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    # strides are kept by the cast, and those of a transposed mask would slow mixing sixfold
    return torch.from_numpy(np.ascontiguousarray(values)).to(x.device, dtype)


def each(function: Callable[..., Tensor], *xs: Any) -> Any:
    """A function of tensors, applied part by part to tuples and mappings of the same build."""
    if isinstance(xs[0], tuple):
        return tuple(each(function, *parts) for parts in zip(*xs, strict=True))
    if isinstance(xs[0], Mapping):
        return {name: each(function, *(x[name] for x in xs)) for name in xs[0]}
    return function(*xs)


def per_sample(share: Tensor, ndim: int) -> Tensor:
    """Shares (n,) as kept weights for samples of any shape."""
    return share.reshape(len(share), *[1] * (ndim - 1))


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
        out: memory for the result, of the shape, dtype and device of x, not overlapping it. It
            saves the cost of fresh memory, which is larger than that of mixing. No gradients.

    Returns:
        A new tensor (or `out`) of the shape, dtype, device and memory format of x; x is
        unchanged. Where the kept weight is 1 the values of x come back bit for bit, where it is
        0 the partner's.

    Raises:
        TypeError: if x does not hold floating values, or the draw needs the model.
        ValueError: if the draw was made for another batch size, device, height or width, or `out`
            does not fit.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412, equation 1, with a weight per
        coordinate as in Park, Yun, Chun (2022), arXiv:2208.09913.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> mix(torch.tensor([0.0, 1.0]), Draw(torch.tensor([1, 0]), keep=half, share=half))
        tensor([0.5000, 0.5000])
    """
    if not isinstance(x, Tensor):
        return each(lambda part: mix(part, draw), x)
    if out is not None:
        _check_out(x, out)
    if draw is None:
        return x if out is None else out.copy_(x)
    if not x.is_floating_point():
        raise TypeError(
            f"mixing needs floating values, got {x.dtype}. For images of 8 bits pass "
            "x.float() / 255; for labels use soft_targets or mixed_loss, for masks of class ids "
            "mixed_ids or dense_loss; token ids are mixed after their embedding."
        )
    check_draw(x, draw)
    if isinstance(draw, Blend):
        return _blend(x, draw, out)
    keep = fitted(draw.keep, x)
    if out is not None and draw.place is None and _runs_are_long(x, draw.partner):
        return _blend_runs(x, draw.partner, keep, out)
    # one fresh batch of memory: gather the partners, then blend in place
    other = _gather(x, draw.partner, out)
    if draw.place is not None:
        there = at_place(other, draw.place).contiguous(memory_format=_layout(x))
        other = there if out is None else out.copy_(there)
    return other.lerp_(x, keep)


def mixed_loss(
    loss: Loss,
    outputs: Float[Tensor, "n *k"],
    y: Shaped[Tensor, "n *rest"],
    draw: Mixture | None,
) -> Float[Tensor, " n"]:
    r"""Per-example loss against all labels, weighted by their shares, not averaged.

    $$s_i\, l(f_i, y_i) + (1 - s_i)\, l(f_i, y_{\pi(i)})$$

    For losses affine in the label, such as cross-entropy, this is the loss of the mixed label.

    Args:
        loss: maps (outputs, y) to one loss per example, (n,): a family of this package,
            or for instance ``partial(cross_entropy, reduction="none")``, focal, weighted or
            binary ones.
        outputs: what the model gave for the mixed inputs.
        y: the labels of the unmixed batch, of any kind that `loss` takes.
        draw: the draw that mixed the inputs. None gives the plain loss.

    Returns:
        Losses, (n,).

    Raises:
        ValueError: if `loss` averages, or the draw was made for another batch size.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412, section 2.
    """
    own = loss(outputs, y)
    if own.shape != y.shape[:1]:
        raise ValueError(
            f"loss must give one value per example, shape {tuple(y.shape[:1])}, got "
            f'{tuple(own.shape)}. For losses of torch pass reduction="none"; for a loss per '
            "token or pixel use dense_loss."
        )
    if draw is None:
        return own
    check_draw(y, draw)
    (_, share), *others = sources(draw)
    total = share * own
    for rows, share in others:
        total = total + share * loss(outputs, y[rows])
    return total


def soft_targets(
    y: Shaped[Tensor, "n *k"], draw: Mixture | None, classes: int
) -> Float[Tensor, "n classes"]:
    r"""The mixed labels, $s_i e_{y_i} + (1-s_i) e_{y_{\pi(i)}}$.

    Args:
        y: class ids (n,), or soft labels (n, classes) that sum to 1.
        draw: the draw that mixed the inputs. None gives the unmixed labels.
        classes: number of classes.

    Returns:
        Labels, (n, classes), in the dtype of the draw's shares (of soft `y` if given). Rows
        sum to 1, exactly for class ids.

    Raises:
        ValueError: if class ids are out of range, soft labels have another width, or do not
            sum to 1.
    """
    if y.is_floating_point():
        _check_soft(y, classes)
        labels = y
    else:
        if y.ndim != 1:
            raise ValueError(f"class ids must have shape (n,), got {tuple(y.shape)}.")
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes:
            raise ValueError(
                f"class ids must lie in 0..{classes - 1}, got {int(y.min())} to {int(y.max())}."
            )
        dtype = torch.get_default_dtype() if draw is None else _shares(draw).dtype
        labels = torch.nn.functional.one_hot(y.long(), classes).to(dtype)
    return labels if draw is None else mixed_values(labels, draw)


def mixed_values(y: Float[Tensor, "n *rest"], draw: Mixture | None) -> Float[Tensor, "n *rest"]:
    r"""Mixed floating targets, $s_i y_i + (1-s_i) y_{\pi(i)}$, whatever their shape.

    For regression targets, multi-hot labels and soft labels. Unlike `mix`, it weighs by the
    shares in the loss, also where the inputs were cut.

    Args:
        y: values (n,) or (n, ...).
        draw: the draw that mixed the inputs. None returns y itself.

    Returns:
        A tensor of the shape and dtype of y.

    Raises:
        TypeError: if y holds integers: whether those are classes or values is not guessed.
        ValueError: if the draw was made for another batch size or device.
    """
    if not y.is_floating_point():
        raise TypeError(
            f"mixed_values takes floating targets, got {y.dtype}. If they are class ids, use "
            "soft_targets; if they are values, pass y.float()."
        )
    if draw is None:
        return y
    check_draw(y, draw)
    (_, share), *others = sources(draw)
    mixed = per_sample(share.to(y.dtype), y.ndim) * y
    for rows, share in others:
        mixed = mixed + per_sample(share.to(y.dtype), y.ndim) * y[rows]
    return mixed


def vicinal_losses(
    model: Model, x: Any, y: Shaped[Tensor, "n *rest"], draw: AnyDraw, loss: Loss
) -> Float[Tensor, " n"]:
    """What a training step minimises, per example, whatever the strategy that made the draw.

    For a plain draw that is ``mixed_loss(loss, model(mix(x, draw)), y, draw)``; a draw that asks
    for more (see `Objective`) says itself what it is. A trainer calls this and nothing else.

    Args:
        model: maps the inputs to outputs that `loss` takes.
        x: a batch of inputs: a tensor, or a tuple or mapping of tensors.
        y: the labels of the unmixed batch.
        draw: from a strategy; None trains without mixing.
        loss: maps (outputs, y) to one loss per example, (n,).

    Returns:
        Losses, (n,), not averaged; call ``.mean().backward()``.
    """
    if isinstance(draw, Objective):
        return draw.losses(model, x, y, loss)
    return mixed_loss(loss, model(mix(x, draw)), y, draw)


def sources(draw: Mixture) -> list[tuple[Tensor | None, Tensor]]:
    """Who is in each mixture, with which share; None stands for the sample itself, first."""
    if isinstance(draw, Draw):
        return [(None, draw.share), (draw.partner, 1 - draw.share)]
    others = zip(draw.partners.unbind(1), draw.shares.unbind(1)[1:], strict=True)
    return [(None, draw.shares[:, 0]), *others]


def fitted(keep: Float[Tensor, "n *rest"], x: Shaped[Tensor, "n *shape"]) -> Tensor:
    """Kept weights, reshaped to broadcast against x, in its dtype if that is floating."""
    if x.is_floating_point():
        keep = keep.to(x.dtype)
    n = len(x)
    if keep.numel() == n:
        return per_sample(keep.flatten(), x.ndim)
    if x.ndim >= 3 and keep.ndim >= 3 and keep.shape[-2:] == x.shape[-2:]:
        height, width = x.shape[-2:]
        if keep.numel() == n * height * width:
            return keep.reshape(n, *[1] * (x.ndim - 3), height, width)
    if keep.ndim == x.ndim and all(k in (1, s) for k, s in zip(keep.shape, x.shape, strict=True)):
        return keep
    raise ValueError(
        f"the draw keeps weights of shape {tuple(keep.shape)}, which do not fit values of shape "
        f"{tuple(x.shape)}. Weights per pixel apply only to the height and width that they were "
        "drawn for; to mix other values along with them, use one weight per sample: "
        "Draw(draw.partner, draw.share, draw.share)."
    )


def _shares(draw: Mixture) -> Tensor:
    return draw.share if isinstance(draw, Draw) else draw.shares


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


def at_place(other: Tensor, place: Int[Tensor, "n height width"]) -> Tensor:
    """Values of the partners, each coordinate read at its place."""
    n, height, width = place.shape
    if other.ndim < 3 or other.shape[-2:] != (height, width):
        raise ValueError(
            f"the draw reads partners of height and width {height}, {width}, the values have shape "
            f"{tuple(other.shape)}. It applies only to images and masks of the size drawn for."
        )
    flat = other.flatten(-2)
    rows = place.reshape(n, *[1] * (other.ndim - 3), height * width)
    return flat.gather(-1, rows.expand_as(flat)).reshape(other.shape)


def _blend(x: Tensor, draw: Blend, out: Tensor | None) -> Tensor:
    """Nested interpolation, from the last partner to the sample itself."""
    shares = draw.shares.to(x.dtype)
    total = shares[:, -1]
    blend = _gather(x, draw.partners[:, -1], out)
    for j in range(shares.shape[1] - 2, -1, -1):
        total = total + shares[:, j]
        # where all weights so far are 0 the sum so far will be dropped, whatever it is
        step = torch.where(total > 0, shares[:, j] / total, 1.0)
        source = x if j == 0 else x.index_select(0, draw.partners[:, j - 1])
        blend = blend.lerp_(source, per_sample(step, x.ndim))
    return blend


LONG = 2**16  # coordinates; below that, calls cost more than passes over memory


def _runs_are_long(x: Tensor, partner: Tensor) -> bool:
    """Whether consecutive samples with consecutive partners can be blended without a gather."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return x.numel() >= LONG * len(_runs(partner))


def _runs(partner: Tensor) -> list[slice]:
    """The longest slices of samples whose partners are consecutive: two for a roll."""
    starts = (np.flatnonzero(np.diff(partner.numpy()) != 1) + 1).tolist()
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


def check_draw(x: Tensor, draw: Mixture) -> None:
    """Refuse a draw that needs the model, or was made for another batch size or device."""
    if not isinstance(draw, Draw | Blend):
        raise TypeError(
            f"{type(draw).__name__} is not a plain draw, it needs the model: use "
            "vicinal_losses(model, x, y, draw, loss). Its attribute draw holds the mixture."
        )
    rows = draw.partner if isinstance(draw, Draw) else draw.partners
    if len(rows) != len(x):
        raise ValueError(
            f"the draw was made for {len(rows)} examples, this batch has {len(x)}. "
            "Draw anew for each batch, the last one included."
        )
    if rows.device != x.device:
        raise ValueError(
            f"the draw is on {rows.device}, the batch on {x.device}. Pass draw.to(x.device)."
        )


def _check_out(x: Tensor, out: Tensor) -> None:
    if (out.shape, out.dtype, out.device) != (x.shape, x.dtype, x.device):
        raise ValueError(
            f"out must have the shape, dtype and device of x, {tuple(x.shape)} {x.dtype} "
            f"{x.device}, got {tuple(out.shape)} {out.dtype} {out.device}."
        )
    if out is x:
        raise ValueError("out must be other memory than x: samples are read after they are mixed.")
    if torch.is_grad_enabled() and x.requires_grad:
        raise ValueError("out= keeps no gradients, and x requires them. Leave out= away.")


def _check_soft(y: Tensor, classes: int) -> None:
    if y.ndim != 2 or y.shape[1] != classes:
        raise ValueError(
            f"floating y is taken for soft labels of shape (n, {classes}), got "
            f"{tuple(y.shape)}. If they are class ids, pass y.long()."
        )
    sums = y.sum(1, dtype=torch.float64)
    if not (sums - 1).abs().le(max(1e-3, 4 * torch.finfo(y.dtype).eps)).all():
        worst = float(sums[(sums - 1).abs().argmax()])
        raise ValueError(
            f"soft labels must sum to 1 in every row, got a row that sums to {worst:g}. For "
            "multi-hot labels and values use mixed_values."
        )
