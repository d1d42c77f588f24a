"""Intervals for data like these: against analyses of variance, slow sums, and by their coverage."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from vicinal.maths.crossed import data_interval, resplit_interval, statistic_interval
from vicinal.maths.statistics import paired
from vicinal.maths.weighted import balanced_accuracy, ece, root_mean_square

spec = importlib.util.spec_from_file_location(
    "worlds", Path(__file__).parents[1] / "benchmarks" / "worlds.py"
)
worlds = importlib.util.module_from_spec(spec)
sys.modules["worlds"] = worlds
spec.loader.exec_module(worlds)


def crossed(k, n, seed=0, *, seeds=0.3, examples=1.0, rest=1.0):
    """A table of seeds and examples with known parts."""
    rng = np.random.default_rng(seed)
    return (
        seeds * rng.standard_normal((k, 1))
        + examples * rng.standard_normal(n)
        + rest * rng.standard_normal((k, n))
    )


@pytest.mark.parametrize("k", [2, 3, 7])
def test_parts_of_a_fixed_test_part_are_those_of_the_analysis_of_variance(k):
    n, e = 40, crossed(k, 40, k)
    between_seeds = n * e.mean(1).var(ddof=1)
    between_examples = k * e.mean(0).var(ddof=1)
    left = e - e.mean(1, keepdims=True) - e.mean(0) + e.mean()
    rest = (left**2).sum() / ((k - 1) * (n - 1))
    got = data_interval(e, fixed=True, train=100)
    np.testing.assert_allclose(got.shared, (between_examples - rest) / (k * n), rtol=1e-10)
    np.testing.assert_allclose(got.apart, rest / n, rtol=1e-10)
    np.testing.assert_allclose(got.spread, between_seeds / n, rtol=1e-10)
    np.testing.assert_allclose(got.sampled, between_examples / (k * n), rtol=1e-10)


def test_parts_of_redrawn_splits_are_a_sum_over_pairs_of_seeds():
    rng = np.random.default_rng(0)
    k, n, pool = 4, 30, 100
    whole = crossed(k, pool)
    rows = [rng.choice(pool, n, replace=False) for _ in range(k)]
    e = [whole[s, r] for s, r in enumerate(rows)]
    centred = [
        dict(zip(r, part - part.mean(), strict=True)) for r, part in zip(rows, e, strict=True)
    ]
    pairs = [(s, t) for s in range(k) for t in range(k) if s != t]
    common = [
        sum(centred[s][i] * centred[t][i] for i in centred[s].keys() & centred[t].keys())
        for s, t in pairs
    ]
    got = data_interval(e, rows, fixed=False, train=70)
    np.testing.assert_allclose(got.shared, max(0, np.mean(common)) / (n * (n - 1)), rtol=1e-10)
    sizes = [len(centred[s].keys() & centred[t].keys()) / n for s, t in pairs]
    np.testing.assert_allclose(got.overlap, np.mean(sizes), rtol=1e-12)
    own = np.mean([part.var(ddof=1) / n for part in e])
    np.testing.assert_allclose(got.apart, own - np.mean(common) / (n * (n - 1)), rtol=1e-10)


def test_the_variance_of_the_mean_is_estimated_without_bias():
    """spread / k + shared, over new seeds and new examples, with no training examples shared."""
    k, n, trials = 4, 25, 1500
    found = [
        data_interval(crossed(k, n, s, examples=1.5), fixed=True, train=1, pool=math.inf)
        for s in range(trials)
    ]
    estimates = np.array([one.spread / k + one.shared for one in found])
    truth = 0.3**2 / k + 1.5**2 / n + 1 / (k * n)
    assert abs(estimates.mean() - truth) < 5 * estimates.std() / trials**0.5
    means = np.array([one.mean for one in found])
    assert abs(means.var() - truth) < 5 * truth * (2 / trials) ** 0.5


def test_one_seed_is_judged_by_its_examples():
    e = crossed(1, 400)
    got = data_interval(e, fixed=True)
    assert got.seeds == 1
    np.testing.assert_allclose(got.standard_error, e.std(ddof=1) / 20, rtol=1e-12)
    reference = stats.ttest_1samp(e[0], 0).confidence_interval()
    np.testing.assert_allclose([got.low, got.high], list(reference), rtol=0.01)


def test_equal_differences_of_seeds_leave_the_interval_to_the_examples():
    e = crossed(1, 50)
    alone = data_interval(e, fixed=True)
    three = data_interval(np.repeat(e, 3, 0), fixed=True, train=100)
    np.testing.assert_allclose([three.low, three.high], [alone.low, alone.high], rtol=1e-9)
    assert paired(np.repeat(e, 3, 0).mean(1).tolist()).low is None


def test_methods_that_never_differ_are_not_proved_equal():
    """Of 200 answers none differs; where a share 3 / 200 does, that still happens in 5 %."""
    none = data_interval(np.zeros((3, 200)), fixed=True, train=800)
    assert none.low == -none.high
    assert 0.7 * 3 / 200 < none.high < 1.5 * 3 / 200
    losses = data_interval(np.full((3, 200), 0.5), fixed=True, train=800)
    assert (losses.low, losses.p) == (None, None)


def test_fresh_data_are_students_interval():
    e = crossed(6, 50, seeds=1.0)
    got = data_interval(e, np.arange(300).reshape(6, 50), fixed=False, train=9, pool=math.inf)
    reference = paired(e.mean(1).tolist())
    np.testing.assert_allclose([got.low, got.high], [reference.low, reference.high], rtol=1e-12)
    assert abs(got.degrees - 5) < 1e-6
    np.testing.assert_allclose(got.p, stats.ttest_1samp(e.mean(1), 0).pvalue, rtol=1e-6)


def test_shared_training_examples_widen_it():
    e = crossed(5, 400, seeds=1.0)
    width = [data_interval(e, fixed=True, train=100, pool=p).high for p in (math.inf, 200, None)]
    assert width[0] < width[1] < width[2]
    far = data_interval(e, fixed=True, train=100)
    np.testing.assert_allclose(far.parts.training, far.spread - far.apart, rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(1, 5), st.floats(-2, 2), st.floats(0.1, 10))
def test_p_is_the_level_at_which_the_interval_ends_at_zero(seed, k, shift, scale):
    e = scale * (crossed(k, 30, seed) + shift)
    got = data_interval(e, fixed=True, train=100)
    assert (got.p < 0.05) == (got.low > 0 or got.high < 0)
    if 1e-6 < got.p < 0.999:
        ends = got.at(1 - got.p)
        np.testing.assert_allclose(min(abs(ends.low), abs(ends.high)), 0, atol=1e-5 * scale)
    half = stats.t.ppf(0.975, got.degrees) * got.standard_error
    np.testing.assert_allclose(half, got.high - got.mean, rtol=1e-6)


def test_names_and_order_of_examples_do_not_matter():
    rng = np.random.default_rng(0)
    rows = np.array([rng.choice(60, 20, replace=False) for _ in range(3)])
    e = crossed(3, 20)
    got = data_interval(e, rows, fixed=False, train=40)
    order = rng.permutation(20)
    names = np.array([f"image {i}" for i in range(60)])
    again = data_interval(e[:, order], names[rows[:, order]], fixed=False, train=40)
    np.testing.assert_allclose([again.low, again.high], [got.low, got.high], rtol=1e-12)


def test_means_alone_give_nadeau_and_bengios_interval():
    d = np.array([0.2, 0.5, -0.1, 0.4])
    got = resplit_interval(d.tolist(), train=800, test=200)
    half = stats.t.ppf(0.975, 3) * d.std(ddof=1) * (1 / 4 + 0.25) ** 0.5
    np.testing.assert_allclose([got.low, got.high], [0.25 - half, 0.25 + half], rtol=1e-10)
    assert resplit_interval([1.0, 1.0], train=8, test=2).low is None
    assert resplit_interval([1.0], train=8, test=2).low is None


def test_a_statistic_that_is_a_mean_has_the_interval_of_the_mean():
    k, n, resamples = 4, 60, 4000
    first, second = crossed(k, n), 0.3 * crossed(k, n, 1)
    mean = lambda numbers, weights: weights @ numbers / weights.sum(1)
    got = statistic_interval(
        *(mean, first, second), rng=np.random.default_rng(0), fixed=True, train=100,
        resamples=resamples,
    )  # fmt: skip
    want = data_interval(first - second, fixed=True, train=100)
    assert abs(got.mean - want.mean) < 1e-12
    # a resampled variance lacks 1/n of it, and has noise
    np.testing.assert_allclose(got.shared, want.shared, rtol=5 * (2 / resamples) ** 0.5 + 1 / n)
    np.testing.assert_allclose(got.sampled, want.sampled, rtol=5 * (2 / resamples) ** 0.5 + 1 / n)


def test_weighted_measures_are_those_of_repeated_examples():
    rng = np.random.default_rng(0)
    times = rng.integers(0, 4, (3, 80))
    confidence, right = rng.random(80), rng.integers(0, 2, 80)
    classes, errors = rng.integers(0, 3, 80), rng.standard_normal(80)
    for weights in times:
        c, r, t, e = (np.repeat(v, weights) for v in (confidence, right, classes, errors))
        bins = np.ceil(c * 15)
        of = [(c[bins == b] - r[bins == b]).sum() for b in range(1, 16)]
        got = ece(np.c_[confidence, right], weights[None].astype(float))
        np.testing.assert_allclose(got, np.abs(of).sum() / len(c))
        got = root_mean_square(errors, weights[None].astype(float))
        np.testing.assert_allclose(got, metrics.root_mean_squared_error(e, 0 * e))
        got = balanced_accuracy(np.c_[classes, right], weights[None].astype(float))
        said = np.where(r == 1, t, (t + 1) % 3)
        np.testing.assert_allclose(got, metrics.balanced_accuracy_score(t, said))


@pytest.mark.parametrize("design", worlds.DESIGNS)
@pytest.mark.parametrize("loud", [0.25, 1.0])
def test_intervals_cover_new_data_of_simulated_worlds(design, loud):
    """At least 93 %, within 5 standard errors; Student's over seeds covers less the more seeds."""
    world, studies, seeds = worlds.World(design, 0.01, 0.33, loud), 150, (3, 10)
    rng, truth = np.random.default_rng(1), 0.01
    pool = {"re-drawn": None, "fixed": None, "fresh": math.inf}[design]
    hits, students = dict.fromkeys(seeds, 0), dict.fromkeys(seeds, 0)
    for _ in range(studies):
        sums, _, rows = worlds.study(world, rng, 10)
        e = (sums[1] > 0).astype(float) - (sums[0] > 0)
        for k in seeds:
            got = data_interval(
                e[:k], rows[:k], fixed=design == "fixed", train=worlds.TRAIN, pool=pool
            )
            hits[k] += got.low <= truth <= got.high
            over_seeds = paired(e[:k].mean(1).tolist())
            students[k] += over_seeds.low is None or over_seeds.low <= truth <= over_seeds.high
    for k in seeds:
        assert hits[k] / studies > 0.95 - 5 * (0.95 * 0.05 / studies) ** 0.5
    if design == "fixed":
        assert students[10] / studies < 0.8


def test_bad_input():
    e = np.zeros((2, 5))
    rows = np.arange(10).reshape(2, 5)
    for message, arguments, options in (
        ("one or more seeds", ([],), {"fixed": True}),
        ("one or more seeds", (np.ones((1, 1)),), {"fixed": True}),
        ("finite", (e + np.nan,), {"fixed": True}),
        ("rows are needed", (e,), {"fixed": False}),
        ("rows are needed", ([e[0], e[0, :3]],), {"fixed": True}),
        ("name each test example", (e, rows[:1]), {"fixed": False}),
        ("some stand twice", (e, 0 * rows), {"fixed": False}),
        ("different test sets", (e, rows), {"fixed": True}),
        ("train must be", (e,), {"fixed": True, "train": None}),
        ("pool must hold", (e,), {"fixed": True, "pool": 5}),
        ("level must lie", (e,), {"fixed": True, "level": 1.0}),
    ):
        with pytest.raises(ValueError, match=message):
            data_interval(*arguments, **({"train": 10} | options))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="same seeds and test examples"):
        statistic_interval(root_mean_square, e, e[:1], rng=rng, fixed=True, train=10)
    with pytest.raises(ValueError, match="at least 100"):
        statistic_interval(root_mean_square, e, e, rng=rng, fixed=True, train=10, resamples=9)
    with pytest.raises(ValueError, match="finite differences"):
        resplit_interval([], train=8, test=2)
    with pytest.raises(ValueError, match="at least 1"):
        resplit_interval([1.0, 2.0], train=0, test=2)
    with pytest.raises(ValueError, match="level must lie"):
        data_interval(e, fixed=True, train=10).at(0.0)
