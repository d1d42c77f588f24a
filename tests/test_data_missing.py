"""Labels that are missing are no class: whatever says so, from every source, in every part."""

import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from vicinal.data import read
from vicinal.data.arrays import from_arrays
from vicinal.data.raw import checked

X = np.random.default_rng(0).normal(size=(60, 3))
TEXTS = np.array(["a", "b"] * 30, dtype=object)
IDS = np.arange(60) % 3
ROWS = [6, 20, 33]  # where labels are taken away


def without(y, value):
    y = np.array(y, dtype=object)
    for row in ROWS:
        y[row] = value
    return y


def refused(told=""):
    return pytest.raises(
        ValueError, match=rf"{told}.* in 3 of 60 rows, the first at row 6, counted"
    )


NOTHING = (None, np.nan, np.inf, pd.NA, pd.NaT, np.float32("nan"), np.int64(-(2**63)))
SPELT = ("", " ", "NA", "N/A", "NaN", "nan", "None", "<NA>", "NULL", "?")


@pytest.mark.parametrize("y", [TEXTS, IDS], ids=["texts", "ids"])
@pytest.mark.parametrize(
    "value",
    NOTHING + SPELT,
    ids=repr,
)
def test_what_says_that_there_is_none(y, value):
    if y is TEXTS and isinstance(value, np.int64):
        return  # a number beside texts is a text
    with refused():
        checked("data", X, without(y, value))


@pytest.mark.parametrize("task", [None, "classification"])
@pytest.mark.parametrize("value", [-1, -100, -9, -999])
def test_marks_of_libraries_beside_ids(value, task):
    with refused(f"data: the label {value} beside 0 is how libraries mark a missing label"):
        checked("data", X, without(IDS, value), task=task)
    with refused(f"label {value} beside 0"):
        checked("data", X, without(IDS, value).astype(float), task="classification")
    with refused(f"label {value} beside a"):
        checked("data", X, without(TEXTS, str(value)))
    raw = checked("data", X, without(IDS, value).astype(int), task="regression")
    assert raw.y.min() == value


@pytest.mark.parametrize(
    "kinds", [(-1, 1), (-2, -1, 0, 1, 2), (-5, 3), ("none", "some"), ("NaNo", "b")], ids=str
)
def test_classes_that_only_look_alike(kinds):
    y = np.array(kinds)[np.arange(60) % len(kinds)]
    assert checked("data", X, y).labels == tuple(map(str, sorted(kinds)))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint64])
def test_the_mark_without_a_sign(kind):
    """What -1 becomes in whole numbers without a sign; 255 classes and more are classes."""
    with np.errstate(all="ignore"):
        marked = without(IDS, -1).astype(np.int64).astype(kind)
    with refused(f"the label {np.iinfo(kind).max} beside 0"):
        checked("data", X, marked)
    assert checked("data", X, np.where(IDS > 0, 255, 0).astype(np.uint8)).labels == ("0", "255")
    every = np.repeat(np.arange(256, dtype=np.uint8), 4)
    assert len(checked("data", np.arange(1024.0)[:, None], every).labels) == 256


def test_labels_and_values_of_several_columns():
    labels = (X > 0).astype(float)
    for value in (np.nan, np.inf):
        with refused("needs a finite target"):
            checked("data", X, np.where(np.isin(np.arange(60), ROWS)[:, None], value, labels))
    with pytest.raises(ValueError, match="if -1 marks a missing label"):
        checked("data", X, np.where(np.isin(np.arange(60), ROWS)[:, None], -1.0, labels))


def test_whole_numbers_in_an_array_of_objects_are_in_their_order():
    y = np.array([int(k) for k in np.arange(60) % 12], dtype=object)
    assert checked("data", X, y).labels == tuple(map(str, range(12)))


@pytest.mark.parametrize(
    "y", [IDS + 1j, np.full(60, "2020-01-01", "M8[D]")], ids=["complex", "days"]
)
def test_targets_of_other_kinds(y):
    with pytest.raises(ValueError, match="data: targets must be numbers or texts"):
        checked("data", X, y)


def test_inputs_that_pandas_says_are_missing():
    table = pd.DataFrame(X).astype("Float64")
    table.iloc[6, 1] = pd.NA
    with pytest.raises(ValueError, match="data: inputs must be finite, .* in 1 of 60 rows.* row 6"):
        from_arrays("data", np.asarray(table), IDS)


def test_bytes_are_texts():
    assert checked("data", X, TEXTS.astype("S")).labels == ("a", "b")


def saved(place, name, y):
    """The same table in a file of each kind."""
    table = pd.DataFrame(X, columns=["u", "v", "w"]).assign(y=y)
    if name.endswith("csv"):
        table.to_csv(place / name, index=False)
    else:
        table.to_parquet(place / name, index=False)
    return str(place / name)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    "series",
    [
        pd.Series(without(TEXTS, None)),
        pd.Series(without(TEXTS, None)).astype("category"),
        pd.Series(without(IDS, pd.NA)).astype("Int64"),
        pd.Series(without(IDS == 1, pd.NA)).astype("boolean"),
        pd.Series(without(TEXTS, None)).astype("string"),
        pd.Series(without(TEXTS, "NA")),
        pd.Series(without(IDS, -1)).astype(int),
        pd.Series(without(IDS, np.nan)).astype(float),
    ],
    ids=lambda series: str(series.dtype),
)
def test_files(tmp_path, series, ending):
    pytest.importorskip("pyarrow")
    with refused(f"t.{ending}"):
        read(saved(tmp_path, f"t.{ending}", series))


CODE = """
    import numpy as np, pandas as pd, torch
    x = np.random.default_rng(0).normal(size=(60, 3))
    rows = [6, 20, 33]
    texts, ids = np.array(["a", "b"] * 30, dtype=object), np.arange(60) % 3
    def put(y, value):
        y = np.array(y, dtype=object)
        y[rows] = value
        return y
    none = (x, put(texts, None))
    nan = (x, pd.Series(put(texts, np.nan)))
    categories = (x, pd.Series(put(texts, None)).astype("category"))
    nullable = (x, pd.Series(put(ids, pd.NA)).astype("Int64"))
    codes = (x, pd.Series(put(texts, None)).astype("category").cat.codes)
    masked = (x, np.ma.masked_array(ids, np.isin(np.arange(60), rows)))
    ignored = torch.utils.data.TensorDataset(
        torch.tensor(x), torch.tensor(put(ids, -100).astype(int)))
    examples = [(a, b) for a, b in zip(x, put(texts, None))]
    tested = (x, texts, x + 1, put(texts, None))
    validated = {"x": x, "y": ids, "x_val": x + 1, "y_val": put(ids, -1).astype(int)}
    hidden = (x, texts, x + 1, np.full(60, -1))
"""


@pytest.fixture
def someones(tmp_path, monkeypatch):
    (tmp_path / "someones_labels.py").write_text(textwrap.dedent(CODE))
    monkeypatch.chdir(tmp_path)
    yield "someones_labels"
    sys.modules.pop("someones_labels", None)
    read.cache_clear()


def test_objects(someones):
    for name in ("none", "nan", "categories", "nullable", "codes", "masked", "ignored", "examples"):
        with refused(f"{someones}:{name}"):
            read(f"{someones}:{name}")
    with refused("tested, the test part: every example needs"):
        read(f"{someones}:tested")
    with pytest.raises(ValueError, match="is how libraries mark a missing label"):
        read(f"{someones}:validated")
    with pytest.raises(ValueError, match="targets of all parts must be of one kind"):
        read(f"{someones}:hidden")


@pytest.mark.parametrize("ids", [[0, 1, None], [0, 1, -1]])
def test_sets_of_hugging_face(tmp_path, ids):
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["neg", "pos"])
    features = {"a": datasets.Value("float64"), "label": names}

    def part(ids, kind=names):
        columns = {"a": X[: len(ids), 0], "label": ids}
        return datasets.Dataset.from_dict(
            columns, features=datasets.Features(features | {"label": kind})
        )

    datasets.DatasetDict(train=part([0, 1] * 30), test=part(ids * 8)).save_to_disk(tmp_path / "set")
    with pytest.raises(ValueError, match=r"the test part: .* 8 of 24 rows, the first at row 2"):
        read(f"hf:{tmp_path / 'set'}")
    several = [[0], [1], [0, 1], [], ids[1:]] * 4
    part(several, datasets.Sequence(names)).save_to_disk(tmp_path / "lists")
    with pytest.raises(ValueError, match="missing, .* in 4 of 20 rows, the first at row 4"):
        read(f"hf:{tmp_path / 'lists'}")
