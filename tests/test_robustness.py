"""Accuracy curves against the closed form of a linear model."""

import pytest
import torch

from norms import NORMS, dual
from vicinal.maths.losses import bernoulli, gaussian
from vicinal.robustness import accuracy_curve

THETA = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def linear(x):
    return x @ THETA


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
@pytest.mark.parametrize("norm", NORMS)
def test_curve_of_a_linear_model_is_the_distribution_of_its_margins(attack, norm):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, generator=g, dtype=torch.float64)
    y = (linear(x) + 0.3 * torch.randn(200, generator=g, dtype=torch.float64) > 0).long()
    margins = (2 * y - 1) * linear(x) / dual(THETA, norm)
    epsilons = [0.5, 0.0, 0.1]
    curve = accuracy_curve(
        linear, x, y, epsilons, attack=attack, norm=norm, bounds=None, family=bernoulli
    )
    assert [point.eps for point in curve.points] == sorted(epsilons)
    for point in curve.points:
        assert point.accuracy == pytest.approx(float((margins > point.eps).double().mean()))
        assert point.low < point.accuracy < point.high
    assert curve.examples == 200


def test_the_curve_never_rises_for_a_model_that_is_weaker_close_by():
    # a ridge of wrong answers between 0.1 and 0.2: steps of 0.3 jump over it
    model = lambda x: torch.stack([0 * x[:, 0], 2 - 4 * ((x[:, 0] - 0.15).abs() < 0.05)], 1)
    x, y = torch.zeros(4, 1, dtype=torch.float64), torch.ones(4, dtype=torch.long)
    curve = accuracy_curve(
        lambda x: model(x) + 1e-3 * torch.cat([x, -x], 1),
        x,
        y,
        [0.0, 0.15, 0.3],
        attack="fgsm",
        bounds=(-1.0, 1.0),
    )
    assert [point.accuracy for point in curve.points] == [1.0, 0.0, 0.0]


def test_bad_input(unchecked):
    x, y = torch.zeros(2, 3, dtype=torch.float64), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="one radius or more"):
        accuracy_curve(linear, x, y, [], family=bernoulli)
    with pytest.raises(ValueError, match="'fgsm' or 'pgd'"):
        accuracy_curve(linear, x, y, [0.1], attack="magic", family=bernoulli)
    with pytest.raises(TypeError, match="no correct class"):
        accuracy_curve(linear, x, y.double(), [0.1], family=gaussian)
