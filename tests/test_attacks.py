"""Attacks against closed forms for linear models, brute force, and the laws of balls and boxes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vicinal.attacks.ball import ball
from vicinal.attacks.fgsm import fgsm
from vicinal.attacks.pgd import pgd
from vicinal.losses import bernoulli, categorical, gaussian

ATTACKS = {"fgsm": fgsm, "pgd": pgd}
each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def network(k=3, d=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(d, 16), nn.Tanh(), nn.Linear(16, k)).double()


def length(delta, norm):
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


@each_attack
@pytest.mark.parametrize("norm", ["linf", "l2"])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), eps=st.floats(0, 1), width=st.floats(0.1, 3))
def test_stays_in_the_ball_and_the_box_and_leaves_x_alone(attack, norm, seed, eps, width):
    g = torch.Generator().manual_seed(seed)
    low = -torch.rand(4, generator=g, dtype=torch.float64)
    high = low + width
    x = low + width * torch.rand(5, 4, generator=g, dtype=torch.float64)
    x = torch.minimum(torch.maximum(x, low), high)
    before = x.clone()
    eps = eps * width
    y = torch.randint(3, (5,), generator=g)
    z = attack(network(), x, y, eps, norm=norm, bounds=(low, high))
    assert (length(z - x, norm) <= eps * (1 + 1e-9) + 1e-12).all()
    assert ((z >= low) & (z <= high)).all()
    assert x.equal(before)
    assert not z.requires_grad
    assert z.dtype == x.dtype
    if eps == 0:
        assert z.equal(x)


@each_attack
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_exact_on_linear_models(attack, norm):
    """The worst logit of θ'x + b in a ball is y-signed f - eps·‖θ‖ in the dual norm."""
    theta = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    model = lambda x: x @ theta + 0.3
    x = torch.randn(20, 3, dtype=torch.float64)
    y = torch.arange(20) % 2
    z = attack(model, x, y, 0.25, norm=norm, bounds=None, family=bernoulli)
    dual = theta.abs().sum() if norm == "linf" else theta.norm()
    expected = model(x) - (2 * y - 1) * 0.25 * dual
    torch.testing.assert_close(model(z), expected)


def test_fgsm_is_one_signed_step():
    model, x, y = network(), torch.rand(6, 4, dtype=torch.float64), torch.arange(6) % 3
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(categorical(model(leaf), y).sum(), leaf)
    expected = (x + 0.1 * gradient.sign()).clamp(0, 1)
    torch.testing.assert_close(fgsm(model, x, y, 0.1), expected)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_finds_the_maximum_of_a_smooth_loss_in_two_dimensions(norm):
    """Against a fine grid over the ball, for a regression loss without classes."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x = torch.full((1, 2), 0.5, dtype=torch.float64)
    y = torch.zeros(1, dtype=torch.float64)
    axis = torch.linspace(-0.4, 0.4, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    grid = grid[length(grid, norm) <= 0.4] + x
    with torch.no_grad():
        best = gaussian(model(grid), y.expand(len(grid))).max()
        z = pgd(model, x, y, 0.4, norm=norm, steps=60, family=gaussian)
        found = gaussian(model(z), y)
    assert found >= best - 1e-4


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_more_steps_never_find_less_than_the_start_and_classes_come_first(norm):
    model, x, y = network(), torch.rand(50, 4, dtype=torch.float64), torch.arange(50) % 3
    with torch.no_grad():
        wrong_before = ~categorical.correct(model(x), y)
        z = pgd(model, x, y, 0.05, norm=norm)
        assert (wrong_before <= ~categorical.correct(model(z), y)).all()


def test_random_starts_come_from_the_generator_alone():
    model, x, y = network(), torch.rand(6, 4, dtype=torch.float64), torch.arange(6) % 3
    a, b, c = (
        pgd(model, x, y, 0.1, norm="l2", steps=2, rng=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    assert a.equal(b)
    assert not a.equal(c)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_points_are_uniform_in_the_ball(norm):
    x = torch.zeros(40_000, 3, dtype=torch.float64)
    z = ball(x, 2.0, norm, None).random(np.random.default_rng(0))
    inside = (length(z, norm) <= 1.0).double().mean()  # half the radius: 1/8 of the volume
    assert abs(float(inside) - 1 / 8) < 5 * (7 / 64 / 40_000) ** 0.5
    assert float(length(z, norm).max()) <= 2.0 + 1e-12


def test_tiny_gradients_keep_their_direction_in_l2():
    within = ball(torch.zeros(1, 2), 1.0, "l2", None)
    gradient = torch.tensor([[3e-30, 4e-30]])
    step = within.step(torch.zeros(1, 2), gradient, 1.0)
    torch.testing.assert_close(step, torch.tensor([[0.6, 0.8]]))


@each_attack
def test_bad_input(attack, unchecked):
    model, x, y = network(), torch.rand(6, 4, dtype=torch.float64), torch.arange(6) % 3
    for eps in (8, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"is not in \[0, 1\]"):
            attack(model, x, y, eps)
    with pytest.raises(ValueError, match="6 of 6 examples leave the bounds"):
        attack(model, x + 2, y, 0.1)
    with pytest.raises(ValueError, match="low below high"):
        attack(model, x, y, 0.1, bounds=(1.0, 0.0))
    with pytest.raises(ValueError, match="norm must be one of linf, l2"):
        attack(model, x, y, 0.1, norm="l7")
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.2"):
        attack(model, x, y + 1, 0.1)
    with pytest.raises(TypeError, match="floating inputs"):
        attack(model, x.long(), y, 0.1)
    with pytest.raises(ValueError, match="use vicinal.bernoulli"):
        attack(lambda x: x.sum(1), x, y, 0.1)


def test_pgd_needs_steps():
    with pytest.raises(ValueError, match="steps must be at least 1"):
        pgd(network(), torch.rand(6, 4), torch.arange(6) % 3, 0.1, steps=0)
