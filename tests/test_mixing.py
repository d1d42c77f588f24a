"""One law test for every strategy, and the functions that apply a draw."""

import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, ks_2samp, kstest
from torch import nn

from reference import mixing as slow
from vicinal.cli.methods import methods_by_name, parse_methods
from vicinal.laws import Fixed, Uniform
from vicinal.losses import bernoulli, categorical
from vicinal.mixing.apply import mix
from vicinal.mixing.choice import RandomChoice
from vicinal.mixing.cutting import CutMix, HMix, ResizeMix
from vicinal.mixing.draw import Blend, Draw, Objective
from vicinal.mixing.fmix import FMix
from vicinal.mixing.gaussian import GMix, SmoothMix
from vicinal.mixing.gridmix import GridMix
from vicinal.mixing.hidden import ManifoldMixup
from vicinal.mixing.kway import DirichletMixup
from vicinal.mixing.labels import mixed_loss, mixed_values, soft_targets, vicinal_losses
from vicinal.mixing.mit import MIT
from vicinal.mixing.mixup import Mixup, k_mixup
from vicinal.mixing.mixupe import MixupE
from vicinal.mixing.noisy import NoisyFeatureMixup
from vicinal.mixing.pairing import Roll
from vicinal.mixing.regmixup import RegMixup
from vicinal.mixing.remix import Remix
from vicinal.mixing.saliency import SaliencyMix

STRATEGIES = {
    "Mixup": Mixup(0.2),
    "Mixup, uniform": Mixup(law=Uniform(), pairing=Roll()),
    "Mixup, per batch": Mixup(1.0, per_batch=True),
    "CutMix": CutMix(),
    "CutMix, 0.3": CutMix(0.3),
    "ResizeMix": ResizeMix(),
    "ResizeMix, any size": ResizeMix(0.0, 1.0),
    "HMix": HMix(),
    "HMix, all cut": HMix(r=1.0),
    "FMix": FMix(),
    "GridMix": GridMix(),
    "GMix": GMix(),
    "SmoothMix": SmoothMix(),
    "SaliencyMix": SaliencyMix(),
    "Remix": Remix(counts=(1, 9, 3) * 3),
    "DirichletMixup": DirichletMixup(),
    "DirichletMixup of 5": DirichletMixup(5, 0.3),
    "RandomChoice": RandomChoice((Mixup(1.0), CutMix())),
    "ManifoldMixup": ManifoldMixup(),
    "NoisyFeatureMixup": NoisyFeatureMixup(),
    "RegMixup": RegMixup(),
    "MixupE": MixupE(eta=0.5),
    "MIT": MIT(),
}
each_strategy = pytest.mark.parametrize("name", STRATEGIES)
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
sizes = st.integers(1, 9)
seeds = st.integers(0, 2**32)
quick = settings(deadline=None, max_examples=30)


def reader(x):
    """A model that cares for some pixels more than for others."""
    return (x * torch.arange(x.shape[-1] * x.shape[-2]).reshape(x.shape[-2:])).mean((-2, -1))


def mixture(name, x, y, seed=0):
    """The mixture within the draw of a strategy, for those that ask for more as well."""
    draw = STRATEGIES[name](x, y, np.random.default_rng(seed))
    if name == "SaliencyMix":
        return draw.resolve(reader, x, y, categorical if x.shape[1] > 1 else bernoulli)
    return draw.draw if isinstance(draw, Objective) else draw


def net(channels=2, classes=4):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, classes),
    )


@each_strategy
@quick
@given(
    n=sizes,
    height=sizes,
    width=sizes,
    seed=seeds,
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_pixels_say_what_the_label_says(name, n, height, width, seed, dtype):
    """Image k is 1 in channel k only, so each source's share can be read off the pixels."""
    x = torch.eye(n, dtype=dtype)[:, :, None, None].expand(n, n, height, width).clone()
    before = x.clone()
    y = torch.arange(n)
    draw = mixture(name, x, y, seed)
    mixed = mix(x, draw)
    labels = soft_targets(y, draw, n)
    if name != "Remix":  # whose label is meant to say something else: its own test is below
        torch.testing.assert_close(mixed.mean((2, 3)), labels, rtol=0, atol=1e-5)
    assert x.equal(before)
    assert y.equal(torch.arange(n))
    assert mixed.shape == x.shape
    assert mixed.dtype == labels.dtype == dtype
    partners = draw.partner if isinstance(draw, Draw) else draw.partners
    shares = draw.share if isinstance(draw, Draw) else draw.shares
    assert partners.dtype == torch.int64
    assert ((partners >= 0) & (partners < n)).all()
    assert ((shares >= 0) & (shares <= 1)).all()
    assert mix(x, mixture(name, x, y, seed)).equal(mixed)
    if isinstance(draw, Draw):
        assert ((draw.keep >= 0) & (draw.keep <= 1)).all()
        torch.testing.assert_close(mixed.double(), slow.mix(x, draw), rtol=1e-6, atol=1e-6)


@each_strategy
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_of_labels_sum_to_one_in_every_dtype(name, dtype):
    x = torch.zeros(512, 1, 5, 7, dtype=dtype)
    y = torch.arange(512) % 3
    draw = mixture(name, x, y)
    labels = soft_targets(y, draw, 3)
    assert labels.dtype == mix(x, draw).dtype == dtype
    assert (labels.sum(1) == 1).all()


@each_strategy
def test_share_one_gives_the_input_back_and_gradients_flow(name):
    x = torch.randn(6, 2, 5, 3, dtype=torch.float64, requires_grad=True)
    draw = mixture(name, x, torch.zeros(6, dtype=int))
    if isinstance(draw, Blend):
        own = replace(draw, shares=torch.eye(draw.shares.shape[1])[[0]].expand_as(draw.shares))
    else:
        own = replace(draw, keep=torch.ones_like(draw.keep), share=torch.ones(6))
        other = replace(draw, keep=torch.zeros_like(draw.keep), place=None)
        assert mix(x, other).equal(x[draw.partner])
    assert mix(x, own).equal(x)
    assert torch.autograd.gradcheck(lambda x: mix(x, draw), x)


@each_strategy
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_memory_format_is_kept_and_out_is_the_same(name, layout):
    x = torch.randn(6, 3, 5, 4).contiguous(memory_format=layout)
    draw = mixture(name, x, torch.zeros(6, dtype=int))
    mixed = mix(x, draw)
    assert mixed.is_contiguous(memory_format=layout)
    assert mixed.equal(mix(x.contiguous(), draw))
    out = torch.full_like(x, float("nan"))
    assert mix(x, draw, out=out) is out
    assert out.equal(mixed)


def compile_all():
    """Every draw through `mix` and `mixed_loss`, each traced as one graph."""
    loss = partial(F.cross_entropy, reduction="none")
    for name in STRATEGIES:
        torch.compiler.reset()
        x, y, outputs = torch.randn(6, 3, 4, 4), torch.arange(6) % 3, torch.randn(6, 3)
        draw = mixture(name, x, y)
        compiled = torch.compile(mix, fullgraph=True, backend="eager")
        assert compiled(x, draw).equal(mix(x, draw)), name
        compiled = torch.compile(mixed_loss, fullgraph=True, backend="eager")
        assert compiled(loss, outputs, y, draw).equal(mixed_loss(loss, outputs, y, draw)), name
    print(len(STRATEGIES), "compiled")


def test_every_draw_compiles_in_one_graph():
    """In its own process, where annotations are not enforced: the checker cannot be traced."""
    command = [sys.executable, "-W", "ignore", "-c", "import test_mixing as t; t.compile_all()"]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{len(STRATEGIES)} compiled\n", done.stderr


@each_strategy
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_trains_under_autocast_and_changes_nothing_of_the_callers(name, dtype):
    x, y, model = torch.randn(6, 2, 5, 4), torch.arange(6) % 4, net()
    before, labels = x.clone(), y.clone()
    draw = STRATEGIES[name](x, y, np.random.default_rng(1))
    with torch.autocast("cpu", dtype=dtype):
        losses = vicinal_losses(model, x, y, draw, partial(F.cross_entropy, reduction="none"))
    assert losses.shape == (6,)
    losses.mean().backward()
    for parameter in model.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()
    assert x.equal(before)
    assert x.grad is None
    assert y.equal(labels)
    assert not any(module._forward_hooks for module in model.modules())


@each_strategy
def test_a_draw_is_all_that_is_random(name):
    """Applied twice, a draw gives the same losses; and so it does on its own device."""
    x, y, model = torch.randn(6, 2, 5, 4), torch.arange(6) % 4, net()
    draw = STRATEGIES[name](x, y, np.random.default_rng(1))
    first, second = (vicinal_losses(model, x, y, draw, categorical) for _ in range(2))
    assert first.equal(second)
    assert vicinal_losses(model, x, y, draw.to("cpu"), categorical).equal(first)
    state = torch.random.get_rng_state()
    again = STRATEGIES[name](x, y, np.random.default_rng(1))
    assert vicinal_losses(model, x, y, again, categorical).equal(first)
    assert torch.random.get_rng_state().equal(state)


HEIGHT, WIDTH, COUNT = 8, 12, 3000
LAWS = {  # what the shares are distributed as: a distribution function, or a slow simulation
    "Mixup": beta(0.2, 0.2).cdf,
    "Mixup, uniform": beta(1, 1).cdf,
    "CutMix": partial(slow.cutmix_share, height=HEIGHT, width=WIDTH, alpha=1.0),
    "CutMix, 0.3": partial(slow.cutmix_share, height=HEIGHT, width=WIDTH, alpha=0.3),
    "ResizeMix": partial(
        slow.resizemix_share, height=HEIGHT, width=WIDTH, smallest=0.1, largest=0.8
    ),
    "ResizeMix, any size": partial(
        slow.resizemix_share, height=HEIGHT, width=WIDTH, smallest=0, largest=1
    ),
    "HMix": beta(1, 1).cdf,
    "HMix, all cut": beta(1, 1).cdf,
    "FMix": beta(1, 1).cdf,
    "GridMix": partial(slow.gridmix_share, height=HEIGHT, width=WIDTH, alpha=1.0, cells=4),
    "GMix": partial(slow.gmix_share, height=HEIGHT, width=WIDTH, alpha=0.5),
    "SmoothMix": partial(
        slow.smoothmix_share, height=HEIGHT, width=WIDTH, smallest=0.25, largest=0.5
    ),
    "DirichletMixup": beta(1, 2).cdf,
    "DirichletMixup of 5": beta(0.3, 4 * 0.3).cdf,
    "ManifoldMixup": beta(2, 2).cdf,
    "NoisyFeatureMixup": beta(1, 1).cdf,
    "RegMixup": beta(20, 20).cdf,
    "MixupE": beta(2, 2).cdf,
}
# Elsewhere: SaliencyMix (its sizes are CutMix's), Remix and MIT; RandomChoice has no law of its own
ELSEWHERE = {"SaliencyMix", "Remix", "MIT", "RandomChoice", "Mixup, per batch"}


def test_every_strategy_has_its_law_tested():
    assert set(LAWS) | ELSEWHERE == set(STRATEGIES)


@pytest.mark.parametrize("name", LAWS)
def test_the_law_of_the_share(name):
    x = torch.zeros(COUNT, 1, HEIGHT, WIDTH)
    draw = mixture(name, x, torch.zeros(COUNT, dtype=int), seed=7)
    shares = (draw.share if isinstance(draw, Draw) else draw.shares[:, 0]).double().numpy()
    if isinstance(LAWS[name], partial):
        rng = np.random.default_rng(8)
        reference = np.array([LAWS[name](rng) for _ in range(COUNT)])
        # float32 must not split values that are tied in float64
        assert ks_2samp(shares.round(5), reference.round(5)).pvalue > 1e-3
    else:
        lam = shares
        if name == "FMix":  # rounded at random to whole pixels; spread out again within a pixel
            lam = shares + (np.random.default_rng(9).random(COUNT) - 0.5) / (HEIGHT * WIDTH)
        assert kstest(lam, LAWS[name]).pvalue > 1e-3
    assert len(np.unique(shares)) > 10


def test_remix_weighs_inputs_by_the_law_and_labels_by_the_rule():
    counts = (10, 100)
    x, y = torch.zeros(COUNT, 3), torch.arange(COUNT) % 2
    strategy = Remix(1.0, kappa=3.0, tau=0.4, counts=counts)
    draw = strategy(x, y, np.random.default_rng(0))
    lam = draw.keep.flatten().double()
    assert kstest(lam.numpy(), beta(1, 1).cdf).pvalue > 1e-3
    seen = set()
    for i in range(COUNT):
        ratio = counts[y[i]] / counts[y[draw.partner[i]]]
        expected = float(lam[i])
        if ratio >= 3 and lam[i] < 0.4:
            expected = 0.0
        if ratio <= 1 / 3 and 1 - lam[i] < 0.4:
            expected = 1.0
        seen.add((ratio, expected in (0.0, 1.0)))
        assert float(draw.share[i]) == pytest.approx(expected)
    assert len(seen) == 5  # both rules met, both not met, and equal sizes
    counted = Remix(kappa=2.0)(torch.zeros(400, 3), (torch.arange(400) % 4 == 0).long(), _rng())
    assert (counted.share == 1).any()


@pytest.mark.parametrize("r", [0.5, 1.0])
def test_hmix_cuts_a_box_of_its_part_and_mixes_outside(r):
    x = torch.zeros(2000, 1, 32, 32, dtype=torch.float64)
    draw = HMix(1.0, r)(x, torch.zeros(2000), _rng())
    cut = (draw.keep[:, 0] == 0).double()
    sides = cut.amax(2).sum(1), cut.amax(1).sum(1)
    assert (cut.sum((1, 2)) == sides[0] * sides[1]).all()  # a full box, nothing else
    whole = ((1 - draw.share) * r).sqrt() * 32  # its side, before it is rounded and cut off
    for side in sides:
        assert (side <= whole + 1e-9).all()
        assert ((whole - side < 1) | (side >= whole / 2 - 1)).all()  # at worst half lies outside
        assert (whole - side < 1).double().mean() > 0.3
    kept = draw.keep.amax((1, 2, 3))
    torch.testing.assert_close(kept * (1 - cut.mean((1, 2))), draw.share)


def test_resizemix_pastes_the_whole_partner_resized():
    x = torch.rand(60, 2, 11, 8)
    draw = ResizeMix()(x, torch.zeros(60), _rng())
    mixed, tops = mix(x, draw), set()
    for i, j in enumerate(draw.partner.tolist()):
        rows, columns = (draw.keep[i, 0] == 0).nonzero(as_tuple=True)
        if len(rows):
            top, left = int(rows.min()), int(columns.min())
            size = int(rows.max()) - top + 1, int(columns.max()) - left + 1
            small = F.interpolate(x[[j]], size, mode="nearest-exact")[0]
            assert mixed[i, :, top : top + size[0], left : left + size[1]].equal(small)
            tops.add(top)
    assert len(tops) > 5


def test_a_weight_per_batch_is_one_weight():
    x = torch.zeros(COUNT, 2)
    for strategy, values in ((Mixup(1.0, per_batch=True), 1), (Mixup(1.0), COUNT)):
        draw = strategy(x, x, _rng())
        assert len(draw.share.double().unique()) > 0.99 * values
        assert (len(draw.share.unique()) == 1) == (values == 1)
    lam = [float(Mixup(0.4, per_batch=True)(x[:2], x, _rng(s)).share[0]) for s in range(1000)]
    assert kstest(lam, beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_mixup_is_the_formula():
    x = torch.randn(7, 3, dtype=torch.float64)
    draw = Mixup(0.5)(x, torch.zeros(7), _rng(1))
    for i, j in enumerate(draw.partner.tolist()):
        lam = float(draw.share[i])
        torch.testing.assert_close(mix(x, draw)[i], lam * x[i] + (1 - lam) * x[j])
    assert Mixup(law=Fixed(0.25))(x, x, _rng()).share.eq(0.25).all()


def test_k_way_mixing_is_the_weighted_sum():
    x, y = torch.randn(9, 3, 2, dtype=torch.float64), torch.arange(9) % 4
    draw = DirichletMixup(4, 0.7)(x, y, _rng(2))
    weight = torch.zeros(9, 9, dtype=torch.float64)
    for i in range(9):
        for j, share in zip([i, *draw.partners[i].tolist()], draw.shares[i], strict=True):
            weight[i, j] += share
    torch.testing.assert_close(mix(x, draw), torch.einsum("ij,jab->iab", weight, x))
    labels = F.one_hot(y, 4).double()
    torch.testing.assert_close(soft_targets(y, draw, 4), weight @ labels)
    outputs = torch.randn(9, 4, dtype=torch.float64)
    expected = F.cross_entropy(outputs, weight @ labels, reduction="none")
    torch.testing.assert_close(mixed_loss(categorical, outputs, y, draw), expected)


@pytest.mark.parametrize("shift", [0, 1, 5, -2])
def test_consecutive_partners_are_blended_without_a_gather(shift):
    x, out = torch.randn(8, 3, 160, 160), torch.empty(8, 3, 160, 160)  # large: by runs
    for strategy in (Mixup(1.0, pairing=Roll(shift)), CutMix(pairing=Roll(shift)), Mixup(1.0)):
        draw = strategy(x, torch.zeros(8), _rng(3))
        assert mix(x, draw, out=out).equal(mix(x, draw))


def focal(outputs, y):
    log_p = -F.cross_entropy(outputs, y, reduction="none")
    return -((1 - log_p.exp()) ** 2) * log_p


LINEAR = {  # losses affine in the label, as losses of ids and of soft labels
    "categorical": (categorical, categorical),
    "weighted": (partial(F.cross_entropy, weight=torch.arange(1.0, 5).double(), reduction="none"),)
    * 2,
    "smoothed": (partial(F.cross_entropy, label_smoothing=0.1, reduction="none"),) * 2,
    "binary": (
        lambda f, y: F.binary_cross_entropy_with_logits(
            f, F.one_hot(y, 4).double(), reduction="none"
        ).sum(1),
        lambda f, y: F.binary_cross_entropy_with_logits(f, y, reduction="none").sum(1),
    ),
}


@pytest.mark.parametrize("loss", LINEAR)
@quick
@given(seed=seeds, n=sizes, k=st.integers(1, 4))
def test_mixed_loss_is_the_loss_of_the_mixed_label(loss, seed, n, k):
    g = torch.Generator().manual_seed(seed)
    outputs = torch.randn(n, 4, generator=g, dtype=torch.float64)
    y = torch.randint(4, (n,), generator=g)
    x = torch.zeros(n, 3, dtype=torch.float64)
    draw = (Mixup(1.0) if k == 1 else DirichletMixup(k))(x, y, np.random.default_rng(seed))
    of_ids, of_soft = LINEAR[loss]
    reference = of_soft(outputs, soft_targets(y, draw, 4))
    torch.testing.assert_close(mixed_loss(of_ids, outputs, y, draw), reference)


def test_a_loss_that_is_not_linear_is_weighed_not_changed():
    outputs, y = torch.randn(5, 4), torch.arange(5) % 4
    draw = Mixup(1.0)(outputs, y, _rng())
    losses = mixed_loss(focal, outputs, y, draw)
    expected = draw.share * focal(outputs, y) + (1 - draw.share) * focal(outputs, y[draw.partner])
    assert losses.equal(expected)


def test_no_draw_mixes_nothing():
    x, y = torch.randn(3, 2), torch.tensor([0, 1, 1])
    assert mix(x, None) is x
    assert mix(x, None, out=torch.empty(3, 2)).equal(x)
    assert mixed_loss(categorical, x, y, None).equal(categorical(x, y))
    assert soft_targets(y, None, 2).equal(F.one_hot(y, 2).float())
    assert mixed_values(x, None) is x
    assert vicinal_losses(lambda x: x, x, y, None, categorical).equal(categorical(x, y))


def test_several_inputs_are_mixed_with_one_draw():
    image, table = torch.randn(5, 3, 4, 4), torch.randn(5, 7, dtype=torch.float64)
    sequence = torch.randn(5, 6, 8)
    draw = Mixup(1.0)(image, torch.zeros(5), _rng())
    mixed = mix({"image": image, "rest": (table, sequence)}, draw)
    for part, result in ((image, mixed["image"]), (table, mixed["rest"][0]),
                         (sequence, mixed["rest"][1])):  # fmt: skip
        share = draw.share.to(part.dtype).reshape(-1, *[1] * (part.ndim - 1))
        torch.testing.assert_close(result, share * part + (1 - share) * part[draw.partner])
        assert result.dtype == part.dtype


def test_spatial_weights_fit_their_size_only(unchecked):
    image = torch.randn(5, 3, 4, 6)
    draw = CutMix()(image, torch.zeros(5), _rng())
    depth = torch.randn(5, 4, 6)  # a dense target without channels
    assert mix(depth, draw).equal(torch.where(draw.keep[:, 0] == 1, depth, depth[draw.partner]))
    for values in (torch.randn(5, 3, 6, 4), torch.randn(5, 7)):
        with pytest.raises(ValueError, match="do not fit values of shape"):
            mix(values, draw)
    with pytest.raises(ValueError, match="of the size drawn for"):
        mix(torch.randn(5, 7), ResizeMix()(torch.randn(5, 1, 1, 1), torch.zeros(5), _rng()))


def test_refuses_what_would_go_wrong_silently(unchecked):
    x, y = torch.zeros(4, 1, 3, 3), torch.arange(4)
    draw = Mixup()(x, y, _rng())
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
        CutMix()(torch.zeros(4, 3), y, _rng())
    with pytest.raises(TypeError, match="RegMixupDraw is not a plain draw"):
        mix(x, RegMixup()(x, y, _rng()))


def test_refuses_memory_that_does_not_fit(unchecked):
    x = torch.zeros(4, 3)
    draw = Mixup()(x, x, _rng())
    with pytest.raises(ValueError, match="other memory than x"):
        mix(x, draw, out=x)
    for out in (torch.zeros(4, 2), torch.zeros(4, 3, dtype=torch.float64)):
        with pytest.raises(ValueError, match="shape, dtype and device of x"):
            mix(x, draw, out=out)
    with pytest.raises(ValueError, match="keeps no gradients"):
        mix(x.requires_grad_(), draw, out=torch.zeros(4, 3))


NAN, INF = float("nan"), float("inf")
WITH_ALPHA = [Mixup, CutMix, HMix, FMix, GridMix, GMix, SaliencyMix, Remix, RegMixup, MixupE, MIT]
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


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_every_strategy_is_a_method_of_the_command_line():
    kinds = {type(strategy).__name__.lower() for strategy in STRATEGIES.values()}
    known = methods_by_name()
    assert kinds - {"randomchoice"} <= set(known)
    assert isinstance(parse_methods(["mixup_or_cutmix"]).popitem()[1], RandomChoice)
    assert parse_methods(["kmixup(k=4)"])["kmixup(alpha=1, k=4)"] == k_mixup(1.0, k=4)
    for name in kinds - {"randomchoice"}:
        (strategy,) = parse_methods([name]).values()
        assert type(strategy).__name__.lower() == name


@each_strategy
def test_the_representation_is_the_same_in_every_run(name):
    strategy = STRATEGIES[name]
    assert re.search("0x[0-9a-f]", repr(strategy)) is None
    assert repr(strategy).startswith(type(strategy).__name__)


@each_strategy
def test_models_may_name_their_logits(name):
    """As those of Hugging Face do, by a mapping or an attribute."""

    class Named(torch.nn.Module):
        def __init__(self, wrap):
            super().__init__()
            torch.manual_seed(0)
            self.body = torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 8), torch.nn.Linear(8, 3)
            )
            self.wrap = wrap

        def forward(self, x):
            return self.wrap(self.body(x))

    strategy = STRATEGIES[name]
    x, y = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    losses = [
        vicinal_losses(Named(wrap), x, y, strategy(x, y, np.random.default_rng(1)), categorical)
        for wrap in (lambda f: f, lambda f: {"logits": f}, lambda f: SimpleNamespace(logits=f))
    ]
    assert losses[0].equal(losses[1])
    assert losses[0].equal(losses[2])
