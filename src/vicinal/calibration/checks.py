"""What is refused at the door of everything that takes logits."""

import torch
from torch import Tensor

from vicinal.maths.arguments import check_tensors, check_whole
from vicinal.maths.probabilities import are_probabilities

LOOKED_AT = 64  # rows that decide whether all are looked at
FEW = 8  # single logits that may lie in [0, 1] by chance


def check_bins(bins: int) -> None:
    """Refuse fewer bins than one, and parts of bins."""
    check_whole("bins", bins, 1)


def check_logits(logits: Tensor, y: Tensor) -> None:
    """Refuse wrong types and shapes and class ids out of range; NaN shows in the first sums."""
    check_tensors(logits=logits, y=y)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"logits must have shape (n, classes) with 2 or more classes, got "
            f"{tuple(logits.shape)}. For one logit per example see calibration_of_positive and "
            "calibration_of_prediction."
        )
    check_ids(y, len(logits), logits.shape[1])


def check_ids(y: Tensor, n: int, classes: int) -> None:
    """Refuse anything that is not one class id per example."""
    if y.is_floating_point() or y.shape != (n,) or not n:
        raise ValueError(
            f"y must hold one class id per row of logits ({n}, at least 1), got "
            f"{y.dtype} of shape {tuple(y.shape)}."
        )
    low, high = (int(v) for v in y.aminmax())
    if not 0 <= low <= high < classes:
        raise ValueError(f"class ids must lie in 0..{classes - 1}, got {low} to {high}.")


def check_finite(logits: Tensor, what: str) -> None:
    """Refuse infinities and NaN."""
    if not torch.isfinite(logits).all():
        raise ValueError(f"logits must be finite to fit {what}, got NaN or infinities.")


def refuse_probabilities(logits: Tensor) -> None:
    """Refuse two or more rows that all look like probabilities."""
    if (
        len(logits) > 1
        and are_probabilities(logits[:LOOKED_AT])
        and (len(logits) <= LOOKED_AT or are_probabilities(logits))
    ):
        raise ValueError(
            "the rows of logits lie in [0, 1] and sum to 1, so they seem to be probabilities. Pass "
            "them to calibration_of_probabilities. If they are logits, subtract 1 from all of "
            "them, which changes nothing."
        )


def refuse_probability(logit: Tensor, y: Tensor) -> None:
    """Refuse single logits that are probabilities of class 1, as far as one can tell.

    Logits of a model that is never sure may lie in [0, 1] as well. Then their sigmoid is nearer to
    the labels than they are themselves, in the Brier score.
    """
    z, labels = logit.detach().double(), y.double()
    if len(z) < FEW or not bool(((z >= 0) & (z <= 1)).all()) or bool((z == z[0]).all()):
        return
    if (z - labels).square().mean() < (z.sigmoid() - labels).square().mean():
        raise ValueError(
            "the logits lie in [0, 1] and fit the labels better as they are than after a sigmoid, "
            "so they seem to be probabilities of class 1. Pass torch.logit(p), or both columns "
            "(1 - p, p) to calibration_of_probabilities. If they are logits, pass those of class "
            "0, -logit with 1 - y, which is the same model."
        )


def pair(logit: Tensor, y: Tensor) -> Tensor:
    """The logits 0 and `logit` of the two classes."""
    check_tensors(logit=logit, y=y)
    if logit.ndim == 2 and logit.shape[1] == 1:
        logit = logit[:, 0]
    if logit.ndim != 1:
        raise ValueError(
            f"one logit per example is expected, (n,) or (n, 1), got {tuple(logit.shape)}. For "
            "one logit per class use calibration."
        )
    check_ids(y, len(logit), 2)
    refuse_probability(logit, y)
    z = logit.detach().double()
    if not bool((~z.isnan()).all()):
        raise ValueError("logits must not hold NaN.")
    # symmetric, so that an infinite logit is a sure prediction
    z = z.clamp(-1e4, 1e4)
    return torch.stack((-z / 2, z / 2), 1)
