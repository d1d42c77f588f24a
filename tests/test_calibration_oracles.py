"""Other people's calibration errors: equal to 1e-6 where they are right, and where they are not.

torchmetrics is wrong for confidences of exactly 1, beyond 2²⁴ examples, and for logits that happen
to lie in [0, 1]. netcal lets the labels decide what is measured, and takes anything for
probabilities; an edge of a bin belongs to the bin above there, a choice. relplot, by the authors
of the smooth ECE, cuts its kernel off at ±1/2, which is seen at widths above 0.1. netcal brings 22
packages and 160 MB with it (a plotting library, a probabilistic language, a web server), too much
for a test, and relplot the plotting libraries: these parts run where someone has installed them, as
with ``pip install netcal==1.4.0 relplot==1.0.3``.
"""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

from vicinal.calibration import (
    CalibrationSums,
    calibration,
    calibration_of_positive,
    calibration_of_prediction,
    calibration_of_probabilities,
    coverage,
    fit_temperature,
    smooth_ece,
)


def drawn(seed=0, n=400, classes=4):
    """Logits, and labels drawn at twice their temperature: miscalibrated on purpose."""
    rng = np.random.default_rng(seed)
    z = torch.from_numpy(1.5 * rng.standard_normal((n, classes)))
    p = (z / 2).softmax(1).numpy()
    return z, torch.from_numpy((p.cumsum(1) > rng.random((n, 1))).argmax(1))


@pytest.mark.parametrize(("norm_", "field"), [("l1", "ece"), ("max", "maximum")])
@pytest.mark.parametrize("bins", [5, 15])
def test_against_torchmetrics(norm_, field, bins):
    z, y = drawn()
    oracle = multiclass_calibration_error(z.softmax(1), y, 4, n_bins=bins, norm=norm_)
    assert abs(getattr(calibration(z, y, bins=bins), field) - float(oracle)) < 1e-6


def test_torchmetrics_opens_one_more_bin():
    """A confidence of 1 stands in a bin of its own there: |.95-1|/2 + |1-0|/2 for |.975-.5|."""
    p = torch.tensor([[0.95, 0.05], [0.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([0, 0])
    assert float(multiclass_calibration_error(p, y, 2, n_bins=10)) == pytest.approx(0.525)
    assert calibration_of_probabilities(p, y, bins=10).ece == pytest.approx(0.475)


def test_torchmetrics_takes_logits_in_the_unit_interval_for_probabilities():
    z = torch.rand(1000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(1000) % 4
    right = float(multiclass_calibration_error(z.softmax(1), y, 4))
    assert calibration(z, y).ece == pytest.approx(right, abs=1e-6)
    assert float(multiclass_calibration_error(z, y, 4)) > right + 0.2


def test_torchmetrics_stops_counting_at_two_to_the_24():
    """Sure predictions, one in ten wrong. The ECE is 0.1, and 0 there."""
    n = 20_000_000
    sure, right = torch.ones(n), torch.arange(n, dtype=torch.int32) % 10 != 0
    found = binary_calibration_error(sure, right.int(), n_bins=10, validate_args=False)
    assert float(found) == 0.0
    sums = CalibrationSums(bins=10)
    for part in right.split(10**6):
        sums.count(torch.ones(len(part), dtype=torch.float64), part)
    assert sums.result().ece == pytest.approx(0.1, abs=1e-12)
    assert sums.result().examples == n


@pytest.fixture(scope="module")
def netcal():
    """The library, which warns of what it imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.filters", [])
        return pytest.importorskip("netcal.metrics")


@pytest.mark.parametrize("bins", [5, 15])
def test_against_netcal(netcal, bins):
    z, y = drawn()
    p, labels = z.softmax(1).numpy(), y.numpy()
    found = calibration(z, y, bins=bins)
    assert netcal.ECE(bins).measure(p, labels) == pytest.approx(found.ece, abs=1e-6)
    assert netcal.MCE(bins).measure(p, labels) == pytest.approx(found.maximum, abs=1e-6)
    of_mass = netcal.ECE(bins, equal_intervals=False).measure(p, labels)
    expected = calibration(z, y, bins=bins, equal="mass").ece
    assert of_mass == pytest.approx(expected, abs=1e-6)


def test_one_logit_against_netcal(netcal):
    z, y = drawn(1, classes=2)
    logit = z[:, 1] - z[:, 0]
    found = netcal.ECE(15).measure(logit.sigmoid().numpy(), y.numpy())
    assert found == pytest.approx(calibration_of_positive(logit, y).ece, abs=1e-6)


def test_coverage_against_netcal(netcal):
    rng = np.random.default_rng(2)
    mean, deviation = rng.standard_normal(2000), rng.uniform(0.5, 2, 2000)
    y = mean + 1.2 * deviation * rng.standard_normal(2000)
    found = coverage(*(torch.from_numpy(v) for v in (mean, deviation, y)))
    oracle = netcal.PICP().measure((mean, deviation), y, list(found.levels), reduction="none")
    np.testing.assert_allclose([c.value for c in found.covered], oracle.picp.ravel(), atol=1e-12)
    nll = netcal.NLL().measure((mean, deviation), y)
    assert found.nll == pytest.approx(float(nll[0]), abs=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own
def test_temperature_against_netcal(netcal):
    from netcal.scaling import TemperatureScaling

    z, y = drawn(3)
    p = z.softmax(1).numpy()
    oracle = TemperatureScaling()
    oracle.fit(p, y.numpy())
    ours = (z / fit_temperature(z, y)).softmax(1).numpy()
    np.testing.assert_allclose(oracle.transform(p), ours, atol=1e-5)  # it stops early


def test_netcal_lets_the_labels_decide_what_is_measured(netcal):
    """Two columns are read as one positive class; four columns of which two occur are refused."""
    z, y = drawn(1, classes=2)
    logit = z[:, 1] - z[:, 0]
    found = netcal.ECE(15).measure(z.softmax(1).numpy(), y.numpy())
    assert found == pytest.approx(calibration_of_positive(logit, y).ece, abs=1e-6)
    assert abs(found - calibration_of_prediction(logit, y).ece) > 1e-3
    z, y = drawn(4, n=10)
    with pytest.raises(RuntimeError, match="Asserted binary"):
        netcal.ECE(15).measure(z.softmax(1).numpy(), (y % 2).numpy())
    assert calibration(z, y % 2).examples == 10


def test_netcal_takes_anything_for_probabilities(netcal):
    z, y = drawn(5)
    p = z.softmax(1).numpy()
    p[0] = np.nan
    for wrong, labels in ((z.numpy(), y), (p, y), (z.softmax(1).numpy(), y + 3)):
        assert np.isfinite(netcal.ECE(15).measure(wrong, labels.numpy()))
        with pytest.raises(ValueError, match=r"must lie in"):
            calibration_of_probabilities(torch.from_numpy(wrong), labels)


def test_netcal_puts_edges_into_the_bin_above(netcal):
    p = np.array([[0.5, 0.3, 0.2], [0.75, 0.15, 0.1], [0.1, 0.2, 0.7]])
    y = np.array([0, 1, 2])
    ours = calibration_of_probabilities(torch.from_numpy(p), torch.from_numpy(y), bins=4)
    assert ours.ece == pytest.approx((0.5 + abs(0.75 + 0.7 - 1)) / 3)
    above = (abs(0.5 + 0.7 - 2) + 0.75) / 3
    assert netcal.ECE(4).measure(p, y) == pytest.approx(above)


@pytest.fixture(scope="module")
def relplot():
    """The authors' code, on a grid fine enough to be compared to 1e-5."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.filters", [])
        found = pytest.importorskip("relplot.metrics")
        patch.setattr(found.config, "smECE_mesh_pts", 20_000)
        patch.setattr(found.config, "use_logit_scaling", False)
        yield found


def confidences(z, y):
    confidence, predicted = z.softmax(1).max(1)
    return confidence.numpy(), (predicted == y).double().numpy()


@pytest.mark.parametrize("scale", [0.5, 0.6, 0.8])
def test_smooth_ece_against_its_authors(relplot, scale):
    z, y = drawn(6)
    z = scale * z  # labels were drawn at half of z: the error falls with the scale
    c, right = confidences(z, y)
    ours = smooth_ece(z, y)
    assert relplot.smECE_sigma(c, right, ours) == pytest.approx(ours, abs=1e-5)
    assert relplot.smECE(c, right) == pytest.approx(ours, abs=1e-3)  # its search ends at 1/1024


def test_relplot_cuts_its_kernel_off(relplot):
    z, y = drawn(3)
    c, right = confidences(z, y)
    ours = smooth_ece(z, y)
    assert ours > 0.1
    t = (np.arange(5000) + 0.5) / 5000
    whole = np.zeros_like(t)
    for shift in range(-4, 5):
        for image in (2 * shift + c, 2 * shift - c):
            far = (t[:, None] - image) / ours
            whole += np.exp(-(far**2) / 2) @ (right - c) / (len(c) * ours * np.sqrt(2 * np.pi))
    assert np.abs(whole).mean() == pytest.approx(ours, abs=2e-6)
    assert abs(relplot.smECE_sigma(c, right, ours) - ours) > 1e-4
