r"""Intervals that hold at every look, so that seeds may be added until enough is known.

For differences d_1, d_2, … that are independent and normal with unknown variance, and t_k the
statistic of the first k against a mean μ,

    M_k(μ) = √(p/(k + p)) · [ (1 + t_k²/(k-1)) / (1 + p/(k + p) · t_k²/(k-1)) ]^{k/2}

is the likelihood ratio of (t_2, …, t_k) between an effect μ' with (μ' - μ)/σ ~ N(0, 1/p) and none:
the marginal likelihoods with the invariant prior 1/σ, which are likelihoods of what does not
change with the scale. So it is a nonnegative martingale of mean 1 in those, whatever σ is, and by
Ville's inequality exceeds 1/a at any k with probability at most a. The means with M_k(μ) < 1/a
are an interval at each k, and together miss the truth at any k with probability at most a: a rule
for stopping can look at all of them, widths included.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from vicinal.maths.intervals import DataInterval, check_level
from vicinal.maths.statistics import ROUNDING, Interval

PRECISION = 0.25  # p: at 2 standard deviations an effect is large, and 3 to 30 seeds usual


def sequential(
    differences: Sequence[float], level: float = 0.95, *, precision: float = PRECISION
) -> Interval:
    """The interval after these seeds, one of a sequence that holds at all looks together.

    On these data, over seeds: see `sequential_data` for data like these. Wider than Student's
    interval, about 1.7 times with 5 to 10 seeds.

    Args:
        differences: of the seeds so far, in their order.
        level: probability that no interval of the sequence misses, in (0, 1).
        precision: p > 0, settled before the first look. Small ones give ends after fewer seeds,
            large ones shorter intervals after many.

    Returns:
        Interval, without ends while too few seeds are known (below 4 at 95 %), or all are equal.

    Raises:
        ValueError: if there is no difference or one is not finite; for an impossible level or
            precision.

    Source:
        Lai (1976), Annals of Statistics 4; Wang and Ramdas (2023), arXiv:2310.03722.

    Example:
        >>> sequential([1.0, 2.0, 3.0, 2.0, 1.0, 2.0]).low > 0
        True
    """
    check_level(level)
    values = np.asarray(differences, dtype=float)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"need one or more finite differences, got {list(differences)}.")
    mean, k = float(values.mean()), len(values)
    quantile = sequential_quantile(k, 1 - level, precision)
    if not math.isfinite(quantile) or np.ptp(values) <= ROUNDING * np.abs(values).max():
        return Interval(mean, None, None)
    half = quantile * float(values.std(ddof=1)) / k**0.5
    return Interval(mean, mean - half, mean + half)


def sequential_quantile(count: int, tail: float, precision: float = PRECISION) -> float:
    """What takes the place of Student's quantile after so many seeds; infinite for few.

    Args:
        count: seeds so far.
        tail: probability of ever missing.
        precision: p in the formula above.

    Raises:
        ValueError: if the precision is not positive.
    """
    if not precision > 0:
        raise ValueError(f"precision must be positive, got {precision}.")
    ratio = precision / (count + precision)
    most = (1 / (tail * ratio**0.5)) ** (2 / count)  # of the bracket, where M = 1 / tail
    if count < 2 or not most * ratio < 1:
        return math.inf
    return float(((count - 1) * (most - 1) / (1 - most * ratio)) ** 0.5)


def sequential_data(interval: DataInterval, *, precision: float = PRECISION) -> Interval:
    r"""An interval for data like these that holds at every look at more seeds.

    Seeds share test and training examples. More of them close in on the value for these
    examples, which a sequence follows; how far that is from the value for new ones does not
    change while seeds are added. Each gets half of a = 1 - level, and the widths add up:

        q_k s_d/√k + √( t²_ν C + c max(0, q_k² s_d² - t²_ν A) )

    as in `vicinal.maths.crossed.data_interval`, with q_k of `sequential_quantile` for t_{k-1}.
    The second part takes the variances of a look as final, as every single interval does.

    Args:
        interval: of `data_interval` or `statistic_interval`, for the seeds so far.
        precision: as in `sequential`.

    Returns:
        Interval, without ends while too few seeds are known.

    Source:
        As `sequential`; the two parts by Bonferroni's inequality.
    """
    k, tail = interval.seeds, (1 - interval.level) / 2
    quantile = sequential_quantile(k, tail, precision)
    if not math.isfinite(quantile) or not interval.spread > 0:
        return Interval(interval.mean, None, None)
    unit = float(stdtrit(interval.degrees_sampled, tail / 2)) ** 2
    seeds = quantile**2 * interval.spread
    shared = unit * interval.shared + interval.training * max(0.0, seeds - unit * interval.apart)
    half = (seeds / k) ** 0.5 + shared**0.5
    return Interval(interval.mean, interval.mean - half, interval.mean + half)


def known(interval: Interval, half: float) -> bool:
    """Whether an interval leaves out 0, or reaches no further than `half` from its value.

    Args:
        interval: of a sequence, which may be looked at after every seed.
        half: the half width that is enough, positive.

    Raises:
        ValueError: if the half width is not positive.
    """
    if not half > 0:
        raise ValueError(f"the half width to reach must be positive, got {half}.")
    if interval.low is None or interval.high is None:
        return False
    return interval.low > 0 or interval.high < 0 or interval.high - interval.value <= half
