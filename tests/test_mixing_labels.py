"""The loss of a mixture, and what draws do to inputs of several parts."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vicinal.maths.losses import categorical
from vicinal.mixing.apply import mix
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.kway import DirichletMixup
from vicinal.mixing.labels import mixed_loss, mixed_values, soft_targets, vicinal_losses
from vicinal.mixing.mixup import Mixup


def rng(seed=0):
    return np.random.default_rng(seed)


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
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 9), k=st.integers(1, 4))
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
    draw = Mixup(1.0)(outputs, y, rng())
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
    draw = Mixup(1.0)(image, torch.zeros(5), rng())
    mixed = mix({"image": image, "rest": (table, sequence)}, draw)
    for part, result in ((image, mixed["image"]), (table, mixed["rest"][0]),
                         (sequence, mixed["rest"][1])):  # fmt: skip
        share = draw.share.to(part.dtype).reshape(-1, *[1] * (part.ndim - 1))
        torch.testing.assert_close(result, share * part + (1 - share) * part[draw.partner])
        assert result.dtype == part.dtype


def test_spatial_weights_fit_their_size_only(unchecked):
    image = torch.randn(5, 3, 4, 6)
    draw = CutMix()(image, torch.zeros(5), rng())
    depth = torch.randn(5, 4, 6)  # a dense target without channels
    assert mix(depth, draw).equal(torch.where(draw.keep[:, 0] == 1, depth, depth[draw.partner]))
    for values in (torch.randn(5, 3, 6, 4), torch.randn(5, 7)):
        with pytest.raises(ValueError, match="do not fit values of shape"):
            mix(values, draw)
    places = torch.zeros(5, 2, 3, dtype=torch.int64)
    draw = replace(Mixup()(image, torch.zeros(5), rng()), place=places)
    with pytest.raises(ValueError, match="of the size drawn for"):
        mix(torch.randn(5, 7), draw)
