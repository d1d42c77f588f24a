"""Bad input through the command line: refused before any training, clearly, exit status 2."""

import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from vicinal import cli
from vicinal.data import read

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = np.arange(40) % 2
CODE = """
    import numpy as np, torch
    from torch import nn
    def fails(shape, outputs):
        def deep():
            raise RuntimeError("no GPU")
        return deep()
    def wrong(shape, outputs): return nn.Linear(shape[0], outputs + 2)
    def text(shape, outputs): return "model"
    def four(a, b, c, d): return nn.Linear(3, 2)
    number = 3
    texts = (np.array([["a", "b"]] * 20), np.arange(20) % 2)
    def no_disk(): raise OSError("no disk")
    def undefined(shape, outputs):
        model = nn.Linear(shape[0], outputs)
        nn.init.constant_(model.weight, float("nan"))
        return model
    class Cut(nn.Module):
        def __init__(self, shape, outputs):
            super().__init__()
            self.layer = nn.Linear(shape[0], outputs)
        def forward(self, x): return self.layer(x).detach()
    class Fixed(nn.Module):
        def __init__(self, shape, outputs): super().__init__()
        def forward(self, x): return x[:, :2]
    class Pair(Fixed):
        def forward(self, x): return x[:, :2], x
"""


def table(name, header, columns):
    rows = [header, *zip(*columns, strict=True)]
    (name).write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Someone's folder, with much that is wrong in it."""
    path = tmp_path_factory.mktemp("theirs")
    a, b, c = X.T
    table(path / "good.csv", "abcy", (a, b, c, Y))
    table(path / "nan.csv", "aby", (a, ["" if k == 7 else v for k, v in enumerate(b)], Y))
    table(path / "texts.csv", ["size", "colour", "y"], (a, ["red", "blue"] * 20, Y))
    table(path / "one.csv", "aby", (a, b, [1] * 40))
    table(path / "twice.csv", "aby", (a, a, Y))
    table(path / "undefined.csv", "aby", (a, b, ["" if k == 3 else k / 2 for k in range(40)]))
    table(path / "odd.csv", "aby", (a, ["?" if k in (4, 9) else v for k, v in enumerate(b)], Y))
    table(path / "rows.csv", ["", "a", "y"], (range(40), a, Y))
    table(path / "semicolons.csv", ["a;b;y"], ([f"{u};{v};1" for u, v in X[:, :2]],))
    kinds = ["red", "blue"] * 20
    table(path / "names.csv", "aby", (a, b, [*kinds[:5], "", *kinds[6:]]))
    table(path / "rare.csv", "aby", (a, b, [*kinds[:5], "gold", *kinds[6:]]))
    table(path / "four.csv", "aby", (a[:4], b[:4], b[4:8]))
    (path / "empty").mkdir()
    for label in "ab":
        (path / "sizes" / label).mkdir(parents=True)
        for k in range(5):
            size = (8, 9 if label == "b" and k == 4 else 8)
            Image.fromarray(np.zeros(size, np.uint8)).save(path / "sizes" / label / f"{k}.png")
    np.savez(path / "texts.npz", x=X.astype(str), y=Y)
    np.savez(path / "grey.npz", x=255.0 * RNG.random((20, 1, 8, 8)), y=Y[:20])
    (path / "theirs.py").write_text(textwrap.dedent(CODE))
    (path / "x.py").write_text("def x(:\n")
    return path


@pytest.fixture
def refused(folder, monkeypatch, capsys):
    """What is said of options; nothing must have been written, and the status must be 2."""
    monkeypatch.chdir(folder)

    def ask(*options):
        with pytest.raises(SystemExit) as caught:
            cli.app.meta(["compare", *options, "--seeds", "1", "--epochs", "1", "--out", "new"])
        assert caught.value.code == 2
        assert not (folder / "new").exists()
        out, err = capsys.readouterr()
        assert out == ""
        return " ".join(err.split())

    yield ask
    for name in ("theirs", "x"):
        sys.modules.pop(name, None)
    read.cache_clear()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            "nan.csv",
            "inputs must be finite, got NaN or infinity in 1 of 40 rows, the first at row 7, "
            "counted from 0, of b. Fill in or leave out what is missing.",
        ),
        (
            "texts.csv",
            "the column colour holds texts, 40 of 40 entries, such as red. Encode it as numbers",
        ),
        ("odd.csv", "the column b holds texts, 2 of 40 entries, such as ?. Encode it as numbers"),
        ("rows.csv", "column 1 has no name. Where it counts the rows (as pandas writes them"),
        ("semicolons.csv", "got one column, 'a;b;y'. Columns are separated by commas."),
        ("names.csv", "none, NaN or infinity in 1 of 40 rows, the first at row 5, counted from 0"),
        ("rare.csv", "Fewer have: gold (1). Leave them out, or put them together."),
        ("four.csv", "four.csv has 4 examples; 5 are needed, to have some in each part."),
        ("one.csv", "one.csv has one class only, 1: there is nothing to learn."),
        ("twice.csv", "the columns a and b are equal. Leave one of them out"),
        ("undefined.csv", "every example needs a finite target, got none, NaN or infinity in 1 of"),
        ("empty", "empty holds no images: it needs one folder for each class"),
        ("sizes", "all images must have one size and kind. 0.png has 8×8 in 1 channels, 4.png 8×9"),
        ("texts.npz", "texts.npz: inputs must be numbers, got <U32. Encode texts beforehand."),
        ("grey.npz", "images must lie in (0.0, 1.0), got"),
        ("none.csv", "there is no file none.csv."),
        ("iriss", "unknown data set 'iriss'. Did you mean iris?"),
        ("theirs:texts", "inputs must be numbers"),
        ("theirs:no_disk", "theirs:no_disk() failed: OSError: no disk"),
        ("theirs:number", "must be (x, y), (x, y, x_test, y_test), a mapping with these keys"),
        ("x:x", "cannot import x:x: SyntaxError: invalid syntax (x.py, line 1)"),
    ],
)
def test_data(refused, data, told):
    said = refused(data)
    assert said.startswith("Error: ")
    assert told in said


def test_texts_are_not_said_to_be_values(refused):
    assert "regression" not in refused("rare.csv")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("theirs:fails", "theirs:fails failed in theirs.py, line 6: RuntimeError: no GPU"),
        ("theirs:wrong", "outputs of shape (n, 2) for 2 classes, got (2, 4) for a batch of 2"),
        ("theirs:text", "theirs:text must return a torch module, got str."),
        ("theirs:number", "theirs:number must be a function or class, got int."),
        ("theirs:four", "must take the shape of an example and the number of outputs, or nothing"),
        ("theirs:nothing", "cannot import theirs:nothing: AttributeError"),
        ("theirs:undefined", "gives NaN or infinity for the first examples, before any training"),
        ("theirs:Cut", "the outputs of the model theirs:Cut have no gradient: somewhere it cuts"),
        ("theirs:Fixed", "the model theirs:Fixed has no parameters to train."),
        ("theirs:Pair", "must return a tensor of logits, got tuple. Say which part holds them"),
        ("mlpp", "unknown model 'mlpp'. Did you mean mlp?"),
        ("cnn", "cnn needs images, these data are a table. Pass mlp."),
        ("hf:vit", "hf:vit needs images, these data are a table."),
    ],
)
def test_models(refused, model, told):
    assert told in refused("good.csv", "--model", model)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--target", "yy"], "good.csv has no column 'yy'. Did you mean y? Columns: a, b, c, y."),
        (["--task", "multilabel"], "must have shape (n, labels) and be 0 or 1"),
        (
            ["--processes", "30", "--batch-size", "16"],
            "a batch of 16 examples cannot be cut into 30 parts",
        ),
        (["--parts", "25"], "a batch of 19 examples cannot be cut into 25 parts for 1 process"),
        (["--train-size", "1"], "train_size=1 is not in 2..19"),
        (["--methods", "mixup", "mixup( alpha=0.2 )"], "mixup(alpha=0.2) is named twice"),
        (["--methods", "mixxup"], "unknown method 'mixxup'. Did you mean mixup?"),
        (["--methods", "cutmix"], "cutmix(alpha=1) cannot train on good.csv: CutMix takes signals"),
        (
            ["--methods", "erm", "mixup(alpha=-1)"],
            "mixup(alpha=-1): alpha must be positive, got -1",
        ),
        (["--batch-size", "1"], "parts of one example (a batch of 1 in 1) have nobody to be mixed"),
        (["--batch-size", "8", "--parts", "5"], "parts of one example (a batch of 8 in 5) have"),
        (["--methods"], "methods"),
    ],
)
def test_options(refused, options, told):
    assert told in refused("good.csv", *options)


def test_a_method_that_fails_in_training_is_refused_beforehand(refused, folder):
    """Label smoothing can draw for anything; that it needs classes shows in its loss only."""
    np.savez(folder / "values.npz", x=X, y=X @ RNG.normal(size=3))
    said = refused("values.npz", "--methods", "label_smoothing")
    assert "label_smoothing(smoothing=0.1) cannot train on values.npz: label smoothing" in said
