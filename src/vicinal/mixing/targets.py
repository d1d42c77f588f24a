"""Dense targets: a label per token or pixel, mixed with the draw of the inputs."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from vicinal.mixing.apply import at_place, fitted
from vicinal.mixing.draw import Blend, Loss, Mixture, check_draw, per_sample, sources, tensors


def dense_loss(
    loss: Loss,
    outputs: Float[Tensor, "n *k"],
    y: Shaped[Tensor, "n *rest"],
    draw: Mixture | None,
    *,
    ignore_index: int | None = None,
) -> Float[Tensor, " n"]:
    r"""Per-example mean of a loss per token or pixel, against all labels of the mixture.

    With $m_t$ the kept weight at coordinate t and $v$ 1 where a label counts,

    $$\frac{\sum_t m_t v_{it} l(f_t, y_{it}) + (1-m_t) v_{jt} l(f_t, y_{jt})}
           {\sum_t m_t v_{it} + (1-m_t) v_{jt}}, \qquad j = \pi(i)$$

    Where inputs were cut, each pixel answers for the one label that it shows; where they were
    blended, for both; where one of two texts has ended, for the other alone.

    Args:
        loss: maps (outputs, y) to a loss per coordinate in the shape of y, such as
            ``partial(cross_entropy, reduction="none")`` with outputs (n, classes, ...).
        outputs: what the model gave for the mixed inputs.
        y: labels (n, ...) of the unmixed batch: class ids, token ids, masks or values.
        draw: the draw that mixed the inputs. None gives the plain mean.
        ignore_index: label that does not count, such as -100 for padding. It is never shown to
            `loss`, which gets 0 in its place.

    Returns:
        Losses, (n,), in float32 at least; 0 for examples in which no label counts.

    Raises:
        ValueError: if the loss has another shape than y, or the draw does not fit y.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412, section 2, per coordinate.
    """
    tensors(outputs=outputs, y=y)
    if not y.ndim:
        raise ValueError("y must hold labels of each example, (n, ...), got a single number.")
    total = weight = torch.zeros((), device=y.device)
    for labels, share in _dense_sources(y, draw):
        counts = torch.ones_like(labels, dtype=torch.bool)
        if ignore_index is not None:
            counts = labels != ignore_index
            labels = labels.masked_fill(~counts, 0)
        values = loss(outputs, labels)
        if values.shape != y.shape:
            raise ValueError(
                f"loss must give one value per coordinate, in the shape {tuple(y.shape)} of y, got "
                f'{tuple(values.shape)}. For losses of torch pass reduction="none".'
            )
        # sums over more than 65504 pixels overflow in float16
        here = share.to(torch.promote_types(share.dtype, torch.float32)) * counts
        total = total + (here * values).reshape(len(y), y[:1].numel()).sum(1)
        weight = weight + here.reshape(len(y), y[:1].numel()).sum(1)
    return total / torch.where(weight > 0, weight, 1.0)


def mixed_ids(y: Int[Tensor, "n *rest"], draw: Mixture | None) -> Int[Tensor, "n *rest"]:
    """Masks of class ids after cutting: each pixel has the label of the image it comes from.

    Args:
        y: class ids per pixel, (n, ..., H, W).
        draw: a draw whose kept weights are 0 or 1 (CutMix, ResizeMix, FMix, GridMix). None
            returns y itself.

    Returns:
        Class ids in the shape and dtype of y.

    Raises:
        TypeError: if y is floating; use `mix`.
        ValueError: if the draw blends: no class id lies between two others.
    """
    tensors(y=y)
    if y.is_floating_point():
        raise TypeError(f"mixed_ids takes class ids, got {y.dtype}. For values use mix.")
    if draw is None:
        return y
    check_draw(y, draw)
    if isinstance(draw, Blend) or not ((draw.keep == 0) | (draw.keep == 1)).all():
        raise ValueError(
            "the draw blends inputs, and no class id lies between two others. Use dense_loss, "
            "which weighs the losses against both labels."
        )
    (own, keep), (other, _) = _dense_sources(y, draw)
    return torch.where(keep == 1, own, other)


def _dense_sources(y: Tensor, draw: Mixture | None) -> list[tuple[Tensor, Tensor]]:
    """Labels of each member of the mixture, and their weights per coordinate."""
    if draw is None:
        return [(y, torch.ones((), device=y.device))]
    check_draw(y, draw)
    if isinstance(draw, Blend):
        return [
            (y if rows is None else y[rows], per_sample(share, y.ndim))
            for rows, share in sources(draw)
        ]
    keep = fitted(draw.keep, y)
    other = y[draw.partner]
    if draw.place is not None:
        other = at_place(other, draw.place)
    own = y if draw.own_place is None else at_place(y, draw.own_place)
    return [(own, keep), (other, 1 - keep)]
