"""Calibration of the predicted class, in one pass over the data and constant memory."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vicinal.calibration.checks import check_bins, check_logits, pair, refuse_probabilities
from vicinal.calibration.mass import CELLS, cells, mass_edges, merged
from vicinal.calibration.record import Binned, Calibration, recorded

ROWS = 2**14  # examples at once: at 10 classes 1.3 MB in float64, which stays in the cache


class CalibrationSums:
    """Counts and sums from which `Calibration` follows; batches are added as they come.

    All sums are float64 and counts int64, so that they are right at any number of examples.
    Memory does not grow: bins of equal mass are put together from cells that are fixed beforehand,
    5 MB of them, so their masses are equal but for the examples of one cell, whose distances from
    1 (or 0) differ by less than 1 part in 2048.

    Args:
        bins: number of bins, at least 1.
        equal: bins of equal "width" or equal "mass".

    Example:
        >>> sums = CalibrationSums(bins=10)
        >>> sums.add(torch.tensor([[0.0, 100.0]]), torch.tensor([1]))
        >>> sums.add(torch.tensor([[0.0, 100.0]]), torch.tensor([0]))
        >>> sums.result().ece
        0.5
    """

    def __init__(self, bins: int = 15, *, equal: Literal["width", "mass"] = "width") -> None:
        check_bins(bins)
        if equal not in ("width", "mass"):
            raise ValueError(f"equal must be 'width' or 'mass', got {equal!r}.")
        self.bins, self.equal = bins, equal
        self.edges: np.ndarray | None = None  # of bins that are known beforehand
        size = bins if equal == "width" else CELLS
        self.counts = torch.zeros(size, dtype=torch.int64)
        self.confidence = torch.zeros(size, dtype=torch.float64)
        self.right = torch.zeros(size, dtype=torch.float64)
        self.nll = self.brier = 0.0

    @classmethod
    def _between(cls, edges: np.ndarray) -> "CalibrationSums":
        """Sums over bins with these ends."""
        sums = cls(len(edges) - 1)
        sums.edges = edges
        return sums

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

    def add_positive(self, logit: Float[Tensor, "n *one"], y: Int[Tensor, " n"]) -> None:
        """Take in a batch with one logit per example, as `calibration_of_positive` counts it.

        Raises:
            ValueError: for NaN, wrong shapes, labels other than 0 and 1, no examples.
        """
        for part, labels in batches(pair(logit, y), y):
            _, _, nll, brier = top(part, labels)
            self.nll += float(nll.sum())
            self.brier += float(brier.sum())
            self.count(part.softmax(-1)[:, 1], labels)

    def count(self, confidence: Float[Tensor, " n"], right: Tensor) -> None:
        """Put confidences into bins, and whether they were right."""
        bins = len(self.counts)
        if self.edges is not None:
            inner = torch.from_numpy(self.edges[1:-1]).to(confidence.device)
            index = torch.searchsorted(inner, confidence)
        elif self.equal == "mass":
            index = cells(confidence)
        else:  # (low, high]: a confidence on an edge belongs to the bin below
            index = (confidence * bins).ceil_().long().sub_(1).clamp_(0, bins - 1)
        self.counts += torch.bincount(index, minlength=bins).cpu()
        self.confidence += torch.bincount(index, confidence, minlength=bins).cpu()
        self.right += torch.bincount(index, right.double(), minlength=bins).cpu()

    def merge(self, other: "CalibrationSums") -> None:
        """Take in the sums of another process, over the same bins.

        Raises:
            ValueError: if the other has other bins.
        """
        if (other.bins, other.equal) != (self.bins, self.equal):
            raise ValueError(
                f"only sums over the same bins can be merged, got {other.bins} of equal "
                f"{other.equal} and {self.bins} of equal {self.equal}."
            )
        self.counts += other.counts
        self.confidence += other.confidence
        self.right += other.right
        self.nll += other.nll
        self.brier += other.brier

    def result(self) -> Calibration:
        """The record of all that was added.

        Raises:
            ValueError: if nothing was, or fewer examples than bins of equal mass.
        """
        n = int(self.counts.sum())
        if not n >= 1:
            raise ValueError("no examples were added: calibration of nothing is not defined.")
        c, s, r = (v.double().numpy() for v in (self.counts, self.confidence, self.right))
        if self.equal == "mass" and self.edges is None:
            return recorded(merged(c, s, r, self.bins), self.nll, self.brier)
        edges = np.arange(self.bins + 1) / self.bins if self.edges is None else self.edges
        return recorded(Binned(edges, c, s, r), self.nll, self.brier)


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
    sums = CalibrationSums(bins, equal=equal)
    if equal == "mass":  # all confidences are at hand: no cells are needed
        check_logits(logits, y)
        confidences = [top(*part)[0] for part in batches(logits, y)]
        sums = CalibrationSums._between(mass_edges(torch.cat(confidences), bins))
    sums.add(logits, y)
    return sums.result()


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
