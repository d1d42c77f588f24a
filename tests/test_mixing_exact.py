"""Where a weight is 1 or 0, one of the two values comes back, whatever the other one is."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from strategies import STRATEGIES, mixture
from vicinal.mixing.apply import mix
from vicinal.mixing.draw import Blend, Draw
from vicinal.mixing.labels import mixed_loss, mixed_values
from vicinal.mixing.pairing import Roll
from vicinal.mixing.rows import mix_rows

INF, NAN = float("inf"), float("nan")
CUTS = ["CutMix", "FMix", "GridMix", "ResizeMix", "HMix", "PuzzleMix", "SaliencyMix"]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
WAYS = {
    "plain": mix,
    "into memory": lambda x, draw: mix(x, draw, out=torch.full_like(x, 7.0)),
    "graph": lambda x, draw: mix(x.clone().requires_grad_(), draw).detach(),
    "vmap": lambda x, draw: torch.vmap(lambda x: mix(x, draw))(x[None])[0],
    "rows": lambda x, draw: torch.cat([mix_rows(x, draw, slice(i, i + 2)) for i in (0, 2, 4)]),
    "channels last": lambda x, draw: mix(x.contiguous(memory_format=torch.channels_last), draw),
}


def spoilt(dtype, shape=(6, 2, 8, 8)):
    """Images in each of which a quarter is infinite or NaN, as a log spectrum of silence is."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    for i, value in enumerate((-INF, INF, NAN, -INF)):
        x[i, :, i : i + 3, 2:7] = value
    return x


def chosen(x, draw):
    """Own value, partner's value, or None for what lies between; slowly, one by one."""
    n, _, height, width = x.shape
    plain = np.broadcast_to(np.arange(height * width).reshape(height, width), (n, height, width))
    where = [plain if place is None else place.numpy() for place in (draw.own_place, draw.place)]
    keep = draw.keep.expand(n, 1, height, width)
    for i, h, w in np.ndindex(n, height, width):
        weight = float(keep[i, 0, h, w])
        if weight in (0, 1):
            source, place = (i, where[0]) if weight == 1 else (int(draw.partner[i]), where[1])
            yield (i, h, w), x[source].flatten(1)[:, int(place[i, h, w])]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CUTS)
def test_what_is_cut_keeps_its_bits(name, way, dtype):
    x, clean = spoilt(dtype), torch.rand(6, 2, 8, 8)
    seen = set()
    for seed in range(3):
        draw = mixture(STRATEGIES[name], clean, torch.arange(6) % 2, seed)
        draw = replace(draw, keep=draw.keep.to(dtype))
        mixed = WAYS[way](x, draw)
        for (i, h, w), value in chosen(x, draw):
            assert torch.equal(mixed[i, :, h, w].nan_to_num(9, 8, 7), value.nan_to_num(9, 8, 7))
            seen.add(float(draw.keep.expand(6, 1, 8, 8)[i, 0, h, w]))
    assert seen <= {0.0, 1.0}
    assert seen


@pytest.mark.parametrize("way", WAYS)
def test_a_whole_sample_keeps_its_bits(way):
    x = spoilt(torch.float32)
    share = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.5, 1.0])
    draw = Draw(torch.tensor([1, 2, 3, 4, 5, 0]), share.reshape(6, 1, 1, 1), share)
    mixed = WAYS[way](x, draw)
    for i, source in ((0, 0), (1, 2), (2, 2), (3, 4), (5, 5)):
        assert mixed[i].nan_to_num(9, 8, 7).equal(x[source].nan_to_num(9, 8, 7))
    assert mixed[4].equal(torch.lerp(x[5], x[4], 0.5))


def test_large_batches_of_consecutive_partners_keep_their_bits():
    x = torch.randn(4, 3, 160, 160)
    x[1] = -INF
    draw = mixture(replace(STRATEGIES["CutMix"], pairing=Roll()), x, torch.zeros(4))
    expected = torch.where(draw.keep == 1, x, x[draw.partner])
    for mixed in (mix(x, draw), mix(x, draw, out=torch.empty_like(x))):
        assert mixed.equal(expected)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "rows"])
def test_a_member_without_weight_leaves_no_trace(way):
    x = spoilt(torch.float32)
    partners = torch.tensor([[4, 5], [4, 5], [5, 1], [4, 2], [0, 1], [4, 4]])
    shares = torch.tensor(
        [[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1], [1, 0, 0], [0.25, 0.5, 0.25]]
    )
    mixed = WAYS[way](x, Blend(partners, shares)).nan_to_num(9, 8, 7)
    clean = x.nan_to_num(9, 8, 7)
    for i, source in ((0, 0), (1, 4), (3, 2), (4, 4)):
        assert mixed[i].equal(clean[source])
    torch.testing.assert_close(mixed[5], 0.25 * clean[5] + 0.75 * clean[4])


def test_the_gradient_goes_to_the_value_that_was_kept():
    x = spoilt(torch.float64).requires_grad_()
    draw = mixture(STRATEGIES["CutMix"], x, torch.zeros(6))
    weight = torch.randn(x.shape, dtype=torch.float64)
    mixed = mix(x, draw)
    (gradient,) = torch.autograd.grad(mixed, x, weight)
    own = weight * draw.keep
    expected = own.index_add(0, draw.partner, weight * (1 - draw.keep))
    torch.testing.assert_close(gradient, expected)


def test_targets_and_losses_without_a_share_do_not_count():
    y = torch.tensor([1.0, INF, -INF, 2.0])
    share = torch.tensor([1.0, 0.0, 1.0, 0.25])
    draw = Draw(torch.tensor([1, 0, 3, 0]), share, share)
    assert mixed_values(y, draw).tolist() == [1.0, 1.0, -INF, 1.25]
    assert mixed_loss(lambda f, y: y, y, y, draw).tolist() == [1.0, 1.0, -INF, 1.25]


def test_a_learned_weight_has_its_gradient_at_the_ends():
    x = torch.randn(3, 2, dtype=torch.float64)
    share = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64, requires_grad=True)
    partner = torch.tensor([1, 2, 0])
    mixed = partial(mix, x)(Draw(partner, share, share))
    (gradient,) = torch.autograd.grad(mixed.sum(), share)
    torch.testing.assert_close(gradient, (x - x[partner]).sum(1))
