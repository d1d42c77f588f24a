"""Bootstrap intervals for any measure of logits, and for paired differences of two models."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy.special import ndtr, ndtri
from torch import Tensor

from vicinal.maths.arguments import check_number, check_rng, check_tensors, check_whole
from vicinal.maths.statistics import Interval

Measure = Callable[[Tensor, Tensor], float]
"""A function of (logits, y) to a number, such as ``lambda z, y: calibration(z, y).ece``."""


def bootstrap(
    measure: Measure,
    logits: Float[Tensor, "n *k"],
    y: Shaped[Tensor, "n *labels"],
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """A bias-corrected percentile interval over examples, for one measure of one model.

    Examples are drawn with replacement; the percentiles are moved by twice the share of
    resamples below the value, in units of the normal law. That matters for the ECE, which is
    biased upwards, and in resamples once more: plain percentiles may leave out the value itself.

    Args:
        measure: maps logits and y to a number.
        logits: outputs of the model, in any form that `measure` takes.
        y: targets.
        rng: where the resamples come from.
        resamples: how many, at least 100.
        level: coverage, in (0, 1).

    Returns:
        Interval: it covers what varies with the examples, for this model as trained.

    Raises:
        ValueError: for fewer than 2 examples or 100 resamples, a level outside (0, 1).

    Source:
        Efron (1987), JASA 82, section 2 (BC, no acceleration).
    """
    check_tensors(logits=logits, y=y)
    check_rng(rng)
    _check(len(logits), len(y), resamples, level)
    return _interval(lambda rows: measure(logits[rows], y[rows]), len(y), rng, resamples, level)


def paired_bootstrap(
    measure: Measure,
    first: Float[Tensor, "n *k"],
    second: Float[Tensor, "n *k"],
    y: Shaped[Tensor, "n *labels"],
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The difference of a measure between two models on the same examples, second minus first.

    The same examples are drawn for both, so that what is hard for both cancels; the interval is
    that of `bootstrap`.

    Args:
        measure: maps logits and y to a number.
        first: outputs of one model.
        second: outputs of the other, for the same examples.
        y: targets.
        rng: where the resamples come from.
        resamples: how many, at least 100.
        level: coverage, in (0, 1).

    Raises:
        ValueError: if the models have other numbers of examples, and as `bootstrap`.
    """
    check_tensors(first=first, second=second, y=y)
    check_rng(rng)
    _check(len(first), len(y), resamples, level)
    _check(len(second), len(y), resamples, level)

    def difference(rows: Tensor) -> float:
        return measure(second[rows], y[rows]) - measure(first[rows], y[rows])

    return _interval(difference, len(y), rng, resamples, level)


def _interval(
    statistic: Callable[[Tensor], float],
    n: int,
    rng: np.random.Generator,
    resamples: int,
    level: float,
) -> Interval:
    value = statistic(torch.arange(n))
    found = np.array(
        [statistic(torch.from_numpy(rng.integers(n, size=n))) for _ in range(resamples)]
    )
    below = ((found < value).sum() + (found == value).sum() / 2) / resamples
    shift = 2 * ndtri(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
    tail = ndtri((1 + level) / 2)
    low, high = np.quantile(found, ndtr([shift - tail, shift + tail]))
    return Interval(value, float(low), float(high))


def _check(n: int, labels: int, resamples: int, level: float) -> None:
    if not n == labels >= 2:
        raise ValueError(f"logits and y must hold as many examples, 2 or more, got {n}, {labels}.")
    check_whole("resamples", resamples, 100)
    check_number("level", level)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}.")
