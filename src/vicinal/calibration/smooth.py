"""The smooth calibration error, which has no bins to choose."""

import numpy as np
from jaxtyping import Float, Int
from scipy.fft import dct
from scipy.optimize import brentq
from torch import Tensor

from vicinal.calibration.checks import check_logits, refuse_probabilities
from vicinal.calibration.measure import batches, top

GRID = 2**15  # cells of [0, 1]; confidences are shared between the two nearest centres
SHARPEST = 1e-3  # smallest width of the kernel; below it the grid would be seen


class SmoothSums:
    """Residuals on a grid, from which `smooth_ece` follows; batches are added as they come.

    Memory does not grow: the grid is 2¹⁵ numbers.

    Example:
        >>> sums = SmoothSums()
        >>> for label in (0, 1):
        ...     sums.add(torch.zeros(1, 2), torch.tensor([label]))
        >>> sums.result()  # confidence is a half, and so is accuracy
        0.0
    """

    def __init__(self) -> None:
        self.residual = np.zeros(GRID)
        self.examples = 0

    def add(self, logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> None:
        """Take in a batch; nothing of it is kept.

        Raises:
            ValueError: for NaN, wrong shapes, class ids out of range, no examples, rows that are
                probabilities.
        """
        check_logits(logits, y)
        refuse_probabilities(logits)
        for part, labels in batches(logits, y):
            confidence, predicted, _, _ = top(part, labels)
            c = confidence.cpu().numpy()
            self.residual += _shared(c, (predicted == labels).double().cpu().numpy() - c)
        self.examples += len(y)

    def merge(self, other: "SmoothSums") -> None:
        """Take in the sums of another process."""
        self.residual += other.residual
        self.examples += other.examples

    def result(self) -> float:
        """The smooth ECE of all that was added.

        Raises:
            ValueError: if nothing was.
        """
        if not self.examples:
            raise ValueError("no examples were added: calibration of nothing is not defined.")
        return _fixed_point(dct(self.residual / self.examples, type=2) / 2)


def smooth_ece(logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> float:
    r"""The smooth ECE of the predicted class, at a width that the error itself sets.

    $$smECE_\sigma = \int_0^1 \Big|\tfrac1n \sum_i (y_i - c_i) K_\sigma(c_i, t)\Big| dt,
      \qquad smECE = \sigma^* : smECE_{\sigma^*} = \sigma^*$$

    with y 1 where the prediction is right, c its confidence, and K the Gaussian kernel reflected at
    0 and 1. Unlike the binned ECE it is consistent and changes little when confidences do.
    The integral is computed on a grid of 2¹⁵ cells through the cosine transform, in which
    reflected Gaussian smoothing is a product; it is right to about 1e-6. For data that come in
    batches see `SmoothSums`.

    Args:
        logits: raw outputs of the model, (n, classes) with 2 or more classes.
        y: class ids.

    Returns:
        The error, in [0, 1]; 0.001 at least unless smoothing of that width finds less.

    Raises:
        ValueError: for NaN, wrong shapes, class ids out of range, no examples, rows that are
            probabilities.

    Source:
        Błasiok and Nakkiran (2023), arXiv:2309.12236, definition 6 and section 4.
    """
    sums = SmoothSums()
    sums.add(logits, y)
    return sums.result()


def _shared(place: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Values shared between the nearest centres of cells, so that their mean place is kept."""
    x = np.clip(place * GRID - 0.5, 0, GRID - 1)
    below = np.minimum(x.astype(np.int64), GRID - 2)
    part = x - below
    total = np.bincount(below, value * (1 - part), minlength=GRID)
    total += np.bincount(below + 1, value * part, minlength=GRID)
    return np.asarray(total)


def _fixed_point(spectrum: np.ndarray) -> float:
    """σ with smECE_σ = σ; smECE_σ falls as σ grows, so there is one."""

    def error(sigma: float) -> float:
        damped = spectrum * np.exp(-((np.pi * sigma * np.arange(GRID)) ** 2) / 2)
        return float(np.abs(dct(damped, type=3)).mean())  # the density at centres of cells

    if error(SHARPEST) <= SHARPEST:
        return error(SHARPEST)
    return float(brentq(lambda sigma: error(sigma) - sigma, SHARPEST, 1.0, xtol=1e-9))
