"""Bands by their coverage, and the optimism of a choice against its definition."""

import numpy as np
import pytest

from vicinal.maths.bands import band, point_level, selected
from vicinal.maths.statistics import paired


@pytest.mark.parametrize("k", [3, 5, 10])
@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_a_band_holds_at_all_its_points_together(k, alike):
    rng, trials, m = np.random.default_rng(k), 600, 8
    lag = np.abs(np.subtract.outer(np.arange(m), np.arange(m)))
    root = np.linalg.cholesky(np.where(lag > 0, alike**lag, 1.0))
    held = pointwise = 0
    for _ in range(trials):
        curves = rng.standard_normal((k, m)) @ root.T
        held += all(p.low <= 0 <= p.high for p in band(curves))
        single = [paired(column.tolist()) for column in curves.T]
        pointwise += all(p.low <= 0 <= p.high for p in single)
    assert held / trials > 0.95 - 5 * (0.95 * 0.05 / trials) ** 0.5
    assert pointwise / trials < 0.9


def test_a_band_of_one_point_is_an_interval():
    d = [1.0, 2.0, 4.0]
    assert band(np.array(d)[:, None]) == [paired(d)]
    assert point_level(0.95, 1) == 0.95


def test_the_optimism_is_that_of_scores_not_seen():
    table = np.random.default_rng(0).standard_normal((5, 4)) + np.array([0, 0.2, 0.4, 0.1])
    got = selected(table)
    unseen = [table[s, np.delete(table, s, 0).mean(0).argmax()] for s in range(5)]
    assert got.best == table.mean(0).argmax()
    np.testing.assert_allclose(got.optimism, max(0, table.mean(0).max() - np.mean(unseen)))
    np.testing.assert_allclose(got.corrected, got.value - got.optimism)


def test_the_best_of_equal_candidates_is_corrected_to_what_they_are_worth():
    """Not below 0, the optimism is a little too large where it is small; here it is not."""
    rng, trials = np.random.default_rng(0), 1000
    found = [selected(rng.standard_normal((6, 10))) for _ in range(trials)]
    raw, corrected = ([getattr(f, name) for f in found] for name in ("value", "corrected"))
    assert np.mean(raw) > 0.5
    assert abs(np.mean(corrected)) < 5 * np.std(corrected) / trials**0.5 + 0.05


def test_a_choice_that_all_seeds_agree_on_has_no_optimism():
    assert selected([[1.0, 0.0], [2.0, 0.5], [1.5, 1.0]]).optimism == 0


def test_bad_input():
    for values in (np.zeros((0, 2)), np.full((2, 2), np.nan)):
        with pytest.raises(ValueError, match="finite table"):
            selected(values)
    with pytest.raises(ValueError, match="2 or more seeds"):
        selected([[1.0, 2.0]])
    with pytest.raises(ValueError, match="one or more points"):
        point_level(0.95, 0)
