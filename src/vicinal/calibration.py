"""Calibration: do the probabilities of a classifier mean what they say?"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import brentq
from torch import Tensor

COLDEST, HOTTEST = 0.05, 20.0  # the range of a fitted temperature


@dataclass(frozen=True)
class Bin:
    """Examples whose confidence lies in (low, high], the first bin with its low end.

    Attributes:
        low, high: ends of the bin.
        count: examples in it.
        confidence: their mean confidence; None if there are none.
        accuracy: the share of them classified correctly; None if there are none.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """How well confidence matches accuracy on a data set.

    Attributes:
        accuracy: share of examples whose most likely class is right.
        ece: expected calibration error, Σ_b (count_b/n) |confidence_b - accuracy_b|, in [0, 1].
        signed_gap: mean confidence minus accuracy; positive is over-confident.
        nll: mean negative log-likelihood in nats.
        brier: mean over examples of Σ_k (p_k - y_k)², in [0, 2].
        examples: n.
        bins: the reliability diagram.
    """

    accuracy: float
    ece: float
    signed_gap: float
    nll: float
    brier: float
    examples: int
    bins: tuple[Bin, ...]


def calibration(
    logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"], *, bins: int = 15
) -> Calibration:
    """Measure calibration of the predicted class, in bins of equal width, in float64.

    Confidence is the largest softmax probability. A bin takes (low, high], so that a
    confidence of exactly 1 falls in the last one.

    Args:
        logits: raw outputs of the model, not probabilities, (n, classes) with 2 or more
            classes; minus infinity is a probability of 0.
        y: class ids.
        bins: number of bins of equal width, at least 1.

    Returns:
        Calibration. The binned ECE is biased upwards in small samples and depends on the
        bins; NLL and Brier are proper scores and stand beside it for that reason.

    Raises:
        ValueError: for NaN, wrong shapes, class ids out of range, no examples or bins.

    Source:
        Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599, section 2; Brier (1950).

    Example:
        >>> sure = torch.tensor([[0.0, 100.0], [0.0, 100.0]])
        >>> calibration(sure, torch.tensor([1, 0])).ece
        0.5
    """
    z, labels = _checked(logits, y)
    if not bins >= 1:
        raise ValueError(f"bins must be at least 1, got {bins}.")
    log_p = z.log_softmax(-1)
    p = log_p.exp()
    confidence, predicted = p.max(-1)
    right = (predicted == labels).double()
    # (low, high]: a confidence on an edge belongs to the bin below it
    index = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    counts = torch.bincount(index, minlength=bins)
    summed = [torch.bincount(index, v, minlength=bins) for v in (confidence, right)]
    nll = -log_p.gather(1, labels[:, None])
    brier = p.square().sum(-1) - 2 * p.gather(1, labels[:, None])[:, 0] + 1
    return Calibration(
        accuracy=float(right.mean()),
        ece=float((summed[0] - summed[1]).abs().sum() / len(z)),
        signed_gap=float((confidence - right).mean()),
        nll=float(nll.mean()),
        brier=float(brier.mean()),
        examples=len(z),
        bins=tuple(
            Bin(k / bins, (k + 1) / bins, c, s / c if c else None, r / c if c else None)
            for k, (c, s, r) in enumerate(
                zip(counts.tolist(), summed[0].tolist(), summed[1].tolist(), strict=True)
            )
        ),
    )


def fit_temperature(logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> float:
    r"""The temperature T > 0 that minimises the NLL of softmax(logits / T).

    The NLL is convex in b = 1/T; the root of its derivative
    $\mathrm{mean}_i(E_{p_i(b)}[z] - z_{i,y_i})$ is found by bracketing. Fit it on held-out data,
    never on the data you then measure.

    Args:
        logits: raw outputs of the model on validation data, (n, classes), finite.
        y: class ids.

    Returns:
        T in [0.05, 20], above 1 if the model was over-confident. T is put at an end, with a
        UserWarning, where the NLL has no minimum within: 0.05 when every example is classified
        correctly (the NLL then falls for ever as T does).

    Raises:
        ValueError: for logits that are not finite, wrong shapes, class ids out of range.

    Source:
        Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599, section 4.2.

    Example:
        >>> z = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
        >>> t = fit_temperature(z, torch.tensor([0, 0, 1]))
        >>> round(float((z / t).softmax(-1)[0, 0]), 6)  # two of three are right
        0.666667
    """
    z, labels = _checked(logits, y)
    if not torch.isfinite(z).all():
        raise ValueError("logits must be finite to fit a temperature, got infinities.")
    z = z - z.gather(1, labels[:, None])  # then the derivative is E_p[z] alone

    def derivative(inverse: float) -> float:
        return float(((inverse * z).softmax(-1) * z).sum(-1).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    if derivative(low) >= 0 or derivative(high) <= 0:
        end = HOTTEST if derivative(low) >= 0 else COLDEST
        warnings.warn(
            f"the NLL has no minimum for a temperature in [{COLDEST}, {HOTTEST}]; returning {end}. "
            + (
                "The logits do no better than a constant prediction."
                if end == HOTTEST
                else "The model classifies (nearly) all of these examples correctly: use more "
                "validation data."
            ),
            stacklevel=2,
        )
        return end
    return float(1 / brentq(derivative, low, high, xtol=1e-12, rtol=4 * np.finfo(float).eps))


def _checked(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"logits must have shape (n, classes) with 2 or more classes, got "
            f"{tuple(logits.shape)}."
        )
    if y.is_floating_point() or y.shape != logits.shape[:1] or not len(y):
        raise ValueError(
            f"y must hold one class id per row of logits ({len(logits)}, at least 1), got "
            f"{y.dtype} of shape {tuple(y.shape)}."
        )
    if not 0 <= int(y.min()) <= int(y.max()) < logits.shape[1]:
        raise ValueError(
            f"class ids must lie in 0..{logits.shape[1] - 1}, got {int(y.min())} to {int(y.max())}."
        )
    z = logits.detach().double()
    if bool((z.isnan() | z.isposinf()).any() | z.isneginf().all(-1).any()):
        raise ValueError("logits must not hold NaN or plus infinity, nor a row of no chance.")
    return z, y.long()
