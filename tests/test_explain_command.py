"""`vicinal explain` from end to end, in this process."""

import json
import sys
import xml.etree.ElementTree as ElementTree
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vicinal.cli import app
from vicinal.data import load
from vicinal.models.named import load_model
from vicinal.models.reference import MODELS, Standardise

pillow = pytest.importorskip("PIL.Image")
FAST = ["--alphas", "0.2", "1.0", "--pairs", "400", "--shown", "2"]


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        app.meta(arguments, exit_on_error=False)
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
    assert "default-src 'none'" in unescape(page)
    ElementTree.fromstring((out / "explanation.svg").read_text())
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
        "def wants(shape, outputs):\n    return net\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    for name in ("their_model:net", "their_model:build"):
        assert run("explain", name, "--data", "iris", *FAST, "--exact") in (0, None)
    record = json.loads((tmp_path / "explanation" / "explanation.json").read_text())
    assert "affine" in record["method"]
    assert run("explain", "their_model:number", "--data", "iris") == 2
    assert "must be a torch module or return one, got int" in capsys.readouterr().err
    assert run("explain", "their_model:wants", "--data", "iris") == 2
    told = "must be a trained model, or return one when called without arguments: wants() missing"
    assert told in capsys.readouterr().err
    sys.modules.pop("their_model")


THEIRS = """
import numpy as np
import torch
from torch import nn

class Line(nn.Module):
    def __init__(self, *slopes):
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor(slopes, dtype=torch.float64))
    def forward(self, x):
        return x @ self.slopes

price, ill, rate = Line(0.5, 0.001), Line(1.0, -0.002), Line(0.5, 0.0)
shades = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
pair = lambda x: (x, x)
class Pair(nn.Module):
    def forward(self, x):
        return x, x
tied = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False))
narrow, wide, many = nn.Linear(7, 2), nn.Linear(2, 3), nn.Linear(2, 1)
soft = nn.Sequential(nn.Linear(2, 2), nn.Softmax(1))
broken = nn.Linear(2, 2)
nn.init.constant_(broken.weight, float("nan"))
rng = np.random.default_rng(0)
own = rng.normal(size=(40, 2)).astype(np.float32), np.arange(40) % 2
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Someone's folder: their code, a table of values, one of two classes, folders of images."""
    (tmp_path / "theirs.py").write_text(THEIRS)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)) * [1, 100] + [0, 1000]
    y = x @ [0.5, 0.001] + 0.1 * rng.normal(size=60)
    lines = [f"{a!r},{b!r},{c!r}" for (a, b), c in zip(x.tolist(), y.tolist(), strict=True)]
    (tmp_path / "values.csv").write_text("\n".join(["age,income,price", *lines]))
    lines = [f"{a!r},{b!r},{'yes' if a > 0 else 'no'}" for a, b in x.tolist()]
    (tmp_path / "ill.csv").write_text("\n".join(["age,income,ill", *lines]))
    counts = rng.poisson(np.exp(0.5 * x[:, 0])).tolist()
    lines = [f"{a!r},{b!r},{c}" for (a, b), c in zip(x.tolist(), counts, strict=True)]
    (tmp_path / "counts.csv").write_text("\n".join(["age,income,accidents", *lines]))
    for k in range(24):
        kind = tmp_path / "shades" / ("dark" if k % 2 else "light")
        kind.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (6, 5, 3), dtype=np.uint8) + np.uint8(100 * (1 - k % 2))
        pillow.fromarray(pixels).save(kind / f"{k}.png")
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("theirs", None)
    yield x, y
    sys.modules.pop("theirs", None)


def explained(folder="explanation"):
    return json.loads(Path(folder, "explanation.json").read_text())


def test_explains_a_table_in_its_own_units(theirs):
    """The loss of a line that is known, on rows as they stand in the file."""
    x, y = theirs
    arguments = ["theirs:price", "--data", "values.csv", "--part", "all", "--exact"]
    assert run("explain", *arguments, *FAST) in (0, None)
    record = explained()
    f = x @ [0.5, 0.001]
    plain = record["curve"][0]["expansion"]["loss"]
    assert plain == pytest.approx(np.mean(f**2 / 2 - y * f), rel=1e-5)
    # of a line and the Gaussian loss the expansion is exact: nothing of third order
    for point in record["curve"]:
        assert point["expansion"]["total"] == pytest.approx(point["risk"]["value"], rel=1e-6)
    assert record["family"] == "gaussian"
    assert record["settings"]["inputs"] == "raw"
    page = Path("explanation/explanation.html").read_text()
    most = record["carriers"]["r2"][0]
    assert most["row"] == most["index"] == int(np.argmax(np.square(f - f.mean())))
    assert f"<dt>income</dt><dd>{x[most['row'], 1]:.0f}</dd>" in page
    assert "Largest in R3" not in page  # it is 0 for every example


def test_explains_counts(theirs):
    """Whole numbers are counts for the Poisson family, in its loss e^f - y f."""
    arguments = ["theirs:rate", "--data", "counts.csv", "--family", "poisson", "--part", "all"]
    assert run("explain", *arguments, "--exact", *FAST) in (0, None)
    rows = np.loadtxt("counts.csv", delimiter=",", skiprows=1)
    f = 0.5 * rows[:, 0]
    plain = explained()["curve"][0]["expansion"]["loss"]
    assert plain == pytest.approx(np.mean(np.exp(f) - rows[:, 2] * f), rel=1e-5)
    assert explained()["family"] == "poisson"


def test_explains_standardised_columns_if_asked(theirs):
    arguments = ["theirs:price", "--data", "values.csv", "--standardise", "--exact"]
    assert run("explain", *arguments, *FAST) in (0, None)
    split = load("values.csv", 0)
    f = split.train.x.double().numpy() @ [0.5, 0.001]
    plain = explained()["curve"][0]["expansion"]["loss"]
    assert plain == pytest.approx(np.mean(f**2 / 2 - split.train.y.numpy() * f), rel=1e-5)
    assert explained()["settings"]["inputs"] == "standardised"


def test_explains_two_classes_by_one_logit(theirs):
    assert run("explain", "theirs:ill", "--data", "ill.csv", "--part", "test", *FAST) in (0, None)
    record = explained()
    assert record["family"] == "bernoulli"
    rows = {example["row"] for example in record["carriers"]["r2"]}
    assert rows <= set(load("ill.csv", 0).test.rows.tolist())


def test_explains_a_folder_of_images_and_arrays_of_code(theirs):
    assert run("explain", "theirs:shades", "--data", "shades", *FAST) in (0, None)
    page = Path("explanation/explanation.html").read_text()
    assert page.count("data:image/png;base64,") == 4  # R3 is 0 for ReLU
    assert "</b>: dark" in page or "</b>: light" in page
    assert run("explain", "theirs:wide", "--data", "theirs:own", *FAST) in (0, None)
    assert explained()["settings"]["data"] == "theirs:own"


def test_what_is_odd_is_pointed_out(theirs, capsys):
    assert run("explain", "theirs:wide", "--data", "ill.csv", *FAST) in (0, None)
    told = " ".join(capsys.readouterr().err.split())
    assert "3 outputs and the data 2 classes" in told
    assert run("explain", "theirs:soft", "--data", "ill.csv", *FAST) in (0, None)
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("they seem to be probabilities") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Pair", "--data", "ill.csv"], "got tuple. Say which part holds them"),
        (["tied", "--data", "ill.csv"], "the output for one example depends on the others"),
        (["narrow", "--data", "ill.csv"], "the model cannot take a batch of shape (2, 2)"),
        (["broken", "--data", "ill.csv"], "outputs are not finite"),
        (["many", "--data", "shades"], "cannot take a batch of shape (2, 3, 6, 5)"),
        (["ill", "--data", "ill.csv", "--family", "gaussian"], "must be numbers to be values"),
        (
            ["rate", "--data", "counts.csv", "--family", "poisson", "--standardise"],
            "counts must be 0 or more for the family poisson",
        ),
        (["rate", "--data", "counts.csv", "--family", "categorical"], "every class needs 4"),
        (
            ["ill", "--data", "values.csv", "--family", "bernoulli"],
            "soft labels must lie in [0, 1]",
        ),
        (["price", "--data", "values.csv", "--alphas", "0"], "alphas must be positive"),
        (["price", "--data", "values.csv", "--alphas", "nan"], "alphas must be positive"),
        (["price", "--data", "values.csv", "--pairs", "1"], "at least 2"),
        (["price", "--data", "values.csv", "--shown", "-1"], "shown must be 0 or more"),
        (["price", "--data", "values.csv", "--target", "prise"], "Did you mean price?"),
        (["price", "--data", "nothing.csv"], "no file nothing.csv"),
    ],
)
def test_bad_input_of_their_own(arguments, message, theirs, capsys):
    assert run("explain", f"theirs:{arguments[0]}", *arguments[1:]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


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
