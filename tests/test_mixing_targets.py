"""Targets by type, and metrics while mixing."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vicinal.maths.losses import categorical, gaussian
from vicinal.mixing.apply import mix
from vicinal.mixing.cutting import CutMix, ResizeMix
from vicinal.mixing.draw import Blend, Draw
from vicinal.mixing.gaussian import GMix
from vicinal.mixing.kway import DirichletMixup
from vicinal.mixing.labels import mixed_loss, mixed_values, soft_targets
from vicinal.mixing.metrics import dominant_accuracy, expected_accuracy
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.targets import dense_loss, mixed_ids

cross_entropy = partial(F.cross_entropy, reduction="none")
binary = partial(F.binary_cross_entropy_with_logits, reduction="none")


def drawn(strategy, x, seed=0):
    return strategy(x, torch.zeros(len(x)), np.random.default_rng(seed))


def test_regression_targets_of_any_shape_are_mixed_by_share():
    x = torch.randn(6, 3, 4, 4, dtype=torch.float64)
    draw = drawn(CutMix(), x)
    for y in (torch.randn(6), torch.randn(6, 2).double(), torch.randn(6, 2, 3)):
        mixed = mixed_values(y, draw)
        assert mixed.dtype == y.dtype
        for i, j in enumerate(draw.partner.tolist()):
            s = float(draw.share[i])
            torch.testing.assert_close(mixed[i], s * y[i] + (1 - s) * y[j])
    # the squared loss of the mixed value differs from the mixed loss by a term free of the model
    y, f = torch.randn(6).double(), torch.randn(6).double().requires_grad_()
    weighed = mixed_loss(gaussian, f, y, draw).sum()
    value = gaussian(f, mixed_values(y, draw)).sum()
    for a, b in zip(torch.autograd.grad(weighed, f), torch.autograd.grad(value, f), strict=True):
        torch.testing.assert_close(a, b)


def test_multi_hot_labels_are_mixed_label_by_label():
    y = (torch.rand(6, 5) > 0.5).double()
    outputs = torch.randn(6, 5).double()
    draw = drawn(Mixup(1.0), outputs)
    loss = lambda f, y: binary(f, y).sum(1)
    expected = loss(outputs, mixed_values(y, draw))
    torch.testing.assert_close(mixed_loss(loss, outputs, y, draw), expected)


def test_soft_labels_stay_distributions():
    y = torch.randn(6, 5).softmax(1)
    draw = drawn(Mixup(1.0), y)
    mixed = soft_targets(y, draw, 5)
    torch.testing.assert_close(mixed.sum(1), torch.ones(6))
    torch.testing.assert_close(mixed, mixed_values(y, draw))


def slow_dense(values, y, draw, ignore):
    """Per-example mean of values(i, t, label), coordinate by coordinate."""
    means = []
    for i, j in enumerate(draw.partner.tolist()):
        total = weight = 0.0
        for t in np.ndindex(*y.shape[1:]):
            own = float(draw.keep.reshape(len(y), *draw.keep.shape[-2:])[(i, *t)]) if (
                draw.keep.numel() > len(y)
            ) else float(draw.share[i])  # fmt: skip
            place = t
            if draw.place is not None:
                place = divmod(int(draw.place[(i, *t)]), y.shape[-1])
            for label, w in ((int(y[(i, *t)]), own), (int(y[(j, *place)]), 1 - own)):
                if label != ignore:
                    total += w * values(i, t, label)
                    weight += w
        means.append(total / weight if weight else 0.0)
    return torch.tensor(means, dtype=torch.float64)


def test_tokens_with_padding():
    y = torch.randint(7, (5, 6))
    y[0, 4:], y[1, 1:], y[2, :] = -100, -100, -100
    outputs = torch.randn(5, 7, 6, dtype=torch.float64)
    x = torch.randn(5, 6, 3, dtype=torch.float64)  # embeddings
    log_p = outputs.log_softmax(1)
    for seed in range(4):
        draw = drawn(Mixup(1.0), x, seed)
        losses = dense_loss(cross_entropy, outputs, y, draw, ignore_index=-100)
        expected = slow_dense(lambda i, t, k: -float(log_p[i, k, t[0]]), y, draw, -100)
        torch.testing.assert_close(losses, expected)
    plain = dense_loss(cross_entropy, outputs, y, None, ignore_index=-100)
    assert plain[2] == 0
    torch.testing.assert_close(plain[1], -log_p[1, y[1, 0], 0])


@pytest.mark.parametrize("strategy", [CutMix(), ResizeMix(0.3, 0.9), GMix(), Mixup(1.0)])
def test_masks_are_mixed_with_the_draw_of_the_image(strategy):
    image = torch.randn(4, 2, 6, 5, dtype=torch.float64)
    y = torch.randint(3, (4, 6, 5))
    y[1, :3] = 255
    outputs = torch.randn(4, 3, 6, 5, dtype=torch.float64)
    log_p = outputs.log_softmax(1)
    draw = drawn(strategy, image, 2)
    losses = dense_loss(cross_entropy, outputs, y, draw, ignore_index=255)
    expected = slow_dense(lambda i, t, k: -float(log_p[i, k, t[0], t[1]]), y, draw, 255)
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_of_16_bits_may_have_more_pixels_than_fit_into_16_bits(dtype):
    y = torch.randint(2, (2, 300, 300))
    draw = drawn(CutMix(), torch.zeros(2, 1, 300, 300, dtype=dtype))
    wide = Draw(draw.partner, draw.keep.double(), draw.share)
    outputs = torch.randn(2, 2, 300, 300)
    expected = dense_loss(cross_entropy, outputs.double(), y, wide)
    torch.testing.assert_close(dense_loss(cross_entropy, outputs, y, draw).double(), expected)
    losses = dense_loss(cross_entropy, outputs.to(dtype), y, draw).double()
    torch.testing.assert_close(losses, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("strategy", [CutMix(), ResizeMix(0.3, 0.9)])
def test_masks_of_ids_are_cut_like_the_image(strategy):
    y = torch.randint(9, (6, 6, 5))
    draw = drawn(strategy, torch.zeros(6, 1, 6, 5))
    assert mixed_ids(y, draw).equal(mix(y.float(), draw).long())
    assert mixed_ids(y, draw).dtype == torch.int64
    assert mixed_ids(y, None) is y


def test_dense_loss_of_k_samples():
    y = torch.randint(3, (5, 4))
    outputs = torch.randn(5, 3, 4, dtype=torch.float64)
    draw = drawn(DirichletMixup(3), torch.zeros(5, 4, 2).double())
    rows = torch.cat([torch.arange(5)[:, None], draw.partners], 1)
    expected = sum(
        draw.shares[:, j] * cross_entropy(outputs, y[rows[:, j]]).mean(1) for j in range(3)
    )
    torch.testing.assert_close(dense_loss(cross_entropy, outputs, y, draw), expected)


def test_refuses_what_has_no_meaning(unchecked):
    y = torch.randint(3, (4, 6, 5))
    blended = drawn(Mixup(1.0), torch.zeros(4, 1, 6, 5))
    with pytest.raises(ValueError, match="no class id lies between"):
        mixed_ids(y, blended)
    with pytest.raises(TypeError, match="For values use mix"):
        mixed_ids(y.float(), blended)
    with pytest.raises(ValueError, match="one value per coordinate"):
        dense_loss(lambda f, y: f.mean((1, 2)), torch.zeros(4, 6, 5), y, blended)
    with pytest.raises(ValueError, match="do not fit"):
        dense_loss(
            cross_entropy, torch.zeros(4, 3, 5, 6), y.mT, drawn(CutMix(), torch.zeros(4, 1, 6, 5))
        )
    with pytest.raises(ValueError, match=r"top must lie in 1\.\.3, the classes, got 4"):
        expected_accuracy(torch.zeros(2, 3), torch.tensor([0, 1]), None, top=4)
    with pytest.raises(ValueError, match="top must lie"):
        dominant_accuracy(torch.zeros(2, 3), torch.tensor([0, 1]), None, top=0)


def test_metrics_by_hand():
    y = torch.tensor([0, 1, 2, 2])
    share = torch.tensor([0.7, 0.4, 0.25, 1.0])
    draw = Draw(torch.tensor([1, 2, 3, 0]), share, share)
    outputs = torch.tensor(
        [[2.0, 1.0, 0.0, -1.0], [0.0, 2.0, 1.0, -1.0], [0.0, 1.0, 2.0, -1.0], [2.0, 1.0, 0, -1]]
    )
    # labels: .7 of 0 and .3 of 1; .4 of 1 and .6 of 2; 2 twice; 2
    torch.testing.assert_close(
        expected_accuracy(outputs, y, draw), torch.tensor([0.7, 0.4, 1.0, 0.0])
    )
    torch.testing.assert_close(
        expected_accuracy(outputs, y, draw, top=2), torch.tensor([1.0, 1.0, 1.0, 0.0])
    )
    assert dominant_accuracy(outputs, y, draw).tolist() == [True, False, True, False]
    assert dominant_accuracy(outputs, y, draw, top=2).tolist() == [True, True, True, False]
    assert expected_accuracy(outputs, y, None).equal(categorical.correct(outputs, y).float())


def test_shares_of_equal_labels_are_added_before_the_largest_is_found():
    draw = Blend(torch.tensor([[1, 2], [0, 2], [0, 1]]), torch.tensor([[0.4, 0.3, 0.3]] * 3))
    y = torch.tensor([0, 1, 1])
    outputs = torch.tensor([[0.0, 1.0]] * 3)
    assert dominant_accuracy(outputs, y, draw).tolist() == [True] * 3
    torch.testing.assert_close(expected_accuracy(outputs, y, draw), torch.tensor([0.6, 0.7, 0.7]))
