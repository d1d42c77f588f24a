"""The laws of the shares that strategies draw, against distribution functions and simulations."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import beta, ks_2samp, kstest

from reference import mixing as slow
from strategies import STRATEGIES, mixture
from vicinal.mixing.draw import Draw
from vicinal.mixing.fmix import FMix

HEIGHT, WIDTH, COUNT = 8, 12, 3000
LAWS = {  # what the shares are distributed as: a distribution function, or a slow simulation
    "Mixup": beta(0.2, 0.2).cdf,
    "Mixup, uniform": beta(1, 1).cdf,
    "k-mixup": beta(0.7, 0.7).cdf,
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
# Elsewhere: SaliencyMix and PuzzleMix (whose boxes and masks follow the model), Remix and MIT;
# RandomChoice has no law of its own
ELSEWHERE = {
    "SaliencyMix",
    "PuzzleMix",
    "PuzzleMix, moved",
    "Remix",
    "MIT",
    "RandomChoice",
    "Mixup, per batch",
}


def test_every_strategy_has_its_law_tested():
    assert set(LAWS) | ELSEWHERE == set(STRATEGIES)


@pytest.mark.parametrize("name", LAWS)
def test_the_law_of_the_share(name):
    x = torch.zeros(COUNT, 1, HEIGHT, WIDTH)
    draw = mixture(STRATEGIES[name], x, torch.zeros(COUNT, dtype=int), seed=7)
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


@pytest.mark.parametrize(("height", "width", "decay"), [(6, 9, 3.0), (7, 4, 1.0)])
def test_the_blobs_of_fmix_are_those_of_filtered_white_noise(height, width, decay):
    n, rng = 1500, np.random.default_rng(8)
    x = torch.zeros(n, 1, height, width)
    draw = FMix(decay=decay)(x, torch.zeros(n), np.random.default_rng(7))
    masks = draw.keep[:, 0].numpy()
    kept = masks.sum((1, 2)).astype(int)
    assert np.allclose(draw.share, kept / (height * width))
    expected = [slow.fmix_mask(rng, k, height, width, decay) for k in kept.tolist()]
    for measure in (slow.borders, lambda mask: mask[: height // 2, : width // 2].sum()):
        ours, theirs = ([measure(mask) for mask in each] for each in (masks, expected))
        assert ks_2samp(ours, theirs).pvalue > 1e-3
