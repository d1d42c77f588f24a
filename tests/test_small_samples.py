"""Standard errors of estimates cover what they say, also of few examples: simulations."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import t

from vicinal import (
    Beta,
    Mixup,
    categorical,
    expand,
    expand_noise,
    expand_shrunk,
    expand_strategy,
    expand_stream,
    risk_stream,
    vicinal_risk,
)
from vicinal.explanation.derivatives.second_order import drawn
from vicinal.maths.small_samples import of_parts, of_sum, widened

LAW = Beta(1.0)


def problem(n, seed, d=3):
    generator = torch.Generator().manual_seed(seed)
    numbers = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    x, w, v = numbers(n, d), numbers(d, 8) * (3 / d) ** 0.5, numbers(8, 3)
    y = torch.randint(0, 3, (n,), generator=generator)
    return lambda x: torch.tanh(x @ w / 2) @ v, x, y


@cache
def rates(n, estimate, repeats, problems=4):
    """How often the truth is beyond 1.96 of the error, over problems and repetitions."""
    beyond = []
    for seed in range(problems):
        # signs of 3 numbers are 4 directions, too few for an error of any kind
        model, x, y = problem(n, seed, 12 if estimate is noisy else 3)
        truth, _ = estimate(model, x, y, None)
        for k in range(repeats // problems):
            value, error = estimate(model, x, y, 1000 * seed + k)
            beyond.append(np.abs(value - truth) > 1.96 * error)
    return np.mean(beyond, 0), len(beyond)


def taken(found, names):
    return (
        np.array([getattr(found, name) for name in names]),
        np.array([found.standard_errors[name] for name in names]),
    )


def expanded(model, x, y, seed):
    options = {} if seed is None else {"partners": 3, "rng": np.random.default_rng(seed)}
    found = expand(model, x, y, LAW, categorical, **options)
    return taken(found, ("r2", "r3", "total"))


def shrunk(model, x, y, seed):
    options = {} if seed is None else {"partners": 3, "rng": np.random.default_rng(seed)}
    found = expand_shrunk(model, x, y, LAW, categorical, **options)
    return taken(found, ("curvature", "residual", "covariance", "total"))


def noisy(model, x, y, seed):
    options = {} if seed is None else {"directions": 3, "rng": np.random.default_rng(seed)}
    found = expand_noise(model, x, y, 0.3, categorical, **options)
    return taken(found, ("curvature", "residual", "total"))


def risky(model, x, y, seed):
    if seed is None:
        return np.array([vicinal_risk(model, x, y, LAW, categorical).value]), None
    rng = np.random.default_rng(seed)
    found = vicinal_risk(model, x, y, LAW, categorical, pairs=4 * len(x), rng=rng)
    return np.array([found.value]), np.array([found.standard_error])


def of_mixup(model, x, y, seed):
    if seed is None:
        exact = expand(model, x, y, LAW, categorical)
        return np.array([exact.r1, exact.r2, exact.r3]), None
    rng = np.random.default_rng(seed)
    found = expand_strategy(model, x, y, Mixup(1.0), categorical, draws=4, rng=rng)
    return taken(found, ("r1", "r2", "r3"))


def streamed(model, x, y, seed):
    if seed is None:
        return expanded(model, x, y, None)
    batches = list(zip(x.split(10), y.split(10), strict=True))
    found = expand_stream(model, batches, LAW, categorical, partners=4, seed=seed)
    return taken(found, ("r2", "r3", "total"))


def risk_streamed(model, x, y, seed):
    if seed is None:
        return risky(model, x, y, None)
    batches = list(zip(x.split(10), y.split(10), strict=True))
    found = risk_stream(model, batches, LAW, categorical, partners=4, seed=seed)
    return np.array([found.value]), np.array([found.standard_error])


def limit(count, rate):
    """Five standard deviations above the rate."""
    return rate + 5 * (rate * (1 - rate) / count) ** 0.5


@pytest.mark.usefixtures("unchecked")  # which is twice as fast
@pytest.mark.parametrize("n", [5, 20, 100])
@pytest.mark.parametrize("estimate", [expanded, shrunk, noisy])
def test_directions_of_few_examples(estimate, n):
    found, count = rates(n, estimate, 480)
    assert (found <= limit(count, 0.05)).all(), found
    if n == 100:  # and they are not simply wide
        assert (found >= 0.05 - 5 * (0.05 * 0.95 / count) ** 0.5).all(), found


@pytest.mark.usefixtures("unchecked")  # which is twice as fast
@pytest.mark.parametrize("n", [5, 20, 100])
@pytest.mark.parametrize("estimate", [risky, of_mixup, streamed, risk_streamed])
def test_rounds_draws_and_parts(estimate, n):
    found, count = rates(n, estimate, 160)
    assert (found <= limit(count, 0.05)).all(), found


def test_variances_of_directions_are_unbiased():
    """Before it is widened the squared error is on average that of the estimates themselves."""
    model, x, y = problem(6, 0)
    truth, _ = expanded(model, x, y, None)
    off, squared = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        found = expand(model, x, y, LAW, categorical, partners=4, rng=rng)
        off.append((found.r2 - truth[0]) ** 2)
        squared.append(found.standard_errors["r2"] ** 2)
    spread = np.std(np.array(off) - np.array(squared)) / len(off) ** 0.5
    # widened by t/1.96 for 3 to 18 degrees of freedom: by 1.15 to 2.6 squared
    assert np.mean(off) < np.mean(squared) + 5 * spread
    assert np.mean(squared) < 2.6 * (np.mean(off) + 5 * spread)


@pytest.mark.parametrize(("n", "count"), [(5, 3), (5, 4), (20, 8), (4, 9)])
def test_partners_of_one_example_are_different_and_uniform(n, count):
    x = torch.zeros(n, 1)
    draws = [drawn(x, count, np.random.default_rng(seed)) for seed in range(400)]
    which = torch.stack([cloud.which for cloud in draws]).numpy()
    assert which.shape == (400, count, n)
    different = all(len(set(column)) == min(count, n) for one in which for column in one.T)
    assert different == (count < n)
    assert draws[0].left == (1 - count / n if count < n else 1.0)
    counts = np.stack([np.bincount(which[:, :, i].ravel(), minlength=n) for i in range(n)])
    expected = 400 * count / n
    assert (np.abs(counts - expected) < 5 * expected**0.5).all()


def test_widening_makes_normal_numbers_cover_what_they_should():
    rng = np.random.default_rng(0)
    for parts in (2, 4, 16):
        values = rng.standard_normal((4000, parts))
        rate = np.mean([abs(v.mean()) > 1.959964 * of_parts(v) for v in values])
        assert abs(rate - 0.05) < 5 * (0.05 * 0.95 / 4000) ** 0.5
    assert widened(1.0, 7) == pytest.approx(t.ppf(0.975, 7) / 1.959964)
    assert widened(0.0, 3) == 0.0


def test_sums_count_the_degrees_of_freedom_that_they_have():
    """Equal variances add theirs up; one that rules all others leaves its own."""
    equal = torch.full((10,), 2.0, dtype=torch.float64)
    assert of_sum(equal, 2) == pytest.approx(widened(20**0.5, 20))
    ruled = torch.tensor([4.0, 1e-9, 1e-9], dtype=torch.float64)
    assert of_sum(ruled, 3) == pytest.approx(widened(2.0, 3), rel=1e-6)
    assert of_sum(0 * equal, 2) == 0.0
    assert of_sum(1e-320 * equal, 2) > 0
