"""Hidden layers are found within whatever wraps a model, and mixing there is not that of inputs."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from vicinal.data import load
from vicinal.maths.losses import categorical
from vicinal.mixing.draw import Draw
from vicinal.mixing.hidden import HiddenDraw, ManifoldMixup, hidden_mix
from vicinal.mixing.labels import vicinal_losses
from vicinal.mixing.layers import INPUT, hidden_layers
from vicinal.mixing.noisy import NoisyFeatureMixup
from vicinal.models.forward import LogitsAt
from vicinal.models.named import build_model
from vicinal.models.reference import Standardise

WRAPPERS = {
    "plain": lambda model: model,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "data parallel": nn.DataParallel,
    "both": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
    "standardised twice": lambda model: nn.Sequential(Standardise(0.5, 2.0), model),
}
IMAGES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def mixture(n=6):
    share = torch.linspace(0.2, 0.8, n)
    return Draw(torch.arange(n).roll(1), share, share)


def losses_by_layer(model, x, y):
    names, found = hidden_layers(model, x), {}
    for k, name in enumerate(names):
        torch.manual_seed(0)  # of dropout
        draw = HiddenDraw(mixture(len(x)), k / len(names), None)
        found[name] = vicinal_losses(model, x, y, draw, categorical).detach()
    return found


def inner(names):
    """Names as the innermost model has them."""
    return [n.replace("_orig_mod.", "").replace("module.", "") for n in names]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize(
    ("name", "layers"),
    [("cnn", ["1.1", "1.2", "1.3", "1.5", "1.6"]), ("mlp", ["1.2", "1.3", "1.4"])],
)
def test_reference_models_as_studies_wrap_them(name, layers, wrapper):
    """Each layer mixes something else than the input does; the wrapper changes nothing."""
    split = load("digits", 0)
    x, y = split.train.x[:6], split.train.y[:6]
    plain = build_model(name, split, 0)
    model = WRAPPERS[wrapper](plain)
    found = hidden_layers(model, x)
    prefix = "1." if wrapper == "standardised twice" else ""
    assert inner(found) == [INPUT, *(prefix + layer for layer in layers)]
    losses = losses_by_layer(model, x, y)
    for layer in found[1:]:
        assert (losses[layer] - losses[INPUT]).abs().max() > 1e-5
    if not prefix:
        expected = losses_by_layer(plain, x, y)
        for theirs, ours in zip(losses.values(), expected.values(), strict=True):
            torch.testing.assert_close(theirs, ours)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("strategy", [ManifoldMixup, NoisyFeatureMixup])
def test_a_compiled_model_that_ran_before_is_mixed_all_the_same(strategy):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3))
    compiled = torch.compile(plain, backend="eager")
    x, y = torch.randn(6, 4), torch.arange(6) % 3
    before = compiled(x)
    draw = strategy(("1",))(x, y, np.random.default_rng(0))
    torch.testing.assert_close(
        vicinal_losses(compiled, x, y, draw, categorical),
        vicinal_losses(plain, x, y, draw, categorical),
    )
    assert compiled(x).equal(before)
    plain.compile(backend="eager")
    with hidden_mix(plain, "1", mixture()):
        mixed = plain(x)
    assert not mixed.allclose(before)


def test_where_only_the_input_is_left_nothing_is_drawn(unchecked):
    split = load("digits", 0)
    x, y = split.train.x[:6], split.train.y[:6]

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(64, 8), nn.Linear(8, 10)

        def forward(self, x):
            return self.last(self.first(x.flatten(1)).relu())

    models = [build_model("linear", split, 0), Functional(), nn.Sequential(nn.Flatten())]
    for model in models:
        for wrap in WRAPPERS.values():
            for strategy in (ManifoldMixup(), NoisyFeatureMixup()):
                draw = strategy(x, y, np.random.default_rng(0))
                with pytest.raises(ValueError, match=r"only its input is left.*layers=\(\.\.\.\)"):
                    vicinal_losses(wrap(model), x, y, draw, categorical)
    draw = ManifoldMixup((INPUT,))(x, y, np.random.default_rng(0))
    assert vicinal_losses(models[0], x, y, draw, categorical).shape == (6,)


class Odd(nn.Module):
    """A layer that runs twice, one that never runs, one that gives no features, and good ones."""

    def __init__(self):
        super().__init__()
        self.first, self.twice, self.spare = nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)
        self.middle, self.pair, self.good, self.last = (
            nn.Linear(4, 4), Pair(), nn.Tanh(), nn.Linear(4, 3)
        )  # fmt: skip

    def forward(self, x):
        z, _ = self.pair(self.middle(self.twice(self.twice(self.first(x)))))
        return self.last(self.good(z))


class Pair(nn.Module):
    def forward(self, z):
        return z.tanh(), len(z)


def test_layers_that_do_not_run_once_or_give_no_features_are_left_out(unchecked):
    torch.manual_seed(0)
    x, y, model = torch.randn(6, 4), torch.arange(6) % 3, nn.Sequential(Standardise(0, 1), Odd())
    assert hidden_layers(model, x) == (INPUT, "1.middle", "1.good")
    for layer, rule in (
        ("twice", "ran 2 times"),
        ("1.spare", "ran 0 times"),
        ("pair", "gives no floating tensor"),
    ):
        draw = ManifoldMixup(("good", layer))(x, y, np.random.default_rng(0))
        with pytest.raises(ValueError, match=rule):  # whichever of them was drawn
            vicinal_losses(model, x, y, draw, categorical)
    draw = ManifoldMixup(("good",))(x, y, np.random.default_rng(0))
    assert draw.layer(model, x) == "1.good"  # as it is named in the model that was wrapped


def test_looking_leaves_the_model_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 3)
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(6, 4)
    state = torch.random.get_rng_state()
    assert hidden_layers(model, x) == (INPUT, "1", "2", "3", "4")
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert torch.random.get_rng_state().equal(state)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    model.insert(5, nn.Tanh())  # and a model that was changed is looked at anew
    assert hidden_layers(model, x) == (INPUT, "1", "2", "3", "4", "5")


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()

    def forward(self, x):
        return x + self.act(self.conv(x))


class Residual(nn.Module):
    """The names of a ResNet."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.layer1, self.layer2, self.layer3 = (nn.Sequential(Block(), Block()) for _ in "123")
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


def test_stages_of_a_residual_network_and_blocks_of_a_transformer():
    stages = (INPUT, "1.layer1", "1.layer2", "1.layer3")
    assert hidden_layers(nn.Sequential(Standardise(0, 1), Residual()), IMAGES) == stages
    wrapped = LogitsAt(nn.Sequential(Residual()), 0)
    assert hidden_layers(wrapped)[1:] == tuple(f"model.0.layer{k}" for k in (1, 2, 3))

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 8, 8, stride=8)
            self.encoder = nn.TransformerEncoder(
                nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
                3,
                enable_nested_tensor=False,
            )
            self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

        def forward(self, x):
            tokens = self.encoder(self.embed(x).flatten(2).movedim(1, 2))
            return self.head(self.norm(tokens.mean(1)))

    blocks = tuple(f"0.encoder.layers.{k}" for k in range(3))
    assert hidden_layers(nn.Sequential(Transformer()), IMAGES) == (INPUT, *blocks)


SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 8}
HUGGING_FACE = {  # kind: options, what the layers are called, and how many there are
    "vit": (SMALL | {"intermediate_size": 32}, "layer", 3),
    "beit": (SMALL | {"intermediate_size": 32}, "layer", 3),
    "dinov2": (SMALL, "layer", 3),
    "swin": ({"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}, "", 2),
    "resnet": ({"embedding_size": 8, "hidden_sizes": [8, 8, 8], "depths": [1, 1, 1]}, "stages", 3),
    "regnet": ({"hidden_sizes": [8, 8], "depths": [1, 1], "groups_width": 4}, "stages", 2),
    "convnext": ({"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}, "stages", 4),
    "convnextv2": ({"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}, "stages", 4),
    "mobilenet_v2": ({}, "layer", 16),
    "mobilenet_v1": ({}, "", 20),
    "poolformer": ({"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}, "block", 4),
    "segformer": ({}, "stages", 4),
}  # fmt: skip
TORCHVISION = {
    "resnet18": ("layer", 4),
    "vit_b_16": ("encoder.layers", 12),
    "densenet121": ("denseblock", 4),
    "mobilenet_v3_small": ("features", 11),
    "convnext_tiny": ("features", 4),
    "vgg11": ("features", 8),
}
TIMM = {
    "resnet10t": ("layer", 4),
    "vit_tiny_patch16_224": ("blocks", 12),
    "mixer_s32_224": ("blocks", 8),
}


def check_library(model, kind, least, x=IMAGES):
    """Most draws mix hidden features that are called so; and none of them is the input again."""
    torch.manual_seed(0)
    wrapped = nn.Sequential(Standardise(0.5, 0.3), model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say of themselves
        names = hidden_layers(wrapped, x)
        y = torch.arange(len(x)) % 3
        losses = losses_by_layer(wrapped, x, y)
    assert names[0] == INPUT
    assert len(names) - 1 >= least, names
    assert all(kind in name for name in names[1:]), names
    for name in names[1:]:
        assert (losses[name] - losses[INPUT]).abs().max() > 1e-7, name


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_models_of_hugging_face(name):
    pytest.importorskip("transformers")
    from transformers import AutoConfig, AutoModelForImageClassification

    options, kind, least = HUGGING_FACE[name]
    config = AutoConfig.for_model(name, num_labels=3, num_channels=3, image_size=32, **options)
    torch.manual_seed(0)
    check_library(AutoModelForImageClassification.from_config(config), kind, least)


@pytest.mark.parametrize("name", TORCHVISION)
def test_models_of_torchvision(name):
    models = pytest.importorskip("torchvision.models")
    x = torch.rand(3, 3, 224, 224)
    check_library(models.get_model(name, weights=None, num_classes=3), *TORCHVISION[name], x=x)


@pytest.mark.parametrize("name", TIMM)
def test_models_of_timm(name):
    timm = pytest.importorskip("timm")
    x = torch.rand(3, 3, 224, 224)
    check_library(timm.create_model(name, num_classes=3), *TIMM[name], x=x)
