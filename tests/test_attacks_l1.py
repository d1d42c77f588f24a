"""The l1 ball in a box, against its variational inequality and linear programs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import nn

from vicinal.maths.losses import bernoulli, categorical
from vicinal.robustness.attacks.apgd import apgd
from vicinal.robustness.attacks.ball import ball
from vicinal.robustness.attacks.climb import Path, Sparse, climb
from vicinal.robustness.attacks.fab import fab
from vicinal.robustness.attacks.fgsm import fgsm
from vicinal.robustness.attacks.fmn import fmn
from vicinal.robustness.attacks.goal import goal
from vicinal.robustness.theory.linear import linear_adversarial_loss

D = 5


def worst_logit(theta, x, eps):
    """min θ'd over ‖d‖₁ ≤ eps and 0 ≤ x + d ≤ 1, with d = p - q."""
    bounds = [*((0, 1 - v) for v in x), *((0, v) for v in x)]
    both = np.concatenate([theta, -theta])
    return linprog(both, A_ub=np.ones((1, 2 * D)), b_ub=[eps], bounds=bounds).fun


def nearest(theta, logit, x):
    """min ‖d‖₁ with θ'd = -logit in the box; infinite where that is too small."""
    bounds = [*((0, 1 - v) for v in x), *((0, v) for v in x)]
    both = np.concatenate([theta, -theta])
    found = linprog(np.ones(2 * D), A_eq=both[None], b_eq=[-logit], bounds=bounds)
    return found.fun if found.success else np.inf


def linear(seed=0, n=30):
    g = torch.Generator().manual_seed(seed)
    theta = torch.randn(D, generator=g, dtype=torch.float64)
    x = torch.rand(n, D, generator=g, dtype=torch.float64)
    model = lambda z: z @ theta - 0.5 * theta.sum()
    return theta, model, x, (model(x) > 0).long()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), eps=st.floats(0, 4), spread=st.floats(1e-3, 3))
def test_the_projection_is_the_nearest_point(seed, eps, spread):
    """p is nearest to z in a convex set if and only if <z - p, w - p> ≤ 0 for all its points w."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(4, D, generator=g, dtype=torch.float64)
    x[0, 0], x[1, 1] = 0.0, 1.0  # at the edge of the box
    z = x + spread * torch.randn(4, D, generator=g, dtype=torch.float64)
    within = ball(x, eps, "l1", (0.0, 1.0))
    p = within.project(z)
    assert within.holds(p).all()
    assert within.holds(z).logical_not().logical_or((p - z).abs().amax(1) < 1e-12).all()
    inside = 0.5 * within.random(np.random.default_rng(seed)) + 0.5 * x  # points of the set
    way = (z - p).sign()
    # the best of its corners along z - p as well, by the linear program in closed form
    corner = within.step(x, z - p, float(eps))
    for w in (x, p.roll(1, 0) * 0 + x, inside, corner, within.project(x + way)):
        assert (((z - p) * (w - p)).sum(1) <= 1e-9 * (1 + spread**2)).all()


def test_scaled_and_fixed_features():
    eps = torch.tensor([0.0, 0.2, 0.4, 0.1, 0.3], dtype=torch.float64)
    theta, model, x, y = linear()
    z = fgsm(model, x, y, eps, norm="l1", family=bernoulli)
    assert (z[:, 0] == x[:, 0]).all()
    spent = ((z - x)[:, 1:].abs() / eps[1:]).sum(1)
    assert (spent <= 1 + 1e-9).all()
    free = fgsm(model, x, y, eps, norm="l1", bounds=None, family=bernoulli)
    moved = model(x) - (2 * y - 1) * (theta * eps).abs().max()
    torch.testing.assert_close(model(free), moved)


@pytest.mark.parametrize("eps", [0.2, 0.7, 1.6])
def test_one_step_is_the_linear_program(eps):
    theta, model, x, y = linear()
    sign = (2 * y - 1).double()
    z = fgsm(model, x, y, eps, norm="l1", family=bernoulli)
    for k in range(len(x)):
        exact = worst_logit(float(sign[k]) * theta.numpy(), x[k].numpy(), eps)
        assert float(sign[k] * (model(z)[k] - model(x)[k])) == pytest.approx(exact, abs=1e-9)
    free = fgsm(model, x, y, eps, norm="l1", bounds=None, family=bernoulli)
    torch.testing.assert_close(
        bernoulli(model(free), y), linear_adversarial_loss(model, x, y, eps, norm="l1")
    )


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("loss", ["family", "targeted"])
def test_apgd_breaks_what_a_linear_program_can(loss, seed):
    theta, model, x, y = linear(seed, 60)
    sign = (2 * y - 1).double()
    worst = [
        worst_logit(float(s) * theta.numpy(), v.numpy(), 0.5) + float(s * model(v[None])[0])
        for s, v in zip(sign, x, strict=True)
    ]
    z = apgd(model, x, y, 0.5, norm="l1", family=bernoulli, loss=loss)
    broken = ~bernoulli.correct(model(z), y)
    clear = torch.tensor([abs(w) > 1e-3 for w in worst])
    assert 0.2 < broken.double().mean() < 0.9
    assert broken[clear].equal(torch.tensor([w < 0 for w in worst])[clear])


def test_apgd_finds_a_peak_between_the_axes():
    peak = torch.tensor([0.4, 0.3, 0.2, 0.0, 0.0], dtype=torch.float64)
    model = lambda x: -(x - peak).square().sum(1)
    x, y = torch.zeros(1, D, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    z, _ = climb(model, ball(x, 1.0, "l1", None), goal(bernoulli, y), "family", x, 100)
    assert float(z.abs().sum()) <= 1.0 + 1e-9
    assert float(model(z)) > 0.01 * float(model(x))  # steps end at a tenth of eps


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_no_more_passes_than_steps_and_a_look_at_each_phase(steps):
    calls = []

    def model(x):
        calls.append(len(x))
        return nn.functional.pad(-x.square().sum(1, keepdim=True), (0, 2))

    x, y = torch.rand(3, D, dtype=torch.float64), torch.zeros(3, dtype=torch.long)
    climb(model, ball(x, 0.0, "l1", None), goal(categorical, y + 1), "family", x, steps)
    assert steps + 1 <= len(calls) <= steps + 3


@pytest.mark.parametrize("attack", [fab, fmn])
def test_minimal_distortion_in_a_box_is_the_linear_program(attack):
    theta, model, x, y = linear(2)
    found = attack(model, x, y, norm="l1", family=bernoulli).distance
    exact = torch.tensor(
        [nearest(theta.numpy(), float(model(v[None])[0]), v.numpy()) for v in x],
        dtype=torch.float64,
    )
    assert (found >= exact * (1 - 1e-6)).all()
    excess = found / exact - 1
    if attack is fab:
        assert excess.max() < 2e-3
    else:
        assert (excess < 0.02).double().mean() >= 0.9


def test_apgd_takes_full_steps_again_where_the_best_got_sparser():
    """At a checkpoint, in section 3.2 of the source: 5 of 10 features are fewer, 10 are not."""
    within = ball(torch.zeros(2, 10, dtype=torch.float64), 2.0, "l1", None)
    best = torch.full((2, 10), 0.1, dtype=torch.float64)
    best[0, :5] = 0
    ten, ones = torch.full((2,), 10.0, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    pace = Sparse(size=0.4 * ones, rises=torch.zeros(2).long(), share=ones, support=ten)
    path = Path(best, best, best, ones, best, best, ones, pace)
    assert pace.stuck(within, path, 4).tolist() == [True, False]
    np.testing.assert_allclose(pace.size, [2.0, 0.4 / 1.5])
    np.testing.assert_allclose(pace.share, [0.5 / 1.5, 1 / 1.5])
    assert pace.support.tolist() == [5, 10]
