"""Models whose weights have 16 bits, attacked on inputs of 32: as they would be run."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import vicinal as vc
from norms import length

NARROW = [torch.float16, torch.bfloat16]
each_kind = pytest.mark.parametrize("kind", NARROW, ids=str)


@pytest.fixture(autouse=True)
def _few_queries(monkeypatch):
    monkeypatch.setattr("vicinal.robustness.attacks.square.QUERIES", 60)
    monkeypatch.setattr("vicinal.robustness.signs.QUERIES", 60)


def data(n=60):
    g = torch.Generator().manual_seed(0)
    x = torch.rand(n, 2, generator=g)
    return x, ((x - 0.5).norm(dim=1) * 5.5).long().clamp(max=2)


@pytest.fixture(scope="module")
def trained():
    x, y = data(400)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.02, weight_decay=1e-4)
    for _ in range(200):
        optimizer.zero_grad()
        vc.categorical(model(x), y).mean().backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval()


def narrowed(model, kind):
    """A copy with narrow weights, and what it gives for inputs of 32 bits where it is run."""
    copy = nn.Sequential(*(type(m)(m.in_features, m.out_features) if isinstance(m, nn.Linear) else m
                           for m in model))  # fmt: skip
    copy.load_state_dict(model.state_dict())
    copy = copy.to(kind)
    return copy, lambda x: copy(x.to(kind)).float()


ATTACKS = {
    "fgsm": vc.fgsm,
    "pgd": vc.pgd,
    "apgd": vc.apgd,
    "targeted": partial(vc.apgd, loss="targeted"),
    "square": partial(vc.square, queries=200, rng=np.random.default_rng(0)),
    "noise": partial(vc.noise, rng=np.random.default_rng(0)),
}


@each_kind
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attacks_break_the_model_as_it_runs(attack, norm, kind, trained):
    """About as many as of the model in 32 bits, and the points are those of 32 bits."""
    x, y = data()
    model, run = narrowed(trained, kind)
    z = attack(model, x, y, 0.06, norm=norm)
    assert z.dtype == torch.float32
    assert (length(z - x, norm) <= 0.06 * (1 + 1e-5)).all()
    broken = lambda f, z: float((f(z).argmax(1) != y).double().mean())
    with torch.no_grad():
        found = broken(run, z)
        expected = broken(trained, attack(trained, x, y, 0.06, norm=norm))
    assert abs(found - expected) <= 0.1
    assert found > broken(run, x)
    assert {p.dtype for p in model.parameters()} == {kind}


@each_kind
def test_the_worst_case_and_what_is_measured_beside_it(kind, trained):
    x, y = data()
    model, run = narrowed(trained, kind)
    found = vc.worst_case(model, x, y, 0.04)
    whole = vc.worst_case(trained, x, y, 0.04)
    assert abs(float(found.success.double().mean() - whole.success.double().mean())) <= 0.1
    assert (run(found.x[found.success]).argmax(1) != y[found.success]).all()
    near, far = (vc.minimal_distances(m, x, y).values.median() for m in (model, trained))
    assert abs(float(near / far) - 1) < 0.1
    curve = vc.accuracy_curve(model, x, y, [0.0, 0.04])
    assert curve.points[1].accuracy >= 1 - found.success.double().mean()
    signs = vc.masking(model, x[:40], y[:40], 0.06, rng=np.random.default_rng(0))
    assert signs.examples == int((run(x[:40]).argmax(1) == y[:40]).sum())


@each_kind
def test_the_bound_wants_more_digits(kind):
    model = nn.Linear(3, 1).to(kind)
    with pytest.raises(TypeError, match=r"second derivatives.*Pass model.float\(\)"):
        vc.mixup_bound(model, torch.rand(6, 3), torch.arange(6) % 2, vc.Uniform())
    x = torch.rand(6, 3)
    loss = vc.adversarial_loss(model, x, torch.arange(6) % 2, 0.0)
    expected = vc.bernoulli(model(x.to(kind)).double(), torch.arange(6) % 2)
    torch.testing.assert_close(loss, expected.detach())
