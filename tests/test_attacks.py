"""Attacks against closed forms for linear models, brute force, and the laws of balls and boxes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from norms import NORMS, dual, length
from vicinal.maths.losses import bernoulli, categorical, gaussian, poisson
from vicinal.robustness.attacks.apgd import apgd
from vicinal.robustness.attacks.ball import ball
from vicinal.robustness.attacks.climb import checkpoints
from vicinal.robustness.attacks.fgsm import fgsm
from vicinal.robustness.attacks.noise import noise
from vicinal.robustness.attacks.pgd import pgd
from vicinal.robustness.attacks.square import square
from vicinal.robustness.attacks.transfer import transfer


@pytest.fixture(autouse=True)
def _same_numbers():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def fixed(attack, **options):
    """The attack with its random numbers drawn from seed 0."""
    return lambda *args, **more: attack(*args, rng=np.random.default_rng(0), **options, **more)


def from_itself(model, *args, **more):
    return transfer(model, model, *args, **more)


ASCENTS = {"fgsm": fgsm, "pgd": pgd}  # to the highest loss, whether broken or not
STOPPING = {  # broken examples leave
    "apgd": apgd,
    "apgd dlr": fixed(apgd, loss="dlr", steps=20),
    "apgd targeted": fixed(apgd, loss="targeted", steps=20, restarts=2),
    "noise": fixed(noise),
    "square": fixed(square, queries=60),
    "transfer": from_itself,
}
ATTACKS = ASCENTS | STOPPING
each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def network(k=3, d=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(d, 16), nn.Tanh(), nn.Linear(16, k)).double()


@each_attack
@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=10)
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


@pytest.mark.parametrize("attack", ASCENTS.values(), ids=ASCENTS)
@pytest.mark.parametrize("norm", NORMS)
def test_exact_on_linear_models(attack, norm):
    """The worst logit of θ'x + b in a ball is y-signed f - eps·‖θ‖ in the dual norm."""
    theta = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    model = lambda x: x @ theta + 0.3
    x = torch.randn(20, 3, dtype=torch.float64)
    y = torch.arange(20) % 2
    z = attack(model, x, y, 0.25, norm=norm, bounds=None, family=bernoulli)
    expected = model(x) - (2 * y - 1) * 0.25 * dual(theta, norm)
    torch.testing.assert_close(model(z), expected)


@pytest.mark.parametrize("loss", ["family", "dlr", "targeted"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_apgd_breaks_exactly_what_can_be_broken_in_linear_models(loss, norm, k):
    """A class t is reached within eps if f_t - f_y + eps·‖θ_t - θ_y‖ (dual norm) is positive."""
    g = torch.Generator().manual_seed(k)
    weight = torch.randn(4, k, generator=g, dtype=torch.float64)
    x = torch.randn(60, 4, generator=g, dtype=torch.float64)
    model = lambda x: x @ weight
    family = bernoulli if k == 1 else categorical
    f = model(x)
    y = torch.randint(max(k, 2), (60,), generator=g)
    full = torch.cat([torch.zeros_like(f), f], 1) if k == 1 else f
    wide = torch.cat([torch.zeros_like(weight), weight], 1) if k == 1 else weight
    differences = wide[:, None] - wide[:, :, None]  # d, y, t
    most = torch.stack([dual(d, norm) for d in differences.flatten(1).T]).reshape(
        differences.shape[1:]
    )
    reach = full - full.gather(1, y[:, None]) + 0.2 * most[y]
    reach[torch.arange(60), y] = -1.0
    z = apgd(model, x, y, 0.2, norm=norm, bounds=None, family=family, loss=loss)
    broken = ~family.correct(model(z), y)
    sure = reach.amax(1).abs() > 1e-3
    possible = reach.amax(1) > 0
    assert not (broken & ~possible)[sure].any()
    if loss == "family":  # which follows the sum of the other classes, not the nearest
        assert (broken == possible)[sure].double().mean() > 0.95
    else:
        assert broken[sure].equal(possible[sure])


def test_apgd_halves_its_steps_at_a_narrow_peak():
    """The peak is inside the ball, where steps of 2·eps only jump from end to end."""
    model = lambda x: -((x[:, 0] - 0.3) ** 2)
    x, y = torch.zeros(1, 1, dtype=torch.float64), torch.full((1,), -10.0, dtype=torch.float64)
    z = apgd(model, x, y, 1.0, bounds=None, family=gaussian)
    assert abs(float(z) - 0.3) < 1e-2


def test_checkpoints_are_those_of_the_paper():
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(4,), (2, 6, 6)])
def test_square_needs_no_gradients(norm, shape):
    """On a linear model without gradients it comes near to the closed form."""
    d = int(np.prod(shape))
    theta = torch.randn(d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = lambda x: x.detach().flatten(1) @ theta
    x = torch.zeros(20, *shape, dtype=torch.float64)
    y = torch.ones(20, dtype=torch.long)
    most = float(dual(theta, norm))
    away = lambda share: lambda z: model(z) + share * most
    for share, queries, breaks in ((0.5, 800, True), (1.01, 50, False)):
        rng = np.random.default_rng(0)
        options = {"norm": norm, "bounds": None, "family": bernoulli, "queries": queries}
        z = square(away(share), x, y, 1.0, rng=rng, **options)
        assert ((away(share)(z) <= 0) == breaks).all()


@pytest.mark.parametrize("norm", NORMS)
@each_attack
def test_eps_per_feature(attack, norm):
    """A feature of eps 0 stays, and the others reach no further than the scaled ball."""
    x = torch.rand(9, 4, dtype=torch.float64)
    y = network()(x).argmax(1)
    eps = torch.tensor([0.0, 0.1, 0.2, 0.4], dtype=torch.float64)
    z = attack(network(), x, y, eps, norm=norm)
    delta = z - x
    assert (delta[:, 0] == 0).all()
    assert (length(delta[:, 1:] / eps[1:], norm) <= 1 + 1e-9).all()
    assert delta.abs().max() > 0


def test_eps_per_feature_is_exact_on_linear_models():
    theta = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    eps = torch.tensor([0.3, 0.1, 0.0], dtype=torch.float64)
    x, y = torch.randn(8, 3, dtype=torch.float64), torch.ones(8, dtype=torch.long)
    for norm in NORMS:
        z = pgd(lambda x: x @ theta, x, y, eps, norm=norm, bounds=None, family=bernoulli)
        torch.testing.assert_close(z @ theta, x @ theta - dual(theta * eps, norm))


@pytest.mark.parametrize("family", [gaussian, poisson], ids=lambda f: f.name)
def test_regression_breaks_beyond_a_tolerance(family):
    theta = torch.tensor([1.0, -2.0], dtype=torch.float64)
    x = torch.randn(20, 2, dtype=torch.float64)
    y = family.mean(x @ theta)  # right everywhere, until moved
    most = 0.1 * theta.abs().sum()  # of f, in linf
    reached = torch.maximum(family.mean(x @ theta + most) - y, y - family.mean(x @ theta - most))
    z = apgd(lambda x: x @ theta, x, y, 0.1, bounds=None, family=family, tolerance=0.25)
    deviates = (family.mean(z @ theta) - y).abs() > 0.25
    assert deviates.equal(reached > 0.25)
    with pytest.raises(ValueError, match="tolerance is a deviation"):
        apgd(network(), torch.rand(3, 4).double(), torch.arange(3), 0.1, tolerance=0.1)
    with pytest.raises(ValueError, match="tolerance must be positive"):
        apgd(lambda x: x @ theta, x, y, 0.1, bounds=None, family=family, tolerance=float("nan"))


@pytest.mark.parametrize("attack", [apgd, pgd, fixed(square, queries=60), fixed(noise)])
def test_undefined_outputs_are_named_and_harm_no_neighbour(attack):
    """Far from the start the first two examples give NaN."""
    x, y = torch.full((6, 4), 0.5, dtype=torch.float64), torch.zeros(6, dtype=torch.long)
    x[:2, 0], x[2:, 0] = 0.9, 0.1
    inner = lambda x: torch.stack([5 * x.sum(1), 0 * x[:, 0], -x[:, 1]], 1)

    def model(x):
        outputs = inner(x)
        gone = (x[:, :1] > 0.8) & ((x[:, 1:] - 0.5).abs().amax(1, keepdim=True) > 0)
        return torch.where(gone, torch.nan, outputs)

    with pytest.warns(UserWarning, match="not finite during the attack for 2 examples: 0, 1"):
        z = attack(model, x, y, 0.05)
    assert torch.isfinite(z).all()
    alone = attack(inner, x[2:], y[2:], 0.05)
    if attack in (apgd, pgd):
        torch.testing.assert_close(z[2:], alone)


def test_models_that_draw_at_random_are_averaged():
    """FGSM on one draw follows the noise; on the mean of draws it finds the slope."""
    theta = torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    model = lambda x: x @ theta + (x * 2 * torch.randn_like(x)).sum(1)
    x, y = torch.full((50, 4), 0.5, dtype=torch.float64), torch.ones(50, dtype=torch.long)
    with pytest.warns(UserWarning, match="draws at random"):
        z = fgsm(model, x, y, 0.1, family=bernoulli)
    downhill = (z < x).double().mean()
    assert downhill > 0.95  # P(mean of 16 slopes N(1, 2²) > 0) = 0.977; of one, 0.69


def test_fgsm_is_one_signed_step():
    model, x, y = network(), torch.rand(6, 4, dtype=torch.float64), torch.arange(6) % 3
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(categorical(model(leaf), y).sum(), leaf)
    expected = (x + 0.1 * gradient.sign()).clamp(0, 1)
    torch.testing.assert_close(fgsm(model, x, y, 0.1), expected)


@pytest.mark.parametrize("norm", NORMS)
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


@pytest.mark.parametrize("norm", NORMS)
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


@pytest.mark.parametrize("norm", NORMS)
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
    with pytest.raises(ValueError, match="norm must be one of linf, l2, l1"):
        attack(model, x, y, 0.1, norm="l7")
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.2"):
        attack(model, x, y + 1, 0.1)
    with pytest.raises(TypeError, match="x must hold floating numbers"):
        attack(model, x.long(), y, 0.1)
    with pytest.raises(ValueError, match="use vicinal.bernoulli"):
        attack(lambda x: x.sum(1), x, y, 0.1)
    with pytest.raises(ValueError, match="use vicinal.bernoulli"):
        attack(lambda x: x.sum(1, keepdim=True), x, y, 0.1)
    with pytest.raises(ValueError, match="do not broadcast against one example"):
        attack(model, x, y, 0.1, bounds=(torch.zeros(3), torch.ones(3)))
    with pytest.raises(ValueError, match="do not broadcast against one example"):
        attack(model, x, y, torch.full((5,), 0.1))
    with pytest.raises(ValueError, match="for every feature"):
        attack(model, x, y, torch.tensor([0.1, 0.1, 0.1, 8.0]))
    with pytest.raises(TypeError, match="16 bits would leave the ball"):
        attack(model, x.half(), y, 0.1)
    with pytest.warns(UserWarning, match="seem to be probabilities"):
        attack(lambda x: network()(x.double()).softmax(1), x.double(), y, 0.1)
    with pytest.raises(ValueError, match="outputs are not finite"):
        attack(lambda x: network()(x.double()) * torch.nan, x.double(), y, 0.1)


def test_pgd_needs_steps():
    with pytest.raises(ValueError, match="steps must be at least 1"):
        pgd(network(), torch.rand(6, 4), torch.arange(6) % 3, 0.1, steps=0)
