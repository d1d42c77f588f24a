"""`vicinal explain` from end to end, in this process."""

import json
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vicinal.cli import app
from vicinal.data import load
from vicinal.model_files import load_model
from vicinal.models import MODELS, Standardise

FAST = ["--alphas", "0.2", "1.0", "--pairs", "400", "--shown", "2"]


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        app(arguments, exit_on_error=False)
    return stopped.value.code


@pytest.fixture
def weights(tmp_path):
    split = load("digits", 0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = MODELS["mlp"](tuple(split.train.x.shape[1:]), split.classes)
    model = nn.Sequential(Standardise(split.mean, split.std), body)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    torch.save({"model": model.state_dict()}, tmp_path / "checkpoint.pt")
    return tmp_path, model, split


def test_explains_weights(weights, capsys):
    folder, _, split = weights
    out = folder / "out"
    arguments = [str(folder / "weights.safetensors"), "--architecture", "mlp", "--out", str(out)]
    assert run("explain", *arguments, *FAST) in (0, None)
    record = json.loads((out / "explanation.json").read_text())
    assert record["examples"] == len(split.train)
    assert [point["alpha"] for point in record["curve"]] == [0.2, 1.0]
    assert record["engine"] == "forward propagation"
    page = (out / "explanation.html").read_text()
    assert page.count("data:image/png;base64,") == 6  # two examples for each of three terms
    assert "http-equiv" not in page.lower()
    assert (out / "explanation.svg").read_text().startswith("<svg")
    assert "mixup loss" in capsys.readouterr().out


def test_the_same_weights_from_every_kind_of_file(weights):
    folder, model, split = weights
    for name in ("weights.safetensors", "checkpoint.pt"):
        loaded = load_model(str(folder / name), split, "mlp")
        torch.testing.assert_close(loaded(split.test.x), model(split.test.x))


def test_explains_code(tmp_path, monkeypatch, capsys):
    (tmp_path / "their_model.py").write_text(
        "from torch import nn\n"
        "net = nn.Sequential(nn.Linear(4, 3))\n"
        "def build():\n    return net\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    for name in ("their_model:net", "their_model:build"):
        assert run("explain", name, "--data", "iris", *FAST, "--exact") in (0, None)
    record = json.loads((tmp_path / "explanation" / "explanation.json").read_text())
    assert "affine" in record["method"]
    assert run("explain", "their_model:number", "--data", "iris") == 2
    assert "must be a torch module or return one, got int" in capsys.readouterr().err
    sys.modules.pop("their_model")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_module:net"], "cannot import no_such_module:net"),
        (["net"], "Write module:attribute"),
        (["weights.pt", "--architecture", "mlp"], "no file of weights"),
        (["a:b", "--data", "digit"], "Did you mean digits?"),
        (["a:b", "--architecture", "mpl"], "Did you mean mlp?"),
    ],
)
def test_bad_input(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("explain", *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_weights_that_do_not_fit(weights, capsys):
    folder, *_ = weights
    name = str(folder / "checkpoint.pt")
    assert run("explain", name, "--architecture", "linear") == 2
    assert "do not fit the model linear" in capsys.readouterr().err
    broken = folder / "broken.pt"
    broken.write_bytes(b"nothing")
    assert run("explain", str(broken), "--architecture", "mlp") == 2
    assert "no weights that can be read safely" in capsys.readouterr().err
