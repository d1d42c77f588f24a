"""Probabilities where logits belong are refused, however they were rounded."""

import numpy as np
import pytest
import torch

from vicinal import (
    calibration,
    calibration_of_positive,
    calibration_of_prediction,
    calibration_of_probabilities,
    classwise,
    fit_platt,
    fit_temperature,
    fit_vector,
    recalibrated,
    smooth_ece,
)
from vicinal.maths.probabilities import are_probabilities

DOORS = [calibration, classwise, smooth_ece, fit_temperature, fit_vector]
ROUNDINGS = {
    "float32": lambda p: p.float(),
    "float16": lambda p: p.half(),
    "bfloat16": lambda p: p.bfloat16(),
    "float16 in float32": lambda p: p.half().float(),
    "bfloat16 in float64": lambda p: p.bfloat16().double(),
    "4 digits": lambda p: p.double().mul(1e4).round().div(1e4),
    "3 digits": lambda p: p.double().mul(1e3).round().div(1e3),
    "3 digits in float32": lambda p: p.double().mul(1e3).round().div(1e3).float(),
    "2 digits": lambda p: p.double().mul(1e2).round().div(1e2),
}
ONE_LOGIT = {
    calibration_of_positive: 500,
    calibration_of_prediction: 500,
    fit_platt: 500,
}


def drawn(k, n=500, scale=3.0):
    generator = torch.Generator().manual_seed(k)
    z = scale * torch.randn(n, k, generator=generator, dtype=torch.float64)
    return z, torch.distributions.Categorical(logits=z).sample()


@pytest.mark.parametrize("rounded", ROUNDINGS.values(), ids=ROUNDINGS)
@pytest.mark.parametrize("k", [2, 10, 200])
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_rounded_probabilities_are_refused(door, k, rounded):
    z, y = drawn(k)
    y[:k] = torch.arange(k)  # vector scaling wants every class
    with pytest.raises(ValueError, match="seem to be probabilities"):
        door(rounded(z.softmax(1)), y)


@pytest.mark.parametrize("rounded", ROUNDINGS.values(), ids=ROUNDINGS)
@pytest.mark.parametrize("k", [2, 10, 200])
def test_rounded_probabilities_are_measured_where_they_belong(k, rounded):
    """The truth is that of the logits; rounding moves it by the rounding of the largest entry."""
    z, y = drawn(k)
    p = rounded(z.softmax(1))
    found, true = calibration_of_probabilities(p, y, bins=5), calibration(z, y, bins=5)
    worst = float((p.double() / p.double().sum(1, keepdim=True) - z.softmax(1)).abs().max())
    assert abs(found.signed_gap + found.accuracy - true.signed_gap - true.accuracy) <= worst
    assert abs(found.accuracy - true.accuracy) < 0.02  # ties where the largest two round alike


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("k", [2, 10])
def test_logits_are_taken_in_every_precision(kind, k):
    z, y = drawn(k, scale=1.0)
    for shifted in (z, z - z.amax(1, keepdim=True), z.abs(), z / 10):
        narrow = shifted.to(kind)
        assert not are_probabilities(narrow)
        expected = calibration(narrow.double(), y).ece
        assert calibration(narrow, y).ece == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("door", ONE_LOGIT, ids=lambda door: door.__name__)
@pytest.mark.parametrize("rounded", ROUNDINGS.values(), ids=ROUNDINGS)
def test_probabilities_of_one_class_are_refused(door, rounded):
    z, y = drawn(2)
    p = rounded(z.softmax(1)[:, 1])
    for column in (p, p[:, None]):
        with pytest.raises(ValueError, match=r"seem to be probabilities of class 1.*logit\(p\)"):
            door(column, y)
    door((z[:, 1] - z[:, 0]), y)  # logits are taken


def test_logits_of_a_model_that_is_never_sure_are_no_probabilities():
    """Six of ten are ones, and the model knows little more: its logits lie about 0.4."""
    generator = torch.Generator().manual_seed(0)
    z = (0.4 + 0.1 * torch.randn(4000, generator=generator, dtype=torch.float64)).clamp(0, 1)
    y = torch.bernoulli(z.sigmoid(), generator=generator).long()
    assert calibration_of_positive(z, y).ece < 0.05
    assert calibration_of_positive(torch.zeros(20), torch.zeros(20, dtype=torch.int64)).ece == 0.5


def test_the_remedy_for_unsure_logits_is_the_same_model():
    z, y = torch.linspace(0.1, 0.9, 9, dtype=torch.float64), (torch.arange(9) > 4).long()
    with pytest.raises(ValueError, match="-logit with 1 - y"):
        calibration_of_positive(z, y)
    other = calibration_of_positive(-z, 1 - y)
    p = z.sigmoid()
    assert other.signed_gap == pytest.approx(float((1 - p).mean() - (1.0 - y).mean()))


def test_recalibrated_refuses_them_on_either_side():
    (z, y), (other, truth) = drawn(3), drawn(3, n=200)
    for first, second in ((z.softmax(1).half(), other), (z, other.softmax(1).half())):
        with pytest.raises(ValueError, match="seem to be probabilities"):
            recalibrated((first, y), (second, truth))


def test_what_sums_to_one_only_roughly_is_no_distribution():
    rows = torch.tensor([[0.52, 0.51], [0.2, 0.79]], dtype=torch.float64)
    assert not are_probabilities(rows)  # 1.03: further than two decimals can be off
    assert not are_probabilities(torch.tensor([[0.501, 0.502], [0.2, 0.8]], dtype=torch.float64))
    assert are_probabilities(torch.tensor([[0.501, 0.5], [0.2, 0.8]], dtype=torch.float64))
    assert not are_probabilities(torch.zeros(0, 2))
    assert not are_probabilities(torch.tensor([[np.nan, 1.0]]))
