"""Calibration of the predicted class, in one pass over the data and constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import erf
from torch import Tensor

from vicinal.calibration.checks import check_bins, check_logits, refuse_probabilities

ROWS = 2**14  # examples at once: at 10 classes 1.3 MB in float64, which stays in the cache


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


class CalibrationSums:
    """Counts and sums from which `Calibration` follows; batches are added as they come.

    All sums are float64 and counts int64, so that they are right at any number of examples.
    Memory does not grow.

    Args:
        bins: number of bins of equal width, at least 1.

    Example:
        >>> sums = CalibrationSums(bins=10)
        >>> sums.add(torch.tensor([[0.0, 100.0]]), torch.tensor([1]))
        >>> sums.add(torch.tensor([[0.0, 100.0]]), torch.tensor([0]))
        >>> sums.result().ece
        0.5
    """

    def __init__(self, bins: int = 15) -> None:
        check_bins(bins)
        self.edges: np.ndarray | None = None  # of bins that are not of equal width
        self.counts = torch.zeros(bins, dtype=torch.int64)
        self.confidence = torch.zeros(bins, dtype=torch.float64)
        self.right = torch.zeros(bins, dtype=torch.float64)
        self.nll = self.brier = 0.0

    def add(self, logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> None:
        """Take in a batch; nothing of it is kept.

        Raises:
            ValueError: for NaN, wrong shapes, class ids out of range, probabilities, no examples.
        """
        check_logits(logits, y)
        refuse_probabilities(logits)
        for part, labels in batches(logits, y):
            confidence, predicted, nll, brier = top(part, labels)
            self.nll += float(nll.sum())
            self.brier += float(brier.sum())
            self.count(confidence, predicted == labels)

    def count(self, confidence: Float[Tensor, " n"], right: Tensor) -> None:
        """Put confidences into bins, and whether they were right."""
        bins = len(self.counts)
        if self.edges is None:  # (low, high]: a confidence on an edge belongs to the bin below
            index = (confidence * bins).ceil_().long().sub_(1).clamp_(0, bins - 1)
        else:
            inner = torch.from_numpy(self.edges[1:-1]).to(confidence.device)
            index = torch.searchsorted(inner, confidence)
        self.counts += torch.bincount(index, minlength=bins).cpu()
        self.confidence += torch.bincount(index, confidence, minlength=bins).cpu()
        self.right += torch.bincount(index, right.double(), minlength=bins).cpu()

    def merge(self, other: "CalibrationSums") -> None:
        """Take in the sums of another process, over the same bins.

        Raises:
            ValueError: if the other has another number of bins.
        """
        if len(other.counts) != len(self.counts):
            raise ValueError(
                f"only sums over the same bins can be merged, got {len(other.counts)} bins and "
                f"{len(self.counts)}."
            )
        self.counts += other.counts
        self.confidence += other.confidence
        self.right += other.right
        self.nll += other.nll
        self.brier += other.brier

    def result(self) -> Calibration:
        """The record of all that was added.

        Raises:
            ValueError: if nothing was.
        """
        n = int(self.counts.sum())
        if not n >= 1:
            raise ValueError("no examples were added: calibration of nothing is not defined.")
        bins = len(self.counts)
        edges = np.arange(bins + 1) / bins if self.edges is None else self.edges
        counts, sums, right = (
            v.double().numpy() for v in (self.counts, self.confidence, self.right)
        )
        square, linear, maximum = _debiased(counts, sums, right)
        return Calibration(
            accuracy=float(right.sum() / n),
            ece=float(np.abs(sums - right).sum() / n),
            signed_gap=float((sums - right).sum() / n),
            nll=self.nll / n,
            brier=self.brier / n,
            examples=n,
            bins=tuple(
                Bin(float(low), float(high), int(c), s / c if c else None, r / c if c else None)
                for low, high, c, s, r in zip(
                    edges[:-1],
                    edges[1:],
                    counts.tolist(),
                    sums.tolist(),
                    right.tolist(),
                    strict=True,
                )
            ),
            maximum=maximum,
            debiased=linear,
            debiased_square=square,
        )


def calibration(
    logits: Float[Tensor, "n classes"],
    y: Int[Tensor, " n"],
    *,
    bins: int = 15,
    equal: Literal["width", "mass"] = "width",
) -> Calibration:
    r"""Measure calibration of the predicted class, in float64.

    Confidence is the largest softmax probability. A bin takes (low, high], so that a
    confidence of exactly 1 falls in the last one. For data that come in batches see
    `CalibrationSums`; for one logit per example `calibration_of_positive` and
    `calibration_of_prediction`; for probabilities `calibration_of_probabilities`.

    Args:
        logits: raw outputs of the model, not probabilities, (n, classes) with 2 or more
            classes; minus infinity is a probability of 0.
        y: class ids.
        bins: number of bins, at least 1.
        equal: bins of equal "width", or of equal "mass": as many examples in each, as far as equal
            confidences allow, which always share a bin.

    Returns:
        Calibration. The binned ECE is biased upwards in small samples and depends on the
        bins; NLL and Brier are proper scores and stand beside it for that reason. `debiased` takes
        off $\sum_b \frac{n_b}n (E|N(g_b, s_b^2)| - |g_b|)$ with gaps g and
        $s_b^2 = a_b (1-a_b)/n_b$; `debiased_square` is
        $\sum_b \frac{n_b}n (g_b^2 - \frac{a_b (1-a_b)}{n_b-1})$.

    Raises:
        ValueError: for NaN, wrong shapes, class ids out of range, no examples or bins, rows that
            are probabilities, fewer examples than bins of equal mass.

    Source:
        Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599, section 2; Brier (1950); Nguyen and
        O'Connor (2015), arXiv:1508.05154, for equal mass; Kumar, Liang, Ma (2019),
        arXiv:1909.10155, for the debiased errors, the linear one in closed form here.

    Example:
        >>> sure = torch.tensor([[0.0, 100.0], [0.0, 100.0]])
        >>> calibration(sure, torch.tensor([1, 0])).ece
        0.5
    """
    sums = CalibrationSums(bins)
    if equal not in ("width", "mass"):
        raise ValueError(f"equal must be 'width' or 'mass', got {equal!r}.")
    if equal == "mass":
        check_logits(logits, y)
        confidences = [top(*part)[0] for part in batches(logits, y)]
        sums.edges = mass_edges(torch.cat(confidences), bins)
    sums.add(logits, y)
    return sums.result()


def mass_edges(confidence: Float[Tensor, " n"], bins: int) -> Float[np.ndarray, " ends"]:
    """Ends of bins that hold as many examples each, from 0 to 1.

    Raises:
        ValueError: if there are fewer examples than bins.
    """
    if not len(confidence) >= bins:
        raise ValueError(
            f"{bins} bins of equal mass need as many examples, got {len(confidence)}. Take fewer "
            "bins, or bins of equal width, which may be empty."
        )
    ordered = np.sort(confidence.cpu().numpy())
    last = np.linspace(0, len(ordered), bins + 1)[1:-1].round().astype(int) - 1
    return np.concatenate([[0.0], ordered[last], [1.0]])


def batches(logits: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows in pieces that stay in the cache."""
    for start in range(0, len(y), ROWS):
        yield logits[start : start + ROWS], y[start : start + ROWS]


def top(
    logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Confidence, predicted class, NLL and Brier score of each example, in float64."""
    z = logits.detach().double()
    highest, predicted = z.max(-1)
    z = z - highest[:, None]
    own = z.gather(1, y[:, None].long())[:, 0]
    p = z.exp_()
    total = p.sum(-1)
    confidence = 1 / total
    if bool(confidence.isnan().any()):
        raise ValueError("logits must not hold NaN or plus infinity, nor a row of no chance.")
    brier = (p * p).sum(-1) * confidence.square() - 2 * own.exp() * confidence + 1
    return confidence, predicted, total.log() - own, brier


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
