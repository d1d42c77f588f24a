"""Training against attacks: closed forms of linear models, formulas by hand, what is left alone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from norms import NORMS
from vicinal.maths.losses import bernoulli, categorical, gaussian
from vicinal.mixing.apply import mix
from vicinal.mixing.choice import During, RandomChoice
from vicinal.mixing.labels import mixed_loss, vicinal_losses
from vicinal.mixing.mixup import Mixup
from vicinal.robustness.attacks.adversarial import Adversarial, InterpolatedAdversarial, bounded
from vicinal.robustness.theory.linear import linear_adversarial_loss
from vicinal.study.methods import parse_methods

METHODS = {"adversarial": Adversarial, "interpolated": InterpolatedAdversarial}
each = pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)


def rng(seed=0):
    return np.random.default_rng(seed)


def batch(n=12, d=4):
    g = torch.Generator().manual_seed(1)
    return torch.rand(n, d, generator=g, dtype=torch.float64), torch.arange(n) % 3


def network(*more):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), *more, nn.Tanh(), nn.Linear(8, 3)).double()


@pytest.mark.parametrize("norm", NORMS)
def test_the_loss_of_a_linear_model_is_its_exact_adversarial_loss(norm):
    model = nn.Linear(4, 1).double()
    x, y = batch()
    y = y % 2
    draw = Adversarial(0.3, norm=norm, bounds=None, steps=20)(x, y, rng())
    exact = linear_adversarial_loss(model, x, y, 0.3, norm=norm)
    found = vicinal_losses(model, x, y, draw, bernoulli)
    assert (found <= exact * (1 + 1e-9)).all()
    # in l2 a random start is turned towards the worst point step by step
    torch.testing.assert_close(found, exact, rtol=1e-6 if norm == "linf" else 1e-2, atol=0)


def test_interpolated_is_half_mixup_and_half_mixup_of_the_adversarial_inputs():
    model, (x, y) = network(), batch()
    draw = InterpolatedAdversarial(0.1, alpha=0.7)(x, y, rng())
    z = draw.attack.inputs(model, x, y, categorical)
    assert (z - x).abs().max() == pytest.approx(0.1)
    assert not draw.draw.share.equal(draw.adversarial.share)
    clean, moved = (
        mixed_loss(categorical, model(mix(v, d)), y, d)
        for v, d in ((x, draw.draw), (z, draw.adversarial))
    )
    torch.testing.assert_close(vicinal_losses(model, x, y, draw, categorical), (clean + moved) / 2)


def test_without_a_ball_nothing_is_attacked():
    model, (x, y) = network(), batch()
    plain = vicinal_losses(model, x, y, Adversarial(0.0)(x, y, rng()), categorical)
    assert plain.equal(categorical(model(x), y))


def test_the_gradient_is_that_at_the_adversarial_inputs():
    """By Danskin's theorem; nothing flows through the attack."""
    model, (x, y) = network(), batch()
    draw = Adversarial(0.2)(x, y, rng())
    z = draw.inputs(model, x, y, categorical)
    assert not z.requires_grad
    assert ((z >= 0) & (z <= 1) & ((z - x).abs() <= 0.2 + 1e-12)).all()
    found, expected = (
        torch.autograd.grad(loss.mean(), list(model.parameters()))
        for loss in (vicinal_losses(model, x, y, draw, categorical), categorical(model(z), y))
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@each
def test_the_attack_leaves_modes_statistics_and_random_state_alone(kind):
    """One training pass each is what BatchNorm sees, whatever the steps of the attack."""
    x, y = batch()
    seen = []
    for steps in (1, 9):
        model = network(nn.BatchNorm1d(8), nn.Dropout()).train()
        torch.manual_seed(3)
        draw = kind(0.1, steps=steps)(x, y, rng())
        before = torch.get_rng_state()
        if kind is Adversarial:
            draw.inputs(model, x, y, categorical)
            assert torch.get_rng_state().equal(before)
        vicinal_losses(model, x, y, draw, categorical).mean().backward()
        assert model.training
        assert model[2].training
        seen.append(int(model[1].num_batches_tracked))
    assert seen == [1 + (kind is InterpolatedAdversarial)] * 2


def test_it_learns_to_do_without_what_an_attack_can_turn():
    """One feature of ±1, right in 95 % of cases, and thirty weak ones within reach of the ball.

    As in Tsipras et al. (2019), arXiv:1805.12152: what helps on average is worse than useless in
    the ball, so its weight must go.
    """
    g = torch.Generator().manual_seed(0)
    y = torch.randint(2, (600,), generator=g)
    sign = (2 * y - 1).double()[:, None]
    strong = sign * torch.where(torch.rand(600, 1, generator=g) < 0.95, 1.0, -1.0)
    weak = 0.4 * sign + torch.randn(600, 30, generator=g, dtype=torch.float64)
    x = torch.cat([strong, weak], 1)
    parts = {}
    for name, strategy in (("erm", None), ("adversarial", Adversarial(0.8, bounds=None))):
        torch.manual_seed(0)
        model = nn.Linear(31, 1).double()
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        for step in range(60):
            draw = None if strategy is None else strategy(x, y, rng(step))
            optimizer.zero_grad()
            vicinal_losses(model, x, y, draw, bernoulli).mean().backward()
            optimizer.step()
        weight = model.weight.detach().abs()[0]
        parts[name] = float(weight[1:].sum() / weight.sum())
    assert parts["erm"] > 0.7
    assert parts["adversarial"] < 0.4


@each
def test_the_box_of_the_data_comes_in_wherever_the_strategy_stands(kind):
    strategy = kind()
    assert bounded(strategy, None).bounds is None
    assert bounded(During(strategy, 0.0, 0.5), (-1.0, 1.0)).strategy.bounds == (-1.0, 1.0)
    chosen = bounded(RandomChoice((None, strategy)), None)
    assert chosen.strategies[1].bounds is None
    assert bounded(Mixup(1.0), None) == Mixup(1.0)
    assert bounded(None, None) is None


def test_values_are_trained_on_as_well():
    model, (x, _) = nn.Linear(4, 1).double(), batch()
    y = torch.linspace(-1, 1, 12, dtype=torch.float64)
    draw = Adversarial(0.1, bounds=None, steps=30)(x, y, rng())
    exact = linear_adversarial_loss(model, x, y, 0.1, gaussian, norm="linf")
    found = vicinal_losses(model, x, y, draw, gaussian)
    assert (found <= exact + 1e-9).all()
    near = (found - exact).abs() < 1e-6
    assert near.double().mean() > 0.9  # steps may end on the wrong side of a prediction


def test_any_loss_per_example_will_do():
    model, (x, y) = network(), batch()
    draw = Adversarial(0.1)(x, y, rng())
    other = lambda f, y: F.cross_entropy(f, y, reduction="none")
    torch.testing.assert_close(
        vicinal_losses(model, x, y, draw, other), vicinal_losses(model, x, y, draw, categorical)
    )


def test_methods_of_the_command_line():
    found = parse_methods(["adversarial(eps=0.1)", "interpolated_adversarial(steps=3, stop=0.5)"])
    assert list(found) == [
        "adversarial(eps=0.1, steps=7)",
        "interpolated_adversarial(eps=0.05, steps=3, alpha=1, stop=0.5)",
    ]
    assert found["adversarial(eps=0.1, steps=7)"] == Adversarial(0.1)


@each
def test_bad_input(kind, unchecked):
    x, y = batch()
    for steps in (0, 2.5, float("nan")):
        with pytest.raises(ValueError, match="steps must be a whole number"):
            kind(0.1, steps=steps)
    for eps in (8, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"is not in \[0, 1\]"):
            kind(eps)(x, y, rng())
    with pytest.raises(ValueError, match="leave the bounds"):
        kind(0.1)(x + 1, y, rng())
    with pytest.raises(ValueError, match="alpha must be positive"):
        InterpolatedAdversarial(alpha=0.0)
