"""Calibration of every class probability, not only of the predicted class."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vicinal.calibration.checks import check_bins, check_logits, refuse_probabilities
from vicinal.calibration.measure import batches


@dataclass(frozen=True)
class Classwise:
    """Calibration of each class probability, and the parts of the Brier score.

    Attributes:
        ece: mean over classes of the ECE of that class's probability.
        per_class: these, class by class.
        maximum: the largest gap of any bin of any class.
        brier: mean over examples of Σ_k (p_k - y_k)².
        reliability: Σ_k Σ_b (n_b/n) (mean p - frequency)², the part that recalibration can mend.
        resolution: Σ_k Σ_b (n_b/n) (frequency - base rate)², what the forecasts tell apart.
        uncertainty: Σ_k base rate (1 - base rate), of the data alone.
        within: what is left, because p varies within bins; brier = reliability - resolution +
            uncertainty + within, exactly.
    """

    ece: float
    per_class: tuple[float, ...]
    maximum: float
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


class ClasswiseSums:
    """Counts and sums from which `Classwise` follows; batches are added as they come.

    Memory does not grow: there are three numbers per class and bin.

    Args:
        bins: per class, of equal width, at least 1; (low, high].

    Example:
        >>> sums = ClasswiseSums(bins=10)
        >>> for label in (0, 1, 1, 1):
        ...     sums.add(torch.zeros(1, 2), torch.tensor([label]))
        >>> sums.result().reliability
        0.125
    """

    def __init__(self, bins: int = 15) -> None:
        check_bins(bins)
        self.bins, self.classes = bins, 0
        self.counts, self.confidence, self.hits = (
            torch.zeros(0, dtype=torch.float64) for _ in range(3)
        )
        self.brier = 0.0
        self.examples = 0

    def add(self, logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> None:
        """Take in a batch; nothing of it is kept.

        Raises:
            ValueError: for NaN, wrong shapes, another number of classes than before, class ids out
                of range, no examples, rows that are probabilities.
        """
        check_logits(logits, y)
        refuse_probabilities(logits)
        self._same_classes(logits.shape[1])
        offset = self.bins * torch.arange(self.classes, device=logits.device)
        size = self.classes * self.bins
        for part, labels in batches(logits, y):
            p = part.detach().double().softmax(-1)
            if bool(p.isnan().any()):
                raise ValueError(
                    "logits must not hold NaN or plus infinity, nor a row of no chance."
                )
            index = (p * self.bins).ceil().long().sub_(1).clamp_(0, self.bins - 1) + offset
            own = index.gather(1, labels[:, None].long())[:, 0]
            self.counts += torch.bincount(index.flatten(), minlength=size).cpu()
            self.confidence += torch.bincount(index.flatten(), p.flatten(), minlength=size).cpu()
            self.hits += torch.bincount(own, minlength=size).cpu()
            truth = p.gather(1, labels[:, None].long())
            self.brier += float(p.square().sum() - 2 * truth.sum() + len(p))
            self.examples += len(p)

    def merge(self, other: "ClasswiseSums") -> None:
        """Take in the sums of another process, over the same bins and classes.

        Raises:
            ValueError: if the other has other bins or classes.
        """
        if other.bins != self.bins:
            raise ValueError(
                f"only sums over the same bins can be merged, got {other.bins} and {self.bins}."
            )
        if not other.examples:
            return
        self._same_classes(other.classes)
        self.counts += other.counts
        self.confidence += other.confidence
        self.hits += other.hits
        self.brier += other.brier
        self.examples += other.examples

    def result(self) -> Classwise:
        """The record of all that was added.

        Raises:
            ValueError: if nothing was.
        """
        if not self.examples:
            raise ValueError("no examples were added: calibration of nothing is not defined.")
        shape, n = (self.classes, self.bins), self.examples
        c, s, h = (v.numpy().reshape(shape) for v in (self.counts, self.confidence, self.hits))
        return _parts(c, s, h, self.brier / n, n)

    def _same_classes(self, classes: int) -> None:
        if not self.examples:
            self.classes, size = classes, classes * self.bins
            self.counts, self.confidence, self.hits = (
                torch.zeros(size, dtype=torch.float64) for _ in range(3)
            )
        elif classes != self.classes:
            raise ValueError(
                f"all batches must have logits of as many classes, got {classes} after "
                f"{self.classes}."
            )


def classwise(
    logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"], *, bins: int = 15
) -> Classwise:
    """Compare each class's probability with the frequency of that class, in bins of equal width.

    For data that come in batches see `ClasswiseSums`.

    Args:
        logits: raw outputs of the model, (n, classes) with 2 or more classes.
        y: class ids.
        bins: per class, of equal width, at least 1; (low, high].

    Raises:
        ValueError: for NaN, wrong shapes, class ids out of range, no examples or bins, rows that
            are probabilities.

    Source:
        Kull et al. (2019), arXiv:1910.12656, section 2 (classwise ECE); Murphy (1973) for the
        parts, Stephenson, Coelho, Jolliffe (2008) for the part within bins.

    Example:
        >>> classwise(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1])).reliability
        0.125
    """
    sums = ClasswiseSums(bins)
    sums.add(logits, y)
    return sums.result()


def _parts(c: np.ndarray, s: np.ndarray, h: np.ndarray, brier: float, n: int) -> Classwise:
    some = np.maximum(c, 1)
    gap, frequency, base = (s - h) / some, h / some, h.sum(1) / n
    per_class = np.abs(s - h).sum(1) / n
    reliability = float((c / n * gap**2).sum())
    resolution = float((c / n * (frequency - base[:, None]) ** 2).sum())
    uncertainty = float((base * (1 - base)).sum())
    return Classwise(
        ece=float(per_class.mean()),
        per_class=tuple(per_class.tolist()),
        maximum=float(np.abs(gap).max()),
        brier=brier,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within=brier - reliability + resolution - uncertainty,
    )
