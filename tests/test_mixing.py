"""One law test for every strategy, and the two functions that apply a draw."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from vicinal.losses import categorical
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.draw import Draw, mix, mixed_loss, soft_targets
from vicinal.mixing.mixup import Mixup

STRATEGIES = [Mixup(0.2), Mixup(1.0), CutMix(1.0), CutMix(0.3)]
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
sizes = st.integers(1, 9)
seeds = st.integers(0, 2**32)


@each_strategy
@given(n=sizes, height=sizes, width=sizes, seed=seeds)
def test_pixels_say_what_the_label_says(strategy, n, height, width, seed):
    """Image k is 1 in channel k only, so each source's share can be read off the pixels."""
    x = torch.eye(n)[:, :, None, None].expand(n, n, height, width).clone()
    before = x.clone()
    y = torch.arange(n)
    draw = strategy(x, y, np.random.default_rng(seed))
    mixed = mix(x, draw)
    torch.testing.assert_close(mixed.mean((2, 3)), soft_targets(y, draw, n), rtol=0, atol=1e-5)
    assert x.equal(before)
    assert mixed.shape == x.shape
    assert mixed.dtype == x.dtype
    assert draw.partner.dtype == torch.int64
    assert draw.partner.sort().values.equal(y)
    assert (draw.share >= 0).all()
    assert (draw.share <= 1).all()
    again = strategy(x, y, np.random.default_rng(seed))
    assert mix(x, again).equal(mixed)


@each_strategy
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rows_of_labels_sum_to_one_in_every_dtype(strategy, dtype):
    x = torch.zeros(512, 1, 5, 7, dtype=dtype)
    y = torch.arange(512) % 3
    labels = soft_targets(y, strategy(x, y, np.random.default_rng(0)), 3)
    assert labels.dtype == dtype
    assert (labels.sum(1) == 1).all()


@each_strategy
def test_share_one_gives_the_input_back_and_gradients_flow(strategy):
    x = torch.randn(6, 2, 5, 3, requires_grad=True)
    draw = strategy(x, torch.zeros(6), np.random.default_rng(0))
    own = Draw(draw.partner, torch.ones_like(draw.keep), torch.ones_like(draw.share))
    other = Draw(draw.partner, torch.zeros_like(draw.keep), torch.zeros_like(draw.share))
    assert mix(x, own).equal(x)
    assert mix(x, other).equal(x[draw.partner])
    weight = torch.randn_like(x)
    (gradient,) = torch.autograd.grad((weight * mix(x, draw)).sum(), x)
    # each sample is used twice: with its own weight, and by whoever it is the partner of
    expected = draw.keep * weight
    expected = expected.index_add(0, draw.partner, (1 - draw.keep) * weight)
    torch.testing.assert_close(gradient, expected)


def test_mixup_is_the_formula():
    x, rng = torch.randn(7, 3, dtype=torch.float64), np.random.default_rng(1)
    draw = Mixup(0.5)(x, torch.zeros(7), rng)
    for i, j in enumerate(draw.partner.tolist()):
        lam = float(draw.share[i])
        torch.testing.assert_close(mix(x, draw)[i], lam * x[i] + (1 - lam) * x[j])


def test_cutmix_takes_whole_boxes_with_uniform_centres():
    x = torch.zeros(4000, 1, 8, 12)
    draw = CutMix()(x, torch.zeros(4000), np.random.default_rng(0))
    cut = 1 - draw.keep[:, 0]
    assert set(cut.unique().tolist()) == {0.0, 1.0}
    rows, columns = cut.amax(2).sum(1), cut.amax(1).sum(1)
    torch.testing.assert_close(cut.sum((1, 2)), rows * columns)  # a full box, nothing else
    area = cut.mean((1, 2))
    torch.testing.assert_close(draw.share, 1 - area)
    # reference: λ uniform, sides √(1-λ) of the image, centre a uniform pixel, clipped
    rng = np.random.default_rng(1)
    sides = np.sqrt(rng.random(200_000))
    parts = []
    for length in (8, 12):
        size, centre = (sides * length).astype(int), rng.integers(length, size=len(sides))
        low = np.maximum(centre - size // 2, 0)
        parts.append(np.minimum(centre - size // 2 + size, length) - low)
    expected = parts[0] * parts[1] / 96
    error = (expected.var() / 4000 + expected.var() / len(expected)) ** 0.5
    assert abs(float(area.mean()) - expected.mean()) < 5 * error


@given(seed=seeds, n=sizes)
def test_mixed_loss_is_the_loss_of_the_mixed_label(seed, n):
    g = torch.Generator().manual_seed(seed)
    outputs = torch.randn(n, 4, generator=g, dtype=torch.float64)
    y = torch.randint(4, (n,), generator=g)
    x = torch.zeros(n, 3, dtype=torch.float64)
    draw = Mixup(1.0)(x, y, np.random.default_rng(seed))
    reference = F.cross_entropy(outputs, soft_targets(y, draw, 4), reduction="none")
    torch.testing.assert_close(mixed_loss(categorical, outputs, y, draw), reference)


def test_no_draw_mixes_nothing():
    x, y = torch.randn(3, 2), torch.tensor([0, 1, 1])
    assert mix(x, None) is x
    assert mixed_loss(categorical, x, y, None).equal(categorical(x, y))
    assert soft_targets(y, None, 2).equal(F.one_hot(y, 2).float())


def test_refuses_what_would_go_wrong_silently(unchecked):
    x, y = torch.zeros(4, 1, 3, 3), torch.arange(4)
    draw = Mixup()(x, y, np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"pass x.float\(\) / 255"):
        mix(x.to(torch.uint8), draw)
    with pytest.raises(ValueError, match="made for 4 examples, this batch has 3"):
        mix(x[:3], draw)
    with pytest.raises(ValueError, match="made for 4 examples, this batch has 3"):
        mixed_loss(categorical, torch.zeros(3, 4), y[:3], draw)
    with pytest.raises(ValueError, match='reduction="none"'):
        mixed_loss(F.cross_entropy, torch.zeros(4, 4), y, draw)
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.2, got 0 to 3"):
        soft_targets(y, draw, 3)
    with pytest.raises(ValueError, match=r"pass y.long\(\)"):
        soft_targets(y.float(), draw, 4)
    with pytest.raises(ValueError, match="use Mixup"):
        CutMix()(torch.zeros(4, 3), y, np.random.default_rng(0))


@pytest.mark.parametrize("kind", [Mixup, CutMix])
@pytest.mark.parametrize("alpha", [0.0, -0.5, float("nan"), float("inf")])
def test_rejects_alpha(kind, alpha):
    with pytest.raises(ValueError, match="alpha must be positive"):
        kind(alpha)
