"""Someone's own model: factories, their failures, and outputs that do not fit."""

import sys
import textwrap

import pytest
import torch

from vicinal.data import load
from vicinal.models.named import build_model, load_model, weights_in


@pytest.fixture
def someones(tmp_path, monkeypatch):
    code = """
        import torch
        from torch import nn
        def fits(shape, outputs):
            return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], outputs))
        def plain(): return nn.Linear(13, 3)
        class Net(nn.Linear):
            def __init__(self, shape, outputs): super().__init__(shape[0], outputs)
        def narrow(shape, outputs): return nn.Linear(shape[0], outputs - 1)
        def deep(shape, outputs): return nn.Conv2d(1, 1, 3)
        def broken(shape, outputs): raise KeyError("width")
        def text(shape, outputs): return "model"
        made = nn.Sequential(nn.Linear(13, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
        class Shift(nn.Module):
            def __init__(self):
                super().__init__()
                self.by = nn.Parameter(torch.zeros(13))
            def forward(self, x): return x + self.by
        shifted = nn.Sequential(Shift(), nn.Linear(13, 3))
    """
    (tmp_path / "someones_model.py").write_text(textwrap.dedent(code))
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("someones_model", None)


@pytest.mark.parametrize("name", ["fits", "plain", "Net", "made"])
def test_factories_with_and_without_arguments(someones, name):
    split = load("wine", 0)
    before = torch.random.get_rng_state()
    one, again, other = (build_model(f"someones_model:{name}", split, seed) for seed in (0, 0, 1))
    assert torch.random.get_rng_state().equal(before)
    assert one(split.test.x).shape == (len(split.test), 3)
    weights = [next(model.parameters()) for model in (one, again, other)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_a_module_lends_its_build_and_is_left_as_it_was(someones):
    split = load("wine", 0)
    model = build_model("someones_model:made", split, 0)
    made = sys.modules["someones_model"].made
    before = [value.clone() for value in made.state_dict().values()]
    model.train()(split.train.x)
    with torch.no_grad():
        model[0].weight.zero_()
    assert all(a.equal(b) for a, b in zip(before, made.state_dict().values(), strict=True))
    again = build_model("someones_model:made", split, 0)
    assert again[1].running_mean.eq(0).all()
    expected = 1 / 13**0.5  # torch's own rule for a linear layer: uniform up to 1/√fan_in
    assert 0.8 * expected < float(again[0].weight.detach().abs().max()) <= expected


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("someones_model:narrow", r"outputs of shape \(n, 3\) for 3 classes, got \(2, 2\)"),
        ("someones_model:deep", r"cannot take a batch of shape \(2, 13\): RuntimeError"),
        (
            "someones_model:broken",
            "someones_model:broken failed in someones_model.py, line 11: Key",
        ),
        ("someones_model:text", "must return a torch module, got str"),
        ("someones_model:shifted", r"a torch module, and 0 \(Shift\) has no reset_parameters"),
        ("someones_model:none", "cannot import someones_model:none"),
        ("mlpp", "unknown model 'mlpp'. Did you mean mlp"),
        ("cnn", "cnn needs images"),
        ("timm:resnet18", "needs images, these data are a table"),
    ],
)
def test_models_that_cannot_be_used(someones, name, rule):
    with pytest.raises(ValueError, match=rule):
        build_model(name, load("wine", 0), 0)


def test_values_need_one_output():
    split = load("diabetes", 0)
    assert build_model("mlp", split, 0)(split.test.x).shape == (len(split.test), 1)
    with pytest.raises(ValueError, match="cannot read the model"):
        load_model("mlp", split, None)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", (2**62).to_bytes(8, "little") + b"{}"], ids=["empty", "no", "huge"]
)
@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_damaged_weights_are_refused_with_their_file(content, ending, tmp_path):
    path = tmp_path / f"w{ending}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"w\{ending} holds no weights that can be read safely"):
        weights_in(path)
