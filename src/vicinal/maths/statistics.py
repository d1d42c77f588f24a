"""Intervals: for proportions over examples, for paired differences over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

ROUNDING = 1e-9  # relative; the difference of two rounded accuracies is not exact


@dataclass(frozen=True)
class Interval:
    """A value with its interval; low and high are None where there is none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Paired:
    """The mean of paired differences over seeds, with its interval.

    Attributes:
        mean: of the differences.
        low, high: ends of the interval; None for a single pair, and for few equal differences.
        count: number of pairs.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def words(self) -> str:
        """What follows from the interval, and no more."""
        if self.low is None or self.high is None:
            return "one seed: no interval" if self.count == 1 else "equal differences: no interval"
        if self.low > 0:
            return "higher"
        if self.high < 0:
            return "lower"
        return "no difference shown"


def paired(differences: Sequence[float], level: float = 0.95) -> Paired:
    r"""Student's interval for the mean of differences between two methods on the same seeds.

    $\bar d \pm t_{k-1}\, s_d / \sqrt k$ for k pairs. It covers what varies with the seed (split,
    initial weights, batch order, draws) on one data set, and nothing else; with few seeds it
    rests on differences that are roughly normal.

    Differences that are all equal have no spread to judge by. Accuracies on a small test set are
    equal by chance often enough, so then signs alone count: k equal ones that are not 0 happen by
    chance with probability 2·2⁻ᵏ, and where that is more than 1 - level there is no interval.

    Args:
        differences: one per seed, finite.
        level: coverage, in (0, 1).

    Returns:
        Paired, without ends when there is only one pair, or few equal ones.

    Raises:
        ValueError: if there is no difference, one is not finite, or level is not in (0, 1).

    Source:
        Student (1908), Biometrika 6.

    Example:
        >>> paired([1.0, 2.0, 3.0]).words
        'no difference shown'
    """
    values = np.asarray(differences, dtype=float)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}.")
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"paired needs one or more finite differences, got {list(differences)}.")
    mean, count = float(values.mean()), len(values)
    equal = mean != 0 and np.ptp(values) <= ROUNDING * abs(mean)
    if count == 1 or (equal and 2.0 ** (1 - count) > 1 - level):
        return Paired(mean, None, None, count)
    half = float(stdtrit(count - 1, (1 + level) / 2) * values.std(ddof=1) / count**0.5)
    return Paired(mean, mean - half, mean + half, count)


def proportion(successes: int, count: int, level: float = 0.95) -> Interval:
    """Wilson's interval for a proportion of independent examples, never outside [0, 1].

    Args:
        successes: how many, 0 to count.
        count: out of how many, at least 1.
        level: coverage, in (0, 1).

    Raises:
        ValueError: if the counts do not fit or level is not in (0, 1).

    Source:
        Wilson (1927), JASA 22.

    Example:
        >>> proportion(10, 10).high
        1.0
    """
    if not 0 <= successes <= count or not count >= 1:
        raise ValueError(f"need 0 <= successes <= count and count >= 1, got {successes}, {count}.")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}.")
    z = float(ndtri((1 + level) / 2))
    p, weight = successes / count, 1 + z * z / count
    centre = (p + z * z / (2 * count)) / weight
    half = z * (p * (1 - p) / count + z * z / (4 * count**2)) ** 0.5 / weight
    # at 0 and 1 the ends are exact but for rounding
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == count else min(1.0, centre + half)
    return Interval(p, low, high)
