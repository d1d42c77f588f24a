"""The expansion against dense Hessians, the order of its remainder, and its gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from reference import dense
from vicinal.explanation.derivatives.choice import BACKWARD, DIFFERENCES, FORWARD
from vicinal.explanation.derivatives.second_order import engine_of
from vicinal.explanation.risk import vicinal_risk
from vicinal.explanation.terms import contributions, expand, taylor_terms, terms_of
from vicinal.maths.laws import Beta, Fixed
from vicinal.maths.losses import bernoulli, bernoullis, categorical, gaussian, gaussians, poisson

FAMILIES = [categorical, bernoulli, gaussian, poisson, bernoullis, gaussians]
ACTIVATIONS = [nn.Tanh, nn.SiLU, nn.GELU, nn.Softplus]


def network(activation, k, normalise=False):
    layers = [nn.Linear(3, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, k)]
    if normalise:
        layers.insert(1, nn.LayerNorm(8))
    return nn.Sequential(*layers).double()


def case(family, activation=nn.Tanh, normalise=False, n=6, scale=1.0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network(activation, 1 if family.scalar else 4, normalise)
        x = 0.5 + scale * torch.randn(n, 3, dtype=torch.float64)
        y = {
            "categorical": torch.randint(4, (n,)),
            "bernoulli": torch.rand(n, dtype=torch.float64),
            "gaussian": torch.randn(n, dtype=torch.float64),
            "poisson": torch.rand(n, dtype=torch.float64) * 3,
            "bernoullis": torch.rand(n, 4, dtype=torch.float64),
            "gaussians": torch.randn(n, 4, dtype=torch.float64),
        }[family.name]
    return model.requires_grad_(False), x, y


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalise", [False, True], ids=["", "layernorm"])
def test_exact_terms_equal_dense_hessians(family, activation, normalise):
    model, x, y = case(family, activation, normalise)
    law = Beta(0.5, 2)
    got = expand(model, x, y, law, family)
    reference = dense.regularisers(model, x, y, law.spread, family)
    np.testing.assert_allclose([got.r1, got.r2, got.r3], reference, rtol=1e-9)
    np.testing.assert_allclose(got.loss, family(model(x), y).mean().item())
    np.testing.assert_allclose(got.total, got.loss + got.r1 + got.r2 + got.r3)


def test_all_pairs_of_terms_average_to_the_exact_expansion():
    model, x, y = case(categorical, nn.GELU)
    law, n = Beta(1), 6
    sums = np.zeros(4)
    for shift in range(n):
        terms = taylor_terms(model, x, y, (torch.arange(n) + shift) % n, law.spread)
        sums += [term.mean().item() / n for term in terms]
    got = expand(model, x, y, law, categorical)
    np.testing.assert_allclose(sums, [got.loss, got.r1, got.r2, got.r3], rtol=1e-10)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_remainder_is_third_order(family):
    """Halve the spread of the data and the error must fall eightfold."""
    errors = []
    for scale in (0.05, 0.025, 0.0125):
        model, x, y = case(family, scale=scale)
        law = Fixed(0.7)
        exact = vicinal_risk(model, x, y, law, family).value
        errors.append(abs(exact - expand(model, x, y, law, family).total))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 2.7).all(), (errors, orders)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("only", [FORWARD, BACKWARD, DIFFERENCES])
def test_the_remainder_is_third_order_for_every_engine(family, only):
    """The same with smooth gates that all engines can follow, one engine at a time."""
    errors = []
    for scale in (0.1, 0.05, 0.025):
        model, x, y = case(family, nn.SiLU, normalise=True, scale=scale)
        engine = engine_of(model, family)
        engine.candidates[:] = [only]
        law = Fixed(0.7)
        with torch.no_grad():
            terms = terms_of(contributions(engine, x, y, None, None), law.spread)
        exact = vicinal_risk(model, x, y, law, family).value
        errors.append(abs(exact - float(sum(term.mean() for term in terms))))
        assert engine.report == only
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 2.5).all(), (errors, orders)


def test_sampled_partners_are_unbiased_with_an_honest_error():
    model, x, y = case(categorical, nn.SiLU)
    exact = expand(model, x, y, Beta(1), categorical)
    sampled = [
        expand(model, x, y, Beta(1), categorical, partners=4, rng=np.random.default_rng(k))
        for k in range(150)
    ]
    for name in ("r2", "r3", "total"):
        values = np.array([getattr(s, name) for s in sampled])
        error = values.std(ddof=1)
        assert abs(values.mean() - getattr(exact, name)) < 5 * error / 150**0.5
        claimed = np.sqrt(np.mean([s.standard_errors[name] ** 2 for s in sampled]))
        assert abs(error / claimed - 1) < 5 / np.sqrt(2 * 150)
    assert all(s.r1 == pytest.approx(exact.r1, rel=1e-12) for s in sampled)


def test_piecewise_linear_nets_have_no_third_term():
    model, x, y = case(categorical, nn.ReLU)
    got = expand(model, x, y, Beta(1), categorical)
    assert got.r3 == 0
    np.testing.assert_allclose(
        [got.r1, got.r2], dense.regularisers(model, x, y, 1 / 6, categorical)[:2], rtol=1e-9
    )


def test_convolutions_and_images():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = (
            nn.Sequential(
                nn.Conv2d(1, 3, 3, padding=1),
                nn.SiLU(),
                nn.AvgPool2d(2),
                nn.Flatten(),
                nn.Linear(12, 3),
            )
            .double()
            .requires_grad_(False)
        )
        x = torch.rand(5, 1, 4, 4, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 0, 1])
    got = expand(model, x, y, Beta(1), categorical)
    reference = dense.regularisers(model, x, y, 1 / 6, categorical)
    np.testing.assert_allclose([got.r1, got.r2, got.r3], reference, rtol=1e-9)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_terms_are_differentiable_in_the_parameters(family):
    model, x, y = case(family, nn.GELU, n=4)
    model.requires_grad_(True)
    partner = torch.tensor([1, 0, 3, 2])
    weight = model[2].weight

    def total():
        return sum(term.sum() for term in taylor_terms(model, x, y, partner, 1 / 6, family))

    (gradient,) = torch.autograd.grad(total(), weight)
    direction = torch.randn(weight.shape, dtype=torch.float64)
    step = 1e-5
    with torch.no_grad():
        weight += step * direction
        up = total().item()
        weight -= 2 * step * direction
        down = total().item()
        weight += step * direction
    by_differences = (up - down) / (2 * step)
    np.testing.assert_allclose(float((gradient * direction).sum()), by_differences, rtol=1e-7)


def test_terms_are_the_same_without_gradients():
    model, x, y = case(categorical, nn.GELU)
    model.requires_grad_(True)
    partner = torch.arange(6).flip(0)
    with torch.no_grad():
        plain = taylor_terms(model, x, y, partner, 1 / 6)
    for a, b in zip(plain, taylor_terms(model, x, y, partner, 1 / 6), strict=True):
        assert not a.requires_grad
        torch.testing.assert_close(a, b.detach())


def test_a_constant_model_adds_nothing():
    x, y = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 0, 1])
    got = expand(lambda x: x.new_zeros(len(x), 2), x, y, Beta(1), categorical)
    assert (got.r1, got.r2, got.r3) == (0, 0, 0)
    np.testing.assert_allclose(got.loss, np.log(2))


def test_identical_examples_add_nothing():
    model, *_ = case(categorical)
    x = torch.ones(3, 3, dtype=torch.float64)
    got = expand(model, x, torch.tensor([0, 1, 2]), Beta(1), categorical)
    np.testing.assert_allclose([got.r1, got.r2, got.r3], 0, atol=1e-14)


@pytest.mark.parametrize("spread", [-0.1, 0.3, float("nan")])
def test_rejects_a_spread_no_law_has(spread):
    model, x, y = case(categorical)
    with pytest.raises(ValueError, match=r"lies in \[0, 1/4\]"):
        taylor_terms(model, x, y, torch.arange(6), spread)


def test_refuses_batch_statistics():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 4
    with pytest.raises(ValueError, match=r"Call model.eval\(\)"):
        taylor_terms(model, x, y, torch.arange(6), 1 / 6)
    expand(model, x, y, Beta(1), categorical)  # measured in eval mode
    stateless = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False))
    with pytest.raises(ValueError, match="track_running_stats=True"):
        expand(stateless.double(), x, y, Beta(1), categorical)


def test_sampling_needs_a_generator_and_two_partners():
    model, x, y = case(categorical)
    with pytest.raises(ValueError, match="pass rng="):
        expand(model, x, y, Beta(1), categorical, partners=4)
    with pytest.raises(ValueError, match="at least 2"):
        expand(model, x, y, Beta(1), categorical, partners=1, rng=np.random.default_rng(0))
