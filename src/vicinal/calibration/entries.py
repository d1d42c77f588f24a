"""Calibration from what is not a table of logits: one logit per example, or probabilities."""

from jaxtyping import Float, Int
from torch import Tensor

from vicinal.calibration.checks import pair
from vicinal.calibration.measure import CalibrationSums, calibration
from vicinal.calibration.record import Calibration
from vicinal.maths.arguments import check_tensors
from vicinal.maths.probabilities import are_probabilities


def calibration_of_positive(
    logit: Float[Tensor, "n *one"], y: Int[Tensor, " n"], *, bins: int = 15
) -> Calibration:
    """Calibration of one logit: the probability of class 1 against the frequency of class 1.

    Bins run over p = sigmoid(logit) in [0, 1]. In the record `ece`, `maximum`, `signed_gap` and
    the bins compare p with the frequency of class 1, and `accuracy` is that frequency, not the
    share of right predictions; `nll` and `brier` (the sum over both classes, twice the binary
    score) are those of the classifier. A model that always says 0.9 where class 1 comes with
    0.9 is calibrated under either convention; one that says 0.1 where it comes with 0.1 has
    confidence 0.9 and accuracy 0.9 under the other.

    Args:
        logit: one per example, (n,) or (n, 1).
        y: 0 or 1.
        bins: of equal width, at least 1.

    Raises:
        ValueError: for NaN, wrong shapes, other labels, no examples or bins.

    Source:
        DeGroot and Fienberg (1983); scikit-learn's calibration_curve counts so.
    """
    sums = CalibrationSums(bins)
    sums.add_positive(logit, y)
    return sums.result()


def calibration_of_prediction(
    logit: Float[Tensor, "n *one"], y: Int[Tensor, " n"], *, bins: int = 15
) -> Calibration:
    """Calibration of one logit: confidence in the predicted class against its accuracy.

    Bins run over max(p, 1-p), which lies in [1/2, 1]: the lower bins are empty. It is
    `calibration` of the two logits 0 and `logit`. Errors on the two sides of 1/2 may cancel in
    it that do not cancel in `calibration_of_positive`.

    Args:
        logit: one per example, (n,) or (n, 1); above 0 predicts class 1.
        y: 0 or 1.
        bins: of equal width over [0, 1], at least 1.

    Raises:
        ValueError: for NaN, wrong shapes, other labels, no examples or bins.

    Source:
        Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599, section 2.
    """
    return calibration(pair(logit, y), y, bins=bins)


def calibration_of_probabilities(
    probabilities: Float[Tensor, "n classes"], y: Int[Tensor, " n"], *, bins: int = 15
) -> Calibration:
    """`calibration` for models that give probabilities; logits are more exact where there are any.

    Args:
        probabilities: rows in [0, 1] that sum to 1, to 1e-4 or to the rounding that they show (16
            bits, 2 to 4 decimals); they are divided by their sum. The NLL of a probability that was
            rounded to 0 is infinite.
        y: class ids.
        bins: of equal width, at least 1.

    Raises:
        ValueError: for rows that are not probabilities, and as `calibration`.
    """
    check_tensors(probabilities=probabilities, y=y)
    p = probabilities.detach().double()
    if p.ndim != 2 or not p.numel():
        raise ValueError(
            f"probabilities must have shape (n, classes), n at least 1, got {tuple(p.shape)}."
        )
    total = p.sum(-1)
    if not are_probabilities(probabilities):
        raise ValueError(
            f"probabilities must lie in [0, 1] and sum to 1 in each row, got values from "
            f"{float(p.min()):g} to {float(p.max()):g} and sums from {float(total.min()):g} to "
            f"{float(total.max()):g}. If they are logits, use calibration."
        )
    return calibration(p.log(), y, bins=bins)
