"""Random tables, folders and arrays with faults in them: right values, or a refusal by name."""

import re
import shutil
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vicinal.data import read, split
from vicinal.data.arrays import from_arrays

FEW = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
NOTHING = {"", "NA", "nan", "NaN", "None", "null", "N/A", "<NA>", "?"}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
ODD = [
    *(
        "1_000",
        "007",
        "1,5",
        "1.000,5",
        "1e300",
        "-1e300",
        "1e30",
        "inf",
        "0x1F",
        "true",
        "٣",
        "１",
    ),
    *("--3", "'", "a,b", "-1", "-100", "1e-320", "1" * 25, "-" + "9" * 20, "1 000", " 7 "),
    *NOTHING,
]
CELL = st.one_of(
    st.integers(-99, 99).map(str),
    st.integers(-(10**6), 10**6).map(str),
    st.floats(-99, 99).map(lambda value: f"{value:.3g}"),
    st.sampled_from(ODD),
)
LABELS = st.sampled_from(
    [("cat", "dog"), ("0", "1"), ("0", "1", "2"), ("1_0", "10"), ("007", "7"), ("1", "1" * 30)]
)
MISSING = st.sampled_from([("a", "NA"), ("0", "1", "-1"), ("0", "1", "-100"), ("x", "")])
ALIKE = st.sampled_from([("-1", "1"), ("1.5", "2.5"), ("none", "1")])
NAMES = st.sampled_from([("a", "b", "y"), ("0", "1", "2"), ("a", "b", "1")])
NO_NAMES = st.sampled_from(
    [("5.1", "3", "7"), ("", "b", "y"), ("a", "a", "y"), ("Unnamed: 0", "b", "y")]
)
KINDS = st.sampled_from(
    [np.uint8] * 3 + [np.float32, np.float64] * 2 + [np.int64, bool, complex, object, "U3", "S3"]
)


def refused_or(path, **options):
    """The data, or None where they are refused with a sentence that names their place."""
    read.cache_clear()
    try:
        return read(str(path), **options)
    except ValueError as error:
        said = str(error)
    assert str(path) in said
    assert len(said) > len(str(path)) + 20
    return None


def right_labels(raw, texts):
    """Every label is the text that was written; whole numbers without blanks and signs."""
    found = [raw.labels[k] for k in raw.y]
    plain = [text.strip() for text in texts]
    return found == plain or found == [str(int(text)) for text in plain]


@FEW
@given(st.data(), NAMES | NAMES | NO_NAMES, LABELS | MISSING | ALIKE, st.sampled_from(",,,;"))
def test_tables_of_texts(tmp_path, data, header, labels, separator):
    n = 24
    one = np.arange(n) * 0.37
    cells = [[f"{v:.2f}" for v in one], [f"{v * v:.3f}" for v in one]]
    for column, row in data.draw(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, n - 1)), max_size=2)
    ):
        cells[column][row] = data.draw(CELL)
    texts = [labels[k % len(labels)] for k in range(n)]
    quoted = [[f'"{cell}"' if "," in cell else cell for cell in row] for row in (*cells, texts)]
    rows = [separator.join(row) for row in zip(*quoted, strict=True)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([separator.join(header), *rows]) + "\n", encoding="utf-8")
    raw = refused_or(path)
    if raw is None:
        return
    assert separator == ","
    assert raw.features == header[:2]
    for k, column in enumerate(cells):
        assert all(NUMBER.fullmatch(cell.strip()) for cell in column)
        truth = [float(Decimal(cell.strip())) for cell in column]
        assert raw.x[:, k].tolist() == truth
        assert max(map(abs, truth)) < 1e18
    assert not NOTHING & {text.strip() for text in texts}
    if raw.task == "regression":
        assert raw.y.tolist() == [float(text) for text in texts]
    else:
        assert right_labels(raw, texts)
        assert not (set(labels) & {"-1", "-100"} and "0" in labels)
    found = split(raw, str(path), 0)
    assert all(np.isfinite(part.x.numpy()).all() for part in (found.train, found.test))


@FEW
@given(st.data())
def test_tables_of_parquet(tmp_path, data):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    n = 24
    y = np.array(data.draw(st.sampled_from([["cat", "dog"], [0, 1], [True, False]])) * 12, object)
    value = data.draw(st.sampled_from([None, None, pandas.NA, -1, "NA", ""]))
    gone = value is not None and data.draw(st.booleans())
    if gone:
        y[3] = value
    kind = data.draw(st.sampled_from(["object", "category", "string"]))
    if len({type(v) for v in y}) > 1 and kind != "category":
        kind = "string"
    table = pandas.DataFrame({"a": np.arange(n) * 0.37, "b": np.arange(n) ** 2.0})
    table["kind"] = pandas.Series(y).astype("string").astype(kind)
    index = data.draw(st.sampled_from([None, "visit", "shuffled"]))
    if index == "visit":
        table.index = pandas.Index(range(n), name="visit")
    order = np.random.default_rng(0).permutation(n) if index else np.arange(n)
    path = tmp_path / "t.parquet"
    table.iloc[order].to_parquet(path)
    raw = refused_or(path, target="kind")
    assert (raw is None) == gone
    if raw is not None:
        assert raw.features == ("a", "b")
        assert np.array_equal(raw.x, table[["a", "b"]].to_numpy()[order])
        assert [raw.labels[k] for k in raw.y] == [str(v) for v in y[order]]


@FEW
@given(
    shape=st.lists(st.sampled_from([0, 1, 3, 4, 8, 8, 9]), min_size=1, max_size=5),
    kind=KINDS,
    scale=st.sampled_from([1, 1, 1, 255, 255, -1, 1e-3, 1e300, np.nan, np.inf]),
    packed=st.booleans(),
)
@pytest.mark.filterwarnings("ignore:.*cast:RuntimeWarning", "ignore:.*overflow:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_arrays(shape, kind, scale, packed, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.random((24, *shape)) * scale
    if np.dtype(kind).kind in "iu" and not np.isfinite(scale):
        values = rng.random((24, *shape))
    if np.dtype(kind).kind in "iu":
        values = np.clip(values, 0, 255)
    x, y = values.astype(kind), np.arange(24) % 2
    path = tmp_path / "a.npz"
    (np.savez_compressed if packed else np.savez)(path, x=x, y=y)
    raw = refused_or(path)
    if raw is None:
        return
    assert x.dtype.kind in "fiub"
    turned = "turned round" in raw.told
    told = x.transpose(0, 3, 1, 2) if turned else x[:, None] if x.ndim == 3 else x
    divided = 255 if x.dtype == np.uint8 and x.ndim > 2 else 1
    assert raw.x.shape == told.shape
    assert np.allclose(raw.x, told.astype(float) / divided, rtol=1e-6)
    if raw.bounds:
        assert raw.x.ndim == 4
        assert 0 <= raw.x.min() <= raw.x.max() <= 1
    assert np.array_equal(raw.x, from_arrays("a", x, y).x)


@FEW
@given(st.data())
def test_a_packed_file_with_one_wrong_byte_or_cut_short(tmp_path, data):
    x, y = np.random.default_rng(0).normal(size=(24, 3)), np.arange(24) % 2
    path = tmp_path / "a.npz"
    (np.savez_compressed if data.draw(st.booleans()) else np.savez)(path, x=x, y=y)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)
    raw = refused_or(path)
    if raw is not None:
        assert np.array_equal(raw.x, x)
        assert np.array_equal(raw.y, y)


FILES = ["0.png", "1.PNG", "2.jpg", "3.tif", "4.bmp", "5.txt", "6.heic", ".7.png", "8", "9.gif"]
FOLDERS = ["cat", "dog", "owl", ".hidden", "__MACOSX", "train"]


@FEW
@given(
    st.dictionaries(
        st.sampled_from(FOLDERS),
        st.lists(st.sampled_from(FILES), unique=True, min_size=6),
        min_size=2,
    ),
    st.sampled_from([None, None, None, None, "size", "cut", "alpha", "not an image"]),
)
def test_folders(tmp_path, folders, fault):
    place = tmp_path / "set"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    rng, written, spoilt = np.random.default_rng(0), {}, False
    for folder, files in folders.items():
        (place / folder).mkdir()
        for name in files:
            file = place / folder / name
            readable = Path(name).suffix.lower() in (".png", ".jpg", ".tif", ".bmp", ".gif")
            if not readable:
                file.write_bytes(b"some text")
                continue
            image = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            counts = not (name.startswith(".") or folder.startswith((".", "__")))
            if fault and counts and not spoilt and file.suffix == ".png":
                spoilt = True
                image = image.resize((9, 9)) if fault == "size" else image
                if fault == "alpha":
                    image.putalpha(0)
            image.save(file)
            if fault in ("cut", "not an image") and spoilt and file.suffix == ".png" and counts:
                file.write_bytes(file.read_bytes()[:40] if fault == "cut" else b"no")
                fault = "done"
            if counts:
                written.setdefault(folder, []).append(file)
    raw = refused_or(place)
    if raw is None:
        return
    assert fault in (None, "alpha", "size") or not spoilt
    files = sorted(file for found in written.values() for file in found)
    assert len(raw.x) == len(files)
    assert [raw.labels[k] for k in raw.y] == [file.parent.name for file in files]
    for pixels, file in zip(raw.x, files, strict=True):
        if fault == "alpha":
            continue
        with Image.open(file) as image:
            truth = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        assert np.allclose(pixels * 255, truth, atol=1e-4)
    left = sum(len(names) for names in folders.values()) - len(files)
    assert ("Left out" in raw.told) == (left > 0 or set(folders) != set(written))
