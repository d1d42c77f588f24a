"""The record behind `vicinal explain` against the functions it is made of."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

from vicinal.explanation.derivatives.second_order import engine_of
from vicinal.explanation.risk import vicinal_risk
from vicinal.explanation.summary import _remainders, explain
from vicinal.explanation.terms import expand
from vicinal.machine import files
from vicinal.maths.laws import Beta
from vicinal.maths.losses import categorical


def case(n=30):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 4)).double()
        x = torch.randn(n, 3, dtype=torch.float64)
        y = torch.randint(4, (n,))
    return model.requires_grad_(False), x, y


def test_the_curve_is_that_of_its_parts():
    model, x, y = case()
    told = []
    found = explain(
        model,
        x,
        y,
        alphas=(0.2, 1.0),
        pairs=None,
        partners=None,
        rng=np.random.default_rng(0),
        progress=told.append,
    )
    assert told == sorted(told)
    assert told[-1] == 1
    for point in found.curve:
        law = Beta(point.alpha)
        assert point.risk == vicinal_risk(model, x, y, law, categorical)
        assert point.expansion.total == pytest.approx(expand(model, x, y, law, categorical).total)
    assert json.loads(json.dumps(files.plain(asdict(found))))["curve"][1]["alpha"] == 1


def test_examples_add_up_to_the_whole():
    """Shown in full, the examples' terms average to the terms, and so do their remainders."""
    model, x, y = case()
    found = explain(
        model,
        x,
        y,
        alphas=(1.0,),
        pairs=None,
        partners=None,
        shown=30,
        rng=np.random.default_rng(0),
    )
    (point,) = found.curve
    for name in ("loss", "r1", "r2", "r3"):
        values = [getattr(example, name) for example in found.carriers["r2"]]
        assert np.mean(values) == pytest.approx(getattr(point.expansion, name), rel=1e-9), name
    whole = point.risk.value - point.expansion.total
    parts = [example.remainder for example in found.carriers["remainder"]]
    assert np.mean(parts) == pytest.approx(whole, abs=5 * np.std(parts) / 30**0.5)
    assert abs(np.mean(parts) - whole) < 0.5 * abs(whole) + 0.01
    for name, examples in found.carriers.items():
        sizes = [abs(getattr(example, name)) for example in examples]
        assert sizes == sorted(sizes, reverse=True)


def test_bad_input():
    model, x, y = case()
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least one strength"):
        explain(model, x, y, alphas=(), rng=rng)
    with pytest.raises(ValueError, match="alpha must be positive"):
        explain(model, x, y, alphas=(0.0,), rng=rng)
    with pytest.raises(ValueError, match="0 or more examples"):
        explain(model, x, y, shown=-1, rng=rng)


def test_the_remainder_of_an_example_is_under_the_tilted_law():
    """λ ~ D̃ = Beta(2, 1), of density 2λ, along the partners that were drawn."""
    model, x, y = case(5)
    engine = engine_of(model, categorical)
    with torch.no_grad():
        found = _remainders(engine, model, x, y, Beta(1), np.random.default_rng(0))
    rng, expected = np.random.default_rng(0), np.zeros(5)
    for partner in [rng.permutation(5) for _ in range(8)]:
        for i, j in enumerate(partner):
            at = lambda t, i=i, j=j: categorical(
                model((x[i] + t * (x[j] - x[i]))[None]), y[i : i + 1]
            )[0]
            zero = torch.zeros((), dtype=torch.float64)
            slope = torch.autograd.functional.jacobian(at, zero)
            bend = torch.autograd.functional.hessian(at, zero)
            mixed = quad(lambda lam, at=at: 2 * lam * float(at(1 - lam)), 0, 1)[0]
            expected[i] += (mixed - float(at(0) + slope / 3 + bend / 12)) / 8
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
