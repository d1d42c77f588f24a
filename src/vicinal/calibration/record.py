"""The record of a calibration measurement, made from the sums of its bins."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import erf


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
        maximum: the largest |confidence_b - accuracy_b| of a bin with examples; one example in a
            bin is enough to make it large.
        debiased: the ECE less what |gap_b| would grow by if gaps of this size varied by chance as
            they do; that is about half of the bias where there is no error. It may be negative.
        debiased_square: an unbiased estimate of Σ_b (count_b/n) gap_b², over bins of two examples
            or more; it may be negative.
    """

    accuracy: float
    ece: float
    signed_gap: float
    nll: float
    brier: float
    examples: int
    bins: tuple[Bin, ...]
    maximum: float = 0.0
    debiased: float = 0.0
    debiased_square: float = 0.0


@dataclass(frozen=True)
class Binned:
    """Counts and sums over bins.

    Attributes:
        edges: ends of the bins, one more than there are bins.
        counts: examples in each.
        confidence: sum of their confidences.
        right: how many of them were classified correctly.
    """

    edges: Float[np.ndarray, " ends"]
    counts: Float[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    right: Float[np.ndarray, " bins"]


def recorded(binned: Binned, nll: float, brier: float) -> Calibration:
    """The record that follows from bins, and from sums of NLL and Brier score."""
    counts, sums, right = binned.counts, binned.confidence, binned.right
    n = int(counts.sum())
    square, linear, maximum = _debiased(counts, sums, right)
    ends = zip(binned.edges[:-1].tolist(), binned.edges[1:].tolist(), strict=True)
    parts = zip(counts.tolist(), sums.tolist(), right.tolist(), strict=True)
    return Calibration(
        accuracy=float(right.sum() / n),
        ece=float(np.abs(sums - right).sum() / n),
        signed_gap=float((sums - right).sum() / n),
        nll=nll / n,
        brier=brier / n,
        examples=n,
        bins=tuple(
            Bin(low, high, int(c), s / c if c else None, r / c if c else None)
            for (low, high), (c, s, r) in zip(ends, parts, strict=True)
        ),
        maximum=maximum,
        debiased=linear,
        debiased_square=square,
    )


def _debiased(
    counts: np.ndarray, sums: np.ndarray, right: np.ndarray
) -> tuple[float, float, float]:
    """The debiased square, the debiased ECE, and the largest gap."""
    some = counts > 0
    share, n = counts[some] / counts.sum(), counts[some]
    gap, accuracy = np.abs(sums - right)[some] / n, right[some] / n
    variance = np.maximum(accuracy * (1 - accuracy), 0)
    more = n > 1
    square = float((share * (gap**2 - variance / np.maximum(n - 1, 1)))[more].sum())
    s = np.sqrt(variance / n)
    ratio = np.divide(gap, s, out=np.full_like(gap, np.inf), where=s > 0)
    folded = s * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + gap * erf(ratio / np.sqrt(2))
    return square, float((share * (2 * gap - folded)).sum()), float(gap.max())
