"""Where the expansion holds and where it fails, on two moons, in numbers of real training."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from torch import nn

from vicinal.explanation.expansions.shrunk import expand_shrunk
from vicinal.explanation.risk import vicinal_risk
from vicinal.explanation.terms import expand
from vicinal.maths.laws import Beta
from vicinal.maths.losses import bernoulli
from vicinal.mixing.labels import vicinal_losses
from vicinal.mixing.mixup import Mixup


def moons():
    """200 points with all products of their coordinates up to the third degree."""
    points, y = make_moons(200, noise=0.1, random_state=0)
    a, b = points.T
    features = np.stack([a**p * b**q for p in range(4) for q in range(4 - p) if p + q], 1)
    return torch.from_numpy(features), torch.from_numpy(y)


def trained(x, y, strategy, steps):
    """Logistic regression from zero weights by Adam on whole batches, in float64."""
    model = nn.Linear(x.shape[1], 1).double()
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimiser, rng = torch.optim.Adam(model.parameters(), lr=0.05), np.random.default_rng(0)
    for _ in range(steps):
        optimiser.zero_grad()
        draw = None if strategy is None else strategy(x, y, rng)
        vicinal_losses(model, x, y, draw, bernoulli).mean().backward()
        optimiser.step()
    return model.requires_grad_(False)


def gaps(model, x, y):
    """Both expansions relative to the exact mixup loss under uniform λ, minus 1."""
    law = Beta(1)
    exact = vicinal_risk(model, x, y, law, bernoulli)
    assert exact.standard_error == 0
    assert exact.quadrature_error < 1e-6
    totals = [f(model, x, y, law, bernoulli).total for f in (expand, expand_shrunk)]
    return [total / exact.value - 1 for total in totals]


def test_small_weights_are_within_the_regime():
    """A few steps of training: both expansions are right to four digits."""
    x, y = moons()
    model = trained(x, y, Mixup(1.0), 1)
    assert 0.1 < model.weight.norm() < 0.2
    first, shrunk = gaps(model, x, y)
    assert abs(first) < 1e-4
    assert abs(shrunk) < 1e-4


def test_trained_with_mixup_the_expansion_is_a_third_too_low():
    """At the weights that mixup trains, about 10 long; about shrunk examples it is near."""
    x, y = moons()
    model = trained(x, y, Mixup(1.0), 500)
    assert model.weight.norm() == pytest.approx(9.2, abs=0.3)
    first, shrunk = gaps(model, x, y)
    assert first == pytest.approx(-0.308, abs=0.01)
    assert shrunk == pytest.approx(-0.034, abs=0.003)


def test_trained_without_mixing_weights_leave_the_regime():
    """At the large weights of ERM most of the mixup loss is missed, about shrunk examples less."""
    x, y = moons()
    model = trained(x, y, None, 2000)
    assert model.weight.norm() == pytest.approx(30.9, abs=0.5)
    first, shrunk = gaps(model, x, y)
    assert first == pytest.approx(-0.866, abs=0.005)
    assert shrunk == pytest.approx(-0.209, abs=0.005)
