"""Expectations that are infinite are refused, with the finite one beside; the others are right."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln

from vicinal import (
    Beta,
    Fixed,
    Uniform,
    bernoulli,
    gaussian,
    glm_bound,
    glm_coefficient,
    glm_complexity,
    glm_regulariser,
    hidden_bound,
    hidden_regulariser,
    poisson,
    retentive,
)
from vicinal.maths.laws import mean_larger_share

LAWS = [Beta(0.2), Beta(1.0), Uniform(), Beta(1.5), Beta(3.0), Beta(40.0), Beta(2.0, 5.0)]
THETA = torch.tensor([0.1, -0.2], dtype=torch.float64)


def inputs(n=8):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x - x.mean(0)


def risk_beyond(cut, family, law, x):
    """The mean loss of inputs divided by their own λ ~ D̃ above `cut`: trapezia in log λ."""
    f, a, b = x @ THETA, law.alpha, law.beta
    lam = torch.exp(torch.linspace(math.log(cut), math.log(0.999), 20_001, dtype=torch.float64))
    log = lambda p: (a - 1) * p.log() + (b - 1) * torch.log1p(-p) - betaln(a, b)
    density = lam * (log(lam).exp() + log(1 - lam).exp())  # λ kept with probability λ, else 1-λ
    means = torch.zeros_like(lam)
    for own in f:
        for other in f:
            mixed = own + (1 - lam) / lam * other
            means += family(mixed, torch.zeros_like(mixed)) / len(f) ** 2
    return float(torch.trapezoid(means * density * lam, lam.log()))


@pytest.mark.parametrize("law", [Beta(1.5), Beta(3.0), Beta(40.0)], ids=str)
def test_the_poisson_risk_has_no_limit_and_others_have(law):
    """What is expanded: the nearer λ comes to 0, the larger, without end, at every alpha."""
    x = inputs()
    largest = float((x @ THETA).max())
    growing = [risk_beyond(largest / e, poisson, law, x) for e in (300, 450, 600)]
    assert growing[1] > 1e20 * growing[0]
    assert growing[2] > 1e20 * growing[1]
    settled = [risk_beyond(largest / e, bernoulli, law, x) for e in (300, 600)]
    assert settled[1] == pytest.approx(settled[0], rel=1e-3)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_poisson_divided_by_its_own_weight_is_refused(law):
    x = inputs()
    with pytest.raises(ValueError, match=r"infinite for .*at every alpha.*divide='mean'"):
        glm_regulariser(THETA, x, law, poisson)
    found = glm_regulariser(THETA, x, law, poisson, divide="mean")
    assert 0 < found.value < math.inf


def test_poisson_at_a_fixed_weight_is_what_is_left_to_second_order():
    """Halve θ, and what the regulariser misses of the exact excess falls eightfold or more."""
    x, law = inputs(), Fixed(0.7)
    missed = []
    for scale in (1.0, 0.5, 0.25):
        f = scale * (x @ THETA)
        points, weights = law.tilted().nodes(2)
        mixed = [(f[:, None] + (1 - lam) / lam * f).flatten() for lam in points]
        exact = sum(w * float(m.exp().mean()) for w, m in zip(weights, mixed, strict=True))
        excess = exact - float(f.exp().mean())
        missed.append(abs(excess - glm_regulariser(scale * THETA, x, law, poisson).value))
    assert math.log2(missed[0] / missed[1]) > 2.6
    assert math.log2(missed[1] / missed[2]) > 2.8


def test_inputs_without_spread_are_never_mixed():
    x = torch.ones(4, 2, dtype=torch.float64)
    assert glm_regulariser(THETA, x, Beta(3.0), poisson).value == 0


@pytest.mark.parametrize("law", [Beta(0.2), Beta(1.0), Uniform(), Beta(1.0, 3.0), Fixed(0.0)],
                         ids=str)  # fmt: skip
def test_coefficients_without_limit_are_refused_with_the_finite_one(law):
    x = inputs()
    for call in (
        partial(glm_coefficient, law),
        partial(glm_regulariser, THETA, x, law, gaussian),
        partial(glm_regulariser, THETA, x, law, bernoulli),
        partial(hidden_regulariser, THETA, x, law),
    ):
        with pytest.raises(ValueError, match=r"is infinite for .*finite for every law"):
            call()
    with pytest.raises(ValueError, match="divide='mean'"):
        hidden_regulariser(THETA, x, law)


@given(a=st.floats(1.001, 1e6), b=st.floats(1.001, 1e6))
def test_finite_coefficients_are_inverse_moments(a, b):
    """E λ² (1-λ)⁻¹ and so on, from the moments of Beta with shifted shapes."""
    moment = lambda p, q: math.exp(betaln(a + p, b + q) - betaln(a, b))
    expected = moment(-1, 2) + moment(2, -1)
    assert glm_coefficient(Beta(a, b)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shapes", [(1e200, 1e200), (1e5, 1e300), (1e300, 1e5), (2.0, 1e308)])
def test_large_shapes_do_not_overflow(shapes):
    value = glm_coefficient(Beta(*shapes))
    larger, smaller = max(shapes), min(shapes)
    expected = 1.0 if larger == smaller else larger / (smaller - 1)
    assert value == pytest.approx(expected, rel=1e-4)


def test_a_weight_too_near_0_overflows_and_is_refused():
    with pytest.raises(ValueError, match="is infinite"):
        glm_coefficient(Fixed(1e-310))
    assert glm_coefficient(Fixed(1e-200)) == pytest.approx(1e200)


@given(a=st.floats(1e-320, 1e307), b=st.floats(1e-320, 1e307), count=st.integers(1, 12))
def test_nodes_have_the_moments_of_every_law(a, b, count):
    """Mean and, from two nodes on, second moment, at shapes as small and large as numbers go."""
    law = Beta(a, b)
    lam, weight = law.nodes(count)
    assert weight.sum() == pytest.approx(1)
    assert float(weight @ lam) == pytest.approx(a / (a + b), rel=1e-9, abs=1e-15)
    if count > 1:
        assert float(weight @ (lam * (1 - lam))) == pytest.approx(law.spread, rel=1e-6, abs=1e-14)
    tilted, share = law.tilted().nodes(count)
    assert share.sum() == pytest.approx(1)
    assert float(share @ tilted) == pytest.approx(1 - 2 * law.spread, rel=1e-9, abs=1e-12)
    assert 0.5 <= mean_larger_share(law) <= 1


def test_shapes_whose_sum_overflows_are_refused():
    with pytest.raises(ValueError, match="must be finite"):
        Beta(1.7e308, 1.7e308)


@pytest.mark.parametrize(
    "call",
    [
        lambda theta, x: glm_regulariser(theta, x, Beta(3.0), poisson, divide="mean"),
        lambda theta, x: glm_complexity(theta, x, poisson),
        lambda theta, x: hidden_regulariser(1e200 * theta, x, Beta(3.0)),
    ],
)
def test_what_overflows_is_no_number(call):
    with pytest.raises(ValueError, match="is not finite"):
        call(1e4 * THETA, inputs())


@pytest.mark.parametrize(("family", "y_bounds"), [(bernoulli, (0.0, 1.0)), (poisson, (0.0, 3.0))])
def test_bounds_that_overflow_are_refused(family, y_bounds):
    x = inputs()
    y = torch.zeros(len(x), dtype=torch.float64)
    options = {"x_bound": 5.0, "y_bounds": y_bounds, "gammas": [1e-3, 1.0, 1e6]}
    assert glm_bound(THETA, x, y, family, theta_bound=1.0, **options).value < math.inf
    with pytest.raises(ValueError, match="overflows for outputs up to .* = 5000.*narrower"):
        glm_bound(THETA, x, y, family, theta_bound=1000.0, **options)


def test_the_retentive_constant_of_rates_is_finite():
    rng = np.random.default_rng(0)
    assert 0 < retentive(inputs(40), poisson, 2.0, rng=rng, starts=4) < math.inf


@pytest.mark.usefixtures("unchecked")
def test_hidden_bounds_want_what_they_say():
    x = inputs()
    y = torch.zeros(len(x), dtype=torch.float64)
    options = {"feature_bound": 5.0, "theta_bound": 1.0, "y_bounds": (0.0, 1.0)}
    with pytest.raises(TypeError, match="gammas must be a list of numbers"):
        hidden_bound(THETA, x, y, gammas="1", **options)
    with pytest.raises(ValueError, match="held_out must hold inputs of 2 numbers"):
        hidden_bound(THETA, x, y, gammas=1.0, held_out=x[:, :1], **options)
