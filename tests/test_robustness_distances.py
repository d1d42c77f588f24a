"""Curves from minimal distortions against closed forms; paired differences by enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from norms import NORMS, dual
from vicinal.maths.losses import bernoulli, gaussian
from vicinal.robustness.distances import minimal_distances, paired_accuracy

THETA = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
EPSILONS = [0.5, 0.0, 0.1, 0.2]


def linear(x):
    return x @ THETA


@pytest.mark.parametrize("norm", NORMS)
def test_curve_of_a_linear_model_is_the_distribution_of_its_margins(norm):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(300, 3, generator=g, dtype=torch.float64)
    y = (linear(x) + 0.3 * torch.randn(300, generator=g, dtype=torch.float64) > 0).long()
    margins = ((2 * y - 1) * linear(x) / dual(THETA, norm)).clamp(min=0)
    found = minimal_distances(
        linear, x, y, norm=norm, bounds=None, family=bernoulli, check_at=[0.1, 0.4]
    )
    torch.testing.assert_close(found.values, margins, rtol=1e-3, atol=1e-9)
    curve = found.curve(EPSILONS)
    assert [point.eps for point in curve.points] == sorted(EPSILONS)
    for point in curve.points:
        assert point.accuracy == pytest.approx(float((margins > point.eps).double().mean()))
        assert point.low <= point.accuracy <= point.high
    assert [check.broken for check in found.checks] == [0, 0]
    assert found.checks[0].tried == int((margins > 0.1).sum())
    assert found.mean == pytest.approx(float(margins.mean()), rel=1e-3)
    assert found.reached == 1.0
    quantiles = found.quantiles([0.25, 0.5])
    for level, value in quantiles.items():
        assert value == pytest.approx(
            float(np.quantile(margins, level, method="inverted_cdf")), 1e-3
        )


def test_a_check_by_apgd_corrects_the_curve(monkeypatch):
    """A search that finds nothing is found out and replaced."""
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (linear(x) > 0).long()
    monkeypatch.setattr("vicinal.robustness.attacks.fab.STEPS", 1)
    monkeypatch.setattr("vicinal.robustness.attacks.fmn.STEPS", 1)
    model = lambda x: linear(x).detach() + 0 * x.sum(1) if blind[0] else linear(x)
    blind = [True]
    with pytest.warns(UserWarning, match="gradient is exactly 0"):
        found = minimal_distances(model, x, y, bounds=None, family=bernoulli)
    assert not found.gradients
    assert found.reached == 0.0
    assert found.mean == math.inf

    def sees(f, part, aim, steps, loss, rng):
        blind[0] = False
        result = attack(f, part, aim, steps, loss, rng)
        blind[0] = True
        return result

    from vicinal.robustness.attacks import apgd

    attack = apgd.attack
    monkeypatch.setattr("vicinal.robustness.attacks.apgd.attack", sees)
    with pytest.warns(UserWarning, match="gradient is exactly 0"):
        found = minimal_distances(model, x, y, bounds=None, family=bernoulli, check_at=[0.2])
    margins = linear(x).abs() / THETA.abs().sum()
    assert found.checks[0].tried == 30
    assert found.checks[0].broken == int((margins < 0.2).sum()) > 0
    assert ((found.values <= 0.2) == (margins < 0.2)).all()
    rates = [p.accuracy for p in found.curve([0.0, 0.05, 0.1, 0.2, 0.3]).points]
    assert rates == sorted(rates, reverse=True)


def test_values_have_curves_too():
    x = torch.randn(20, 3, dtype=torch.float64)
    y = linear(x) + torch.linspace(-2, 2, 20, dtype=torch.float64)
    found = minimal_distances(linear, x, y, bounds=None, family=gaussian, tolerance=1.0)
    expected = ((1 - (linear(x) - y).abs()) / THETA.abs().sum()).clamp(min=0)
    torch.testing.assert_close(found.values, expected, rtol=1e-3, atol=1e-9)


def test_paired_difference_by_enumeration():
    """The interval covers the true difference as often as it says, over all outcomes."""
    both, only_a, only_b, none = 0.5, 0.25, 0.1, 0.15
    n, covered = 12, 0.0
    for k in itertools.product(range(n + 1), repeat=3):
        if sum(k) > n:
            continue
        a, b, c = k
        d = n - sum(k)
        ways = math.factorial(n) / math.prod(map(math.factorial, (a, b, c, d)))
        chance = ways * both**a * only_a**b * only_b**c * none**d
        first = torch.tensor([True] * (a + b) + [False] * (c + d))
        second = torch.tensor([True] * a + [False] * b + [True] * c + [False] * d)
        found = paired_accuracy(first, second)
        assert found.difference == pytest.approx((b - c) / n)
        assert -1 <= found.low <= found.difference <= found.high <= 1
        covered += chance * (found.low <= only_a - only_b <= found.high)
    assert 0.93 < covered < 0.99


def test_paired_words():
    right, wrong = torch.ones(50, dtype=torch.bool), torch.zeros(50, dtype=torch.bool)
    assert paired_accuracy(right, wrong).words == "higher"
    assert paired_accuracy(wrong, right).words == "lower"
    assert paired_accuracy(right, right).words == "no difference shown"
    assert paired_accuracy(right, wrong).only_first == 50


def test_bad_input(unchecked):
    x, y = torch.zeros(2, 3, dtype=torch.float64), torch.tensor([0, 1])
    find = lambda **more: minimal_distances(
        nn.Linear(3, 1).double(), x, y, family=bernoulli, **more
    )
    for eps in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="check_at must hold positive radii"):
            find(check_at=[eps])
    found = find()
    with pytest.raises(ValueError, match="epsilons must hold radii"):
        found.curve([])
    with pytest.raises(ValueError, match="epsilons must hold radii"):
        found.curve([-0.1])
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        found.quantiles([2.0])
    with pytest.raises(ValueError, match="boolean tensors"):
        paired_accuracy(y, y)
    with pytest.raises(ValueError, match="at least one example"):
        paired_accuracy(torch.zeros(0, dtype=torch.bool), torch.zeros(0, dtype=torch.bool))
