"""PuzzleMix: its mask and its moves against every other, and what they are for."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, chisquare, kstest

from reference import puzzle as slow
from vicinal.maths.losses import categorical
from vicinal.mixing.apply import mix
from vicinal.mixing.blocks import cheapest_masks, moves
from vicinal.mixing.cells import Cells, pixels
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.graph_cut import cheapest_labels
from vicinal.mixing.labels import mixed_loss, vicinal_losses
from vicinal.mixing.puzzle import BLOCKS, PuzzleMix
from vicinal.mixing.saliency import input_saliency


def rng(seed=0):
    return np.random.default_rng(seed)


@settings(max_examples=60)
@given(
    size=st.sampled_from([(1, 1, 6), (1, 4, 3), (2, 2, 4), (3, 2, 3), (2, 3, 2), (4, 1, 4)]),
    bend=st.sampled_from([0.0, 0.3, 3.0]),
    seed=st.integers(0, 2**32),
)
def test_labels_of_the_cut_are_the_cheapest_of_all(size, bend, seed):
    height, width, labels = size
    g = rng(seed)
    cost = g.normal(size=size)
    down, across = bend * g.random((height - 1, width)), bend * g.random((height, width - 1))
    found = slow.energy(cheapest_labels(cost, down, across), cost, down, across)
    every = itertools.product(range(labels), repeat=height * width)
    least = min(slow.energy(np.reshape(a, (height, width)), cost, down, across) for a in every)
    assert found == pytest.approx(least, abs=1e-6)


def test_a_cut_of_costs_that_are_all_alike_is_some_labelling():
    found = cheapest_labels(np.zeros((2, 2, 3)), np.zeros((1, 2)), np.zeros((2, 1)))
    assert set(found.flatten()) <= {0, 1, 2}


@pytest.mark.parametrize("fine", [1, 2])
@pytest.mark.parametrize("contrast", [0.9, 2.5])  # the larger outweighs saliency
@pytest.mark.parametrize("seed", range(4))
def test_the_mask_costs_least_by_the_formula(seed, fine, contrast):
    """On 2×2 blocks with 0 or 1 in each, against all 16 masks; φ by hand from images of cells."""
    g = rng(seed)
    salient = g.random((2, 20, 2 * fine, 2 * fine))
    salient /= salient.sum((2, 3), keepdims=True)
    values = g.random((2, 20, 3, 2 * fine, 2 * fine))
    lam = g.random(20)
    chances = np.stack([1 - lam, lam], 1)
    weights = {"smooth": 0.2, "contrast": contrast, "prior": 0.3}
    masks = cheapest_masks(salient, values, chances=chances, shape=(2, 2), **weights)
    seen = set()
    for i, mask in enumerate(masks):
        cost = lambda z, i=i: slow.mask_cost(
            np.reshape(z, (2, 2)), salient[:, i], values[:, i], lam[i], **weights
        )
        every = [cost(z) for z in itertools.product((0, 1), repeat=4)]
        assert cost(mask) == pytest.approx(min(every), abs=1e-7)
        seen.add(tuple(mask.flatten()))
    assert len(seen) > 1


def test_without_other_costs_each_block_is_that_of_the_more_salient_image():
    g = rng(3)
    salient = g.random((2, 30, 3, 4))
    masks = cheapest_masks(
        salient, np.zeros((2, 30, 1, 3, 4)), chances=np.full((30, 2), 0.5),
        smooth=0.0, contrast=0.0, prior=1.0, shape=(3, 4),
    )  # fmt: skip
    assert (masks == (salient[1] > salient[0])).all()


@pytest.mark.parametrize("distance", [0.0, 0.02, 0.1, 10.0])
def test_moves_are_the_cheapest_of_all(distance):
    g = rng(5)
    salient = g.gamma(0.3, size=(6, 2, 3))
    salient /= salient.sum((1, 2), keepdims=True)
    wanted = g.random((6, 2, 3)) < 0.5
    source = moves(salient, wanted, distance)
    for shown, s, there in zip(source, salient, wanted, strict=True):
        assert sorted(shown.flatten()) == list(range(6))
        found = slow.move_cost(shown.flatten(), s, there, distance)
        every = itertools.permutations(range(6))
        least = min(slow.move_cost(p, s, there, distance) for p in every)
        assert found == pytest.approx(least, abs=1e-12)
    stays = (source == np.arange(6).reshape(2, 3)).all()
    assert stays == (distance == 10.0)


@settings(max_examples=40)
@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_cells_share_out_the_image_and_show_one_another(height, width, seed):
    g = rng(seed)
    down, across = (int(g.integers(1, length + 1)) for length in (height, width))
    cells = Cells(pixels(height, down), pixels(width, across)).split(int(g.integers(1, 4)))
    assert cells.area().sum() == height * width
    assert cells.area().min() >= 1
    image = torch.rand(2, height, width, dtype=torch.float64)
    assert torch.allclose(cells.sums(image).sum((1, 2)), image.sum((1, 2)))
    count = cells.shape[0] * cells.shape[1]
    number = np.arange(count).reshape(1, *cells.shape)
    here = cells.fill(number)
    assert cells.place(number).reshape(-1).tolist() == list(range(height * width))
    source = g.permutation(count).reshape(1, *cells.shape)
    read = here.reshape(-1)[cells.place(source)]  # the cell in which each pixel is read
    assert (read == cells.fill(source)).all()


def model(x):
    """Logits that heed the brightest pixels of a picture."""
    bright = 0.01 * x.pow(4).flatten(1).sum(1)
    return torch.stack([bright, -bright], 1)


def spots(n=64, size=16, count=1):
    """Noise with bright spots of 4×4 pixels, on the grid of 4 pixels."""
    x = 0.05 * torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0))
    for i, places in enumerate(rng(1).integers(size // 4, size=(n, count, 2))):
        for row, column in places:
            x[i, 0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 0.9
    return x, torch.arange(n) % 2


def kept_saliency(x, y, draw):
    """Mean share of the saliency of both images of a pair that is still to be seen."""
    saliency = input_saliency(model, x, y, categorical)[:, None]
    saliency = saliency / saliency.sum((1, 2, 3), keepdim=True)
    visible = mix(saliency, draw), mix(torch.zeros_like(saliency), draw)
    return float((visible[0] - visible[1]).sum((1, 2, 3)).mean())


def test_both_images_are_still_to_be_seen():
    """What the method is for: CutMix keeps half of the saliency of a pair, this nearly all."""
    x, y = spots()
    drawn = (PuzzleMix(levels=2)(x, y, rng(seed)) for seed in range(20))
    draw = next(draw for draw in drawn if draw.blocks == 4)
    assert 0.9 < kept_saliency(x, y, CutMix()(x, y, rng())) < 1.1
    assert kept_saliency(x, y, draw.resolve(model, x, y, categorical)) > 1.7
    # where salient blocks of both lie at one place, moves keep more of them
    x, y = spots(count=5)
    kept = [
        kept_saliency(x, y, replace(draw, rule=rule).resolve(model, x, y, categorical))
        for rule in (PuzzleMix(levels=2, zeta=zeta) for zeta in (100.0, 0.1))
    ]
    assert kept[0] + 0.05 < kept[1]


def test_the_mask_follows_lambda():
    x, y = spots(200)
    for strength, least in ((0.0, -0.2), (5.0, 0.9)):
        draw = PuzzleMix(eta=strength)(x, y, rng(2))
        plain = draw.resolve(model, x, y, categorical)
        assert (np.corrcoef(draw.lam, plain.share)[0, 1] > least) == (strength > 0 or least < 0)
    assert {float(k) for k in plain.keep.unique()} == {0.0, 0.5, 1.0}


def test_the_law_of_lambda_and_of_the_blocks():
    x = torch.zeros(2000, 1, 4, 4)
    lam = PuzzleMix(0.4)(x, x, rng()).lam
    assert lam.dtype == torch.float64
    assert kstest(lam.numpy(), beta(0.4, 0.4).cdf).pvalue > 1e-3
    blocks = [PuzzleMix()(x[:1], x, rng(seed)).blocks for seed in range(400)]
    values, counts = np.unique(blocks, return_counts=True)
    assert tuple(values) == BLOCKS
    assert chisquare(counts).pvalue > 1e-3


def test_its_loss_is_that_of_the_plain_draw_and_a_model_that_heeds_nothing_is_no_error():
    x, y = spots(8)
    draw = PuzzleMix()(x, y, rng())
    plain = draw.resolve(model, x, y, categorical)
    expected = mixed_loss(categorical, model(mix(x, plain)), y, plain)
    assert vicinal_losses(model, x, y, draw, categorical).equal(expected)
    blind = lambda x: torch.zeros(len(x), 2) + 0 * x.sum()
    assert draw.resolve(blind, x, y, categorical).share.isfinite().all()
