"""What mixing refuses: each a clear error that names the value and the rule."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from strategies import STRATEGIES
from vicinal.maths.losses import categorical
from vicinal.mixing.apply import mix
from vicinal.mixing.cutting import CutMix, HMix, ResizeMix
from vicinal.mixing.fmix import FMix
from vicinal.mixing.gaussian import GMix, SmoothMix
from vicinal.mixing.gridmix import GridMix
from vicinal.mixing.hidden import ManifoldMixup
from vicinal.mixing.kway import DirichletMixup
from vicinal.mixing.labels import mixed_loss, mixed_values, soft_targets
from vicinal.mixing.mit import MIT
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.mixupe import MixupE
from vicinal.mixing.noisy import NoisyFeatureMixup
from vicinal.mixing.pairing import Roll, shuffle
from vicinal.mixing.puzzle import PuzzleMix
from vicinal.mixing.regmixup import RegMixup
from vicinal.mixing.remix import Remix
from vicinal.mixing.saliency import SaliencyMix


def rng(seed=0):
    return np.random.default_rng(seed)


def test_refuses_what_would_go_wrong_silently(unchecked):
    x, y = torch.zeros(4, 1, 3, 3), torch.arange(4)
    draw = Mixup()(x, y, rng())
    with pytest.raises(TypeError, match=r"pass x.float\(\) / 255"):
        mix(x.to(torch.uint8), draw)
    with pytest.raises(TypeError, match="torch.int64"):
        mix({"x": x, "ids": y}, draw)
    with pytest.raises(ValueError, match="made for 4 examples, this batch has 3"):
        mix(x[:3], draw)
    with pytest.raises(ValueError, match="made for 4 examples, this batch has 3"):
        mixed_loss(categorical, torch.zeros(3, 4), y[:3], draw)
    with pytest.raises(ValueError, match="draw is on meta, the batch on cpu"):
        mix(x, draw.to("meta"))
    with pytest.raises(ValueError, match='reduction="none"'):
        mixed_loss(F.cross_entropy, torch.zeros(4, 4), y, draw)
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.2, got 0 to 3"):
        soft_targets(y, draw, 3)
    with pytest.raises(ValueError, match=r"pass y.long\(\)"):
        soft_targets(y.float(), draw, 4)
    with pytest.raises(ValueError, match="a row that sums to 2"):
        soft_targets(torch.ones(4, 2), draw, 2)
    with pytest.raises(TypeError, match="class ids, use soft_targets"):
        mixed_values(y, draw)
    with pytest.raises(ValueError, match="use Mixup"):
        CutMix()(torch.zeros(4, 3), y, rng())
    with pytest.raises(TypeError, match="RegMixupDraw is not a plain draw"):
        mix(x, RegMixup()(x, y, rng()))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_draws_for_one_tensor(name, unchecked):
    x, y = torch.zeros(4, 2, 5, 5), torch.arange(4)
    for several in ((x, x), {"image": x}, x.numpy()):
        with pytest.raises(TypeError, match="a strategy draws for one tensor, got"):
            STRATEGIES[name](several, y, rng())


def test_refuses_memory_that_does_not_fit(unchecked):
    x = torch.zeros(4, 3)
    draw = Mixup()(x, x, rng())
    for out in (torch.zeros(4, 2), torch.zeros(4, 3, dtype=torch.float64)):
        with pytest.raises(ValueError, match="shape, dtype and device of x"):
            mix(x, draw, out=out)


@pytest.mark.parametrize("pairing", [shuffle, Roll()], ids=["shuffle", "roll"])
def test_refuses_memory_that_holds_x(pairing, unchecked):
    """Also where it is another tensor: what is written there would be read afterwards."""
    memory = torch.randn(9, 2**16)
    array = memory.numpy()
    x = memory[1:5]
    draw = Mixup(pairing=pairing)(x, torch.arange(4), rng())
    for out in (
        x,
        x[:],
        x.detach(),
        x.view(4, 2**16),
        memory[:4],
        memory[2:6],
        memory[4:8],
        torch.from_numpy(array[3:7]),  # a storage of its own, and the same memory
        memory[:8:2],  # every second row
        memory[1:8:2],
    ):
        for which in (draw, None, DirichletMixup()(x, torch.arange(4), rng())):
            with pytest.raises(ValueError, match="other memory than x"):
                mix(x, which, out=out)
    rows = memory[:, : 2**15]  # between the rows of one lie those of the other
    with pytest.raises(ValueError, match="other memory than x"):
        mix(rows[1:5], draw, out=memory[1:5, 2**15 :])
    for free in (memory[5:], torch.empty_like(x)):
        before = x.clone()
        assert mix(x, draw, out=free).equal(mix(before, draw))
        assert x.equal(before)
    nothing = torch.zeros(0, 3)
    none = Mixup()(nothing, nothing, rng())
    assert mix(nothing, none, out=torch.zeros(0, 3)).shape == (0, 3)


def test_memory_given_keeps_no_gradients(unchecked):
    x, free = torch.zeros(4, 3), torch.zeros(4, 3)
    draw, k_way = Mixup()(x, x, rng()), DirichletMixup()(x, x, rng())
    asks = torch.zeros(4, 3, requires_grad=True)
    asked = replace(draw, keep=draw.keep.clone().requires_grad_())
    asked_k = replace(k_way, shares=k_way.shares.clone().requires_grad_())
    for values, mixture, out, name in (
        (asks, draw, free, "x"),
        (asks, None, free, "x"),
        (x, draw, asks, "out"),
        (x, k_way, asks, "out"),
        (x, None, asks, "out"),
        (x, draw, 2 * asks, "out"),
        (x, asked, free, "draw"),
        (x, asked_k, free, "draw"),
    ):
        with pytest.raises(ValueError, match=f"keeps no gradients, and {name} requires them"):
            mix(values, mixture, out=out)
        with torch.no_grad():
            mix(values, mixture, out=out.detach())
    with pytest.raises(TypeError, match="RegMixupDraw is not a plain draw"):
        mix(x, RegMixup()(x, x, rng()), out=free)


NAN, INF = float("nan"), float("inf")
WITH_ALPHA = [Mixup, CutMix, HMix, FMix, GridMix, GMix, SaliencyMix, PuzzleMix, Remix, RegMixup]
WITH_ALPHA += [MixupE, MIT]
BAD = [(kind, {"alpha": a}, "alpha must be positive") for kind in WITH_ALPHA for a in (0, -1, NAN)]
BAD += [
    (kind, {"alpha": INF}, "alpha must be positive")
    for kind in (*WITH_ALPHA, DirichletMixup, ManifoldMixup, NoisyFeatureMixup)
]
BAD += [(ResizeMix, {"largest": v}, "box larger than the image") for v in (1.1, NAN, 0.05)]
BAD += [(ResizeMix, {"smallest": v}, "0 <= smallest") for v in (-0.1, NAN)]
BAD += [(HMix, {"r": v}, r"r must lie in \[0, 1\], got") for v in (-0.1, 1.1, NAN)]
BAD += [(FMix, {"decay": v}, "decay must be 0 or more") for v in (-1, INF, NAN)]
BAD += [(GridMix, {"cells": v}, "cells must be a whole number") for v in (0, 2.5, NAN, INF)]
BAD += [(SmoothMix, kw, "range of σ") for kw in ({"smallest": NAN}, {"smallest": 0.9})]
BAD += [(SmoothMix, {"smallest": 0, "largest": 0}, "range of σ")]
BAD += [
    (PuzzleMix, {name: v}, f"{name} must be 0 or more")
    for name in ("beta", "gamma", "eta", "zeta")
    for v in (-1, NAN, INF)
]
BAD += [(PuzzleMix, {"levels": v}, "levels must be a whole number") for v in (1, 2.5, 17, NAN)]
BAD += [(Remix, {"kappa": v}, "kappa must be at least 1") for v in (0.5, NAN)]
BAD += [(Remix, {"tau": v}, r"tau must lie in \[0, 1\]") for v in (-0.1, 1.1, NAN)]
BAD += [(Remix, {"counts": (0, 4)}, "counts must be at least 1")]
BAD += [(DirichletMixup, {"k": v}, "k must be a whole number") for v in (1, 2.5, NAN, INF)]
BAD += [(DirichletMixup, {"alpha": v}, "alpha must be positive") for v in (0, NAN)]
BAD += [(RegMixup, {"weight": v}, "weight must be 0 or more") for v in (-1, NAN)]
BAD += [(MixupE, {"eta": v}, "eta must be 0 or more") for v in (-1, NAN)]
BAD += [(MIT, {"margin": v}, r"margin must lie in \[0, 1\)") for v in (-0.1, 1.0, NAN)]
BAD += [(MIT, {"alpha": 50.0}, "hardly ever met")]
BAD += [(NoisyFeatureMixup, {"additive": v}, "additive must be 0 or more") for v in (-1, NAN)]
BAD += [(NoisyFeatureMixup, {"multiplicative": -1}, "multiplicative must be 0 or more")]
BAD += [(ManifoldMixup, {"layers": v}, "layers must be a tuple") for v in ("fc", ())]


@pytest.mark.parametrize(("kind", "options", "rule"), BAD, ids=str)
def test_rejects_parameters_out_of_range(kind, options, rule, unchecked):
    with pytest.raises(ValueError, match=rule):
        kind(**options)
