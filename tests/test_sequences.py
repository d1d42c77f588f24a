"""Sequences against integrals of likelihoods, and under a stopping that looks at every seed."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from vicinal.maths.crossed import data_interval
from vicinal.maths.sequences import (
    PRECISION,
    known,
    sequential,
    sequential_data,
    sequential_quantile,
)
from vicinal.maths.statistics import Interval


@pytest.mark.parametrize("count", [5, 12, 40])
@pytest.mark.parametrize("tail", [0.05, 0.01])
def test_at_the_end_the_likelihood_ratio_is_one_over_the_tail(count, tail):
    """By quadrature: noncentral against central t, the effect drawn from N(0, 1 / precision)."""
    t = sequential_quantile(count, tail)
    prior = stats.norm(scale=PRECISION**-0.5)
    ratio = lambda effect: prior.pdf(effect) * stats.nct.pdf(t, count - 1, effect * count**0.5)
    middle = t / count**0.5
    mixed, _ = integrate.quad(ratio, middle - 6, middle + 6, points=[middle])
    np.testing.assert_allclose(mixed / stats.t.pdf(t, count - 1), 1 / tail, rtol=1e-4)


def stop(values, width):
    """Add seeds until 0 is left out or the width is reached; the interval then."""
    for k in range(2, len(values) + 1):
        got = sequential(values[:k])
        if known(got, width):
            break
    return got, k


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_it_misses_as_seldom_as_it_says_whenever_one_stops(effect):
    rng, trials = np.random.default_rng(0), 600
    missed, seeds = 0, []
    for _ in range(trials):
        got, k = stop((effect + rng.standard_normal(30)).tolist(), 0.7)
        missed += got.low is not None and not got.low <= effect <= got.high
        seeds.append(k)
    assert missed / trials < 0.05 + 5 * (0.05 * 0.95 / trials) ** 0.5
    assert effect == 0 or np.mean(seeds) < 18  # of 30


def test_every_look_together_misses_seldom():
    """The supremum over 50 looks, without any stopping: Ville's inequality itself."""
    rng, trials = np.random.default_rng(1), 4000
    values = rng.standard_normal((trials, 50))
    counts = np.arange(1, 51)
    means = values.cumsum(1) / counts
    squares = (values**2).cumsum(1) - counts * means**2
    t = np.abs(means[:, 1:]) * (counts[1:] * (counts[1:] - 1) / squares[:, 1:]) ** 0.5
    ends = [sequential_quantile(k, 0.05) for k in range(2, 51)]
    missed = (t > ends).any(1).mean()
    assert missed < 0.05 + 5 * (0.05 * 0.95 / trials) ** 0.5
    assert missed > 0.005  # and is no wider than it has to be by much
    student = (t > stats.t.ppf(0.975, counts[1:] - 1)).any(1).mean()
    assert student > 0.25


def test_few_or_equal_seeds_have_no_ends():
    assert math.isinf(sequential_quantile(1, 0.05))
    assert sequential([1.0, 2.0, 3.0]).low is None
    assert sequential([1.0, 2.0, 3.0, 4.0]).low is not None
    assert sequential([1.0] * 9).low is None
    assert sequential([3.0]) == Interval(3.0, None, None)
    flat = data_interval(np.tile(np.eye(4)[:1], (6, 1)), fixed=True, train=9)
    assert sequential_data(flat).low is None


def test_data_like_these_add_what_seeds_share():
    rng = np.random.default_rng(0)
    e = rng.standard_normal((8, 1)) + rng.standard_normal(500) + rng.standard_normal((8, 500))
    bare = data_interval(e, fixed=True, train=9, pool=math.inf)
    seeds = sequential(e.mean(1).tolist(), 0.975)
    got = sequential_data(bare)
    examples = stats.t.ppf(1 - 0.05 / 4, bare.degrees_sampled) * bare.shared**0.5
    np.testing.assert_allclose(got.high - seeds.high, examples, rtol=1e-9)
    assert sequential_data(data_interval(e, fixed=True, train=9)).high > got.high


def test_known():
    assert known(Interval(1.0, 0.5, 1.5), 0.1)
    assert known(Interval(0.0, -0.1, 0.1), 0.1)
    assert not known(Interval(0.0, -0.2, 0.2), 0.1)
    assert not known(Interval(1.0, None, None), 9.0)
    for half in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="half width to reach"):
            known(Interval(0.0, -1.0, 1.0), half)


def test_bad_input():
    with pytest.raises(ValueError, match="finite differences"):
        sequential([])
    with pytest.raises(ValueError, match="precision must be positive"):
        sequential([1.0, 2.0], precision=0.0)
    with pytest.raises(ValueError, match="level must lie"):
        sequential([1.0, 2.0], 1.0)
