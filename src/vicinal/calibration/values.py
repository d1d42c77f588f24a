"""Calibration of predicted values: do Gaussian intervals cover what they should?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor

from vicinal.maths.arguments import check_sizes, check_tensors
from vicinal.maths.statistics import Interval, proportion


@dataclass(frozen=True)
class Coverage:
    """How often Gaussian predictive intervals cover the truth.

    Attributes:
        levels: what the central intervals should cover.
        covered: what they do cover, each with Wilson's 95 % interval.
        error: mean over levels of |covered - level|.
        nll: mean negative log density of the truth, in nats, in the units of y.
        width: root mean square of the predicted deviations: sharper is better at equal error.
        examples: n.
    """

    levels: tuple[float, ...]
    covered: tuple[Interval, ...]
    error: float
    nll: float
    width: float
    examples: int


def coverage(
    mean: Float[Tensor, " n"],
    deviation: Float[Tensor, " n"],
    y: Float[Tensor, " n"],
    *,
    levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
) -> Coverage:
    """Compare the coverage of mean ± z·deviation with its level, in float64.

    Args:
        mean: predicted means.
        deviation: predicted standard deviations, positive.
        y: true values.
        levels: of central intervals, each in (0, 1).

    Raises:
        ValueError: for deviations that are not positive, values that are not finite, levels outside
            (0, 1), shapes that differ, no examples.

    Source:
        Kuleshov, Fenner, Ermon (2018), arXiv:1807.00263, section 3, for central intervals.

    Example:
        >>> y = torch.tensor([0.0, 0.5, -3.0, 0.1])
        >>> coverage(torch.zeros(4), torch.ones(4), y, levels=(0.9,)).covered[0].value
        0.75
    """
    check_tensors(mean=mean, deviation=deviation, y=y)
    if not mean.shape == deviation.shape == y.shape or mean.ndim != 1 or not len(y):
        raise ValueError(
            f"mean, deviation and y must be of one shape (n,), n at least 1, got "
            f"{tuple(mean.shape)}, {tuple(deviation.shape)}, {tuple(y.shape)}."
        )
    check_sizes("levels", levels)
    if not len(levels) or not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels must lie in (0, 1), at least one, got {tuple(levels)}.")
    m, s, t = (v.detach().double() for v in (mean, deviation, y))
    if not bool((s > 0).all()):
        raise ValueError(f"deviation must be positive, got {float(s.min()):g} or NaN.")
    if not bool(torch.isfinite(m + s + t).all()):
        raise ValueError("mean, deviation and y must be finite.")
    distance, n = ((t - m) / s).abs(), len(t)
    found = tuple(
        proportion(int((distance <= ndtri((1 + level) / 2)).sum()), n) for level in levels
    )
    nll = distance.square() / 2 + s.log() + math.log(2 * math.pi) / 2
    return Coverage(
        levels=tuple(float(level) for level in levels),
        covered=found,
        error=sum(abs(c.value - v) for c, v in zip(found, levels, strict=True)) / len(found),
        nll=float(nll.mean()),
        width=float(s.square().mean().sqrt()),
        examples=n,
    )
