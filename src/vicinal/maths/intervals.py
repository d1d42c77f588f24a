r"""What a comparison of two methods says about new data of the same kind.

Seed s of k gives a difference d_s, the mean over its n test examples of e_si. As a crossed table,

    e_si = μ + g + b_s + a_i + r_si,

μ is what to expect on new data of this kind: new training and test examples, a new seed. g comes
with the training examples that all seeds share, b_s with the seed and the rest of its training
part, a_i with the test example. More seeds shrink b and r only. Student's interval over seeds
(`vicinal.maths.statistics.paired`) leaves out g and a. `vicinal.maths.crossed`
measures the parts; here they become an interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from vicinal.maths.statistics import ROUNDING

SMALLEST = -300.0  # log of the smallest p-value that is told; squared quantiles stay finite


@dataclass(frozen=True)
class Parts:
    """Parts of the variance of a mean over seeds and examples.

    Attributes:
        seeds: b; more seeds shrink it. 0 for one seed, which cannot show it.
        training: g, shared training examples; no seeds shrink it.
        examples: a, shared test examples; more test examples shrink it, seeds do not.
        rest: test examples that seeds do not share, or treat differently; both shrink it.
    """

    seeds: float
    training: float
    examples: float
    rest: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.seeds + self.training + self.examples + self.rest


@dataclass(frozen=True)
class DataInterval:
    """The difference to expect on data like these, with its interval.

    Attributes:
        mean: over seeds and examples.
        low, high: ends; None where neither seeds nor examples vary, so that nothing is known.
        level: coverage.
        seeds, examples: number of seeds, and of test examples at each.
        spread: sample variance of the differences of seeds, with `seeds - 1` degrees of freedom.
        apart: the part of it that comes from seeds having or treating other examples.
        shared: variance of the mean from examples, as far as seeds have them in common.
        sampled: variance of the mean from all sampling of examples, as if seeds did nothing.
        degrees_sampled: degrees of freedom of the last three.
        training: what shared training examples add, as a multiple of `spread - apart`.
        overlap: share of a test part that two seeds have in common; 1 for a fixed one.
        means_only: whether single examples were unknown.
    """

    mean: float
    low: float | None
    high: float | None
    level: float
    seeds: int
    examples: int
    spread: float
    apart: float
    shared: float
    sampled: float
    degrees_sampled: float
    training: float
    overlap: float
    means_only: bool = False

    @property
    def parts(self) -> Parts:
        """The parts of the variance, as they add up in `standard_error`."""
        seed = max(0.0, self.spread - self.apart)
        return Parts(
            seeds=seed / self.seeds,
            training=self.training * seed,
            examples=self.shared,
            rest=(self.spread - seed) / self.seeds,
        )

    @property
    def standard_error(self) -> float:
        """Of the mean, on data like these."""
        return float(max(self.parts.total, self.sampled) ** 0.5)

    @property
    def degrees(self) -> float:
        """Degrees of freedom with which Student's interval has this width at this level."""
        if self.low is None:
            return float("nan")
        return matching_degrees(
            half_width(self, 1 - self.level) / self.standard_error, 1 - self.level
        )

    @property
    def p(self) -> float | None:
        """Two-sided: one minus the level at which the interval ends at 0; None without one."""
        if self.low is None:
            return None
        if self.mean == 0:
            return 1.0

        def beyond(log: float) -> float:
            return half_width(self, math.exp(log)) - abs(self.mean)

        least = beyond(SMALLEST) <= 0
        return math.exp(SMALLEST if least else float(brentq(beyond, SMALLEST, 0.0)))

    def at(self, level: float) -> "DataInterval":
        """The same at another level."""
        check_level(level)
        return with_ends(replace(self, level=level))


@dataclass(frozen=True)
class Sampling:
    """What the sampling of test examples does to the differences of k seeds.

    Attributes:
        own: variance of one seed's difference, mean over seeds.
        shared: covariance of two seeds' differences, mean over pairs; 0 for one seed.
        mean: variance of the mean over seeds.
        degrees: of freedom of these estimates.
        overlap: share of a test part that two seeds have in common.
        examples: of a test part.
    """

    own: float
    shared: float
    mean: float
    degrees: float
    overlap: float
    examples: int


def combined(
    differences: Sequence[float], sampling: Sampling, training: float, level: float
) -> DataInterval:
    """The interval from the differences of seeds and from what examples do to them."""
    values = np.asarray(differences, dtype=float)
    k = len(values)
    equal = np.ptp(values) <= ROUNDING * np.abs(values).max()  # but for rounding
    bare = DataInterval(
        mean=float(values.mean()),
        low=None,
        high=None,
        level=level,
        seeds=k,
        examples=sampling.examples,
        spread=0.0 if k == 1 or equal else float(values.var(ddof=1)),
        apart=max(0.0, sampling.own - sampling.shared),
        shared=sampling.mean if k == 1 else max(0.0, sampling.shared),
        sampled=sampling.mean,
        degrees_sampled=sampling.degrees,
        training=training,
        overlap=sampling.overlap,
    )
    return with_ends(bare)


def half_width(interval: DataInterval, tail: float) -> float:
    """Half the width of an interval that leaves out `tail`."""
    seeds = interval.spread
    if seeds:
        seeds *= stdtrit(interval.seeds - 1, tail / 2) ** 2
    unit = stdtrit(interval.degrees_sampled, tail / 2) ** 2
    shared = unit * interval.shared + interval.training * max(0.0, seeds - unit * interval.apart)
    return float(max(seeds / interval.seeds + shared, unit * interval.sampled) ** 0.5)


def with_ends(interval: DataInterval) -> DataInterval:
    """The same with ends that fit its level; without any where nothing varies."""
    if not interval.standard_error > 0:
        return replace(interval, low=None, high=None)
    half = half_width(interval, 1 - interval.level)
    return replace(interval, low=interval.mean - half, high=interval.mean + half)


def matching_degrees(quantile: float, tail: float) -> float:
    """Degrees of freedom with which Student's law leaves out `tail` beyond ±quantile."""

    def beyond(log: float) -> float:
        return -float(stdtrit(math.exp(log), tail / 2)) - quantile

    fewest, most = -2.0, 23.0  # logarithms: from 0.14 to as good as normal
    return math.inf if beyond(most) > 0 else math.exp(float(brentq(beyond, fewest, most)))


def check_level(level: float) -> None:
    """Raise unless the level lies in (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}.")
