"""Applying a draw to labels: the loss against all of them, or the mixed labels themselves."""

from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.losses import check_distributions
from vicinal.mixing.apply import mix
from vicinal.mixing.draw import (
    AnyDraw,
    Draw,
    Loss,
    Mixture,
    Model,
    Objective,
    check_draw,
    per_sample,
    sources,
    tensors,
)
from vicinal.models.forward import unwrapped


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
    tensors(outputs=outputs, y=y)
    if outputs.shape[:1] != y.shape[:1] or not y.ndim:
        raise ValueError(
            f"outputs and y must have a row for each example, got shapes {tuple(outputs.shape)} "
            f"and {tuple(y.shape)}."
        )
    own = loss(outputs, y)
    tensors(losses=own)
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
    total = _weighed(share, own)
    for rows, share in others:
        total = total + _weighed(share, loss(outputs, y[rows]))
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
    tensors(y=y)
    if draw is not None:
        check_draw(y, draw)
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
    tensors(y=y)
    if not y.is_floating_point():
        raise TypeError(
            f"mixed_values takes floating targets, got {y.dtype}. If they are class ids, use "
            "soft_targets; if they are values, pass y.float()."
        )
    if draw is None:
        return y
    check_draw(y, draw)
    (_, share), *others = sources(draw)
    mixed = _weighed(share.to(y.dtype), y)
    for rows, share in others:
        mixed = mixed + _weighed(share.to(y.dtype), y[rows])
    return mixed


def _weighed(share: Tensor, values: Tensor) -> Tensor:
    """Values times their shares; nothing of values without a share, infinite ones too."""
    share = per_sample(share, values.ndim)
    return (share * values).masked_fill(share == 0, 0)


def vicinal_losses(
    model: Model, x: Any, y: Shaped[Tensor, "n *rest"], draw: AnyDraw, loss: Loss
) -> Float[Tensor, " n"]:
    """What a training step minimises, per example, whatever the strategy that made the draw.

    For a plain draw that is ``mixed_loss(loss, model(mix(x, draw)), y, draw)``; a draw that asks
    for more (see `Objective`) says itself what it is. A trainer calls this and nothing else.

    Args:
        model: maps the inputs to outputs that `loss` takes, or to a mapping or object that names
            them `logits`, as models of Hugging Face do.
        x: a batch of inputs: a tensor, or a tuple or mapping of tensors.
        y: the labels of the unmixed batch.
        draw: from a strategy; None trains without mixing.
        loss: maps (outputs, y) to one loss per example, (n,).

    Returns:
        Losses, (n,), not averaged; call ``.mean().backward()``.
    """
    if isinstance(draw, Objective):
        return draw.losses(model, x, y, loss)
    return mixed_loss(loss, unwrapped(model(mix(x, draw))), y, draw)


def _shares(draw: Mixture) -> Tensor:
    return draw.share if isinstance(draw, Draw) else draw.shares


def _check_soft(y: Tensor, classes: int) -> None:
    if y.ndim != 2 or y.shape[1] != classes:
        raise ValueError(
            f"floating y is taken for soft labels of shape (n, {classes}), got "
            f"{tuple(y.shape)}. If they are class ids, pass y.long()."
        )
    check_distributions(y)
