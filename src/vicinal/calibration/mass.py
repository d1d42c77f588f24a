"""Bins of equal mass: from all confidences at once, or from cells so fine that they can be counted.

A cell is the first 11 binary digits of the distance to 0 or 1, whichever is nearer, so that the
sure predictions, which crowd near 1, are told apart as well as the others.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vicinal.calibration.record import Binned

DROPPED = 12  # of the 23 digits of a float32
BASE = (127 - 53) << (23 - DROPPED)  # the cell of 2⁻⁵³, the smallest distance to 1 in float64
HALF = ((127 - 1) << (23 - DROPPED)) - BASE + 1  # cells on either side of ½
CELLS = 2 * HALF


def cells(confidence: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """The cell of each confidence, in their order."""
    low = confidence < 0.5
    distance = torch.where(low, confidence, 1 - confidence).float()
    key = (distance.view(torch.int32) >> DROPPED).long().sub_(BASE).clamp_(0, HALF - 1)
    return torch.where(low, key, CELLS - 1 - key)


def merged(
    counts: Float[np.ndarray, " cells"],
    confidence: Float[np.ndarray, " cells"],
    right: Float[np.ndarray, " cells"],
    bins: int,
) -> Binned:
    """Neighbouring cells put together to bins that hold as many examples each, as far as may be.

    Raises:
        ValueError: if there are fewer examples than bins.
    """
    n = int(counts.sum())
    check_mass(n, bins)
    last = np.searchsorted(np.cumsum(counts), _quantiles(n, bins))
    place = np.searchsorted(last, np.arange(CELLS))
    edges = np.concatenate([[0.0], _upper(last), [1.0]])
    c, s, r = (np.bincount(place, v, minlength=bins) for v in (counts, confidence, right))
    return Binned(edges, c, s, r)


def mass_edges(confidence: Float[Tensor, " n"], bins: int) -> Float[np.ndarray, " ends"]:
    """Ends of bins that hold as many examples each, from 0 to 1.

    Raises:
        ValueError: if there are fewer examples than bins.
    """
    check_mass(len(confidence), bins)
    ordered = np.sort(confidence.cpu().numpy())
    inner = ordered[_quantiles(len(ordered), bins) - 1]
    return np.concatenate([[0.0], inner, [1.0]])


def check_mass(n: int, bins: int) -> None:
    """Refuse fewer examples than bins."""
    if not n >= bins:
        raise ValueError(
            f"{bins} bins of equal mass need as many examples, got {n}. Take fewer bins, or bins "
            "of equal width, which may be empty."
        )


def _quantiles(n: int, bins: int) -> Int[np.ndarray, " inner"]:
    """How many examples lie at or below each inner end."""
    return np.linspace(0, n, bins + 1)[1:-1].round().astype(np.int64)


def _upper(cell: Int[np.ndarray, " inner"]) -> Float[np.ndarray, " inner"]:
    """The largest confidence of a cell."""
    low = cell < HALF
    key = np.where(low, cell + 1, CELLS - 1 - cell)
    distance = ((key + BASE) << DROPPED).astype(np.int32).view(np.float32).astype(np.float64)
    return np.where(low, distance, 1 - distance)
