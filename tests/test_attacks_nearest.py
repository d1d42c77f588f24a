"""FAB and FMN against the exact minimal distortion of linear models, and brute force."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from norms import NORMS, ORDER, dual, length
from vicinal.maths.losses import bernoulli, categorical, gaussian
from vicinal.robustness.attacks.ball import space
from vicinal.robustness.attacks.fab import _next, fab, onto_plane
from vicinal.robustness.attacks.fmn import fmn

THETA = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
each = pytest.mark.parametrize("attack", [fab, fmn])
each_norm = pytest.mark.parametrize("norm", NORMS)


def linear(x):
    return x @ THETA + 0.1


def data(n=40):
    x = torch.rand(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (linear(x) > 0).long()
    y[:5] = 1 - y[:5]
    return x, y


def exact(x, y, norm, bounded):
    """min ‖d‖ with a sign change of the logit: d = -s t θ (or sign θ), cut by the box."""
    sign = (2 * y - 1).double()[:, None]
    if norm == "l1":
        return linear_program(x, y, bounded)
    way = -sign * (THETA.sign() if norm == "linf" else THETA)
    low, high = torch.zeros(len(x)).double(), torch.full((len(x),), 1e4).double()
    at = lambda t: (x + t[:, None] * way).clamp(0, 1) if bounded else x + t[:, None] * way
    never = sign[:, 0] * linear(at(high)) > 0
    for _ in range(100):
        middle = (low + high) / 2
        over = sign[:, 0] * linear(at(middle)) <= 0
        low, high = torch.where(over, low, middle), torch.where(over, middle, high)
    delta = at(high) - x
    found = length(delta, norm)
    found[never] = math.inf
    return torch.where(sign[:, 0] * linear(x) < 0, 0.0, found)


def linear_program(x, y, bounded):
    """min ‖d‖₁ with θ'd = -f in the box, d = p - q."""
    found = []
    both, size = np.concatenate([THETA, -THETA.numpy()]), np.ones(6)
    for v, label in zip(x, y, strict=True):
        logit = float(linear(v[None])[0])
        room = [*(1 - v).tolist(), *v.tolist()] if bounded else [None] * 6
        best = linprog(size, A_eq=both[None], b_eq=[-logit], bounds=[(0, r) for r in room])
        wrong = (2 * int(label) - 1) * logit < 0
        found.append(0.0 if wrong else best.fun if best.success else math.inf)
    return torch.tensor(found, dtype=torch.float64)


@each
@each_norm
@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_exact_on_linear_models(attack, norm, bounds):
    x, y = data()
    found = attack(linear, x, y, norm=norm, bounds=bounds, family=bernoulli)
    truth = exact(x, y, norm, bounds is not None)
    torch.testing.assert_close(found.distance, truth, rtol=2e-3, atol=0)
    assert (found.distance >= truth * (1 - 1e-9)).all()
    broken = ~bernoulli.correct(linear(found.x), y)
    assert broken.equal(torch.isfinite(truth))
    whole = space(x, norm, bounds)
    reached = torch.isfinite(truth)
    torch.testing.assert_close(whole.distance(found.x)[reached], found.distance[reached])
    assert found.x[~reached].equal(x[~reached])
    if bounds:
        assert ((found.x >= 0) & (found.x <= 1)).all()


@each
@each_norm
def test_nearest_class_of_several(attack, norm):
    g = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 5, generator=g, dtype=torch.float64)
    x = torch.randn(40, 3, generator=g, dtype=torch.float64)
    f = x @ weight
    y = f.argmax(1)
    apart = weight[:, None] - weight[:, :, None]
    most = torch.stack([dual(way, norm) for way in apart.flatten(1).T]).reshape(5, 5)
    each_class = (f.gather(1, y[:, None]) - f) / most[y].clamp(min=1e-9)
    each_class[torch.arange(40), y] = math.inf
    found = attack(lambda x: x @ weight, x, y, norm=norm, bounds=None)
    excess = found.distance / each_class.amin(1) - 1
    assert (excess > -1e-9).all()
    assert (excess < 1e-2).double().mean() >= (1.0 if attack is fab else 0.9)


@each
@each_norm
def test_near_the_best_of_a_fine_grid_in_two_dimensions(attack, norm):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    with torch.no_grad():
        model[0].weight *= 4
    axis = torch.linspace(-2, 2, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    x = torch.rand(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    with torch.no_grad():
        y, classes = model(x).argmax(1), model(grid).argmax(1)
    delta = grid - x[:, None]
    far = delta.norm(p=ORDER[norm], dim=2)
    far[classes == y[:, None]] = math.inf
    best = far.amin(1)
    found = attack(model, x, y, norm=norm, bounds=(-2.0, 2.0)).distance
    reached = torch.isfinite(best)
    assert reached.any()
    assert (found >= best - 0.015).all()
    # steps of one size in all coordinates pass by corners, and this landscape bends a lot
    least = {(fab, "linf"): 0.4, (fmn, "l1"): 0.7}.get((attack, norm), 0.8)
    assert (found <= best + 0.015)[reached].double().mean() >= least


@each
def test_distances_in_the_unit_of_each_feature(attack):
    x, y = data()
    x, y = x[5:], y[5:]
    scale = torch.tensor([2.0, 0.5, 0.0], dtype=torch.float64)
    for norm in NORMS:
        found = attack(linear, x, y, norm=norm, bounds=None, scale=scale, family=bernoulli)
        expected = linear(x).abs() / dual(THETA * scale, norm)
        torch.testing.assert_close(found.distance, expected, rtol=1e-4, atol=0)
        assert found.x[:, 2].equal(x[:, 2])


@each
def test_deviation_of_values(attack):
    x, _ = data()
    y = linear(x)
    found = attack(linear, x, y, bounds=None, family=gaussian, tolerance=0.7)
    expected = torch.full_like(y, 0.7 / float(THETA.abs().sum()))
    torch.testing.assert_close(found.distance, expected, rtol=1e-4, atol=0)
    with pytest.raises(ValueError, match="has no classes"):
        attack(linear, x, y, bounds=None, family=gaussian)


@each_norm
def test_projection_onto_a_plane_within_the_box_is_the_nearest(norm):
    """Against many random points of the plane within the box."""
    g = torch.Generator().manual_seed(0)
    z = torch.rand(30, 3, generator=g, dtype=torch.float64)
    gradient = torch.randn(30, 3, generator=g, dtype=torch.float64)
    margin = -(gradient * (torch.rand(30, 3, generator=g, dtype=torch.float64) - z)).sum(1)
    d = onto_plane(space(z, norm, (0.0, 1.0)), z, margin, gradient)
    torch.testing.assert_close((d * gradient).sum(1), -margin)
    assert ((z + d >= -1e-12) & (z + d <= 1 + 1e-12)).all()
    size = lambda v: v.norm(p=ORDER[norm], dim=-1)
    for i in range(30):
        points = torch.rand(4000, 3, generator=g, dtype=torch.float64) - z[i]
        points[:, 0] = -(margin[i] + points[:, 1:] @ gradient[i, 1:]) / gradient[i, 0]
        inside = ((points[:, 0] + z[i, 0]) >= 0) & ((points[:, 0] + z[i, 0]) <= 1)
        assert (size(points[inside]) >= size(d[i]) - 1e-9).all()


@each
def test_bad_input(attack, unchecked):
    x, y = data()
    with pytest.raises(ValueError, match="steps must be at least 1"):
        attack(linear, x, y, family=bernoulli, steps=0)
    with pytest.raises(ValueError, match="scale must be 0 or positive"):
        attack(linear, x, y, family=bernoulli, scale=torch.tensor([-1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="leave the bounds"):
        attack(linear, x + 1, y, family=bernoulli)
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.1"):
        attack(lambda x: torch.stack([linear(x), -linear(x)], 1), x, y + 1, family=categorical)


def test_a_step_of_fab_is_that_of_the_paper():
    """Equation 8: both projections with overshoot 1.05, at most a tenth of the way towards x."""
    x, z = torch.tensor([[0.0, 0.0]]).double(), torch.tensor([[2.0, 1.0]]).double()
    gradient, margin = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([-5.0]).double()
    here = np.array([3, 4]) * 5 / 25  # onto 3 d + 4 e = 5 from z
    there = np.array([3, 4]) * (5 + 10) / 25  # from x, where the plane is 15 away
    share = min(np.linalg.norm(here) / (np.linalg.norm(here) + np.linalg.norm(there)), 0.1)
    expected = (1 - share) * (np.array([2, 1]) + 1.05 * here) + share * 1.05 * there
    found = _next(space(x, "l2", None), z, margin, gradient)
    np.testing.assert_allclose(found[0], expected)
