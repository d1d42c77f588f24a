"""The hidden-feature version: its regulariser and class, and the bound by trials."""

import math

import numpy as np
import pytest
import torch

from vicinal.generalization import (
    glm_regulariser,
    hidden_bound,
    hidden_complexity,
    hidden_regulariser,
    size_curve,
)
from vicinal.maths.laws import Beta
from vicinal.maths.losses import bernoulli, gaussian


def normal(n, d, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)))


FIRST = normal(3, 6, 7)  # a first layer fixed beforehand


def features(n, rng):
    """ReLU features of uniform inputs; their norm is at most ‖x‖ times that of the layer."""
    return torch.relu(torch.from_numpy(rng.uniform(-1, 1, (n, 3))) @ FIRST)


BOUND = 3**0.5 * float(torch.linalg.matrix_norm(FIRST, 2))
LARGE = features(400_000, np.random.default_rng(99))
COVARIANCE = np.cov(LARGE.numpy().T, bias=True)
MEAN = LARGE.numpy().mean(0)
LIFT = float(MEAN @ np.linalg.solve(COVARIANCE, MEAN))


def test_hidden_features():
    inputs = normal(60, 4).clamp(min=-0.5) + 1
    theta = torch.tensor([1.0, 0.5, -1.0, 0.0], dtype=torch.float64)
    same = glm_regulariser(theta, inputs, Beta(3.0), gaussian).value
    np.testing.assert_allclose(hidden_regulariser(theta, inputs, Beta(3.0)), same)
    got = hidden_complexity(inputs, 0.5)
    covariance = np.cov(inputs.numpy().T, bias=True)
    mean = inputs.numpy().mean(0)
    lift = mean @ np.linalg.solve(covariance, mean)
    np.testing.assert_allclose(got.lift, lift, rtol=1e-9)
    np.testing.assert_allclose(got.value, 2 * np.sqrt(0.5 * (4 + lift) / 60))
    # the supremum is √γ ‖Σ^{-1/2} mean σh‖; its mean over signs lies below, by Jensen
    rng, root = np.random.default_rng(0), np.linalg.inv(np.linalg.cholesky(covariance))
    signs = rng.choice([-1.0, 1.0], (2000, 60))
    draws = np.linalg.norm(signs @ inputs.numpy() @ root.T / 60, axis=1)
    assert 0.85 * got.value < 2 * 0.5**0.5 * draws.mean() < got.value


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_bound_holds(noise):
    """Least squares on the training data, half of it noise: δ is 1/5, none of 60 fails."""
    grid, margins = (0.01, 0.1, 1.0, 10.0, 100.0), []
    for seed in range(60):
        rng = np.random.default_rng(seed)

        def draw(n, rng=rng):
            h = features(n, rng)
            y = h[:, 0] - h[:, 1] + noise * torch.from_numpy(rng.standard_normal(n))
            return h, y.clamp(-1, 1)

        h, y = draw(200)
        theta = torch.linalg.lstsq(h, y[:, None]).solution[:, 0]
        theta = theta * min(1.0, 1.5 / float(theta.norm()))
        bound = hidden_bound(
            theta, h, y, feature_bound=BOUND, theta_bound=1.5, y_bounds=(-1.0, 1.0), gammas=grid,
            delta=0.2, lift=LIFT, held_out=draw(500)[0],
        )  # fmt: skip
        assert bound.proved
        new_h, new_y = draw(20_000)
        margins.append(bound.value - float(gaussian(new_h @ theta, new_y).mean()))
    assert min(margins) > 0
    assert min(margins) < 60  # losses run to M²/2 = 50


def test_its_terms_are_those_of_the_theorem():
    h, y = features(50, np.random.default_rng(0)) / BOUND, torch.zeros(50, dtype=torch.float64)
    theta = torch.tensor([0.6, 0.0, -0.5, 0.0, 0.0, 0.0], dtype=torch.float64)
    options = {"feature_bound": 1.0, "theta_bound": 1.0, "y_bounds": (0.0, 2.0), "delta": 0.1}
    got = hidden_bound(theta, h, y, gammas=(0.5, 1.0), lift=2.0, **options)
    # |f| <= 1: |f - y| up to 3; f²/2 - yf from 1/2 - 2 to 1/2 + 2
    np.testing.assert_allclose(got.complexity, 2 * 3 * math.sqrt(0.5 * (6 + 2) / 50))
    np.testing.assert_allclose(got.deviation, 4 * math.sqrt(math.log(2 / 0.1) / 100))
    assert got.caveat == "θ in the class measured, not proved"
    variance = float((h @ theta).var(correction=0))
    np.testing.assert_allclose(got.factors["needed gamma"], variance)
    measured = hidden_bound(theta, h, y, gammas=0.5, **options)
    np.testing.assert_allclose(measured.factors["lift"], hidden_complexity(h, 0.5).lift)
    assert measured.caveat == "the lift and θ in the class measured, not proved"
    held = hidden_bound(theta, h, y, gammas=1.0, lift=2.0, held_out=h, **options)
    square = float((h @ theta).square().mean())
    margin = math.sqrt(math.log(2 / 0.1) / 100)
    np.testing.assert_allclose(held.factors["needed gamma"], square + margin)
    np.testing.assert_allclose(held.deviation, 4 * math.sqrt(math.log(2 / 0.1) / 100))


def test_half_the_complexity_bounds_the_rademacher_average():
    """The supremum over θ'Σθ ≤ γ is known: √γ ‖Σ^{-1/2} mean σh‖ with fresh features."""
    rng, n, gamma = np.random.default_rng(1), 100, 0.3
    root = np.linalg.inv(np.linalg.cholesky(COVARIANCE))
    draws = []
    for _ in range(500):
        signs, h = rng.choice([-1.0, 1.0], n), features(n, rng).numpy()
        draws.append(np.linalg.norm(root @ (signs @ h / n)))
    average = math.sqrt(gamma) * np.mean(draws)
    reach = math.sqrt(gamma * (6 + LIFT) / n)
    assert average < reach < 1.2 * average


def test_bad_input(unchecked):
    h, y = features(10, np.random.default_rng(0)) / BOUND, torch.zeros(10, dtype=torch.float64)
    theta = torch.ones(6, dtype=torch.float64) / 6
    options = {"feature_bound": 1.0, "theta_bound": 1.0, "y_bounds": (0.0, 2.0), "gammas": 1.0}
    for changes, message in (
        ({"feature_bound": 0.01}, "beyond feature_bound"),
        ({"theta_bound": 0.1}, "beyond theta_bound"),
        ({"y_bounds": (1.0, 2.0)}, "outside of y_bounds"),
        ({"gammas": 1e-12}, "not in the class"),
        ({"gammas": float("nan")}, "gammas must be positive"),
        ({"delta": 1.0}, "delta must lie"),
    ):
        with pytest.raises(ValueError, match=message):
            hidden_bound(theta, h, y, **(options | changes))
    with pytest.raises(ValueError, match="a feature is constant"):
        hidden_bound(
            torch.ones(7, dtype=torch.float64) / 7, torch.cat((h, torch.ones(10, 1)), 1), y,
            **(options | {"feature_bound": 2.0}),
        )  # fmt: skip


def test_learning_curves_have_accuracies():
    """A model that always says class 1 is right as often as class 1 comes."""
    x, y = normal(100, 1), torch.tensor([1] * 80 + [0] * 20)
    constant = lambda x, y, rng: lambda x: torch.ones(len(x), dtype=torch.float64)
    (few, all_of_them) = size_curve(
        constant, (x, y), (normal(50, 1, 1), torch.tensor([1, 0] * 25)), (10, 100), bernoulli,
        repeats=30, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert all_of_them.train_accuracy.mean == pytest.approx(0.8)
    assert few.train_accuracy.low < 0.8 < few.train_accuracy.high
    assert few.test_accuracy.mean == pytest.approx(0.5)
    values = size_curve(
        lambda x, y, rng: lambda x: x[:, 0], (x, x[:, 0]), (x + 1, x[:, 0]), (10,), gaussian,
        repeats=2, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert values[0].train_accuracy is None
