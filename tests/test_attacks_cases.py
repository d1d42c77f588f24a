"""Every attack in every case: families, norms, boxes, sizes, tables and images."""

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch

import vicinal as vc
from norms import NORMS, length

N, K = 12, 3
SHAPES = {"table": (4,), "image": (2, 3, 2)}
FAMILIES = (vc.categorical, vc.bernoulli, vc.gaussian, vc.poisson)
CASES = (  # shape, box, whether eps or the unit is one per feature
    ("table", "none", False),
    ("image", "one", True),
    ("table", "per feature", True),
    ("image", "per feature", False),
)


def transfer(model, *args, **options):
    return vc.transfer(model, model, *args, **options)


def ensemble(*args, **options):
    return vc.worst_case(*args, **options).x


ATTACKS = {  # and whether they take a tolerance
    "fgsm": (vc.fgsm, False),
    "pgd": (partial(vc.pgd, steps=6), False),
    "pgd restarted": (partial(vc.pgd, restarts=2, steps=4, rng=np.random.default_rng(0)), False),
    "apgd": (partial(vc.apgd, steps=6), True),
    "apgd dlr": (partial(vc.apgd, steps=6, loss="dlr"), True),
    "apgd targeted": (partial(vc.apgd, steps=6, loss="targeted"), True),
    "square": (partial(vc.square, queries=12, rng=np.random.default_rng(0)), True),
    "noise": (partial(vc.noise, draws=3, rng=np.random.default_rng(0)), True),
    "transfer": (transfer, True),
    "ensemble": (ensemble, True),
}
NEAREST = {"fab": partial(vc.fab, steps=8), "fmn": partial(vc.fmn, steps=8)}


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    few = {"apgd.STEPS": 3, "fab.STEPS": 2, "square.QUERIES": 4, "transfer.STEPS": 4}
    for name, count in few.items():
        monkeypatch.setattr(f"vicinal.robustness.attacks.{name}", count)


def case(family, shape, box):
    """A linear model, data on which it is mostly right, and a box."""
    g = torch.Generator().manual_seed(0)
    real = {"generator": g, "dtype": torch.float64}
    low = -torch.rand(shape, **real) if box == "per feature" else torch.zeros(shape).double()
    high = low + 1 + (torch.rand(shape, **real) if box == "per feature" else 0)
    x = low + (high - low) * torch.rand(N, *shape, **real)
    weight = torch.randn(x[0].numel(), 1 if family.scalar else K, **real)
    shift = (x.flatten(1) @ weight).mean(0)
    model = lambda z: z.flatten(1) @ weight - shift
    f = model(x)
    if family is vc.categorical:
        y = f.argmax(1)
    elif family is vc.bernoulli:
        y = (f[:, 0] > 0).long()
    else:
        y = family.mean(f[:, 0]) + 0.05 * torch.randn(N, **real)
    bounds = {"none": None, "one": (0.0, 1.0), "per feature": (low, high)}[box]
    return model, x, y, bounds, low, high


def height(family, model, z, y):
    """The loss for values; how far beyond the boundary for classes."""
    f = model(z)
    if not family.classifies:
        return (family.mean(f[:, 0]) - y).abs()
    return -(2 * y - 1) * f[:, 0] if family.scalar else family(f, y)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
@pytest.mark.parametrize("attack", ATTACKS)
def test_points_are_valid_and_never_better_for_the_model(attack, family):
    call, tolerant = ATTACKS[attack]
    options = {} if family.classifies or not tolerant else {"tolerance": 0.4}
    for (kind, box, apart), norm in product(CASES, NORMS):
        shape = SHAPES[kind]
        model, x, y, bounds, low, high = case(family, shape, box)
        scale = torch.linspace(0, 0.3, x[0].numel(), dtype=x.dtype).reshape(shape)
        eps = scale if apart else 0.3
        z = call(model, x, y, eps, norm=norm, bounds=bounds, family=family, **options)
        unit = torch.where(scale > 0, scale, 1) if apart else eps
        assert (length((z - x) / unit, norm) <= 1 + 1e-9).all()
        assert not apart or ((z == x) | (scale > 0)).all()
        assert bounds is None or ((z >= low) & (z <= high)).all()
        if family.scalar and attack != "pgd restarted":  # which does not begin at x
            assert (height(family, model, z, y) >= height(family, model, x, y) - 1e-9).all()
        if attack not in ("noise", "transfer", "ensemble"):
            assert (z != x).any()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
@pytest.mark.parametrize("attack", NEAREST)
def test_the_nearest_points_are_valid_and_broken(attack, family):
    options = {} if family.classifies else {"tolerance": 0.4}
    for (kind, box, apart), norm in product(CASES, NORMS):
        shape = SHAPES[kind]
        model, x, y, bounds, low, high = case(family, shape, box)
        scale = torch.linspace(0, 2, x[0].numel(), dtype=x.dtype).reshape(shape)
        unit = scale if apart else None
        found = NEAREST[attack](
            model, x, y, norm=norm, bounds=bounds, scale=unit, family=family, **options
        )
        z, hit = found.x, torch.isfinite(found.distance)
        delta = (z - x) / torch.where(scale > 0, scale, 1) if apart else z - x
        assert hit.any()
        torch.testing.assert_close(length(delta, norm)[hit], found.distance[hit])
        assert not apart or ((z == x) | (scale > 0)).all()
        assert bounds is None or ((z >= low) & (z <= high)).all()
        f = model(z)
        if family.classifies:
            broken = ~family.correct(f, y)
        else:
            broken = (family.mean(f[:, 0]) - y).abs() > 0.4
        assert broken[hit].all()


@pytest.mark.parametrize("attack", NEAREST)
def test_undefined_outputs_are_named_and_harm_no_neighbour(attack):
    """Next to the first two examples the model gives NaN."""
    x, y = torch.full((6, 4), 0.5, dtype=torch.float64), torch.zeros(6, dtype=torch.long)
    x[:2, 0], x[2:, 0] = 0.9, 0.1
    inner = lambda x: torch.stack([0.2 + 5 * x[:, 1] - 5 * x[:, 2], 0 * x[:, 0], -x[:, 3]], 1)

    def model(x):
        gone = (x[:, :1] > 0.8) & ((x[:, 1:] - 0.5).abs().amax(1, keepdim=True) > 0)
        return torch.where(gone, torch.nan, inner(x))

    with pytest.warns(UserWarning, match="not finite during the attack for 2 examples: 0, 1"):
        found = NEAREST[attack](model, x, y)
    assert torch.isinf(found.distance[:2]).all()
    assert torch.isfinite(found.x).all()
    torch.testing.assert_close(
        found.distance[2:], torch.full((4,), 0.02).double(), rtol=0.02, atol=0
    )
