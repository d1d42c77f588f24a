"""The checks catch models that mask their gradients in known ways, and pass an honest one."""

import numpy as np
import pytest
import torch
from torch import nn

from norms import NORMS
from vicinal.maths.losses import bernoulli, categorical, gaussian
from vicinal.robustness.masking import masking


@pytest.fixture(autouse=True)
def _fewer_queries(monkeypatch):
    monkeypatch.setattr("vicinal.robustness.signs.QUERIES", 150)


@pytest.fixture(scope="module")
def trained():
    g = torch.Generator().manual_seed(0)
    x = torch.rand(400, 2, generator=g)
    y = ((x - 0.5).norm(dim=1) * 5.5).long().clamp(max=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.02, weight_decay=1e-4)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval().requires_grad_(False), x[:100], y[:100]


def signs(model, x, y, **options):
    return masking(model, x, y, 0.06, rng=np.random.default_rng(0), **options)


def failed(found):
    return {name for name, sign in found.signs.items() if not sign.passed}


@pytest.mark.parametrize("norm", NORMS)
def test_an_honest_model_passes(trained, norm):
    model, x, y = trained
    found = signs(model, x, y, norm=norm, twin=model)
    assert failed(found) == set()
    assert not found.masked
    assert "No sign" in found.verdict
    assert "no proof" in found.verdict
    assert str(found).count("pass  ") == len(found.signs) == 9
    assert found.examples == int((model(x).argmax(1) == y).sum())


def test_quantised_logits_are_caught(trained):
    model, x, y = trained
    with pytest.warns(UserWarning, match="every attack by gradients did nothing"):
        found = signs(lambda x: (model(x) * 2).round() / 2, x, y, twin=model)
    assert {"zero_gradients", "black_box", "transfer"} <= failed(found)
    assert "Signs of masked gradients" in found.verdict
    assert "FAIL  gradients must not be 0 at the start: they are for 100.0%" in str(found)


def test_a_low_temperature_is_caught(trained):
    model, x, y = trained
    found = signs(lambda x: model(x) / 0.01, x, y)
    assert {"zero_gradients", "scale_of_logits", "black_box"} <= failed(found)


def test_a_model_that_draws_at_random_is_caught(trained):
    model, x, y = trained
    found = signs(lambda x: model(x + 0.02 * torch.randn_like(x)), x[:30], y[:30])
    assert "random" in failed(found)
    assert set(found.signs["random"].measured) == {"one draw", "mean of draws"}


def test_slopes_that_point_the_wrong_way_are_caught(trained):
    """Ripples turn the slope; only a search without it finds the boundary."""
    model, x, y = trained

    class Turned(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return -gradient

    found = signs(lambda x: model(Turned.apply(x)), x, y)
    assert {"black_box", "noise"} <= failed(found)


def test_success_that_falls_as_the_ball_grows_is_caught():
    """Wrong answers lie in a narrow band close by, over which long steps jump."""
    x = torch.zeros(20, 1, dtype=torch.float64)
    band = lambda x: (x[:, 0].abs() > 0.02) & (x[:, 0].abs() < 0.06)
    model = lambda x: torch.where(band(x), -5.0, 1.0) + 0.1 * x[:, 0]
    found = masking(
        model,
        x,
        torch.ones(20, dtype=torch.long),
        0.8,
        bounds=(-1.0, 1.0),
        family=bernoulli,
        rng=np.random.default_rng(0),
    )
    assert "rising" in failed(found)
    assert found.signs["rising"].measured["1 eps"] < found.signs["rising"].measured["0.25 eps"]


ALWAYS = {  # the same prediction for all inputs, with slopes and without
    "one logit": (bernoulli, lambda x: 5 + x.sum(1), torch.ones),
    "no slope": (bernoulli, lambda x: 5 + 0 * x.sum(1), torch.ones),
    "classes": (categorical, lambda x: torch.stack([3 + x[:, 0], x[:, 1]], 1), torch.zeros),
    "values": (gaussian, lambda x: 2 + 0 * x.sum(1), lambda n: 2 + torch.linspace(-0.4, 0.4, n)),
}


@pytest.mark.parametrize(("family", "model", "label"), ALWAYS.values(), ids=ALWAYS)
def test_a_model_that_predicts_the_same_everywhere_masks_nothing(family, model, label):
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = label(40).double() if family is gaussian else label(40).long()
    tolerance = 0.5 if family is gaussian else None
    found = signs(model, x, y, family=family, tolerance=tolerance)
    assert found.constant
    assert not found.masked
    assert failed(found) == {"constant"}
    assert "robustness is meaningless" in found.verdict


def test_examples_of_one_class_do_not_make_a_model_constant(trained):
    """An honest model passes on them, and one that hides its gradients is still called masked."""
    model, x, y = trained
    one = (y == 1) & (model(x).argmax(1) == 1)
    found = signs(model, x[one], y[one])
    assert not found.constant
    assert not found.masked, str(found)
    with pytest.warns(UserWarning, match="every attack by gradients did nothing"):
        found = signs(lambda x: (model(x) * 2).round() / 2, x[one], y[one])
    assert not found.constant
    assert found.masked
    band = lambda x: 1.0 - 6.0 * ((x[:, 0] - 0.5).abs() < 0.02)  # wrong in a narrow band only
    with pytest.warns(UserWarning, match="every attack by gradients did nothing"):
        found = signs(band, x, torch.ones(len(x), dtype=torch.long), family=bernoulli)
    assert not found.constant


def test_one_logit_and_values():
    theta = torch.tensor([1.0, -2.0], dtype=torch.float64)
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    linear = lambda x: 3 * (x @ theta + 0.5)
    found = signs(linear, x, (linear(x) > 0).long(), family=bernoulli)
    assert not found.masked, str(found)
    y = linear(x) + torch.linspace(-0.2, 0.2, 60, dtype=torch.float64)
    found = signs(linear, x, y, family=gaussian, tolerance=0.5)
    assert not found.masked, str(found)
    assert "scale_of_logits" not in found.signs


def test_bad_input(trained, unchecked):
    model, x, y = trained
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="eps must be positive"):
        masking(model, x, y, 0.0, rng=rng)
    with pytest.raises(ValueError, match="none of the examples right"):
        masking(model, x, (model(x).argmax(1) + 1) % 3, 0.1, rng=rng)
    with pytest.raises(ValueError, match="has no classes"):
        masking(lambda x: x[:, 0], x, x[:, 0], 0.1, family=gaussian, rng=rng)
