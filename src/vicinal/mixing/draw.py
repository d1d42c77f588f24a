"""The draw, everything random about a mixed batch, and the functions that apply it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """All that is random about one mixed batch; it can be saved, inspected and replayed."""

    partner: Int[Tensor, " n"]  # which sample each sample is mixed with
    keep: Float[Tensor, "n *rest"]  # own weight, per coordinate; broadcasts against x
    share: Float[Tensor, " n"]  # own weight in the loss, in [0, 1]


Strategy = Callable[[Tensor, Tensor, np.random.Generator], Draw]
"""A function of (x, y, rng) to a Draw. Training without mixing is the strategy None."""


def weights_like(x: Tensor, values: np.ndarray) -> Tensor:
    """Weights in the floating dtype of x (float32 for integers) and on its device."""
    dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    return torch.from_numpy(values).to(x.device, dtype)


def mix(x: Float[Tensor, "n *rest"], draw: Draw | None) -> Float[Tensor, "n *rest"]:
    r"""The mixed inputs, $m \odot x_i + (1-m) \odot x_{\pi(i)}$ with m the kept weights.

    The same draw may be applied to inputs, hidden features or dense targets.

    Args:
        x: floating values of any shape, first axis the batch.
        draw: partner π, kept weights m that broadcast against x. None returns x itself.

    Returns:
        A new tensor of the shape, dtype and device of x; x is unchanged. Where the kept
        weight is 1 the values of x come back bit for bit, where it is 0 the partner's.

    Raises:
        TypeError: if x does not hold floating values.
        ValueError: if the draw was made for another batch size.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412, equation 1, with a weight per
        coordinate as in Park, Yun, Chun (2022), arXiv:2208.09913.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> mix(torch.tensor([0.0, 1.0]), Draw(torch.tensor([1, 0]), keep=half, share=half))
        tensor([0.5000, 0.5000])
    """
    if draw is None:
        return x
    if not x.is_floating_point():
        raise TypeError(
            f"mixing needs floating values, got {x.dtype}. For images of 8 bits pass "
            "x.float() / 255; for labels use soft_targets or mixed_loss."
        )
    _check_batch(len(x), draw)
    # one fresh batch of memory: gather the partners, then blend in place
    return x.index_select(0, draw.partner).lerp_(x, draw.keep.to(x.dtype))


def mixed_loss(
    loss: Callable[[Tensor, Tensor], Tensor],
    outputs: Float[Tensor, "n *k"],
    y: Shaped[Tensor, "n *rest"],
    draw: Draw | None,
) -> Float[Tensor, " n"]:
    r"""Per-example loss against both labels, weighted by their shares, not averaged.

    $$s_i\, l(f_i, y_i) + (1 - s_i)\, l(f_i, y_{\pi(i)})$$

    For losses affine in the label, such as cross-entropy, this is the loss of the mixed label.

    Args:
        loss: maps (outputs, y) to one loss per example, (n,): a family of this package,
            or for instance ``partial(cross_entropy, reduction="none")``.
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
            f'{tuple(own.shape)}. For losses of torch pass reduction="none".'
        )
    if draw is None:
        return own
    _check_batch(len(y), draw)
    return draw.share * own + (1 - draw.share) * loss(outputs, y[draw.partner])


def soft_targets(
    y: Shaped[Tensor, "n *k"], draw: Draw | None, classes: int
) -> Float[Tensor, "n classes"]:
    r"""The mixed labels, $s_i e_{y_i} + (1-s_i) e_{y_{\pi(i)}}$.

    Args:
        y: class ids (n,), or soft labels (n, classes).
        draw: the draw that mixed the inputs. None gives the unmixed labels.
        classes: number of classes.

    Returns:
        Labels, (n, classes), in the dtype of the draw's shares (of soft `y` if given). Rows
        sum to what the rows of the unmixed labels sum to.

    Raises:
        ValueError: if class ids are out of range or soft labels have another width.
    """
    if y.is_floating_point():
        if y.ndim != 2 or y.shape[1] != classes:
            raise ValueError(
                f"floating y is taken for soft labels of shape (n, {classes}), got "
                f"{tuple(y.shape)}. If they are class ids, pass y.long()."
            )
        labels = y
    else:
        if y.ndim != 1:
            raise ValueError(f"class ids must have shape (n,), got {tuple(y.shape)}.")
        if len(y) and not (int(y.min()) >= 0 and int(y.max()) < classes):
            raise ValueError(
                f"class ids must lie in 0..{classes - 1}, got {int(y.min())} to {int(y.max())}."
            )
        dtype = torch.get_default_dtype() if draw is None else draw.share.dtype
        labels = torch.nn.functional.one_hot(y.long(), classes).to(dtype)
    if draw is None:
        return labels
    _check_batch(len(y), draw)
    share = draw.share[:, None].to(labels.dtype)
    return share * labels + (1 - share) * labels[draw.partner]


def _check_batch(n: int, draw: Draw) -> None:
    if len(draw.partner) != n:
        raise ValueError(
            f"the draw was made for {len(draw.partner)} examples, this batch has {n}. "
            "Draw anew for each batch, the last one included."
        )
