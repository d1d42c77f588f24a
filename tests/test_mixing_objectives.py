"""Draws that ask for more than one mixed batch: each against its formula, by hand."""

import gc
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import beta, chisquare, ks_2samp, kstest
from torch import nn

from reference import mixing as slow
from vicinal.maths.losses import bernoulli, bernoullis, categorical, gaussian
from vicinal.mixing.apply import mix
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.draw import Draw, Objective
from vicinal.mixing.hidden import INPUT, HiddenDraw, ManifoldMixup, hidden_layers, hidden_mix
from vicinal.mixing.labels import mixed_loss, vicinal_losses
from vicinal.mixing.mit import MIT
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.mixupe import MixupE, slope_to_mean
from vicinal.mixing.noisy import NoisyDraw, NoisyFeatureMixup
from vicinal.mixing.regmixup import RegMixup
from vicinal.mixing.saliency import SaliencyMix, input_saliency
from vicinal.mixing.smoothing import LabelSmoothing

close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-12)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = {"first": nn.Linear(5, 7), "act": nn.Tanh(), "last": nn.Linear(7, 3)}
    net = nn.Sequential()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net.double()


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(1)
    return torch.randn(6, 5, generator=g, dtype=torch.float64), torch.arange(6) % 3


def test_regmixup_is_clean_plus_weighted_mixed(model, batch):
    x, y = batch
    draw = RegMixup(10.0, weight=0.3)(x, y, rng())
    clean = F.cross_entropy(model(x), y, reduction="none")
    mixed = mixed_loss(categorical, model(mix(x, draw.draw)), y, draw.draw)
    close(vicinal_losses(model, x, y, draw, categorical), clean + 0.3 * mixed)
    pair = lambda inputs: model(inputs["a"])
    close(vicinal_losses(pair, {"a": x}, y, draw, categorical), clean + 0.3 * mixed)


def test_mixupe_adds_the_slope_of_the_clean_loss_towards_the_mean(batch):
    """For a linear model the slope is (p - y)'W(x̄ - x), and c = α/(2α+1)."""
    x, y = batch
    torch.manual_seed(0)
    linear = nn.Linear(5, 3).double()
    draw = MixupE(alpha=2.0, eta=0.7)(x, y, rng())
    residual = linear(x).softmax(1) - F.one_hot(y, 3)
    slope = (residual * ((x.mean(0) - x) @ linear.weight.T)).sum(1)
    mixed = mixed_loss(categorical, linear(mix(x, draw.draw)), y, draw.draw)
    losses = vicinal_losses(linear, x, y, draw, categorical)
    close(losses, mixed + 0.7 * (2 / 5) * slope)
    # the gradient of the term by the parameters is the true one
    theirs = torch.autograd.grad(losses.sum(), linear.weight)
    ours = torch.autograd.grad((mixed + 0.7 * (2 / 5) * slope).sum(), linear.weight)
    close(theirs, ours)


def test_slope_is_the_derivative_of_any_model(model, batch):
    x, y = batch
    step = 1e-5
    ahead, behind = (categorical(model(x + s * (x.mean(0) - x)), y).detach() for s in (step, -step))
    slope = slope_to_mean(model, x, y, categorical)
    torch.testing.assert_close(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)
    with torch.no_grad():  # also where gradients are off, as in validation
        close(slope_to_mean(model, x, y, categorical), slope)


def test_mit_recovers_the_outputs_of_a_linear_model_exactly(batch):
    x, y = batch
    torch.manual_seed(0)
    linear = nn.Linear(5, 3).double()
    draw = MIT()(x, y, rng())
    outputs = linear(x)
    expected = (categorical(outputs, y) + categorical(outputs, y)[draw.partner]) / 2
    close(vicinal_losses(linear, x, y, draw, categorical), expected)


def test_mit_of_a_curved_model_is_its_formula(model, batch):
    x, y = batch
    draw = MIT()(x, y, rng(1))
    for i, j in enumerate(draw.partner.tolist()):
        a, b = float(draw.first[i]), float(draw.second[i])
        f1, f2 = model(a * x[i] + (1 - a) * x[j]), model(b * x[i] + (1 - b) * x[j])
        own = ((1 - b) * f1 - (1 - a) * f2) / (a - b)
        other = (a * f2 - b * f1) / (a - b)
        expected = (F.cross_entropy(own, y[i]) + F.cross_entropy(other, y[j])) / 2
        close(vicinal_losses(model, x, y, draw, categorical)[i], expected)


@pytest.mark.parametrize(("alpha", "margin"), [(0.5, 0.5), (3.0, 0.3), (1.0, 0.0)])
def test_the_law_of_both_weights_of_mit(alpha, margin):
    x = torch.zeros(2000, 2, dtype=torch.float64)
    draw = MIT(alpha, margin)(x, x, rng())
    assert (draw.first - draw.second >= margin).all()
    generator = rng(1)
    reference = np.array([slow.mit_weights(generator, alpha, margin) for _ in range(2000)])
    for weights, expected in zip((draw.first, draw.second), reference.T, strict=True):
        assert ks_2samp(weights.numpy(), expected).pvalue > 1e-3


def test_manifold_mixup_mixes_the_output_of_the_layer(model, batch):
    x, y = batch
    for position, layer in ((0.1, INPUT), (0.5, "first"), (0.9, "act")):
        plain = Mixup(1.0)(x, y, rng())
        draw = HiddenDraw(plain, position, (INPUT, "first", "act"))
        assert draw.layer(model) == layer
        done = {INPUT: 0, "first": 1, "act": 2}[layer]
        outputs = model[done:](mix(model[:done](x), plain))
        close(
            vicinal_losses(model, x, y, draw, categorical),
            mixed_loss(categorical, outputs, y, plain),
        )
        with hidden_mix(model, layer, plain):
            close(model(x), outputs)


def test_layers_are_drawn_alike_and_default_to_all_but_the_last(model, batch):
    x, y = batch
    model = nn.Sequential(model, nn.Tanh(), nn.Linear(3, 3).double())
    layers = [ManifoldMixup()(x, y, rng(seed)).layer(model) for seed in range(900)]
    names, counts = np.unique(layers, return_counts=True)
    assert set(names) == {
        "",
        "0.act",
        "0.last",
        "1",
    }  # to mix the output of the first is to mix the input
    assert chisquare(counts).pvalue > 1e-3
    nested = nn.Sequential(
        nn.Flatten(), nn.Sequential(nn.Linear(1, 1), nn.ReLU()), nn.Linear(1, 1), nn.ReLU()
    )
    assert hidden_layers(nested) == ("", "1.1")


@pytest.mark.parametrize("strategy", [ManifoldMixup(("act",)), NoisyFeatureMixup(("act",))])
def test_hooks_are_removed_even_on_error(model, batch, strategy):
    x, y = batch
    draw = strategy(x, y, rng())

    class Broken(Exception):
        pass

    def loss(outputs, y):
        raise Broken

    for _ in range(2):
        with pytest.raises(Broken):
            vicinal_losses(model, x, y, draw, loss)
    inner = model.last.forward
    model.last.forward = lambda x: loss(x, None)
    with pytest.raises(Broken):
        vicinal_losses(model, x, y, draw, categorical)
    model.last.forward = inner
    gc.collect()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_wrong_layer_is_told_with_near_names(model, batch, unchecked):
    x, y = batch
    draw = ManifoldMixup((INPUT, "frist"))(x, y, rng())
    with pytest.raises(ValueError, match=r"no module 'frist'. Near: first"):
        vicinal_losses(model, x, y, draw, categorical)  # although the input may be what was drawn
    with pytest.raises(TypeError, match="got function"):
        vicinal_losses(lambda x: model(x), x, y, draw, categorical)
    twice = nn.Sequential(model.first, nn.Linear(7, 5).double())
    again = nn.Sequential(twice, twice)
    draw = ManifoldMixup(("0.1",))(x, y, rng())
    with pytest.raises(ValueError, match="ran 2 times"):
        vicinal_losses(again, x, y, draw, gaussian)
    model.register_module("spare", nn.Linear(1, 1))
    model.forward = lambda x: model.last(model.act(model.first(x)))
    draw = ManifoldMixup(("spare",))(x, y, rng())
    with pytest.raises(ValueError, match="ran 0 times"):
        vicinal_losses(model, x, y, draw, categorical)


def test_noise_of_no_level_is_manifold_mixup(model, batch):
    x, y = batch
    draw = NoisyFeatureMixup(additive=0.0, multiplicative=0.0)(x, y, rng())
    losses = vicinal_losses(model, x, y, draw.hidden, categorical)
    close(vicinal_losses(model, x, y, draw, categorical), losses)


def test_the_laws_of_the_noise():
    h = torch.full((40_000,), 3.0)
    hidden = HiddenDraw(Draw(torch.zeros(0, dtype=int), torch.zeros(0), torch.zeros(0)), 0.0, None)
    added = (NoisyDraw(hidden, 0.5, 0.0, seed=1).noisy(h) - h) / 0.5
    assert kstest(added.numpy(), "norm").pvalue > 1e-3
    scaled = (NoisyDraw(hidden, 0.0, 0.2, seed=2).noisy(h) / h - 1) / 0.2
    assert kstest((scaled.numpy() + 1) / 2, "uniform").pvalue > 1e-3
    other = NoisyDraw(hidden, 0.5, 0.0, seed=3).noisy(h)
    assert not other.equal(NoisyDraw(hidden, 0.5, 0.0, seed=1).noisy(h))
    x = torch.zeros(2, 3)
    draws = [NoisyFeatureMixup()(x, x, rng(seed)) for seed in range(1000)]
    for level, name in ((0.4, "additive"), (0.2, "multiplicative")):
        values = [getattr(draw, name) / level for draw in draws]
        assert kstest(values, beta(2, 5).cdf).pvalue > 1e-3
    assert len({draw.seed for draw in draws}) == 1000


def test_saliency_mix_cuts_around_what_the_model_reads():
    """A model that reads one pixel only: every box is centred there, in the partner."""
    x, y = torch.rand(300, 2, 9, 7), torch.arange(300) % 2
    model = lambda x: x[:, :, 6, 2]
    draw = SaliencyMix()(x, y, rng())
    plain = draw.resolve(model, x, y, categorical)
    for i in range(300):
        size = [int(float(draw.side[i]) * length) for length in (9, 7)]
        box = torch.zeros(9, 7)
        top, left = 6 - size[0] // 2, 2 - size[1] // 2
        box[max(top, 0) : top + size[0], max(left, 0) : left + size[1]] = 1
        assert plain.keep[i, 0].equal(1 - box)
    close(
        vicinal_losses(model, x, y, draw, categorical),
        mixed_loss(categorical, model(mix(x, plain)), y, plain),
    )
    sides = CutMix()(x, y, rng())  # sizes follow the law of CutMix: the same generator, the same λ
    assert kstest(1 - draw.side.numpy() ** 2, "uniform").pvalue > 1e-3
    assert len(sides.share) == len(draw.side)


def test_measuring_saliency_leaves_the_model_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(),
                          nn.Linear(27, 4))  # fmt: skip
    x, y = torch.rand(4, 2, 5, 5), torch.arange(4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    saliency = input_saliency(model, x, y, categorical)
    assert saliency.shape == (4, 5, 5)
    assert (saliency > 0).any()
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert all(module.training for module in model.modules())
    assert input_saliency(model, x, y, categorical).equal(saliency)


@pytest.mark.parametrize(
    "strategy",
    [ManifoldMixup(), NoisyFeatureMixup(), RegMixup(), MixupE(), MIT(), SaliencyMix()],
    ids=lambda s: type(s).__name__,
)
def test_a_draw_says_that_it_is_an_objective_and_moves_as_a_whole(strategy):
    x, y = torch.rand(4, 1, 5, 5), torch.arange(4)
    draw = strategy(x, y, rng())
    assert isinstance(draw, Objective)
    assert not isinstance(Mixup()(x, y, rng()), Objective)
    moved = draw.to("meta")
    pending, seen = [moved], 0
    while pending:
        for value in vars(pending.pop()).values():
            if isinstance(value, torch.Tensor):
                assert value.is_meta
                seen += 1
            elif hasattr(value, "__dataclass_fields__"):
                pending.append(value)
    assert seen >= 2


def test_label_smoothing_is_that_of_torch(model, batch):
    x, y = batch
    draw = LabelSmoothing(0.3)(x, y, rng())
    expected = F.cross_entropy(model(x), y, label_smoothing=0.3, reduction="none")
    close(vicinal_losses(model, x, y, draw, categorical), expected)
    soft = F.one_hot(y, 3).double()
    close(vicinal_losses(model, x, soft, draw, categorical), expected)


@pytest.mark.parametrize("wide", [False, True])
def test_label_smoothing_of_one_logit_is_that_of_two(batch, wide):
    x, y = batch
    y = y % 2
    one = lambda x: x.sum(1, keepdim=True) if wide else x.sum(1)
    two = lambda x: torch.stack([0 * x[:, 0], x.sum(1)], 1)
    draw = LabelSmoothing(0.2)(x, y, rng())
    expected = F.cross_entropy(two(x), y, label_smoothing=0.2, reduction="none")
    close(vicinal_losses(one, x, y, draw, bernoulli), expected)


def test_label_smoothing_of_several_labels_is_that_of_each():
    """A label that is on or off has two classes, however many labels there are."""
    outputs = torch.randn(5, 4, dtype=torch.float64)
    y = torch.tensor(np.random.default_rng(0).integers(2, size=(5, 4)))
    draw = LabelSmoothing(0.2)(outputs, y, rng())
    each = [
        F.cross_entropy(
            torch.stack([torch.zeros_like(f), f], 1), k, label_smoothing=0.2, reduction="none"
        )
        for f, k in zip(outputs.unbind(1), y.unbind(1), strict=True)
    ]
    for labels in (y, y.double()):
        losses = draw.losses(lambda x: x, outputs, labels, bernoullis)
        close(losses, torch.stack(each).sum(0))


def test_label_smoothing_needs_classes_and_a_share(batch):
    x, _ = batch
    for share in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"smoothing must lie in \[0, 1\)"):
            LabelSmoothing(share)
    several = torch.ones(len(x), 2)
    with pytest.raises(ValueError, match="vicinal.bernoullis"):
        LabelSmoothing()(x, several, rng()).losses(lambda x: x[:, :2], x, several, categorical)
    with pytest.raises(ValueError, match="needs classes"):
        LabelSmoothing()(x, x[:, 0], rng()).losses(lambda x: x[:, 0], x, x[:, 0], gaussian)
