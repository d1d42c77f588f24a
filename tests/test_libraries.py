"""Models of libraries by name: their outputs, channels, sizes, new weights, and refusals."""

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import studies
from vicinal.data import load
from vicinal.mixing.mixup import Mixup
from vicinal.models.libraries import library_model
from vicinal.models.named import build_model
from vicinal.models.reference import Standardise


@pytest.fixture
def small(tmp_path):
    """A folder with the configuration of a small transformer, as `save_pretrained` writes it."""
    pytest.importorskip("transformers")
    config = {
        "model_type": "vit",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "patch_size": 4,
    }
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text(json.dumps(config))
    return f"hf:{tmp_path / 'vit'}"


def test_a_folder_of_hugging_face_gives_a_model_with_new_weights(small):
    split = load("digits", 0)
    before = torch.random.get_rng_state()
    one, again, other = (build_model(small, split, seed).eval() for seed in (0, 0, 1))
    assert torch.random.get_rng_state().equal(before)
    x = split.test.x[:3]
    assert one(x).logits.shape == (3, 10)
    assert one(x).logits.equal(again(x).logits)
    assert not one(x).logits.equal(other(x).logits)
    assert isinstance(one[0], Standardise)  # normalisation belongs to the model
    torch.testing.assert_close(one(x).logits, one[1]((x - split.mean) / split.std).logits)


def test_a_study_with_a_model_of_hugging_face(small, tmp_path):
    x, y = load_digits(return_X_y=True)
    np.savez(tmp_path / "some.npz", x=x[:120].reshape(-1, 1, 8, 8) / 16, y=y[:120])
    plan = studies.planned(
        {"mixup": Mixup()}, tmp_path / "runs",
        data=str(tmp_path / "some.npz"), model=small,
        seeds=1, epochs=1, train_size=50, batch_size=25, learning_rate=0.01, weight_decay=0.0,
    )  # fmt: skip
    records = studies.execute(plan, advance=lambda units: None, say=lambda sentence: None)
    assert [record["status"] for record in records] == ["done"]
    assert all(record["history"][0]["objective"] < 3 for record in records)
    curve = next(c for c in records[0]["measured"]["robustness"] if c["attack"] == "pgd")
    assert curve["points"][0]["accuracy"] >= curve["points"][-1]["accuracy"]


def test_a_kind_of_hugging_face_by_its_name():
    pytest.importorskip("transformers")
    model = library_model("hf", "mobilenet_v2", (2, 16, 16), 5).eval()
    assert model(torch.rand(2, 2, 16, 16)).logits.shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("resnett", "for 3 outputs and images of 1 × 8 × 8: .* of this name. Near: resnet"),
        ("vit", "patches of 16×16 do not divide 8×8"),
    ],
)
def test_refusals_of_hugging_face(name, rule):
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=rule):
        library_model("hf", name, (1, 8, 8), 3)


def test_tables_and_missing_libraries():
    with pytest.raises(ValueError, match="hf:vit needs images, these data are a table"):
        build_model("hf:vit", load("wine", 0), 0)


@pytest.mark.parametrize(("source", "extra"), [("timm", "timm"), ("torchvision", "vision")])
def test_what_is_missing_is_named_with_its_extra(source, extra, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, source, None)  # as if it were not installed
    with pytest.raises(ValueError, match=rf'{source}:resnet18 needs .* "vicinal\[{extra}\]"'):
        library_model(source, "resnet18", (3, 8, 8), 3)


@pytest.mark.parametrize(
    ("source", "name", "shape"),
    [
        ("timm", "resnet10t", (1, 28, 28)),
        ("timm", "vit_tiny_patch16_224", (3, 32, 48)),
        ("timm", "mobilenetv3_small_050", (4, 16, 16)),
        ("torchvision", "resnet18", (1, 28, 28)),
        ("torchvision", "shufflenet_v2_x0_5", (3, 32, 32)),
        ("torchvision", "vit_b_16", (3, 32, 32)),
        ("torchvision", "googlenet", (3, 32, 32)),
    ],
)
def test_models_of_timm_and_torchvision(source, name, shape):
    pytest.importorskip(source)
    model = library_model(source, name, shape, 5)
    x = torch.rand(2, *shape)
    for training in (False, True):
        assert model.train(training)(x).shape == (2, 5)


@pytest.mark.parametrize(
    ("source", "name", "shape", "rule"),
    [
        ("timm", "resnet10tt", (3, 32, 32), "no model of this name. Near: .*resnet10t"),
        ("torchvision", "resnet81", (3, 32, 32), "no model of this name. Near: .*resnet18"),
        ("torchvision", "fcn_resnet50", (3, 32, 32), "no model of this name"),
        ("torchvision", "resnet18", (2, 32, 32), "take 1 channel or 3"),
        ("torchvision", "vit_b_16", (3, 32, 48), "must be square"),
    ],
)
def test_refusals_of_timm_and_torchvision(source, name, shape, rule):
    pytest.importorskip(source)
    with pytest.raises(ValueError, match=rule):
        library_model(source, name, shape, 3)
