r"""The exact mixup loss of a linear model over all pairs, and its gradient, from logits alone.

$$\sum_{ij} M_{ij}\, E_\lambda\big[A(\lambda z_i + (1-\lambda) z_j)
  - \langle \lambda y_i + (1-\lambda) y_j,\; \lambda z_i + (1-\lambda) z_j\rangle\big]$$

The second part is linear in z: its coefficients are computed once. In the first part one logit
per example enters through functions of one variable (chebyshev.py): n·m operations, no pairs.
Several logits are tiled: with $a_i = e^{\lambda z_i}$, $b_j = e^{(1-\lambda) z_j}$ the sum of
exponentials of a pair is $\langle a_i, b_j\rangle$, one matrix product for all.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.estimators.chebyshev import interpolation, points_needed
from vicinal.estimators.mass import Mass
from vicinal.maths.losses import Family

TILE = 2**17  # pairs at once: 1 MB in float64, which stays in the cache


def label_coefficients(
    labels: Float[Tensor, "n k"], mass: Mass, lam: np.ndarray, weight: np.ndarray
) -> Float[Tensor, "n k"]:
    """The derivative of the linear part by each logit."""
    ones = torch.ones(len(labels), 1, dtype=labels.dtype)
    own, other = float(weight @ lam**2), float(weight @ (1 - lam) ** 2)
    mixed = float(weight @ (lam * (1 - lam)))
    return (own * mass.forth(ones) + other * mass.back(ones)) * labels + mixed * (
        mass.forth(labels) + mass.back(labels)
    )


def mean_partition(
    z: Float[Tensor, "n k"], mass: Mass, family: Family, lam: np.ndarray, weight: np.ndarray
) -> tuple[float, Float[Tensor, "n k"]]:
    """Σ_ij M_ij E[A(λ z_i + (1-λ) z_j)] and its derivative by each logit."""
    if family.scalar:
        value, slope = _by_points(z[:, 0], mass, family, lam, weight)
        return value, slope[:, None]
    if mass.symmetric:
        lam, weight = _folded(lam, weight)
    value, slope = 0.0, torch.zeros_like(z)
    for point, share in zip(lam.tolist(), weight.tolist(), strict=True):
        value += share * _by_tiles(z, mass, point, share, slope)
    return value, slope


def _by_points(
    z: Float[Tensor, " n"], mass: Mass, family: Family, lam: np.ndarray, weight: np.ndarray
) -> tuple[float, Float[Tensor, " n"]]:
    half_range = float(z.max() - z.min()) / 2
    at = interpolation(z, points_needed(family, half_range))
    left, right = mass.left.T @ at.basis, mass.right.T @ at.basis
    s, m = at.points, len(at.points)
    partition, first, second = (torch.zeros(m, m, dtype=z.dtype) for _ in range(3))
    zero = torch.zeros(m * m, dtype=z.dtype)
    for point, share in zip(lam.tolist(), weight.tolist(), strict=True):
        mixed = (point * s[:, None] + (1 - point) * s).flatten()
        mean = family.mean(mixed).reshape(m, m)
        partition += share * family(mixed, zero).reshape(m, m)
        first += share * point * mean
        second += share * (1 - point) * mean
    value = float((left.T @ right * partition).sum())
    slope = mass.left @ (right @ first.T) + mass.right @ (left @ second)
    return value, (at.basis * slope).sum(1)


def _by_tiles(z: Tensor, mass: Mass, lam: float, share: float, slope: Tensor) -> float:
    """The value at one λ; `share` times the derivative is added to `slope`."""
    top = z.amax(1, keepdim=True)
    a, b = torch.exp(lam * (z - top)), torch.exp((1 - lam) * (z - top))
    ones = torch.ones_like(top)
    forth, back = mass.forth(ones), mass.back(ones)
    value = float((top * (lam * forth + (1 - lam) * back)).sum())
    along = torch.zeros_like(b)
    smallest = torch.finfo(z.dtype).tiny  # differences of 700 between logits, in float64
    one = mass.left.shape[1] == 1
    heads, tails = (mass.right * b, mass.left * a) if one else (b, a)
    height = max(1, TILE // len(z))
    for start in range(0, len(z), height):
        part = slice(start, start + height)
        sums = (a[part] @ b.T).clamp_(min=smallest)
        # M/S: its rows times b, its columns times a; with one factor M needs no tile
        ratio = sums.reciprocal() if one else (mass.left[part] @ mass.right.T).div_(sums)
        logs = mass.left[part].T @ sums.log_()
        value += float((logs * mass.right.T).sum())
        first, second = ratio @ heads, ratio.T @ tails[part]
        slope[part] += share * lam * a[part] * (mass.left[part] * first if one else first)
        along += mass.right * second if one else second
    slope += share * (1 - lam) * b * along
    return value


def _folded(lam: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """λ and 1-λ give the same sum over symmetric pairs: each is evaluated once."""
    merged: dict[float, float] = {}
    for point, share in zip(lam.tolist(), weight.tolist(), strict=True):
        key = round(max(point, 1 - point), 14)
        merged[key] = merged.get(key, 0.0) + share
    return np.array(list(merged)), np.array(list(merged.values()))
