"""Calibration against hand counts, a plain loop, and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from vicinal.calibration import calibration, fit_temperature


def logits(probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_confidence_one_falls_in_the_last_bin():
    """One confidence of .95, right, and one of 1, wrong: |.975 - .5| in the tenth bin."""
    got = calibration(logits([[0.95, 0.05], [0.0, 1.0]]), torch.tensor([0, 0]), bins=10)
    assert got.ece == pytest.approx(0.475, abs=1e-12)
    assert [b.count for b in got.bins] == [0] * 9 + [2]
    assert got.bins[9].confidence == pytest.approx(0.975)
    assert got.bins[9].accuracy == 0.5
    assert got.bins[0].confidence is None


def test_one_float32_step_of_confidence_below_one_does_too():
    sure = torch.tensor([[0.0, 40.0]])  # softmax is exactly 1 in float32, not in float64
    assert calibration(sure, torch.tensor([1]), bins=10).bins[9].count == 1


def test_edges_belong_to_the_bin_below():
    got = calibration(logits([[0.5, 0.5], [0.75, 0.25]]), torch.tensor([0, 0]), bins=4)
    assert [b.count for b in got.bins] == [0, 1, 1, 0]


@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(2, 5), st.integers(1, 20))
def test_against_a_plain_loop_and_sklearn(seed, n, classes, bins):
    rng = np.random.default_rng(seed)
    z = torch.from_numpy(3 * rng.standard_normal((n, classes)))
    y = rng.integers(classes, size=n)
    got = calibration(z, torch.from_numpy(y), bins=bins)
    p = z.softmax(1).numpy()
    confidence, right = p.max(1), p.argmax(1) == y
    ece = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            gap = abs(confidence[inside].mean() - right[inside].mean())
            ece += inside.mean() * gap
    np.testing.assert_allclose(got.ece, ece, atol=1e-12)
    np.testing.assert_allclose(got.accuracy, right.mean())
    np.testing.assert_allclose(got.signed_gap, confidence.mean() - right.mean(), atol=1e-12)
    np.testing.assert_allclose(got.nll, log_loss(y, p, labels=range(classes)), rtol=1e-9)
    one_hot = np.eye(classes)[y]
    np.testing.assert_allclose(got.brier, ((p - one_hot) ** 2).sum(1).mean(), rtol=1e-9)
    assert sum(b.count for b in got.bins) == got.examples == n


def test_brier_of_two_classes_is_twice_the_binary_score():
    z = torch.tensor([[0.3, 1.0], [2.0, -1.0], [0.0, 0.1]], dtype=torch.float64)
    y = torch.tensor([1, 0, 0])
    binary = brier_score_loss(y.numpy(), z.softmax(1)[:, 1].numpy())
    np.testing.assert_allclose(calibration(z, y).brier, 2 * binary)


def test_temperature_recovers_the_scale_that_labels_were_drawn_with():
    rng = np.random.default_rng(0)
    z = torch.from_numpy(2 * rng.standard_normal((20_000, 4)))
    p = (z / 1.7).softmax(1).numpy()
    y = torch.from_numpy((p.cumsum(1) > rng.random((20_000, 1))).argmax(1))
    fitted = fit_temperature(z, y)
    assert abs(fitted - 1.7) < 0.06  # asymptotic error about 0.012
    grid = np.linspace(fitted - 0.1, fitted + 0.1, 41)
    losses = [calibration(z / t, y).nll for t in grid]
    assert np.argmin(losses) == 20  # the fitted temperature is the minimum among its neighbours


@given(st.floats(0.2, 5))
def test_temperature_scales_with_the_logits(scale):
    z = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.5, 0.0], [0.0, 1.5]], dtype=torch.float64)
    y = torch.tensor([0, 1, 0, 1])
    np.testing.assert_allclose(fit_temperature(scale * z, y), scale * fit_temperature(z, y), 1e-8)


def test_temperature_says_where_there_is_none():
    right, wrong = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    with pytest.warns(UserWarning, match="no better than a constant"):
        assert fit_temperature(right, 1 - wrong) == 20


@pytest.mark.parametrize("n", [1, 10, 1000])
@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_temperature_of_separable_examples_is_that_of_one_more_with_any_label(n, scale):
    """n right and half of one more: p = (n + ½)/(n + 1), in closed form for equal logits."""
    z = scale * torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64).repeat(n, 1)[:n]
    y = torch.arange(n) % 2
    with pytest.warns(UserWarning, match=f"{n} examples, 0 of them classified wrongly"):
        fitted = fit_temperature(z, y)
    expected = scale / np.log((n + 0.5) / 0.5)
    np.testing.assert_allclose(fitted, expected, 1e-8)


def test_temperature_is_left_alone_where_one_more_example_changes_little():
    """One wrong of 5 determines it; one of 20, by a hair, does not."""
    z = torch.tensor([[3.0, 0.0]], dtype=torch.float64)
    y = torch.zeros(5, dtype=torch.long)
    y[0] = 1
    np.testing.assert_allclose(fit_temperature(z.repeat(5, 1), y), 3 / np.log(4), 1e-8)
    z = z.repeat(20, 1)
    z[0] = torch.tensor([0.0, 0.01])
    with pytest.warns(UserWarning, match="20 examples, 1 of them classified wrongly.*from 0.32"):
        fitted = fit_temperature(z, torch.zeros(20, dtype=torch.long))
    assert 0.75 < fitted < 0.85


@pytest.mark.parametrize("function", [calibration, fit_temperature])
def test_bad_input(function, unchecked):
    z, y = torch.zeros(3, 2), torch.tensor([0, 1, 1])
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.1"):
        function(z, y + 1)
    with pytest.raises(ValueError, match="one class id per row"):
        function(z, y[:2])
    with pytest.raises(ValueError, match="one class id per row"):
        function(z, y.float())
    with pytest.raises(ValueError, match="one class id per row"):
        function(z[:0], y[:0])
    with pytest.raises(ValueError, match="2 or more classes"):
        function(z[:, :1], y)
    with pytest.raises(ValueError, match="NaN"):
        function(z * float("nan"), y)


def test_needs_bins():
    with pytest.raises(ValueError, match="bins must be at least 1"):
        calibration(torch.zeros(3, 2), torch.tensor([0, 1, 1]), bins=0)
