"""What may be claimed from intervals: of several at once, and of those that show nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtr
from scipy.stats import false_discovery_control

from vicinal.maths.intervals import DataInterval, half_width

Verdict = Literal["better", "worse", "no more than the margin apart", "not known yet"]
MOST = 10**9  # seeds or examples; more than that is never
PROBABILITIES, WEIGHTS = (side / 2 for side in np.polynomial.legendre.leggauss(200))
PROBABILITIES = PROBABILITIES + 0.5  # nodes on [0, 1], with weights that add up to 1


def holm(p_values: Sequence[float]) -> Float[np.ndarray, " m"]:
    """p-values such that any of m false claims at a level is as rare as the level says.

    Args:
        p_values: in [0, 1]; nothing is assumed about how they depend on one another.

    Source:
        Holm (1979), Scandinavian Journal of Statistics 6.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    p = _p_values(p_values)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> Float[np.ndarray, " m"]:
    """p-values such that of the claims at a level, the expected share that is false is below it.

    Args:
        p_values: in [0, 1]; independent, or positively dependent.

    Source:
        Benjamini and Hochberg (1995), JRSS B 57.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.04, 0.04]
    """
    p = _p_values(p_values)
    return np.asarray(false_discovery_control(p)) if len(p) else p


def _p_values(p_values: Sequence[float]) -> Float[np.ndarray, " m"]:
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must be a list of numbers in [0, 1], got {list(p_values)}.")
    return p


def verdict(
    interval: DataInterval, margin: float | None = None, *, higher_is_better: bool = True
) -> Verdict:
    """What follows from an interval, and no more.

    A difference is claimed where the interval leaves out 0. Without one, "no more than the margin
    apart" is claimed where both one-sided tests against ±margin reject: where the interval of
    level 1 - 2(1 - level), 90 % for 95 %, lies within ±margin.

    Args:
        interval: of method minus baseline.
        margin: the largest difference that does not matter, stated beforehand; None for none.
        higher_is_better: whether a positive difference is an improvement.

    Raises:
        ValueError: if the margin is not positive.

    Source:
        Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15.
    """
    if interval.low is None or interval.high is None:
        return "not known yet"
    if interval.low > 0 or interval.high < 0:
        return "better" if (interval.low > 0) == higher_is_better else "worse"
    if margin is not None and within(interval, margin):
        return "no more than the margin apart"
    return "not known yet"


def within(interval: DataInterval, margin: float) -> bool:
    """Whether two one-sided tests show a difference smaller than the margin.

    Args:
        interval: of the difference.
        margin: positive.

    Raises:
        ValueError: if the margin is not positive, or the level is below 50 %.
    """
    _positive(margin)
    if not interval.level > 0.5:
        raise ValueError(f"two one-sided tests need a level above 0.5, got {interval.level}.")
    if interval.low is None:
        return False
    narrow = interval.at(2 * interval.level - 1)
    return bool(abs(narrow.mean) + (narrow.high or 0.0) - narrow.mean < margin)


def detectable(interval: DataInterval, power: float = 0.8) -> float:
    """The smallest true difference that a study like this one would have found.

    Found: its interval leaves out 0, in the direction of the difference or, rarely, against it.
    The spread is taken as estimated, so with few seeds the answer itself is rough.

    Args:
        interval: of the study; its mean is not used.
        power: probability of finding it, above 1 - level and below 1.

    Returns:
        The difference, in the units of the interval; not a number where there is no interval.

    Raises:
        ValueError: if the power is impossible.
    """
    if not 1 - interval.level < power < 1:
        raise ValueError(f"power must lie in ({1 - interval.level:.2g}, 1), got {power}.")
    error = interval.standard_error
    if not error > 0:
        return float("nan")
    critical, degrees = half_width(interval, 1 - interval.level) / error, interval.degrees
    degrees = min(degrees, 1e9)  # as good as normal
    missed = lambda shift: _found(critical, degrees, shift) - power  # noqa: E731
    return float(error * brentq(missed, 0.0, 2 * critical + 10))


def _found(critical: float, degrees: float, shift: float) -> float:
    """Probability that a noncentral t lies beyond ±critical, whatever the degrees of freedom."""
    scale = critical * np.sqrt(gammaincinv(degrees / 2, PROBABILITIES) * 2 / degrees)
    return float(WEIGHTS @ (ndtr(shift - scale) + ndtr(-shift - scale)))


def planned(
    interval: DataInterval, seeds: int | None = None, examples: int | None = None
) -> DataInterval:
    """The interval to expect of a study with other numbers of seeds or test examples.

    Args:
        interval: of the study that was made, with 2 or more seeds.
        seeds: 2 or more; None for as many as it had.
        examples: of a test part; None for as many as it had.

    Raises:
        ValueError: if it had one seed, or the numbers are impossible; for other numbers of
            examples, if single examples were unknown.
    """
    k, n = seeds or interval.seeds, examples or interval.examples
    if interval.seeds < 2 or not (k >= 2 and n >= 2):
        raise ValueError(
            f"planning needs a study of 2 or more seeds, which show their spread, and 2 or more "
            f"seeds and examples; got {interval.seeds}, {k} and {n}."
        )
    if interval.means_only and n != interval.examples:
        raise ValueError("other numbers of examples need records of single examples.")
    ratio = interval.examples / n
    apart, seed = interval.apart * ratio, max(0.0, interval.spread - interval.apart)
    shared = interval.shared * ratio
    changed = replace(
        interval,
        seeds=k,
        examples=n,
        spread=seed + apart,
        apart=apart,
        shared=shared,
        sampled=apart / k + shared,
        degrees_sampled=max(1.0, interval.degrees_sampled / ratio),
    )
    half = half_width(changed, 1 - interval.level)
    return replace(changed, low=interval.mean - half, high=interval.mean + half)


def seeds_needed(
    interval: DataInterval, margin: float, *, power: float = 0.8, examples: int | None = None
) -> int | None:
    """How many seeds find a true difference as large as the margin.

    Args:
        interval: of a study of 2 or more seeds.
        margin: a difference in the units of the interval, positive.
        power: probability of finding it.
        examples: of a test part; None for as many as there were.

    Returns:
        The fewest seeds, at least 2; None where no number of seeds suffices, because of the test
        or training examples that they share.

    Raises:
        ValueError: as `planned` and `detectable`; if the margin is not positive.
    """
    _positive(margin)
    enough = lambda k: detectable(planned(interval, k, examples), power) <= margin  # noqa: E731
    return _fewest(enough, 2)


def examples_needed(
    interval: DataInterval, margin: float, *, power: float = 0.8, seeds: int | None = None
) -> int | None:
    """How many test examples find a true difference as large as the margin; see `seeds_needed`.

    Args:
        interval: of a study of 2 or more seeds.
        margin: a difference in the units of the interval, positive.
        power: probability of finding it.
        seeds: how many; None for as many as there were.

    Returns:
        The fewest examples; None where no number suffices, because of what seeds or the training
        examples that they share do.

    Raises:
        ValueError: as `seeds_needed`; if single examples were unknown.
    """
    _positive(margin)
    enough = lambda n: detectable(planned(interval, seeds, n), power) <= margin  # noqa: E731
    return _fewest(enough, 2)


def _fewest(enough: Callable[[int], bool], least: int) -> int | None:
    """The smallest number from `least` on that is enough, where more are never worse."""
    if enough(least):
        return least
    low, high = least, 2 * least
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _positive(margin: float) -> None:
    if not margin > 0:
        raise ValueError(f"margin must be positive, got {margin}.")
