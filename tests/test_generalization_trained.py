"""The bound of a trained model: the one of its margin, paid for, and only where it applies."""

import numpy as np
import pytest
import torch
from torch import nn

from vicinal.generalization import bound_of_trained, glm_bound
from vicinal.maths.losses import bernoulli, categorical, gaussian


def normal(n, d, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)))


def small_images(n, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((n, 1, 2, 2)))


def two_logits(seed=0):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        for k, p in enumerate(model.parameters()):
            p.copy_(normal(p.numel(), 1, seed + k).reshape(p.shape) / 2)
    return model


def test_bound_of_a_trained_model_is_the_bound_of_its_margin():
    """Two logits are one, their difference; the intercept is the weight of a last input of 1."""
    model, x, new = two_logits(), small_images(50), small_images(400, 1)
    y = torch.tensor([0, 1] * 25)
    got = bound_of_trained(model, (x, y), new, categorical, bounds=(0.0, 1.0))
    weight, bias = (p.detach() for p in model.parameters())
    theta = weight[1] - weight[0]
    offset = float(bias[1] - bias[0]) + 0.5 * float(theta.sum())
    theta = torch.cat((theta, torch.tensor([offset], dtype=torch.float64)))
    moved, held = (torch.cat((v.flatten(1) - 0.5, torch.ones(len(v), 1)), 1) for v in (x, new))
    grid = [0.25 * (2**0.5 * 1.0) ** 2 / 2**k for k in range(25)]
    assert 0.5 < float(theta.norm()) <= 1
    expected = glm_bound(
        theta, moved, y, bernoulli, x_bound=2**0.5, theta_bound=1.0, gammas=grid, delta=0.05 / 16,
        held_out=held,
    )  # fmt: skip
    for name in ("value", "train_loss", "complexity", "deviation", "constant_loss"):
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), rtol=1e-9)
    by_model = float(categorical(model(x).detach(), y).mean())
    np.testing.assert_allclose(got.train_loss, by_model, rtol=1e-12)
    assert got.factors["grid"] == 25 * 16
    assert got.proved
    read_off = bound_of_trained(model, (x, y), new, categorical, bounds=None)
    assert read_off.caveat == "the bounds on x are read off the data"
    assert not read_off.proved
    assert "Indicative only" in read_off.words
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def draw(n, slope, rng):
    x = torch.from_numpy(rng.random((n, 4)))
    p = torch.sigmoid(slope * (x[:, 0] - 0.5)).numpy()
    return x, torch.from_numpy((rng.random(n) < p).astype(int))


@pytest.mark.parametrize("slope", [0.0, 4.0])
def test_bounds_of_models_fitted_to_the_data_hold(slope):
    """Not one of 60 fails, also where there is nothing to learn; δ is 1/20."""
    margins = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, y = draw(300, slope, rng)
        model = nn.Linear(4, 1).double()
        with torch.no_grad():  # four times least squares, for want of a solver
            inputs = torch.cat((x, torch.ones(300, 1)), 1)
            found = torch.linalg.lstsq(inputs, y[:, None].double() - 0.5).solution
            model.weight.copy_(4 * found[:4].T)
            model.bias.copy_(4 * found[4])
        held_out = draw(300, slope, rng)[0]
        bound = bound_of_trained(model, (x, y), held_out, bernoulli, bounds=(0.0, 1.0))
        new_x, new_y = draw(5000, slope, rng)
        assert bound.proved
        margins.append(bound.value - float(bernoulli(model(new_x)[:, 0].detach(), new_y).mean()))
    assert min(margins) > 0
    assert min(margins) < 10  # it is a bound of this size, not any number


def test_only_linear_models_of_one_output_have_a_bound():
    x, y = small_images(20).float(), torch.tensor([0, 1] * 10)
    deep = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    three = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    for model in (deep, three):
        assert bound_of_trained(model, (x, y), x, categorical, bounds=(0.0, 1.0)) is None
    huge = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    huge[1].weight.data *= 1e6
    assert bound_of_trained(huge, (x, y), x, categorical, bounds=(0.0, 1.0)) is None
    values = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    got = bound_of_trained(values, (x, y.float()), x, gaussian, bounds=None)
    assert got.factors["rho"] == 1
    assert got.caveat == "the bounds on x and y are read off the data"
