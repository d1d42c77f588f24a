"""Rows of probabilities, known again after they were rounded."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EXACT = 1e-4  # what single precision leaves of a sum of many probabilities
NARROW = (torch.float16, torch.bfloat16)
DIGITS = (2, 3, 4)  # decimals to which people round


def are_probabilities(rows: Float[Tensor, "*n k"]) -> bool:
    """Whether every row is a distribution, but for the rounding that the numbers show.

    How far a sum may be from 1 is read off the numbers themselves: those of 16 bits, whatever type
    holds them now, by four units in their last place; those of d decimals by half of such a unit
    for each class.
    """
    rows = rows.detach().double()
    if not rows.numel() or not bool(((rows >= 0) & (rows <= 1 + EXACT)).all()):
        return False
    return bool(_of_sum_one(rows, EXACT).all() or _of_sum_one(rows, rounding(rows)).all())


def rounding(rows: Float[Tensor, "*n k"]) -> float:
    """How far from 1 the sum of rounded probabilities may be."""
    found = EXACT
    for kind in NARROW:
        if torch.equal(rows.to(kind).to(rows.dtype), rows):
            found = max(found, 4 * torch.finfo(kind).eps)
    for digits in DIGITS:
        scaled = rows.double() * 10**digits
        if bool(((scaled - scaled.round()).abs() <= 1e-3).all()):
            found = max(found, EXACT + rows.shape[-1] * 0.5 * 10.0**-digits)
    return found


def _of_sum_one(rows: Tensor, tolerance: float) -> Bool[Tensor, "*n"]:
    return (rows.sum(-1) - 1).abs() <= tolerance
