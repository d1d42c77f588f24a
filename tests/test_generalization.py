"""Gaps against numbers known beforehand; the regularisers against pairs; the bound by trials."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

from vicinal.generalization import (
    generalization_gap,
    glm_bound,
    glm_complexity,
    glm_regulariser,
    hidden_complexity,
    hidden_regulariser,
    ranks,
    retentive,
    size_curve,
)
from vicinal.maths.laws import Beta, Fixed, Tilted, Uniform
from vicinal.maths.losses import bernoulli, categorical, gaussian, poisson


def normal(n, d, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)))


def test_gap_and_its_intervals():
    """Class 1 with 0.8 whatever x: the constant model has the entropies and no gap in the mean."""
    rng = np.random.default_rng(0)
    constant = lambda x: torch.full((len(x),), math.log(4.0), dtype=torch.float64)
    truth = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    inside = 0
    y = torch.tensor([1] * 80 + [0] * 20)
    for _ in range(200):
        new = torch.from_numpy((rng.random(300) < 0.8).astype(int))
        got = generalization_gap(constant, (normal(100, 2), y), (normal(300, 2, 1), new), bernoulli)
        np.testing.assert_allclose(got.train_loss, truth)
        np.testing.assert_allclose(got.loss.value, got.test_loss - got.train_loss, atol=1e-12)
        np.testing.assert_allclose(got.accuracy.value, 0.8 - float(new.double().mean()), atol=1e-12)
        assert got.accuracy.low < got.accuracy.value < got.accuracy.high
        inside += got.loss.low <= 0 <= got.loss.high
    assert 174 <= inside <= 200  # 190 expected; 5 sigma are 15


def test_values_have_no_accuracy():
    model = nn.Linear(2, 1).double()
    got = generalization_gap(
        model, (normal(9, 2), normal(9, 1)), (normal(8, 2), normal(8, 1)), gaussian
    )
    assert got.accuracy is None
    assert model.training


def test_gap_of_least_squares_falls_as_it_should():
    """Half the noise times the expected optimism: test minus train is σ² d/n + O(1/n²)."""
    d = 4
    x, theta = normal(40_000, d), torch.ones(d, dtype=torch.float64)
    y = x @ theta + normal(40_000, 1, 1)[:, 0]

    def fit(x, y, rng):
        found = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
        return lambda x: x @ found

    points = size_curve(
        fit, (x[:30_000], y[:30_000]), (x[30_000:], y[30_000:]), (50, 100, 400), gaussian,
        repeats=60, rng=np.random.default_rng(0),
    )  # fmt: skip
    for point in points:
        n = point.size
        expected = (1 + d / (n - d - 1)) / 2 - (1 - d / n) / 2  # exact for Gaussian inputs
        shared = 5 * 0.5 * 2**0.5 / 10_000**0.5  # of the one test set
        assert abs(point.gap.mean - expected) < 2.5 * (point.gap.high - point.gap.low) + shared
    assert points[0].gap.mean > points[1].gap.mean > points[2].gap.mean


@pytest.mark.parametrize("law", [Beta(3.0), Beta(4.0, 2.5), Fixed(0.7)])
def test_regulariser_divided_by_own_weight(law):
    """For half the squared error the expansion is exact: all pairs, nodes of the tilted law."""
    x, theta = normal(20, 3), torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    x = x - x.mean(0)
    y = normal(20, 1, 1)[:, 0]
    lam, weight = Tilted(law).nodes(200)
    total = 0.0
    for point, share in zip(lam, weight, strict=True):
        mixed = x[:, None] + (1 - point) / point * x
        z = (mixed @ theta).flatten()
        total += share * float(gaussian(z, y.repeat_interleave(20)).mean())
    expected = total - float(gaussian(x @ theta, y).mean())
    got = glm_regulariser(theta, x, law, gaussian)
    np.testing.assert_allclose(got.value, expected, rtol=3e-5)  # no polynomial in λ
    np.testing.assert_allclose(got.value, got.coefficient * got.curvature * got.variance / 2)


@pytest.mark.parametrize("law", [Uniform(), Beta(0.2), Beta(2.0, 0.7), Fixed(0.3)])
def test_regulariser_divided_by_the_mean_weight(law):
    x, theta = normal(20, 3), torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    x = x - x.mean(0)
    y = normal(20, 1, 1)[:, 0]
    lam, weight = Tilted(law).nodes(5)
    total = 0.0
    for point, share in zip(lam, weight, strict=True):
        mixed = (point * x[:, None] + (1 - point) * x) / (1 - 2 * law.spread)
        z = (mixed @ theta).flatten()
        total += share * float(gaussian(z, y.repeat_interleave(20)).mean())
    expected = total - float(gaussian(x @ theta, y).mean())
    got = glm_regulariser(theta, x + 7, law, gaussian, divide="mean")  # it centres by itself
    np.testing.assert_allclose(got.value, expected, rtol=1e-9)


@pytest.mark.parametrize("family", [bernoulli, poisson])
def test_regulariser_is_the_second_order_of_the_family(family):
    """Halve θ and what second order misses falls eightfold or more."""
    x, y = normal(30, 3), torch.ones(30, dtype=torch.float64)
    x = x - x.mean(0)
    law, errors = Fixed(0.6), []
    lam, weight = Tilted(law).nodes(4)
    for scale in (0.2, 0.1, 0.05):
        theta = scale * torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
        total = -float(family(x @ theta, y).mean())
        for point, share in zip(lam, weight, strict=True):
            z = ((x[:, None] + (1 - point) / point * x) @ theta).flatten()
            total += share * float(family(z, y.repeat_interleave(30)).mean())
        errors.append(abs(total - glm_regulariser(theta, x, law, family).value))
    assert (np.log2(np.divide(errors[:-1], errors[1:])) > 2.7).all()


def test_infinite_coefficients_name_the_finite_alternative():
    with pytest.raises(ValueError, match=r"infinite.*divide='mean'"):
        glm_regulariser(torch.ones(2), normal(5, 2), Beta(1.0), gaussian)
    with pytest.raises(ValueError, match="infinite"):
        hidden_regulariser(torch.ones(2), normal(5, 2), Beta(0.5))


def test_complexity_and_ranks():
    x = normal(500, 3) @ torch.diag(torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64))
    theta = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    covariance = np.cov(x.numpy().T, bias=True)
    variance = float(theta.numpy() @ covariance @ theta.numpy())
    np.testing.assert_allclose(glm_complexity(theta, x, gaussian), variance, rtol=1e-9)
    assert glm_complexity(theta, x, bernoulli) < variance / 4
    values = np.linalg.eigvalsh(covariance)[1:]
    got = ranks(x)
    assert got.rank == np.linalg.matrix_rank(covariance) == 2
    np.testing.assert_allclose(got.stable, values.sum() / values.max())
    p = values / values.sum()
    np.testing.assert_allclose(got.entropy, np.exp(-(p * np.log(p)).sum()))


def test_retentive_of_gaussian_inputs():
    """E p(1-p) at deviation s over min(1, s²): for s ≥ 1 it falls, so the radius decides."""
    s = 3.0
    density = lambda g: math.exp(-g * g / 2) / math.sqrt(2 * math.pi)
    exact = quad(lambda g: density(g) / (2 + 2 * math.cosh(s * g)), -12, 12)[0]
    got = retentive(normal(20_000, 2), bernoulli, s, rng=np.random.default_rng(0), starts=8)
    assert abs(got - exact) < 0.02 * exact
    assert retentive(normal(100, 2), gaussian, 5.0, rng=np.random.default_rng(0)) == 1


def test_the_bound_holds():
    """A grid fixed beforehand, models fitted without care: the bound may fail in 1 of 5."""
    grid, d, n, failures = (0.05, 0.2, 0.5, 1.0), 3, 200, 0
    margins = []
    for seed in range(100):
        rng = np.random.default_rng(seed)

        def draw(count, rng=rng):
            x = torch.from_numpy(rng.uniform(-1, 1, (count, d)) / d**0.5)
            p = torch.sigmoid(4 * x[:, 0]).numpy()
            return x, torch.from_numpy((rng.random(count) < p).astype(int))

        x, y = draw(n)
        theta = 2.0 * (x * (y[:, None] - 0.5)).mean(0)
        theta = theta / theta.norm() * rng.uniform(0.1, 2)
        bound = glm_bound(
            theta, x, y, bernoulli, x_bound=1.0, theta_bound=2.0, gammas=grid, delta=0.2,
            held_out=draw(n)[0],
        )  # fmt: skip
        new_x, new_y = draw(5000)
        truth = float(bernoulli(new_x @ theta, new_y).mean())
        margins.append(bound.value - truth)
        failures += margins[-1] < 0
    assert failures <= 20
    assert min(margins) < 1.0  # and it is a bound of this size, not any number


def test_complexity_term_bounds_the_rademacher_average():
    """The supremum over ‖θ‖_Σ ≤ s is known: s ‖Σ^{-1/2} mean σx‖, and γ must give s at least."""
    n, d = 100, 4
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (n, d)))
    theta = torch.tensor([0.9, -0.6, 0.3, 0.2], dtype=torch.float64)
    y = torch.zeros(n, dtype=torch.long)
    gamma = 0.12
    bound = glm_bound(theta, x, y, bernoulli, x_bound=2.0, theta_bound=1.2, gammas=gamma, delta=0.1)
    reach = bound.complexity / (2 * bound.factors["L"] * bound.factors["L_A"])
    covariance = torch.eye(d, dtype=torch.float64) / 3
    rng = np.random.default_rng(1)
    root = torch.linalg.inv(torch.linalg.cholesky(covariance))
    draws = []
    for _ in range(500):
        signs = torch.from_numpy(rng.choice([-1.0, 1.0], n))
        fresh = torch.from_numpy(rng.uniform(-1, 1, (n, d)))
        draws.append(float((root @ (signs @ fresh / n)).norm()))
    s = max((gamma / bound.factors["rho"]) ** p for p in (0.25, 0.5))
    assert s * np.mean(draws) < reach < 1.2 * s * np.mean(draws)
    assert theta @ covariance @ theta <= s**2  # the class is what W_γ lies in


@pytest.mark.parametrize(
    ("family", "y_bounds"),
    [(bernoulli, (0.0, 1.0)), (gaussian, (-1.0, 2.0)), (poisson, (0.0, 5.0))],
)
def test_factors_against_a_grid(family, y_bounds):
    x = torch.eye(2, dtype=torch.float64)
    y = torch.tensor([0, 1]) if family is bernoulli else torch.tensor([0.0, 1.0])
    theta = torch.tensor([0.3, 0.5], dtype=torch.float64)
    got = glm_bound(
        theta, x, y, family, x_bound=1.0, theta_bound=1.5, y_bounds=y_bounds, gammas=50.0
    ).factors
    f = torch.linspace(-1.5, 1.5, 2001, dtype=torch.float64)
    losses, slopes = [], []
    for target in np.linspace(*y_bounds, 101):
        t = torch.full_like(f, target)
        losses.append(family(f, t).numpy())
        slopes.append(np.abs((family.mean(f) - target).numpy()))
    bend = family.quadratic(f, torch.ones_like(f))
    np.testing.assert_allclose(got["L"] * got["L_A"], np.max(slopes), rtol=1e-6)
    np.testing.assert_allclose(got["L_A"], family.mean(f).abs().max(), rtol=1e-6)
    np.testing.assert_allclose(got["B"], np.max(losses) - np.min(losses), rtol=1e-5)
    np.testing.assert_allclose(got["rho"], bend.min(), rtol=1e-6)
    np.testing.assert_allclose(got["sup A''"], bend.max(), rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.3, 5.0])
def test_the_terms_are_those_of_the_theorem(gamma):
    """For the Gaussian family ρ is 1, so that γ decides between the two powers."""
    x, y = torch.eye(2, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
    theta = torch.tensor([0.3, 0.5], dtype=torch.float64)
    options = {"x_bound": 1.0, "theta_bound": 1.0, "delta": 0.1}
    got = glm_bound(theta, x, y, gaussian, gammas=(gamma, 100.0), rank=1, **options)
    # |f| <= 1 and 0 <= y <= 1: slopes up to 2, losses f²/2 - yf from -1/2 to 3/2
    np.testing.assert_allclose(got.complexity, 2 * 2 * max(gamma**0.25, gamma**0.5) / 2**0.5)
    np.testing.assert_allclose(got.deviation, 2 * (math.log(2 / 0.1) / 4) ** 0.5)
    held = glm_bound(theta, x, y, gaussian, gammas=(0.3, 100.0), held_out=x, **options)
    np.testing.assert_allclose(held.deviation, 2 * (math.log(2 / 0.05) / 4) ** 0.5)
    assert held.factors["gamma"] == 100.0  # two inputs prove nothing
    assert held.proved


def test_words_name_every_factor_and_say_vacuous():
    x, y = normal(50, 2), torch.tensor([0, 1] * 25)
    x = x / x.norm(dim=1).max()
    theta = torch.tensor([1.0, -1.0], dtype=torch.float64)
    few = glm_bound(theta, x, y, bernoulli, x_bound=1.0, theta_bound=2.0, gammas=(0.1, 1.0))
    assert few.vacuous
    for word in ("vacuous", "L =", "L_A =", "B =", "rho =", "gamma =", "rank =", "grid = 2",
                 "not proved"):  # fmt: skip
        assert word in few.words
    np.testing.assert_allclose(few.constant_loss, math.log(2))
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.choice([-1.0, 1.0], (400_000, 1)))
    many = glm_bound(
        torch.tensor([1.0], dtype=torch.float64), x, (x[:, 0] > 0).long(), bernoulli,
        x_bound=1.0, theta_bound=1.0, gammas=0.2,
    )  # fmt: skip
    assert not many.vacuous
    assert "vacuous" not in many.words


def test_bad_input(unchecked):
    x, y = normal(10, 2), torch.tensor([0, 1] * 5)
    x = x / x.norm(dim=1).max()
    theta = torch.tensor([1.0, 0.0], dtype=torch.float64)
    model = lambda x: x[:, 0]

    def bound(**changes):
        options = {"x_bound": 1.0, "theta_bound": 2.0, "gammas": 1.0} | changes
        return glm_bound(theta, x, y, changes.pop("family", bernoulli), **{
            k: v for k, v in options.items() if k != "family"})  # fmt: skip

    for changes, message in (
        ({"x_bound": 0.5}, "beyond x_bound"),
        ({"theta_bound": 0.5}, "beyond theta_bound"),
        ({"theta_bound": float("nan")}, "theta_bound must be positive"),
        ({"y_bounds": (0.5, 1.0)}, "outside of y_bounds"),
        ({"gammas": (0.0, 1.0)}, "gammas must be positive"),
        ({"gammas": ()}, "at least one"),
        ({"gammas": 1e-9}, "not in the class"),
        ({"delta": 0.0}, "delta must lie"),
        ({"family": categorical}, "families of one output"),
    ):
        with pytest.raises(ValueError, match=message):
            bound(**changes)
    with pytest.raises(ValueError, match="are the training inputs"):
        generalization_gap(model, (x, y), (x.clone(), y), bernoulli)
    with pytest.raises(ValueError, match="2 test examples"):
        generalization_gap(model, (x, y), (x[:1], y[:1]), bernoulli)
    with pytest.raises(TypeError, match="family must be"):
        generalization_gap(model, (x, y), (x[:5], y[:5]), nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="sizes must lie"):
        size_curve(lambda *a: model, (x, y), (x, y), (11,), bernoulli, repeats=1,
                   rng=np.random.default_rng(0))  # fmt: skip
    with pytest.raises(ValueError, match="divide must be"):
        glm_regulariser(theta, x, Beta(3.0), bernoulli, divide="both")
    with pytest.raises(ValueError, match="must be finite"):
        glm_complexity(theta * np.nan, x, bernoulli)
    with pytest.raises(ValueError, match="finite x"):
        ranks(x[:1])
    with pytest.raises(ValueError, match="radius must be positive"):
        retentive(x, bernoulli, 0.0, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="gamma must be positive"):
        hidden_complexity(x, -1.0)
    with pytest.raises(ValueError, match="a feature is constant"):
        hidden_complexity(torch.cat((x, torch.ones(10, 1)), 1), 1.0)
