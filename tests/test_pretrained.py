"""Runs that start from a file of weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy

import studies
from vicinal.cli import app
from vicinal.data import load
from vicinal.mixing.mixup import Mixup
from vicinal.models.named import build_model
from vicinal.models.reference import mlp
from vicinal.models.weights import fill, starting_model, weights_from

OPTIONS = {
    "data": "iris",
    "model": "mlp",
    "seeds": 2,
    "epochs": 1,
    "train_size": None,
    "batch_size": 25,
    "learning_rate": 1e-9,  # training leaves the weights where they start
    "weight_decay": 0.0,
}


def network(classes=3):
    torch.manual_seed(1)
    return mlp((4,), classes)


@pytest.mark.parametrize("together", [1, 8])
def test_every_run_starts_from_the_weights(tmp_path, together):
    """Against the loss of these weights, by torch alone, on the split of each seed."""
    model = network()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    strategies = {"erm": None, "mixup(alpha=1)": Mixup(1.0)}
    plan = studies.planned(
        strategies, tmp_path / "runs", weights=tmp_path / "w.safetensors", together=together,
        **OPTIONS,
    )  # fmt: skip
    assert any("starts from all weights" in note for note in plan.notes)
    records = studies.execute(plan, advance=lambda units: None, say=lambda sentence: None)
    assert {r["environment"]["trained_together"] for r in records} == {min(together, 4)}
    for record in records:
        split = load("iris", record["configuration"]["seed"])
        inputs = [(part.x - split.mean) / split.std for part in (split.train, split.test)]
        with torch.no_grad():
            train, test = (
                float(cross_entropy(model(x), part.y))
                for x, part in zip(inputs, (split.train, split.test), strict=True)
            )
        assert record["history"][0]["train_loss"] == pytest.approx(train, rel=1e-5)
        assert record["history"][0]["test_loss"] == pytest.approx(test, rel=1e-5)
        initial = record["measured"]["explanation"]["initial"]
        assert initial["loss"] == pytest.approx(train, rel=1e-5)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_last_layer_of_another_size_is_new(tmp_path, name):
    other, split = network(classes=7), load("iris", 0)
    if name == "w.pt":
        torch.save(other.state_dict(), tmp_path / name)
    else:
        save_file(other.state_dict(), tmp_path / name)
    start = weights_from(tmp_path / name)
    told = fill(build_model("mlp", split, 0), start, 3)
    assert "but for 1.5.weight and 1.5.bias, which are new: the file gives 7 outputs" in told
    for seed in (0, 1):
        found = starting_model("mlp", split, seed, start.file, start.digest)[1]
        new = build_model("mlp", split, seed)[1]
        for key, value in found.state_dict().items():
            expected = new if key.startswith("5.") else other
            assert value.equal(expected.state_dict()[key]), key


def test_a_file_without_a_last_layer_and_one_of_a_whole_run(tmp_path):
    split = load("iris", 0)
    torch.save(dict(list(network().state_dict().items())[:-2]), tmp_path / "body.pt")
    told = fill(build_model("mlp", split, 0), weights_from(tmp_path / "body.pt"), 3)
    assert "the file has no such layer" in told
    whole = build_model("mlp", load("iris", 5), 5)
    torch.save(whole.state_dict(), tmp_path / "whole.pt")
    file = weights_from(tmp_path / "whole.pt")
    found = starting_model("mlp", split, 0, file.file, file.digest)
    assert all(v.equal(whole.state_dict()[k]) for k, v in found.state_dict().items())


def state(**changes):
    return network().state_dict() | changes


@pytest.mark.parametrize(
    ("weights", "rule"),
    [
        (nn.Linear(4, 3).state_dict(), r"Missing or of another shape: 1\.1\.weight.*Only its last"),
        (state(extra=torch.ones(2)), r"Unknown: 1\.extra\. Only its last layer may differ"),
        (state(**{"1.weight": torch.ones(64, 9)}), r"another shape: 1\.1\.weight\. Only its last"),
        (state(**{"1.bias": torch.full((64,), torch.nan)}), "not finite: 1.bias holds NaN"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_training(tmp_path, weights, rule):
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=rule):
        studies.planned({"erm": None}, tmp_path / "runs", weights=tmp_path / "w.pt", **OPTIONS)


def test_another_content_of_the_file_is_another_run(tmp_path):
    file, names = tmp_path / "w.pt", []
    for classes in (3, 3, 7):
        torch.save(network(classes).state_dict(), file)
        plan = studies.planned({"erm": None}, tmp_path / "runs", weights=file, **OPTIONS)
        names.append(plan.runs[0].name)
    none = studies.planned({"erm": None}, tmp_path / "runs", **OPTIONS).runs[0].name
    assert len({*names, none}) == 3
    assert names[0] == names[1]
    with pytest.raises(ValueError, match="changed since the study was planned"):
        starting_model("mlp", load("iris", 0), 0, str(file), "of another time")


@pytest.mark.parametrize("command", ["compare", "tune"])
def test_a_missing_file_is_refused(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        app.meta([command, "iris", "--weights", "none.pt"], exit_on_error=False)
    assert stopped.value.code == 2
    assert "there is no file of weights none.pt" in capsys.readouterr().err
