"""Terms of nets in 16 bits are those of their weights, not of their rounding."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from vicinal import (
    Beta,
    Mixup,
    categorical,
    expand,
    expand_noise,
    expand_shrunk,
    expand_strategy,
    expand_stream,
    explain,
    risk_stream,
    taylor_terms,
    vicinal_risk,
)

LAW, Y = Beta(1.0), torch.arange(20) % 3


def terms(model, x):
    with torch.no_grad():
        return torch.stack(list(taylor_terms(model, x, Y, torch.arange(20).roll(1), 1 / 6)))


def numbers(found, names):
    return torch.tensor([getattr(found, name) for name in names.split()], dtype=torch.float64)


def rng():
    return np.random.default_rng(0)


def streamed(model, x):
    found = expand_stream(model, [(x, Y)], LAW, categorical, partners=2)
    risk = risk_stream(model, [(x, Y)], LAW, categorical, partners=2)
    return torch.cat((numbers(found, "loss r1 r2 r3"), torch.tensor([risk.value])))


MEASURED = {
    "taylor_terms": terms,
    "expand": lambda m, x: numbers(expand(m, x, Y, LAW, categorical), "loss r1 r2 r3"),
    "expand_shrunk": lambda m, x: numbers(
        expand_shrunk(m, x, Y, LAW, categorical), "loss curvature residual covariance"
    ),
    "expand_noise": lambda m, x: numbers(
        expand_noise(m, x, Y, 0.3, categorical), "curvature residual"
    ),
    "expand_strategy": lambda m, x: numbers(
        expand_strategy(m, x, Y, Mixup(1.0), categorical, rng=rng()), "r1 r2 r3 risk"
    ),
    "vicinal_risk": lambda m, x: numbers(vicinal_risk(m, x, Y, LAW, categorical), "value"),
    "streams": streamed,
    "explain": lambda m, x: numbers(
        explain(m, x, Y, alphas=[1.0], pairs=None, partners=None, rng=rng()).curve[0].expansion,
        "loss r1 r2 r3",
    ),
}


@pytest.mark.parametrize("measure", MEASURED.values(), ids=MEASURED)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_are_computed_in_32(kind, measure):
    """Against the same numbers in 64 bits; in 16 bits residuals are off by a fifth."""
    model = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 3)).to(kind)
    x = torch.randn(20, 4).to(kind)
    exact = measure(copy.deepcopy(model).double(), x.double())
    found = measure(model, x).double()
    assert torch.allclose(found, exact, rtol=1e-4, atol=1e-6), (found, exact)
    assert {p.dtype for p in model.parameters()} == {kind}


def test_outputs_of_16_bits_from_elsewhere_are_warned_of_with_the_size_of_the_error():
    model = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 3))
    x = torch.randn(20, 4)

    def narrow(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model(x)

    for measure in ("taylor_terms", "expand", "streams"):
        with pytest.warns(UserWarning, match=r"rounded by up to 3.9e-03.*off by a fifth"):
            MEASURED[measure](narrow, x)
