"""Strategies against their formulas, by hand; and what every strategy must say of itself."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import beta, kstest

from strategies import STRATEGIES
from vicinal.maths.laws import Fixed
from vicinal.maths.losses import categorical
from vicinal.mixing.apply import mix
from vicinal.mixing.choice import RandomChoice
from vicinal.mixing.cutting import CutMix, HMix, ResizeMix
from vicinal.mixing.kway import DirichletMixup
from vicinal.mixing.labels import mixed_loss, soft_targets, vicinal_losses
from vicinal.mixing.mixup import Mixup, k_mixup
from vicinal.mixing.pairing import Roll
from vicinal.mixing.remix import Remix
from vicinal.study.methods import methods_by_name, parse_methods

each_strategy = pytest.mark.parametrize("name", STRATEGIES)
COUNT = 3000


def rng(seed=0):
    return np.random.default_rng(seed)


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
    counted = Remix(kappa=2.0)(torch.zeros(400, 3), (torch.arange(400) % 4 == 0).long(), rng())
    assert (counted.share == 1).any()


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32])
def test_remix_takes_class_ids_of_any_width(kind):
    ids = torch.tensor([0, 0, 0, 0, 1, 0])
    x, strategy = torch.zeros(6, 2), Remix(kappa=2.0)
    narrow, wide = (strategy(x, y, np.random.default_rng(0)) for y in (ids.to(kind), ids))
    assert narrow.share.equal(wide.share)


@pytest.mark.parametrize("r", [0.5, 1.0])
def test_hmix_cuts_a_box_of_its_part_and_mixes_outside(r):
    x = torch.zeros(2000, 1, 32, 32, dtype=torch.float64)
    draw = HMix(1.0, r)(x, torch.zeros(2000), rng())
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
    draw = ResizeMix()(x, torch.zeros(60), rng())
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
        draw = strategy(x, x, rng())
        assert len(draw.share.double().unique()) > 0.99 * values
        assert (len(draw.share.unique()) == 1) == (values == 1)
    lam = [float(Mixup(0.4, per_batch=True)(x[:2], x, rng(s)).share[0]) for s in range(1000)]
    assert kstest(lam, beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_mixup_is_the_formula():
    x = torch.randn(7, 3, dtype=torch.float64)
    draw = Mixup(0.5)(x, torch.zeros(7), rng(1))
    for i, j in enumerate(draw.partner.tolist()):
        lam = float(draw.share[i])
        torch.testing.assert_close(mix(x, draw)[i], lam * x[i] + (1 - lam) * x[j])
    assert Mixup(law=Fixed(0.25))(x, x, rng()).share.eq(0.25).all()


def test_k_way_mixing_is_the_weighted_sum():
    x, y = torch.randn(9, 3, 2, dtype=torch.float64), torch.arange(9) % 4
    draw = DirichletMixup(4, 0.7)(x, y, rng(2))
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
        draw = strategy(x, torch.zeros(8), rng(3))
        assert mix(x, draw, out=out).equal(mix(x, draw))


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
                torch.nn.Flatten(), torch.nn.Linear(48, 8), torch.nn.GELU(), torch.nn.Linear(8, 3)
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
