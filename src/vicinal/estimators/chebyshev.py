"""Smooth functions of one variable through their values at a few points.

A function of two logits, summed over all pairs of n examples, is a sum over pairs of m points
once each example is written as a combination of points: n·m + m² numbers in place of n².
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.losses import Family, bernoulli, gaussian

MOST = 3000  # points; enough for Bernoulli logits within ±290
DIGITS = 32.0  # e^-32 = 1e-14: how far the error of interpolation is pushed down


@dataclass(frozen=True)
class Interpolation:
    """Values of polynomials at z, as combinations of their values at the points.

    Attributes:
        points: Chebyshev points of the range of z, or z itself.
        basis: Lagrange polynomials at z; a row sums to 1.
    """

    points: Float[Tensor, " m"]
    basis: Float[Tensor, "n m"]


def interpolation(z: Float[Tensor, " n"], count: int) -> Interpolation:
    """Interpolate at `count` Chebyshev points; at z itself if there are no more than those.

    Source:
        Berrut and Trefethen (2004), SIAM Review 46, equation 4.2 (barycentric formula).
    """
    if count >= len(z):
        return Interpolation(z, torch.eye(len(z), dtype=z.dtype))
    low, high = z.aminmax()
    angle = (2 * torch.arange(count, dtype=z.dtype) + 1) * (math.pi / (2 * count))
    half = (high - low) / 2
    unit = torch.cos(angle)
    signs = 1.0 - 2.0 * (torch.arange(count) % 2)
    place = (z - (low + high) / 2) / half.clamp_min(1e-300)
    distance = place[:, None] - unit
    distance = torch.where(distance == 0, torch.full_like(distance, 1e-280), distance)
    share = signs * torch.sin(angle) / distance
    return Interpolation((low + high) / 2 + half * unit, share / share.sum(1, keepdim=True))


def points_needed(family: Family, half_range: float) -> int:
    """Points at which A and A' of a scalar family are interpolated to about 1e-13 of their size.

    log(1+e^f) is analytic up to ±iπ, so that its coefficients fall as ρ^-m with ρ the sum of the
    half axes of the ellipse through ±iπ (Trefethen 2013, theorem 8.2). A parabola needs 3 points;
    the coefficients of e^f, Bessel functions, vanish beyond about the half range.
    """
    if family is gaussian:
        return 3
    if family is bernoulli:
        rate = math.asinh(math.pi / max(half_range, 1e-3))
        return min(MOST, 8 + math.ceil(DIGITS / rate))
    return min(MOST, 24 + math.ceil(1.5 * half_range))


def gaussian_points(half_range: float) -> int:
    """Points for exp(-(a-b)²/2), a and b within the range: its spectrum ends near √(2·32)."""
    return min(MOST, 24 + math.ceil(8.5 * half_range))
