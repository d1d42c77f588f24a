"""Passes in parts: outputs, gradients and mixtures of the whole, in bounded memory."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vicinal.data import load
from vicinal.mixing.apply import mix
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.draw import Draw
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.rows import mix_rows
from vicinal.models import passes
from vicinal.models.forward import unchanged
from vicinal.models.named import build_model
from vicinal.models.passes import Passes
from vicinal.study.measures import evaluation, measure


def convolutions():
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.GELU(), nn.Flatten(), nn.Linear(48, 5)).double()


class Counted(nn.Module):
    """A model that writes down how many examples it was given at once."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, x):
        self.seen.append(len(x))
        return self.inner(x)


@pytest.fixture
def small(monkeypatch):
    """Memory for few examples of `convolutions`: a pass is cut long before 100."""
    monkeypatch.setattr(passes, "MEMORY", 20_000)


def test_outputs_and_gradients_in_parts_are_those_of_the_whole(small):
    model, x = Counted(convolutions()), torch.rand(100, 1, 6, 6).double()
    weights = torch.rand(100, 5).double()
    whole = x.clone().requires_grad_()
    expected = model.inner(whole)
    (slope,) = torch.autograd.grad((weights * expected.sin()).sum(), whole)
    f = Passes(model, inputs=True)
    with torch.no_grad():
        torch.testing.assert_close(f(x), expected.detach(), rtol=1e-12, atol=1e-12)
    assert 8 < max(model.seen) < 50
    model.seen.clear()
    cut = x.clone().requires_grad_()
    (found,) = torch.autograd.grad((weights * f(cut).sin()).sum(), cut)
    torch.testing.assert_close(found, slope, rtol=1e-12, atol=1e-12)
    assert max(model.seen) < 50


def test_size_counts_what_autograd_keeps_of_an_example():
    """Of two layers with h exp(h) between: the input, h, exp(h), kept by two, and the product.

    The weights are kept as well, but once for all examples.
    """
    first, second = nn.Linear(7, 100).double(), nn.Linear(100, 3).double()
    f = Passes(lambda x: second((h := first(x)) * h.exp()))
    x, numbers = torch.rand(20, 7).double(), 7 + 3 * 100
    assert f.size(x, gradients=True) == passes.MEMORY // (8 * numbers)
    assert f.size(x, gradients=False) == passes.MEMORY // (4 * 8 * 100)


@pytest.mark.parametrize(
    "f", [lambda x: torch.from_numpy(x.numpy() ** 2), lambda x: x.detach().square()]
)
def test_models_that_autograd_cannot_follow_are_cut_too(f, small):
    x = torch.rand(100, 40)
    with torch.no_grad():
        torch.testing.assert_close(Passes(f, inputs=True)(x), x**2)
    assert Passes(f).size(x, gradients=False) == 1


def test_gradients_that_are_no_gradients_by_inputs_are_left_to_autograd(small):
    model, x = convolutions(), torch.rand(100, 1, 6, 6).double()
    with unchanged(model) as f:
        loss = f(x).square().mean()
    (slope,) = torch.autograd.grad(loss, model[0].weight)
    (expected,) = torch.autograd.grad(model(x).square().mean(), model[0].weight)
    torch.testing.assert_close(slope, expected)


def slow_mix(x, draw):
    """One coordinate after another."""
    mixed = torch.empty_like(x)
    keep = draw.keep.expand(x.shape)
    for i in range(len(x)):
        own, other = x[i], x[draw.partner[i]]
        for place in np.ndindex(*x.shape[1:]):
            down, across = place[-2:]
            at = [place, place]
            for k, moved in enumerate((draw.own_place, draw.place)):
                if moved is not None:
                    at[k] = (*place[:-2], *divmod(int(moved[i, down, across]), x.shape[-1]))
            mixed[(i, *place)] = keep[(i, *place)] * own[at[0]]
            mixed[(i, *place)] += (1 - keep[(i, *place)]) * other[at[1]]
    return mixed


@pytest.mark.parametrize("kind", ["mixup", "cutmix", "moved"])
def test_rows_of_a_mixture_have_partners_from_anywhere(kind):
    rng = np.random.default_rng(3)
    x, y = torch.rand(7, 2, 3, 4).double(), torch.arange(7)
    draw = (Mixup(1.0) if kind != "cutmix" else CutMix(1.0))(x, y, rng)
    if kind == "moved":
        places = torch.from_numpy(np.stack([rng.permutation(12) for _ in range(14)]))
        own, other = places.reshape(2, 7, 3, 4)
        draw = Draw(draw.partner, draw.keep, draw.share, place=other, own_place=own)
    expected = slow_mix(x, draw)
    for first, last in [(0, 7), (0, 3), (3, 6), (6, 7)]:
        found = mix_rows(x, draw, slice(first, last))
        torch.testing.assert_close(found, expected[first:last], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mix(x, draw), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("data", "little"), [("digits", 60_000), ("diabetes", 15_000)])
def test_a_study_in_parts_measures_the_same(data, little, monkeypatch, tmp_path):
    """All passes cut to a few examples, against none cut, but for rounding."""
    whole = load(data, 0, 60)
    test = whole.test
    split = replace(whole, test=type(test)(test.x[:30], test.y[:30], test.rows[:30]))
    model = Counted(build_model("cnn" if data == "digits" else "mlp", split, 0))
    found, most = [], []
    monkeypatch.setattr("vicinal.study.measures.PAIRS", 200)
    for memory, numbers in ((passes.MEMORY, 2**24), (little, 2**9)):
        monkeypatch.setattr(passes, "MEMORY", memory)
        monkeypatch.setattr("vicinal.mixing.rows.NUMBERS", numbers)
        model.seen.clear()
        row = evaluation(model, split, 0, 0)(1)
        most.append(max(model.seen))
        found.append(row | measure(model, {}, split, 0, row, "fast", tmp_path / "x"))
    assert most[1] < 20 < 60 <= most[0]
    assert_close(found[0], found[1])


def assert_close(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_close(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_close(x, y)
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)
    elif hasattr(a, "__dataclass_fields__"):
        assert_close(vars(a), vars(b))
    else:
        assert a == b


PEAK = """
import resource, sys, torch
from torch import nn
from vicinal.models.forward import unchanged
model = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 1),
                      nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
x = torch.rand(4000, 3, 32, 32)
with torch.no_grad(), unchanged(model) as f:
    f(x[:9])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    f(x)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_bounded():
    """One pass of all would hold two layers of 4000 × 64 × 32 × 32 floats: 2 GB."""
    done = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True)
    assert int(done.stdout) * 1024 < 1.2 * passes.MEMORY
