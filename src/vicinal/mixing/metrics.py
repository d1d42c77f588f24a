"""Accuracy while mixing: per example, against labels of which there are several."""

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.mixing.draw import Mixture, tensors
from vicinal.mixing.labels import soft_targets


def expected_accuracy(
    outputs: Float[Tensor, "n classes"],
    y: Shaped[Tensor, "n *k"],
    draw: Mixture | None,
    *,
    top: int = 1,
) -> Float[Tensor, " n"]:
    """The probability that a label, drawn with the shares of the mixture, is among the top.

    Args:
        outputs: logits or probabilities of the mixed inputs.
        y: class ids (n,) or soft labels (n, classes) of the unmixed batch.
        draw: the draw that mixed the inputs. None gives the plain accuracy.
        top: how many of the largest outputs count as a hit.

    Returns:
        Values in [0, 1], one per example. A perfect model of pairs reaches the mean of the
        larger shares with top=1, and 1 with top=2.

    Raises:
        ValueError: if `top` is not in 1..classes, or y does not fit the outputs.
    """
    _check_top(top, outputs, y)
    targets = soft_targets(y, draw, outputs.shape[1])
    return targets.gather(1, outputs.topk(top, dim=1).indices).sum(1)


def dominant_accuracy(
    outputs: Float[Tensor, "n classes"],
    y: Shaped[Tensor, "n *k"],
    draw: Mixture | None,
    *,
    top: int = 1,
) -> Bool[Tensor, " n"]:
    """Whether the label with the largest share of the mixture is among the top.

    Args:
        outputs: logits or probabilities of the mixed inputs.
        y: class ids (n,) or soft labels (n, classes) of the unmixed batch.
        draw: the draw that mixed the inputs. None gives the plain accuracy.
        top: how many of the largest outputs count as a hit.

    Returns:
        True or False, one per example. Shares of equal labels are added first.

    Raises:
        ValueError: if `top` is not in 1..classes, or y does not fit the outputs.
    """
    _check_top(top, outputs, y)
    dominant = soft_targets(y, draw, outputs.shape[1]).argmax(1, keepdim=True)
    return (outputs.topk(top, dim=1).indices == dominant).any(1)


def _check_top(top: int, outputs: Tensor, y: Tensor) -> None:
    tensors(outputs=outputs, y=y)
    if outputs.ndim != 2:
        raise ValueError(f"outputs must have shape (n, classes), got {tuple(outputs.shape)}.")
    if outputs.shape[:1] != y.shape[:1]:
        raise ValueError(f"outputs has {len(outputs)} rows, y has shape {tuple(y.shape)}.")
    if not 1 <= top <= outputs.shape[1]:
        raise ValueError(f"top must lie in 1..{outputs.shape[1]}, the classes, got {top}.")
