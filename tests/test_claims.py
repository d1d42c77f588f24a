"""Adjusted p-values against their definitions; power, margins and verdicts against scipy."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vicinal.maths.claims import (
    benjamini_hochberg,
    detectable,
    examples_needed,
    holm,
    planned,
    seeds_needed,
    verdict,
    within,
)
from vicinal.maths.crossed import data_interval, resplit_interval

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(P_VALUES)
def test_holm_is_the_closure_of_bonferroni(p):
    """A claim holds where Bonferroni rejects every set of hypotheses that contains it."""
    some = range(len(p))
    sets = [c for size in range(1, len(p) + 1) for c in combinations(some, size)]
    closed = [max(min(1, len(c) * min(p[j] for j in c)) for c in sets if i in c) for i in some]
    np.testing.assert_allclose(holm(p), closed, rtol=1e-12)


@given(P_VALUES, st.floats(0.01, 0.99))
def test_benjamini_hochberg_rejects_up_to_the_last_below_its_line(p, level):
    ordered = sorted(p)
    below = [i for i, q in enumerate(ordered, 1) if q <= level * i / len(p)]
    last = ordered[below[-1] - 1] if below else -1.0
    adjusted = benjamini_hochberg(p)
    close = np.abs(adjusted - level) < 1e-9  # rounding decides
    assert ((adjusted <= level) == (np.array(p) <= last))[~close].all()


def test_no_claims_need_no_adjustment():
    assert len(holm([])) == len(benjamini_hochberg([])) == 0


def fresh(d):
    """An interval with one part of variance, so that it is Student's of d."""
    d = np.asarray(d, dtype=float)
    steps = np.tile([1e-9, -1e-9], (len(d), 1))
    rows = np.arange(2 * len(d)).reshape(len(d), 2)
    return data_interval(d[:, None] + steps, rows, fixed=False, train=1, pool=math.inf)


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 20), st.floats(0.5, 0.95))  # scipy's nct fails below
def test_a_detectable_difference_has_its_power(k, power):
    d = np.random.default_rng(k).standard_normal(k)
    shift = detectable(fresh(d), power) / (d.std(ddof=1) / k**0.5)
    critical = stats.t.ppf(0.975, k - 1)
    found = stats.nct.sf(critical, k - 1, shift) + stats.nct.cdf(-critical, k - 1, shift)
    np.testing.assert_allclose(found, power, atol=1e-4)


def test_a_detectable_difference_is_found_as_often_as_it_says():
    """Whole studies of a world with the parts as they are planned for."""
    rng = np.random.default_rng(0)
    k, n, trials = 5, 200, 1500
    table = lambda shift: (
        shift
        + 0.05 * rng.standard_normal((k, 1))
        + rng.standard_normal(n)
        + rng.standard_normal((k, n))
    )
    true = replace(
        data_interval(table(0), fixed=True, train=1, pool=math.inf),
        **{"spread": 0.05**2 + 1 / n, "apart": 1 / n, "shared": 1 / n, "sampled": 1.2 / n},
    )
    shift = detectable(true)
    found = [data_interval(table(shift), fixed=True, train=1, pool=math.inf).low > 0
             for _ in range(trials)]  # fmt: skip
    # the power is that of a study with this very interval; others are wider or narrower
    assert abs(np.mean(found) - 0.8) < 0.05


def test_the_fewest_seeds_suffice_and_one_less_does_not():
    got = fresh(np.random.default_rng(0).standard_normal(5))
    need = seeds_needed(got, 0.7)
    assert detectable(planned(got, need)) <= 0.7 < detectable(planned(got, need - 1))
    deviation = got.spread**0.5
    power = lambda k: stats.nct.sf(
        stats.t.ppf(0.975, k - 1), k - 1, 0.7 / deviation * k**0.5
    )  # the other side adds nothing at this power
    assert power(need) >= 0.8 > power(need - 1)


def test_no_number_of_seeds_replaces_test_examples():
    rng = np.random.default_rng(0)
    e = rng.standard_normal(400) + 0.1 * rng.standard_normal((5, 400))
    got = data_interval(e, fixed=True, train=1, pool=math.inf)
    limit = 2.8 * 400**-0.5  # (1.96 + 0.84) standard errors of the examples
    assert seeds_needed(got, 0.9 * limit) is None
    assert seeds_needed(got, 1.2 * limit) is not None
    need = examples_needed(got, limit / 2)
    np.testing.assert_allclose(need, 4 * 400, rtol=0.15)
    assert seeds_needed(got, limit / 2, examples=need) <= 5
    loud = rng.standard_normal((5, 1)) + 0.01 * e
    assert examples_needed(data_interval(loud, fixed=True, train=9), 0.01) is None


def test_verdicts():
    assert verdict(fresh([1.0, 1.1, 0.9])) == "better"
    assert verdict(fresh([1.0, 1.1, 0.9]), higher_is_better=False) == "worse"
    assert verdict(fresh([-1.0, -1.1, -0.9])) == "worse"
    near = fresh([0.1, -0.1, 0.05, -0.05])
    assert verdict(near) == "not known yet"
    assert verdict(near, 0.5) == "no more than the margin apart"
    assert verdict(near, 0.05) == "not known yet"
    # both may hold: the difference is shown, and shown to be small
    assert verdict(fresh([1.0, 1.1, 0.9]), 2.0) == "better"
    assert within(fresh([1.0, 1.1, 0.9]), 2.0)
    assert verdict(resplit_interval([1.0], train=8, test=2), 9.0) == "not known yet"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(0.1, 3))
def test_within_is_two_one_sided_tests(d, margin):
    if np.ptp(d) < 1e-3:
        return
    p = max(
        stats.ttest_1samp(d, -margin, alternative="greater").pvalue,
        stats.ttest_1samp(d, margin, alternative="less").pvalue,
    )
    if abs(p - 0.05) > 1e-6:
        assert within(fresh(d), margin) == (p < 0.05)


def test_bad_input():
    got = fresh([1.0, 2.0, 3.0])
    for p in ([0.5, 1.5], [float("nan")]):
        for adjust in (holm, benjamini_hochberg):
            with pytest.raises(ValueError, match=r"in \[0, 1\]"):
                adjust(p)
    for call in (within, seeds_needed, examples_needed):
        for margin in (0.0, -1.0, float("nan")):
            with pytest.raises(ValueError, match="margin must be positive"):
                call(got, margin)
    with pytest.raises(ValueError, match="power must lie"):
        detectable(got, 1.0)
    with pytest.raises(ValueError, match="2 or more seeds"):
        seeds_needed(data_interval(np.eye(4)[:1], fixed=True), 1.0)
    with pytest.raises(ValueError, match="records of single examples"):
        examples_needed(resplit_interval([1.0, 2.0], train=8, test=2), 0.1)
    with pytest.raises(ValueError, match="above 0.5"):
        within(got.at(0.4), 1.0)


def test_within_uses_the_interval_of_90_percent():
    got = fresh([0.3, -0.1, 0.2, 0.1, -0.2])
    outer = [max(-got.at(level).low, got.at(level).high) for level in (0.9, 0.95)]
    assert within(got, float(np.mean(outer)))
    assert not within(got, 0.99 * outer[0])


def test_a_plan_shrinks_each_part_by_what_it_is_made_of():
    rng = np.random.default_rng(0)
    e = rng.standard_normal((4, 1)) + rng.standard_normal(50) + rng.standard_normal((4, 50))
    got = data_interval(e, fixed=True, train=100)
    other = planned(got, 8, 500).parts
    np.testing.assert_allclose(other.seeds, got.parts.seeds / 2, rtol=1e-12)
    np.testing.assert_allclose(other.training, got.parts.training, rtol=1e-12)
    np.testing.assert_allclose(other.examples, got.parts.examples / 10, rtol=1e-12)
    np.testing.assert_allclose(other.rest, got.parts.rest / 20, rtol=1e-12)
