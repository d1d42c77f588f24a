"""Signals and volumes are cut along the axes that they have; nothing passes that never cuts."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from reference import mixing as slow
from strategies import STRATEGIES, mixture
from vicinal.mixing.apply import mix
from vicinal.mixing.cutting import CutMix, HMix, ResizeMix
from vicinal.mixing.draw import Blend
from vicinal.mixing.fmix import FMix
from vicinal.mixing.gaussian import GMix, SmoothMix
from vicinal.mixing.gridmix import GridMix
from vicinal.mixing.labels import soft_targets
from vicinal.mixing.puzzle import PuzzleMix
from vicinal.mixing.saliency import SaliencyMix
from vicinal.mixing.targets import dense_loss, mixed_ids

SIDES = {
    "signal": (24,),
    "short": (2,),
    "height 1": (1, 24),
    "width 1": (24, 1),
    "volume": (5, 6, 7),
}
CUTTING = [CutMix, ResizeMix, HMix, FMix, GridMix, GMix, SmoothMix, SaliencyMix, PuzzleMix]
MASKS = [CutMix, ResizeMix, FMix, GridMix, SaliencyMix]
COUNT = 1500


def read(x):
    """A model that cares for some coordinates more than for others."""
    return x.flatten(2).square() @ torch.linspace(-1, 2, x[0, 0].numel()).to(x)


def drawn(strategy, x, y, seed=0):
    draw = strategy(x, y, np.random.default_rng(seed))
    squares = lambda f, y: f.square().sum(1)
    return draw.resolve(read, x, y, squares) if hasattr(draw, "resolve") else draw


def takes(kind, sides):
    return kind is not PuzzleMix or len(sides) == 2


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("kind", CUTTING)
def test_every_axis_is_cut_and_the_share_is_that_of_the_pixels(kind, name, unchecked):
    """Sample k is 1 in channel k alone, so each share can be read off the values."""
    n, sides = 40, SIDES[name]
    x = torch.eye(n, dtype=torch.float64).reshape(n, n, *[1] * len(sides)).repeat(1, 1, *sides)
    y, strategy = torch.arange(n), kind()
    if not takes(kind, sides):
        with pytest.raises(ValueError, match=r"takes images \(n, C, H, W\), got shape"):
            strategy(x, y, np.random.default_rng(0))
        return
    draw = drawn(strategy, x, y)
    labels = soft_targets(y, draw, n)
    torch.testing.assert_close(mix(x, draw).flatten(2).mean(2), labels)
    draw = drawn(strategy, torch.rand_like(x), y)
    assert ((draw.share > 0) & (draw.share < 1)).double().mean() > 0.25
    assert len(draw.share.unique()) >= (2 if name == "short" else 3)
    assert draw.keep.shape == (n, 1, *sides)


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_of_any_kind_take_signals_and_volumes(name):
    y = torch.arange(7) % 3
    for sides in ((11,), (3, 4, 5)):
        if "PuzzleMix" in name:
            continue
        x = torch.randn(7, 3, *sides, dtype=torch.float64)
        draw = mixture(STRATEGIES[name], x, y) if "Saliency" not in name else drawn(
            STRATEGIES[name], x, y)  # fmt: skip
        slowly = slow.blend(x, draw) if isinstance(draw, Blend) else slow.mix(x, draw)
        torch.testing.assert_close(mix(x, draw), slowly)


def test_a_box_of_a_signal_is_an_interval_of_its_share():
    """λ is the share but for rounding and the border: without λ's square root."""
    rng = np.random.default_rng(1)
    x = torch.zeros(COUNT, 2, 64)
    shares = CutMix()(x, torch.zeros(COUNT), np.random.default_rng(0)).share.double().numpy()
    expected = [1 - slow._cut(rng, int((1 - rng.beta(1, 1)) * 64), 64) / 64 for _ in range(COUNT)]
    assert ks_2samp(shares.round(5), np.round(expected, 5)).pvalue > 1e-3
    draw = CutMix()(x, torch.zeros(COUNT), np.random.default_rng(0))
    assert (draw.keep.diff(dim=2).abs().sum((1, 2)) <= 2).all()
    sides = (6, 10, 12)
    box = lambda t: np.prod([slow._cut(rng, int(t * s), s) / s for s in sides])
    expected = [1 - box((1 - rng.beta(1, 1)) ** (1 / 3)) for _ in range(COUNT)]
    draw = CutMix()(torch.zeros(COUNT, 1, *sides), torch.zeros(COUNT), np.random.default_rng(0))
    assert ks_2samp(draw.share.double().numpy().round(5), np.round(expected, 5)).pvalue > 1e-3


@pytest.mark.parametrize("sides", [(400,), (40, 40), (1, 400), (30, 30, 30)])
def test_a_bump_integrates_to_its_weight(sides):
    """Where it is small, so that the border cuts nothing off, the share is λ itself."""
    x, lam = torch.zeros(60, 1, *sides, dtype=torch.float64), 0.02
    draw = GMix(1.0)(x, torch.zeros(60), np.random.default_rng(0))
    whole = np.random.default_rng(0).beta(1.0, 1.0, 60)
    inside = whole < 2 * lam
    assert inside.any()
    middle = draw.keep.amax(tuple(range(1, draw.keep.ndim)))
    assert (middle == 1).all()
    assert (draw.share.numpy() <= whole + 1e-3).all()
    assert (draw.share.numpy() >= whole / 2 ** sum(s > 1 for s in sides) - 0.02).all()


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("sides", [(9,), (1, 9), (3, 4, 5)])
def test_labels_per_coordinate_are_cut_like_the_values(kind, sides):
    x = torch.arange(6.0).reshape(6, 1, *[1] * len(sides)) + torch.zeros(6, 2, *sides)
    noise = torch.rand(6, 2, *sides)
    draw = drawn(kind(), noise, torch.arange(6))
    ids = x[:, 0].long()
    assert mixed_ids(ids, draw).equal(mix(x, draw)[:, 0].long())
    if len(sides) == 2:  # and a label for each step of a signal that is stored as an image
        assert mixed_ids(ids[:, 0], draw).equal(mix(x, draw)[:, 0, 0].long())
    squares = lambda f, y: (f - y).square()
    outputs = torch.zeros(6, *sides)
    expected = mix(x.double(), draw)[:, 0].square().flatten(1).mean(1)
    losses = dense_loss(partial(squares), outputs.double(), ids, draw)
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", CUTTING)
def test_refuses_what_has_no_side_to_cut(kind, unchecked):
    for shape in ((4, 3, 1, 1), (4, 3, 1), (4, 3, 1, 1, 1)):
        with pytest.raises(ValueError, match=f"{kind.__name__} (cuts|takes) .*, got shape"):
            kind()(torch.zeros(shape), torch.arange(4), np.random.default_rng(0))
    for shape in ((4, 3), (4,), (4, 3, 2, 2, 2, 2)):
        with pytest.raises(ValueError, match=r"takes .*Mixup"):
            kind()(torch.zeros(shape), torch.arange(4), np.random.default_rng(0))


def test_refuses_boxes_that_are_never_a_pixel(unchecked):
    y, rng = torch.arange(4), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"ResizeMix\(largest=0.3\) .* less than a pixel of 3"):
        ResizeMix(0.1, 0.3)(torch.zeros(4, 1, 3, 30), y, rng)
    with pytest.raises(ValueError, match=r"HMix\(r=0.01\) .* less than a pixel of 4"):
        HMix(r=0.01)(torch.zeros(4, 1, 4, 8), y, rng)
    assert HMix(r=0.0)(torch.zeros(4, 1, 8, 4), y, rng).share.shape == (4,)
    with pytest.raises(ValueError, match="nothing would be mixed"):
        GridMix(cells=1)
