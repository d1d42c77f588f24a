"""The mixup loss against a double sum with adaptive quadrature."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from reference import dense
from vicinal.laws import Beta, Fixed, Uniform
from vicinal.losses import bernoulli, categorical, gaussian, poisson
from vicinal.risk import _unordered, vicinal_risk

FAMILIES = [categorical, bernoulli, gaussian, poisson]


def case(family, n=5, d=3, hidden=8, activation=nn.Tanh):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        k = 4 if family is categorical else 1
        x = torch.randn(n, d, dtype=torch.float64)
        model = nn.Sequential(nn.Linear(d, hidden), activation(), nn.Linear(hidden, k)).double()
        y = {
            "categorical": torch.randint(4, (n,)),
            "bernoulli": torch.randint(2, (n,)),
            "gaussian": torch.randn(n, dtype=torch.float64),
            "poisson": torch.rand(n, dtype=torch.float64) * 3,
        }[family.name]
    return model.requires_grad_(False), x, y


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("shapes", [(1.0, 1.0), (2.0, 5.0)])
def test_all_pairs_equal_the_double_sum_and_the_tilted_form(family, shapes):
    model, x, y = case(family)
    density = stats.beta(*shapes).pdf
    risk = vicinal_risk(model, x, y, Beta(*shapes), family)
    assert risk.standard_error == 0
    reference = dense.mixup_loss(model, x, y, density, family)
    np.testing.assert_allclose(risk.value, reference, rtol=1e-7)
    np.testing.assert_allclose(
        dense.tilted_loss(model, x, y, density, family), reference, rtol=1e-7
    )


def test_fixed_lam_is_a_plain_double_sum():
    model, x, y = case(categorical)
    onehot = nn.functional.one_hot(y, 4).double()
    total = 0.0
    for i in range(5):
        for j in range(5):
            mixed = 0.3 * x[i] + 0.7 * x[j]
            label = 0.3 * onehot[i] + 0.7 * onehot[j]
            total += float(categorical(model(mixed[None]), label[None]))
    risk = vicinal_risk(model, x, y, Fixed(0.3), categorical)
    np.testing.assert_allclose(risk.value, total / 25, rtol=1e-12)
    assert risk.quadrature_error == 0


def test_uniform_is_beta_one_and_order_of_shapes_does_not_matter():
    model, x, y = case(bernoulli)
    a = vicinal_risk(model, x, y, Uniform(), bernoulli).value
    np.testing.assert_allclose(a, vicinal_risk(model, x, y, Beta(1), bernoulli).value, rtol=1e-12)
    b, c = (vicinal_risk(model, x, y, Beta(*s), bernoulli).value for s in ((0.4, 2), (2, 0.4)))
    np.testing.assert_allclose(b, c, rtol=1e-10)


@pytest.mark.parametrize("law", [Beta(0.2), Beta(0.5, 2), Fixed(0.4)], ids=repr)
def test_sampled_pairs_agree_within_five_standard_errors(law):
    model, x, y = case(categorical)
    exact = vicinal_risk(model, x, y, law, categorical).value
    estimate = vicinal_risk(
        model, x, y, law, categorical, pairs=20_000, rng=np.random.default_rng(0)
    )
    assert 0 < estimate.standard_error < 0.02
    assert abs(estimate.value - exact) < 5 * estimate.standard_error


def test_standard_error_is_the_spread_of_repeated_estimates():
    model, x, y = case(categorical)
    estimates = [
        vicinal_risk(model, x, y, Beta(1), categorical, pairs=200, rng=np.random.default_rng(k))
        for k in range(200)
    ]
    spread = np.std([e.value for e in estimates], ddof=1)
    claimed = np.mean([e.standard_error for e in estimates])
    assert abs(spread / claimed - 1) < 5 / np.sqrt(2 * 200)


def test_kinks_are_told_by_the_quadrature_error():
    model, x, y = case(categorical, activation=nn.ReLU)
    smooth, *_ = case(categorical)
    assert vicinal_risk(smooth, x, y, Beta(1), categorical).quadrature_error < 1e-6
    risk = vicinal_risk(model, x, y, Beta(1), categorical)
    grid = (np.arange(4000) + 0.5) / 4000  # the midpoint rule does not mind kinks
    reference = np.mean([vicinal_risk(model, x, y, Fixed(g), categorical).value for g in grid])
    assert 1e-8 < abs(risk.value - reference) < 10 * risk.quadrature_error


@pytest.mark.parametrize("n", [2, 3, 7, 50])
def test_pairs_are_enumerated_once(n):
    i, j = _unordered(torch.arange(n * (n - 1) // 2), n)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [
        (a, b) for a in range(n) for b in range(a + 1, n)
    ]


def test_pairs_are_right_for_many_examples():
    n = 200_003
    last = n * (n - 1) // 2 - 1
    i, j = _unordered(torch.tensor([0, n - 2, n - 1, last - 1, last]), n)
    assert i.tolist() == [0, 0, 1, n - 3, n - 2]
    assert j.tolist() == [1, n - 1, 2, n - 1, n - 1]


def test_bad_input():
    model, x, y = case(categorical)
    with pytest.raises(ValueError, match="pass rng="):
        vicinal_risk(model, x, y, Beta(1), categorical, pairs=10)
    with pytest.raises(ValueError, match="at least 2"):
        vicinal_risk(model, x, y, Beta(1), categorical, pairs=1, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.3"):
        vicinal_risk(model, x, y + 3, Beta(1), categorical)
