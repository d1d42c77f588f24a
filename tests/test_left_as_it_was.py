"""Whatever attacks or measures a model leaves it as it was, wherever it is interrupted."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import vicinal as vc
from vicinal.robustness.attacks.transfer import transfer
from vicinal.robustness.theory.alignment import alignment
from vicinal.study.audit import Case, audit

FEW = {
    "robustness.attacks.apgd.STEPS": 4,
    "robustness.attacks.fab.STEPS": 3,
    "robustness.attacks.fmn.STEPS": 3,
    "robustness.attacks.ensemble.noise.DRAWS": 2,
    "robustness.attacks.square.QUERIES": 5,
    "robustness.attacks.transfer.STEPS": 3,
    "study.audit.outputs.RESAMPLES": 100,
    "robustness.signs.QUERIES": 5,
    "robustness.signs.NOISES": 2,
    "robustness.signs.RESTARTS": 1,
}


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    for name, few in FEW.items():
        monkeypatch.setattr(f"vicinal.{name}", few)


class Interrupted(torch.autograd.Function):
    """Raises in the forward or the backward pass that was counted out."""

    @staticmethod
    def forward(ctx, x, tired):
        ctx.tired = tired
        tired.tell()
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        ctx.tired.tell()
        return gradient, None


class Tired(nn.Module):
    """Counts its passes, draws from the global state, writes a buffer, and gives up at one pass."""

    def __init__(self, k):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(), nn.Linear(8, k)
        )
        self.register_buffer("seen", torch.zeros(()))
        self.passes, self.last = 0, float("inf")

    def tell(self):
        self.passes += 1
        if self.passes >= self.last:
            raise KeyboardInterrupt

    def forward(self, x):
        self.seen += 1
        drawn = torch.rand(()) + random.random() + np.random.random()  # noqa: NPY002
        return self.body(Interrupted.apply(x, self)) + 0 * drawn


def model(k):
    """In train mode but for one layer, with gradients from before, one weight fixed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Tired(k).double().train()
        made.body(torch.rand(32, 4, dtype=torch.float64)).sum().backward()
    made.body[3].eval()
    made.body[0].weight.requires_grad_(False)
    return made


def state(model):
    """All that must stay, as plain comparable values."""
    return (
        [module.training for module in model.modules()],
        {name: value.tolist() for name, value in model.state_dict().items()},
        [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        [p.requires_grad for p in model.parameters()],
        torch.get_rng_state().tolist(),
        [str(part) for part in np.random.get_state()],  # noqa: NPY002
        random.getstate(),
        torch.is_grad_enabled(),
    )


X = torch.rand(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def rng():
    return np.random.default_rng(0)


def audited(m, y, folder):
    case = Case(
        m, X, y, (X[:6], y[:6]), (X, y), vc.categorical, None, (0.0, 1.0), None,
        {"linf": 0.1}, m, 12, True, None, None, 0,
    )  # fmt: skip
    return audit(case, folder, lambda name, share: None)


CALLS = {  # outputs of the model, and what is done with it
    "fgsm": (3, lambda m, y, _: vc.fgsm(m, X, y, 0.1)),
    "pgd": (3, lambda m, y, _: vc.pgd(m, X, y, 0.1, steps=3, restarts=2, rng=rng())),
    "apgd": (3, lambda m, y, _: vc.apgd(m, X, y, 0.1, steps=4, norm="l1")),
    "apgd dlr": (3, lambda m, y, _: vc.apgd(m, X, y, 0.1, steps=4, loss="dlr")),
    "apgd targeted": (3, lambda m, y, _: vc.apgd(m, X, y, 0.1, steps=4, loss="targeted")),
    "noise": (3, lambda m, y, _: vc.noise(m, X, y, 0.1, rng=rng())),
    "square": (3, lambda m, y, _: vc.square(m, X, y, 0.1, queries=9, rng=rng())),
    "transfer": (3, lambda m, y, _: transfer(m, m, X, y, 0.1)),
    "fab": (3, lambda m, y, _: vc.fab(m, X, y, steps=3)),
    "fmn": (3, lambda m, y, _: vc.fmn(m, X, y, steps=3)),
    "distances": (3, lambda m, y, _: vc.minimal_distances(m, X, y, check_at=[0.1])),
    "worst case": (3, lambda m, y, _: vc.worst_case(m, X, y, 0.1, twin=m)),
    "masking": (3, lambda m, y, _: vc.masking(m, X, y, 0.1, twin=m, rng=rng())),
    "curve": (3, lambda m, y, _: vc.accuracy_curve(m, X, y, [0, 0.05, 0.1], steps=2)),
    "adversarial training": (
        3,
        lambda m, y, _: vc.Adversarial(0.1, 2)(X, y, rng()).inputs(m, X, y, vc.categorical),
    ),
    "adversarial loss": (1, lambda m, y, _: vc.adversarial_loss(m, X, y, 0.1)),
    "alignment": (1, lambda m, y, _: alignment(m, X, vc.Uniform())),
    "bound": (1, lambda m, y, _: vc.mixup_bound(m, X, y, vc.Uniform())),
    "audit": (2, audited),
}


def labels(m, k):
    """Mostly what the model says, so that there is something to attack."""
    with torch.no_grad():
        f = m.eval()(X)
    y = (f[:, 0] > 0).long() if k == 1 else f.argmax(1)
    y[0] = (y[0] + 1) % max(k, 2)
    return y


@pytest.mark.filterwarnings("ignore:.*temperature:UserWarning")
@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_anywhere_leaves_the_model_as_it_was(name, tmp_path, unchecked):
    k, call = CALLS[name]
    y = labels(model(k), k)
    m = model(k)
    before = state(m)
    call(m, y, tmp_path / "whole")
    assert state(m) == before
    passes = m.passes
    assert passes > 1
    for last in sorted({1, 2, passes // 2, passes - 1, passes}):
        m.passes, m.last = 0, last
        with pytest.raises(KeyboardInterrupt):
            call(m, y, tmp_path / str(last))
        assert state(m) == before, f"interrupted at pass {last} of {passes}"
