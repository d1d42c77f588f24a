"""Options: one declaration each, refused alike wherever they come from, and the Python door."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import vicinal as vc
from vicinal import cli
from vicinal.cli.app import COMMANDS
from vicinal.cli.config import options_of
from vicinal.machine.identity import identity
from vicinal.machine.typed import Wrong, WrongType, build, changed, flat, flat_hints
from vicinal.study.command import code, typed
from vicinal.study.options import Recipe, Search, Study
from vicinal.study.subject import Auditing, Explaining

ROOT = Path(vc.__file__).parent


def refused(capsys, *tokens):
    with pytest.raises(SystemExit) as caught:
        cli.app.meta([str(token) for token in tokens])
    assert caught.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def test_an_option_is_declared_in_one_place():
    """A field of a class of options; elsewhere it is only read."""
    seen = []
    for room in ("study", "cli", "report", "models"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                named = getattr(node, "target", None) if isinstance(node, ast.AnnAssign) else node
                if isinstance(named, ast.Name) and isinstance(node, ast.AnnAssign):
                    seen += [path.name] if named.id == "learning_rate" else []
    assert seen == ["options.py"]


@pytest.mark.parametrize("kind", [Study, Search, Explaining, Auditing])
def test_every_option_has_help(kind):
    source = inspect.getsource(sys.modules[kind.__module__])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            body = [n for n in node.body if not isinstance(n, ast.FunctionDef)]
            for field, after in zip(body, [*body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign) and field.target.id not in GROUPS:
                    assert isinstance(after, ast.Expr), f"{node.name}.{field.target.id}"


GROUPS = {"source", "training", "recipe", "measuring", "computing", "output", "subject"}


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number, got 1.5."),
        ({"epochs": True}, TypeError, "epochs must be a whole number, got True."),
        ({"epochs": "3"}, TypeError, "epochs must be a whole number, got '3'."),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0."),
        ({"seeds": 10**26}, ValueError, "seeds must be at most 100000, got 1000000000"),
        ({"seeds": 10**400}, ValueError, "seeds must be at most 100000, got a huge number."),
        ({"batch_size": 63.9}, TypeError, "batch_size must be a whole number, got 63.9."),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be positive, got nan."),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate must be finite, got inf."),
        ({"weight_decay": -1.0}, ValueError, "weight_decay must be 0 or more, got -1.0."),
        ({"methods": "erm"}, TypeError, "methods must be a list, got 'erm'."),
        ({"out": 3}, TypeError, "out must be a path, got 3."),
        ({"data": 5}, TypeError, "data must be a text that is not empty, got 5."),
        ({"data": ""}, TypeError, "data must be a text that is not empty, got ''."),
        ({"task": "regresion"}, ValueError, "got 'regresion'. Did you mean regression?"),
        ({"epoch": 3}, TypeError, "unknown option 'epoch'. Did you mean epochs?"),
        ({"recipe": 3}, TypeError, "recipe must be a Recipe, got 3."),
        ({"recipe": Recipe(epochs=2), "epochs": 3}, ValueError, "recipe holds epochs already"),
        ({"processes": 2, "jobs": 2}, ValueError, "processes share every batch; jobs and exec"),
    ],
)
def test_what_an_option_does_not_take(values, kind, message, unchecked):
    with pytest.raises(kind) as caught:
        build(Study, values)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(Wrong) as caught:
        build(Study, {"epochs": 0, "learning_rate": -1, "sedes": 3})
    for part in ("epochs must be", "learning_rate must be", "'sedes'. Did you mean seeds?"):
        assert part in str(caught.value)
    assert not isinstance(caught.value, WrongType)


def test_values_take_the_types_of_their_fields():
    study = build(Study, {"learning_rate": 1, "epochs": np.int64(3), "methods": ["erm"]})
    recipe = study.training.recipe
    assert (repr(recipe.learning_rate), repr(recipe.epochs)) == ("1.0", "3")
    assert study.methods == ("erm",)
    assert changed(study) == {"methods": ("erm",), "epochs": 3, "learning_rate": 1.0}
    assert build(Study, flat(study)) == study


def test_the_commands_take_the_fields_of_their_options():
    for name, kind in (("compare", Study), ("tune", Search), ("audit", Auditing)):
        assert options_of(COMMANDS[name]).keys() == dict(flat_hints(kind)).keys()


FILE = """
sedes = 3
epochs = 1.5
learning_rate = 0
trials = 2
methods = "erm"
"""


def test_a_file_is_refused_whole_with_file_and_key(capsys, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(FILE)
    told = refused(capsys, "compare", "--config", path)
    assert f"{path}: unknown option 'sedes'. Did you mean seeds?" in told
    assert f"{path}: epochs must be a whole number, got 1.5." in told
    assert f"{path}: learning_rate must be positive, got 0.0." in told
    assert f"{path}: trials is an option of tune, and not of compare." in told
    assert f"{path}: methods must be a list, got 'erm'." in told


def test_a_file_is_read_for_the_command_that_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "study.toml"
    path.write_text('data = "iris"\ntrials = 0\ntogether = 1\n')
    assert f"{path}: trials must be at least 1, got 0." in refused(capsys, "tune", "--config", path)
    path.write_text('model = "none:at_all"\npairs = 5\n')
    assert "none" in refused(capsys, "explain", "--config", path)
    path.write_text('together = "many"\n')
    told = refused(capsys, "compare", "--config", path)
    assert told == f"Error: {path}: together must be a whole number, got 'many'."


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("compare", "--epochs", "1.5"), 'unable to convert "1.5" into int'),
        (("compare", "--epochs", "1_0"), 'unable to convert "1_0" into int'),
        (("compare", "--epochs", "0"), "epochs must be at least 1, got 0."),
        (("compare", "--jobs", "2", "--processes", "2"), "processes share every batch; jobs"),
        (("compare", "--baseline", "cutmix"), "the baseline 'cutmix' is not among the methods"),
        (("audit", "m:m", "--norms", "l2", "l2"), "norms must name each norm once"),
        (("explain", "m:m", "--task", "regression", "--family", "bernoulli"), "leave out --fam"),
    ],
)
def test_the_command_line_is_refused_alike(tokens, message, capsys, tmp_path):
    told = refused(capsys, *tokens, "--out", tmp_path / "new")
    assert message in told
    assert not (tmp_path / "new").exists()


def test_the_way_to_do_it_again_says_what_is_not_as_usual():
    study = build(Study, {"data": "my data.csv", "methods": ("erm", "mixup(alpha=1)"), "epochs": 3})
    assert typed("compare", study) == (
        "vicinal compare 'my data.csv' --methods erm 'mixup(alpha=1)' --epochs 3"
    )
    assert code("compare", study, ["methods"]) == (
        "import vicinal as vc\n\nvc.compare('my data.csv', methods=methods, epochs=3)"
        "  # methods: the objects that were given"
    )
    words = typed("compare", study).replace("'", "").split()
    assert words[:2] == ["vicinal", "compare"]


SMALL = {"seeds": 2, "epochs": 2, "model": "linear"}


def test_python_gives_the_numbers_of_the_command_line(tmp_path, capsys):
    options = ["--seeds", "2", "--epochs", "2", "--model", "linear"]
    with pytest.raises(SystemExit):
        cli.app.meta(["compare", "iris", *options, "--out", str(tmp_path / "a")])
    result = vc.compare("iris", out=tmp_path / "b", **SMALL)
    first, second = (
        {path.name for path in (tmp_path / f / "runs").glob("*.json")} for f in ("a", "b")
    )
    assert first == second
    assert len(result.records) == 6
    assert "mixup" in repr(result)
    assert "<pre" in result._repr_html_()
    result.save(tmp_path / "new" / "page.html")
    page = (tmp_path / "new" / "page.html").read_text()
    assert "vc.compare(&#39;iris&#39;" in page


def test_a_page_rendered_again_says_how_to_reproduce_it(tmp_path, capsys):
    vc.compare("iris", out=tmp_path, methods=["erm"], **SMALL)
    with pytest.raises(SystemExit):
        cli.app.meta(["report", str(tmp_path / "runs")])
    page = (tmp_path / "report.html").read_text()
    assert "vc.compare(&#39;iris&#39;, methods=(&#39;erm&#39;,)" in page


def factory(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), outputs))


class Rows(torch.utils.data.Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, k):
        return self.x[k], self.y[k]


def test_objects_give_the_numbers_of_files_and_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), np.arange(60) % 3
    np.savez("set.npz", x=x, y=y)
    options = {"seeds": 1, "epochs": 2, "out": tmp_path}
    named = vc.compare("set.npz", methods=["mixup(alpha=1)"], model="linear", **options)
    numbers = named.records[0].measured
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    for data in ((x, y), tensors, {"x": x, "y": y}, Rows(*tensors)):
        for methods in ([vc.Mixup(1.0)], {"mixup(alpha=1)": vc.Mixup(1.0)}):
            found = vc.compare(data, methods=methods, model="linear", **options)
            assert found.records[0].measured == numbers
            assert found.records[0].method == "mixup(alpha=1)"


def test_objects_of_one_name_are_not_mixed_up(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    options = {"seeds": 1, "epochs": 1, "out": tmp_path}
    names = set()
    for strategy in (vc.Mixup(0.2), vc.Mixup(0.3), None):
        result = vc.compare((x, y), methods={"mine": strategy}, model="linear", **options)
        names.add(result.records[0].name)
    assert len(names) == 3
    wide = lambda shape, outputs: nn.Sequential(nn.Linear(3, 8), nn.Linear(8, outputs))
    models = (factory, wide, nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 2)))
    for model in models:
        result = vc.compare((x, y), methods=["erm"], model=model, **options)
        names.add(result.records[0].name)
    assert len(names) == 3 + len(models)
    other = vc.compare((x + 1, y), methods=["erm"], model=factory, **options)
    assert other.records[0].name not in names
    again = vc.compare((x, y), methods=["erm"], model=factory, **options)
    assert again.records[0].name in names


def test_what_tells_objects_apart_is_the_same_again():
    def made(width):
        return lambda shape, outputs: nn.Linear(width, outputs)

    assert identity(made(3)) == identity(made(3))
    assert identity(made(3)) != identity(made(4))
    assert identity(vc.Mixup(0.2)) == identity(vc.Mixup(0.2))
    assert identity(vc.Mixup(0.2)) != identity(vc.Mixup(0.3))
    assert identity(0.3333333) != identity(0.333333)
    assert identity(lambda: "a") != identity(lambda: "b")


def test_what_tells_objects_apart_is_the_same_in_another_process():
    """Constants that are sets have another order in every process."""
    code = (
        "from vicinal.machine.identity import identity\n"
        "print(identity(lambda x: x in {'relu', 'gelu', 'silu', 'tanh', 'elu'}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vc.compare("iriss"), "unknown data set 'iriss'. Did you mean iris?"),
        (lambda: vc.compare("iris", epoch=3), "unknown option 'epoch'. Did you mean epochs?"),
        (lambda: vc.compare("iris", methods="erm"), "methods must be a list of names and"),
        (lambda: vc.compare("iris", methods=[3]), "a method must be a name, a strategy or None"),
        (lambda: vc.compare("iris", methods=["mixpu"]), "Did you mean mixup?"),
        (lambda: vc.compare("iris", model=3), "model must be a name, a torch module or a"),
        (lambda: vc.compare(3), "int"),
        (lambda: vc.tune("iris", trials=0), "trials must be at least 1"),
    ],
)
def test_python_is_refused_without_an_exit(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=message.split("'")[0]) as caught:
        call()
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_help_and_completion_show_the_options():
    shown = inspect.signature(vc.compare).parameters
    assert {"seeds", "epochs", "learning_rate", "device", "out"} <= shown.keys()
    assert shown["epochs"].default == 30
    assert "learning_rate" not in inspect.signature(vc.results).parameters
