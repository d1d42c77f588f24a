"""Intervals against scipy and by their coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vicinal.maths.statistics import paired, proportion


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12), st.floats(0.5, 0.99))
def test_paired_interval_is_that_of_the_t_test(differences, level):
    if np.ptp(differences) < 1e-6:
        return
    reference = stats.ttest_1samp(differences, 0).confidence_interval(level)
    got = paired(differences, level)
    np.testing.assert_allclose([got.low, got.high], list(reference), rtol=1e-7, atol=1e-10)


def test_words_follow_from_the_interval():
    assert paired([1.0, 1.1, 0.9]).words == "higher"
    assert paired([-1.0, -1.1, -0.9]).words == "lower"
    assert paired([-1.0, 1.1, 0.9]).words == "no difference shown"
    assert paired([0.0, 0.0]).words == "no difference shown"
    assert paired([1.0]).words == "one seed: no interval"
    assert paired([1.0]).low is None


@pytest.mark.parametrize("count", [2, 3, 5, 7])
@pytest.mark.parametrize("step", [1.0, 1 / 360])
def test_whole_numbers_are_called_different_as_seldom_as_it_says(count, step):
    """Accuracies on a small test set differ by whole examples, so often all by the same number."""
    rng = np.random.default_rng(0)
    trials = 4000
    right = 300 + np.round(rng.standard_normal((2, trials, count)))
    first, second = np.minimum(right, 360) * step
    claims = sum(paired(d).words in ("higher", "lower") for d in (first - second).tolist())
    assert claims / trials < 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5


def test_few_equal_differences_have_no_interval():
    few = paired([0.91 - 0.89, 0.9 - 0.88, 0.5 - 0.48])  # equal but for rounding
    assert (few.low, few.high, few.count) == (None, None, 3)
    assert few.words == "equal differences: no interval"
    assert paired([1.0] * 5).low is None
    assert paired([1.0] * 6).words == "higher"  # 2 of 64 by chance
    assert paired([1.0] * 5, level=0.9).words == "higher"


def test_paired_covers_what_it_says():
    rng = np.random.default_rng(0)
    trials = 4000
    hits = sum(
        result.low <= 0.3 <= result.high
        for result in (paired(list(0.3 + rng.standard_normal(5))) for _ in range(trials))
    )
    assert abs(hits / trials - 0.95) < 5 * (0.95 * 0.05 / trials) ** 0.5


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportion_is_wilsons(counts):
    successes, count = counts
    reference = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    got = proportion(successes, count)
    np.testing.assert_allclose([got.low, got.high], list(reference), rtol=1e-9, atol=1e-12)
    assert 0 <= got.low <= got.value <= got.high <= 1


def test_bad_input():
    with pytest.raises(ValueError, match="finite differences"):
        paired([])
    with pytest.raises(ValueError, match="finite differences"):
        paired([1.0, float("nan")])
    for level in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="level must lie"):
            paired([1.0, 2.0], level)
        with pytest.raises(ValueError, match="level must lie"):
            proportion(1, 2, level)
    for successes, count in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="successes"):
            proportion(successes, count)
