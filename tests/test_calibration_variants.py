"""Every other way to measure and mend calibration, against independent code and slow sums."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss
from torch import nn
from torchmetrics.functional.classification import binary_calibration_error

from vicinal.calibration import (
    CalibrationSums,
    Rescaled,
    Scaling,
    bootstrap,
    calibration,
    calibration_of_positive,
    calibration_of_prediction,
    calibration_of_probabilities,
    classwise,
    coverage,
    fit_platt,
    fit_temperature,
    fit_vector,
    paired_bootstrap,
    recalibrated,
    smooth_ece,
)
from vicinal.maths.laws import Beta, Fixed


def drawn(seed=0, n=400, classes=4, temperature=0.5):
    """Logits, and labels drawn from their softmax at a temperature: miscalibrated on purpose."""
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.standard_normal((n, classes))
    p = torch.from_numpy(z * temperature).softmax(1).numpy()
    y = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    return torch.from_numpy(z), torch.from_numpy(y)


def test_equal_mass_against_sorting():
    z, y = drawn(1, n=103)
    p = z.softmax(1).numpy()
    order = np.argsort(p.max(1))
    right = (p.argmax(1) == y.numpy())[order]
    edges = np.linspace(0, 103, 11).round().astype(int)
    pieces = [slice(a, b) for a, b in pairwise(edges)]
    gaps = [(p.max(1)[order][s] - right[s]).sum() for s in pieces]
    got = calibration(z, y, bins=10, equal="mass")
    np.testing.assert_allclose(got.ece, np.abs(gaps).sum() / 103, atol=1e-12)
    assert [b.count for b in got.bins] == [s.stop - s.start for s in pieces]


def test_equal_confidences_share_a_bin():
    z = torch.tensor([[1.0, 0.0]] * 6 + [[3.0, 0.0]] * 2, dtype=torch.float64)
    got = calibration(z, torch.zeros(8, dtype=torch.long), bins=4, equal="mass")
    assert sorted(b.count for b in got.bins) == [0, 0, 2, 6]


def test_debiased_errors_are_nearer_to_the_truth():
    """Calibrated predictions have no error; what the binned ECE shows of small samples is bias."""
    found = []
    for seed in range(200):
        z, y = drawn(seed, n=150, temperature=1.0)
        got = calibration(z, y, bins=10)
        found.append([got.ece, got.debiased, got.debiased_square])
    mean, error = np.mean(found, 0), np.std(found, 0) / 200**0.5
    assert mean[0] > 0.05
    assert abs(mean[1]) < 0.7 * mean[0]
    assert abs(mean[2]) < 5 * error[2]  # unbiased


def test_debiased_square_on_known_gaps():
    """Confidence .7, accuracy .5 in one bin: E[gap²] - var/(n-1) has mean .04."""
    z = torch.tensor([[0.7, 0.3]], dtype=torch.float64).log().expand(10, 2)
    rng = np.random.default_rng(0)
    labels = [torch.from_numpy(rng.integers(2, size=10)) for _ in range(1000)]
    found = [calibration(z, y, bins=1).debiased_square for y in labels]
    assert abs(np.mean(found) - 0.04) < 5 * np.std(found) / 1000**0.5
    y = torch.tensor([0] * 6 + [1] * 4)
    np.testing.assert_allclose(calibration(z, y, bins=1).debiased_square, 0.01 - 0.24 / 9)
    s = (0.6 * 0.4 / 10) ** 0.5
    draws = np.abs(rng.normal(0.1, s, 400_000))
    assert abs(calibration(z, y, bins=1).debiased - (0.2 - draws.mean())) < 5 * s / 400_000**0.5


def test_classwise_against_one_class_at_a_time():
    z, y = drawn(2)
    p = z.softmax(1)
    alone = [
        float(binary_calibration_error(p[:, k].contiguous(), (y == k).long(), n_bins=15))
        for k in range(4)
    ]
    got = classwise(z, y)
    np.testing.assert_allclose(got.per_class, alone, atol=1e-6)
    np.testing.assert_allclose(got.ece, np.mean(alone), atol=1e-6)
    np.testing.assert_allclose(got.brier, calibration(z, y).brier, rtol=1e-12)
    np.testing.assert_allclose(
        got.reliability - got.resolution + got.uncertainty + got.within, got.brier, rtol=1e-12
    )


def test_brier_parts_of_forecasts_on_few_values():
    """With one value per bin the part within bins is 0, and the others are Murphy's."""
    p = torch.tensor([[0.9, 0.1]] * 10 + [[0.3, 0.7]] * 10, dtype=torch.float64)
    y = torch.tensor([0] * 8 + [1] * 2 + [0] * 5 + [1] * 5)
    got = classwise(p.log(), y, bins=10)
    assert got.reliability == pytest.approx(0.1**2 + 0.2**2)  # halves, twice for two classes
    assert got.resolution == pytest.approx(2 * 0.15**2)
    assert got.uncertainty == pytest.approx(2 * 0.65 * 0.35)
    assert got.within == pytest.approx(0, abs=1e-12)


def reflected(sigma, c, r, t):
    """The mean residual smoothed by a Gaussian and its mirror images, summed one by one."""
    total = np.zeros_like(t)
    for shift in range(-4, 5):
        for image in (2 * shift + c, 2 * shift - c):
            total += (r * norm.pdf(t[:, None], image, sigma)).sum(1)
    return total / len(c)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_smooth_ece_is_its_own_width(temperature):
    z, y = drawn(3, n=200, temperature=temperature)
    got = smooth_ece(z, y)
    confidence, predicted = z.softmax(1).max(1)
    c, r = confidence.numpy(), (predicted == y).double().numpy() - confidence.numpy()
    t = (np.arange(5000) + 0.5) / 5000
    assert abs(np.abs(reflected(got, c, r, t)).mean() - got) < 2e-6


def test_smooth_ece_moves_little_when_confidences_do():
    """The binned ECE jumps by a half at 1/2 ± tiny; the smooth one does not."""
    y = torch.tensor([0, 1] * 50)
    tip = torch.tensor([1e-6, -1e-6] * 50, dtype=torch.float64)
    right, wrong = (torch.stack((s * tip, -s * tip), 1) for s in (1.0, -1.0))
    jump = abs(calibration(right, y).ece - calibration(wrong, y).ece)
    assert jump < 1e-5  # of the top class both are off by a half, in other directions
    assert calibration_of_positive(tip, y, bins=2).ece == pytest.approx(0.5, abs=1e-5)
    calibrated = torch.zeros(100, 2, dtype=torch.float64)
    assert abs(smooth_ece(right, y) - 0.5) < 0.2 < calibration(calibrated, y).ece + 0.3


def test_one_logit_has_two_conventions():
    rng = np.random.default_rng(4)
    z = torch.from_numpy(2 * rng.standard_normal(500))
    y = torch.from_numpy((rng.random(500) < (0.5 * z).sigmoid().numpy()).astype(int))
    p = z.sigmoid()
    positive, predicted = calibration_of_positive(z, y), calibration_of_prediction(z, y)
    oracle = binary_calibration_error(p, y, n_bins=15, norm="l1")
    assert abs(positive.ece - float(oracle)) < 1e-6
    frequency, mean = calibration_curve(y, p, n_bins=15)
    bins = [b for b in positive.bins if b.count]
    np.testing.assert_allclose([b.accuracy for b in bins], frequency)
    np.testing.assert_allclose([b.confidence for b in bins], mean)
    both = calibration(torch.stack((torch.zeros(500), z), 1), y)
    np.testing.assert_allclose(predicted.ece, both.ece, atol=1e-12)
    np.testing.assert_allclose(predicted.nll, log_loss(y, p), rtol=1e-9)
    np.testing.assert_allclose(positive.nll, predicted.nll)
    np.testing.assert_allclose(positive.brier, 2 * brier_score_loss(y, p), rtol=1e-9)


def test_conventions_differ_where_errors_cancel():
    """p = .4 and .6 where classes come with .3 and .5: off by .1 each, the same way."""
    z = torch.logit(torch.tensor([0.4] * 10 + [0.6] * 10, dtype=torch.float64))
    y = torch.tensor([1] * 3 + [0] * 7 + [1] * 5 + [0] * 5)
    assert calibration_of_positive(z, y, bins=5).ece == pytest.approx(0.1)
    assert calibration_of_prediction(z, y, bins=5).ece == pytest.approx(0.0, abs=1e-12)
    sure = calibration_of_positive(torch.tensor([np.inf, -np.inf]), torch.tensor([1, 0]))
    assert sure.ece == 0


def test_batches_give_the_same_record():
    z, y = drawn(5, n=1000)
    sums, other = CalibrationSums(), CalibrationSums()
    for rows in torch.arange(700).split(37):
        sums.add(z[rows], y[rows])
    other.add(z[700:], y[700:])
    sums.merge(other)
    whole, streamed = calibration(z, y), sums.result()
    for name in ("accuracy", "ece", "signed_gap", "nll", "brier", "maximum", "debiased"):
        np.testing.assert_allclose(getattr(whole, name), getattr(streamed, name), atol=1e-12)
    assert [b.count for b in whole.bins] == [b.count for b in streamed.bins]


def test_bootstrap_covers():
    """The interval of the mean NLL covers what a large sample says, about 19 times in 20."""
    measure = lambda z, y: float(torch.nn.functional.cross_entropy(z, y))
    truth = measure(*drawn(99, n=200_000))
    inside = 0
    for seed in range(40):
        z, y = drawn(seed, n=100)
        found = bootstrap(measure, z, y, rng=np.random.default_rng(seed), resamples=100)
        inside += found.low <= truth <= found.high
    assert 31 <= inside <= 40  # 38 expected; 5 sigma are 7


@pytest.mark.parametrize(("level", "deviations"), [(0.95, 1.96), (0.5, 0.674)])
def test_bootstrap_of_a_mean_is_as_wide_as_it_should_be(level, deviations):
    z, y = drawn(12, n=500)
    measure = lambda z, y: calibration(z, y).nll
    rng = np.random.default_rng(0)
    found = bootstrap(measure, z, y, rng=rng, resamples=400, level=level)
    losses = torch.nn.functional.cross_entropy(z, y, reduction="none")
    expected = 2 * deviations * float(losses.std()) / 500**0.5
    assert abs(found.high - found.low - expected) < 0.2 * expected
    assert found.low < found.value < found.high


def test_bootstrap_corrects_for_bias():
    """Resamples of calibrated predictions show a larger ECE, nearly all; the interval does not."""
    z, y = drawn(13, n=300, temperature=1.0)
    measure = lambda z, y: calibration(z, y).ece
    found = bootstrap(measure, z, y, rng=np.random.default_rng(0), resamples=200)
    again = np.random.default_rng(1).integers(300, size=(100, 300))
    resampled = [measure(z[rows], y[rows]) for rows in again]
    assert np.quantile(resampled, 0.2) > found.value
    assert found.low < found.value
    assert found.high < np.quantile(resampled, 0.9)


def test_paired_bootstrap_sees_what_two_intervals_do_not():
    z, y = drawn(6, n=300)
    worse = 1.05 * z
    rng = np.random.default_rng(0)
    measure = lambda z, y: calibration(z, y).nll
    pair = paired_bootstrap(measure, z, worse, y, rng=rng, resamples=200)
    assert pair.low > 0  # labels were drawn at half of these logits
    np.testing.assert_allclose(pair.value, measure(worse, y) - measure(z, y))
    alone = bootstrap(measure, z, y, rng=rng, resamples=200)
    assert alone.high - alone.low > 3 * (pair.high - pair.low)


def test_platt_against_scikit_learn():
    rng = np.random.default_rng(7)
    x = rng.standard_normal((300, 2))
    y = (x[:, 0] + rng.standard_normal(300) > 0.3).astype(int)
    model = LogisticRegression().fit(x[:100], y[:100])
    oracle = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid", cv=2, ensemble=False)
    z = torch.from_numpy(model.decision_function(x))
    found = fit_platt(z, torch.from_numpy(y))
    p = oracle.fit(x, y).predict_proba(x)[:, 1]
    np.testing.assert_allclose(found(z).sigmoid(), p, atol=1e-4)  # its solver stops at 1e-4


def test_everything_before_and_after_platt():
    rng = np.random.default_rng(14)
    z = torch.from_numpy(2 * rng.standard_normal(2000))
    y = torch.from_numpy((rng.random(2000) < (0.5 * z - 1).sigmoid().numpy()).astype(int))
    got = recalibrated((z[:1000], y[:1000]), (z[1000:], y[1000:]), scaling="platt")
    assert got.scaling == fit_platt(z[:1000], y[:1000])
    assert got.before == calibration_of_positive(z[1000:], y[1000:])
    assert got.before.signed_gap > 0.1  # class 1 comes less often than the logits say
    assert abs(got.after.signed_gap) < 0.05
    assert got.after.nll < got.before.nll - 0.1


def test_one_row_repeated_is_not_the_same_data():
    """A constant model gives equal logits for any data."""
    z = torch.tensor([[0.0, 2.0]], dtype=torch.float64).expand(9, 2)
    y = torch.tensor([0] * 3 + [1] * 6)
    got = recalibrated((z, y), (z, y))
    assert got.after.signed_gap == pytest.approx(0, abs=1e-9)


def test_vector_scaling_is_a_minimum_and_recovers_what_labels_were_drawn_with():
    rng = np.random.default_rng(8)
    z = torch.from_numpy(2 * rng.standard_normal((20_000, 3)))
    w, b = torch.tensor([0.5, 1.0, 1.5]), torch.tensor([0.5, -0.5, 0.0])
    p = (w * z + b).softmax(1).numpy()
    y = torch.from_numpy((p.cumsum(1) > rng.random((20_000, 1))).argmax(1))
    found = fit_vector(z, y)
    np.testing.assert_allclose(found.weight, w, atol=0.08)
    np.testing.assert_allclose(found.bias, b, atol=0.12)
    best = calibration(found(z), y).nll
    for _ in range(10):
        weight, bias = (
            tuple(np.array(v) + 1e-3 * rng.standard_normal(3)) for v in (found.weight, found.bias)
        )
        assert calibration(Scaling(weight, bias)(z), y).nll > best


def test_a_temperature_is_a_scaling():
    z, y = drawn(9, n=2000)
    got = recalibrated((z[:1000], y[:1000]), (z[1000:], y[1000:]))
    t = fit_temperature(z[:1000], y[:1000])
    assert got.scaling == Scaling((1 / t,), (0.0,))
    np.testing.assert_allclose(got.after.ece, calibration(z[1000:] / t, y[1000:]).ece, atol=1e-12)
    assert got.after.nll < got.before.nll
    assert got.after.accuracy == got.before.accuracy
    by_vector = recalibrated((z[:1000], y[:1000]), (z[1000:], y[1000:]), scaling="vector")
    assert by_vector.after.nll < got.before.nll


def test_rescaling_undoes_what_mixing_does_to_least_squares():
    """A linear f on mixed data maps θ̄x + (1-θ̄)x̄ to θ̄y + (1-θ̄)ȳ; rescaled it maps x to y."""
    model = nn.Linear(2, 1).double().requires_grad_(False)
    x = torch.randn(5, 2, dtype=torch.float64)
    centre = torch.tensor([1.0, -1.0], dtype=torch.float64)
    wrapped = Rescaled(model, Beta(0.5), centre, model(centre[None])[0])
    torch.testing.assert_close(wrapped(x), model(x))
    assert Rescaled(model, Fixed(1.0), centre, torch.zeros(1))(x).equal(model(x))


def test_coverage_of_gaussian_intervals():
    rng = np.random.default_rng(10)
    mean, sd = (
        torch.from_numpy(rng.standard_normal(20_000)),
        torch.from_numpy(rng.uniform(0.5, 2, 20_000)),
    )
    y = mean + sd * torch.from_numpy(rng.standard_normal(20_000))
    got = coverage(mean, sd, y)
    for level, covered in zip(got.levels, got.covered, strict=True):
        assert abs(covered.value - level) < 5 * (level * (1 - level) / 20_000) ** 0.5
    np.testing.assert_allclose(got.nll, -norm.logpdf(y, mean, sd).mean(), rtol=1e-12)
    np.testing.assert_allclose(got.width, np.sqrt((sd.numpy() ** 2).mean()))
    narrow = coverage(mean, sd / 2, y, levels=(0.95,))
    assert abs(narrow.covered[0].value - (2 * norm.cdf(norm.ppf(0.975) / 2) - 1)) < 0.02
    assert narrow.error > 0.2


def test_bad_input(unchecked):
    z, y = drawn(11, n=20)
    with pytest.raises(ValueError, match="seem to be probabilities.*calibration_of_prob"):
        calibration(z.softmax(1), y)
    with pytest.raises(ValueError, match="seem to be probabilities"):
        fit_temperature(z.softmax(1), y)
    with pytest.raises(ValueError, match="must lie in \\[0, 1\\] and sum to 1"):
        calibration_of_probabilities(z, y)
    with pytest.raises(ValueError, match="must lie in \\[0, 1\\] and sum to 1"):
        calibration_of_probabilities(z * np.nan, y)
    with pytest.raises(ValueError, match="need as many examples, got 20"):
        calibration(z, y, bins=21, equal="mass")
    with pytest.raises(ValueError, match="equal must be"):
        calibration(z, y, equal="size")
    with pytest.raises(ValueError, match="no examples were added"):
        CalibrationSums().result()
    with pytest.raises(ValueError, match="same bins"):
        CalibrationSums(5).merge(CalibrationSums(6))
    for one_logit in (calibration_of_positive, calibration_of_prediction):
        with pytest.raises(ValueError, match="one logit per example"):
            one_logit(z, y)
        with pytest.raises(ValueError, match=r"0\.\.1"):
            one_logit(z[:, 0], y + 2)
        with pytest.raises(ValueError, match="NaN"):
            one_logit(z[:, 0] * np.nan, y % 2)
    for measure in (classwise, smooth_ece):
        with pytest.raises(ValueError, match="NaN"):
            measure(z * np.nan, y)
    for order in (torch.arange(20), torch.arange(20).flip(0)):
        with pytest.raises(ValueError, match="validation logits are the test logits"):
            recalibrated((z, y), (z[order], y[order]))
    with pytest.raises(ValueError, match="validation logits are the test logits"):
        recalibrated((z[:, 0], y % 2), (z[:, 0].flip(0), y % 2), scaling="platt")
    with pytest.raises(ValueError, match="scaling must be"):
        recalibrated((z, y), (z + 1, y), scaling="isotonic")
    with pytest.raises(ValueError, match="examples of every class, 3 of 4"):
        fit_vector(z, 0 * y)
    with pytest.raises(ValueError, match="both classes, got 0 ones"):
        fit_platt(z[:, 0], 0 * y)
    with pytest.raises(ValueError, match="finite"):
        fit_platt(z[:, 0] * np.inf, y % 2)
    with pytest.raises(ValueError, match="resamples must be at least 100"):
        bootstrap(lambda z, y: 0.0, z, y, rng=np.random.default_rng(0), resamples=10)
    with pytest.raises(ValueError, match="as many examples"):
        paired_bootstrap(lambda z, y: 0.0, z, z[:5], y, rng=np.random.default_rng(0))
    ones = torch.ones(3)
    with pytest.raises(ValueError, match="deviation must be positive"):
        coverage(ones, 0 * ones, ones)
    with pytest.raises(ValueError, match="levels must lie"):
        coverage(ones, ones, ones, levels=(1.0,))
    with pytest.raises(ValueError, match="one shape"):
        coverage(ones, ones[:2], ones)
    with pytest.raises(ValueError, match="x_mean must be finite"):
        Rescaled(nn.Identity(), Beta(1.0), ones * np.nan, ones)


def test_separable_logits_have_no_vector_scaling():
    z = torch.eye(3, dtype=torch.float64).repeat(4, 1) * 2 - 0.5
    with pytest.warns(UserWarning, match="no minimum"):
        fit_vector(z, torch.arange(12) % 3)
