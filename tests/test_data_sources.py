"""Someone's own data: every way in, and every clear refusal."""

import gzip
import struct
import sys
import textwrap

import numpy as np
import pytest
import torch
from PIL import Image

from vicinal.data import cifar, load, read
from vicinal.data.raw import checked
from vicinal.maths.losses import gaussian

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
NAMES = ["cat", "dog"] * 20


def csv_file(path, header, rows):
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_csv_with_texts_for_classes(tmp_path):
    name = csv_file(
        tmp_path / "t.csv",
        ["a", "kind", "b"],
        [(x[0], k, x[1]) for x, k in zip(X, NAMES, strict=True)],
    )
    raw = read(name, "kind")
    assert (raw.labels, raw.features, raw.bounds) == (("cat", "dog"), ("a", "b"), None)
    assert raw.y.tolist() == [0, 1] * 20
    assert np.array_equal(raw.x, X[:, :2])
    split = load(name, 0, target="kind")
    assert (split.classes, split.outputs, split.family.name) == (2, 2, "categorical")
    assert abs(len(split.train) - 20) <= 1


@pytest.mark.parametrize(
    ("targets", "family", "classes"),
    [([0, 1, 2, 3] * 10, "categorical", 4), (RNG.normal(size=40), "gaussian", 0)],
)
def test_the_kind_of_targets_follows_from_the_numbers(tmp_path, targets, family, classes):
    name = csv_file(tmp_path / "t.csv", ["a", "y"], zip(X[:, 0], targets, strict=True))
    split = load(name, 0)
    assert (split.family.name, split.classes) == (family, classes)
    if family == "gaussian":  # standardised by the training part, the unit is kept
        assert abs(float(split.train.y.mean())) < 1e-6
        values = np.concatenate([p.y for p in (split.train, split.validation, split.test)])
        assert np.allclose(
            np.sort(values) * split.unit, np.sort(targets - np.mean(targets)), atol=0.5
        )
        assert split.unit == pytest.approx(np.std(targets), rel=0.4)


def test_parquet_equals_csv(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"a": X[:, 0], "b": X[:, 1], "kind": NAMES})
    parquet.write_table(table, tmp_path / "t.parquet")
    name = csv_file(
        tmp_path / "t.csv",
        ["a", "b", "kind"],
        [(x[0], x[1], k) for x, k in zip(X, NAMES, strict=True)],
    )
    one, other = read(str(tmp_path / "t.parquet")), read(name)
    assert np.array_equal(one.x, other.x)
    assert np.array_equal(one.y, other.y)
    assert one.labels == other.labels
    assert one.digest == other.digest != ""


def parquet_of(path, **columns):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)
    return str(path)


TAGS = [["b", "a"], [], ["a"], ["c"], ["a", "b", "c"], ["c", "b"]] * 4


def test_lists_in_parquet_are_vectors_and_labels(tmp_path):
    pytest.importorskip("pyarrow")
    vectors = np.random.default_rng(0).normal(size=(24, 3))
    plain = np.arange(24.0)
    columns = {"v": vectors.tolist(), "a": plain, "tags": TAGS}
    found = read(parquet_of(tmp_path / "t.parquet", **columns))
    assert found.features == ("v[0]", "v[1]", "v[2]", "a")
    assert np.array_equal(found.x, np.column_stack([vectors, plain]))
    assert (found.task, found.labels) == ("multilabel", ("a", "b", "c"))
    assert found.y.tolist() == [[int(k in tags) for k in "abc"] for tags in TAGS]

    name = parquet_of(tmp_path / "w.parquet", a=plain, v=vectors.tolist())
    found = read(name)
    assert (found.task, found.labels) == ("regression", ("v[0]", "v[1]", "v[2]"))
    assert np.array_equal(found.y, vectors)
    assert np.array_equal(found.x, plain[:, None])


@pytest.mark.parametrize("ids", [[[10, 9], [2], [9]] * 8, [[10, 9], [2, 9], [2, 10]] * 8])
def test_lists_of_whole_numbers_are_labels_that_are_on(tmp_path, ids):
    name = parquet_of(tmp_path / "t.parquet", a=np.arange(24.0), on=ids)
    found = read(name, None, "multilabel")
    assert found.labels == ("2", "9", "10")
    assert found.y.tolist() == [[int(k in on) for k in (2, 9, 10)] for on in ids]


def test_lists_of_zeros_and_ones_are_labels_by_place(tmp_path):
    on = [[0, 1], [1, 1], [1, 0], [0, 0]] * 6
    found = read(parquet_of(tmp_path / "t.parquet", a=np.arange(24.0), on=on))
    assert (found.task, found.y.tolist()) == ("multilabel", on)


@pytest.mark.parametrize(
    ("column", "target", "rule"),
    [
        ([[1.0, 2.0], [1.0]] * 12, "kind", "lists of different lengths: 2 at row 0, 1 at row 1"),
        ([[1.0, 2.0], None] * 12, "kind", "lists of different lengths: 2 at row 0, none at row 1"),
        ([["a"], ["b"]] * 12, "kind", r"not all numbers, such as \['a'\]"),
        ([[1.0, 2.0], [1.0]] * 12, "v", "Values must be as many for each example"),
        ([["a"], None] * 12, "v", "missing, in whole or in part, in 12 of 24 rows"),
        ([["a"], ["b"]] * 12, "v,kind", "Name it alone: --target v"),
    ],
)
def test_lists_that_cannot_be_learnt_from(tmp_path, column, target, rule):
    name = parquet_of(tmp_path / "t.parquet", a=np.arange(24.0), v=column, kind=[0, 1] * 12)
    with pytest.raises(ValueError, match=rule):
        read(name, target)


def test_numbers_that_parquet_stores_as_texts_are_refused(tmp_path):
    name = parquet_of(tmp_path / "t.parquet", a=["1", "2"] * 8, kind=[0, 1] * 8)
    with pytest.raises(ValueError, match="a holds texts, 16 of 16 entries, such as 1. Encode"):
        read(name)


def test_parquet_without_a_target_is_no_class_of_its_own(tmp_path):
    name = parquet_of(tmp_path / "t.parquet", a=X[:, 0], kind=[None, *NAMES[1:]])
    with pytest.raises(ValueError, match=r"needs a finite target, .* the first at row 0"):
        read(name)


def test_a_changed_file_is_other_data(tmp_path):
    rows = [[*x, k] for x, k in zip(X, NAMES, strict=True)]
    before = read(csv_file(tmp_path / "one.csv", "abcy", rows)).digest
    rows[3][0] += 1e-9
    assert read(csv_file(tmp_path / "two.csv", "abcy", rows)).digest != before


def test_arrays_with_a_test_set_of_their_own(tmp_path):
    x = RNG.integers(0, 256, (50, 1, 4, 4), dtype=np.uint8)
    y = np.arange(50) % 2
    np.savez(tmp_path / "a.npz", x=x[:40], y=y[:40], x_test=x[40:], y_test=y[40:])
    split = load(str(tmp_path / "a.npz"), 0)
    assert split.bounds == (0.0, 1.0)
    assert np.allclose(split.test.x.numpy() * 255, x[40:], atol=1e-4)
    assert split.test.y.tolist() == y[40:].tolist()
    assert len(split.train) + len(split.validation) == 40


def image_folder(path, size=(6, 5), mode="RGB"):
    pixels = {}
    for label in ("ant", "bee"):
        (path / label).mkdir(parents=True)
        for k in range(5):
            values = RNG.integers(0, 256, (*size, *((3,) if mode == "RGB" else ())), dtype=np.uint8)
            Image.fromarray(values, mode).save(path / label / f"{k}.png")
            pixels[label, k] = values
    return pixels


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Pillow, for the mode
def test_a_folder_of_images_for_each_class(tmp_path, mode):
    pixels = image_folder(tmp_path / "set", mode=mode)
    raw = read(str(tmp_path / "set"))
    assert raw.labels == ("ant", "bee")
    assert raw.y.tolist() == [0] * 5 + [1] * 5
    assert raw.x.shape == (10, 3 if mode == "RGB" else 1, 6, 5)
    truth = pixels["bee", 2]
    truth = truth.transpose(2, 0, 1) if mode == "RGB" else truth[None]
    assert np.allclose(raw.x[7] * 255, truth, atol=1e-4)


def test_images_of_several_sizes_are_refused(tmp_path):
    image_folder(tmp_path)
    Image.fromarray(np.zeros((9, 9, 3), dtype=np.uint8)).save(tmp_path / "bee" / "z.png")
    with pytest.raises(ValueError, match=r"0.png has 6×5 in 3 channels, z.png 9×9 in 3. Resize"):
        read(str(tmp_path))


@pytest.mark.parametrize(("labels", "files"), [(1, cifar.TEN), (2, cifar.HUNDRED)])
def test_binary_files_of_cifar(labels, files, tmp_path):
    """Written by hand as their authors describe them; the fine label is the last one."""
    names = [*files[0], *files[1]]
    images = [RNG.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8) for _ in names]
    for name, pixels in zip(names, images, strict=True):
        heads = np.array([[9] * (labels - 1) + [k % 2] for k in range(4)], dtype=np.uint8)
        (tmp_path / name).write_bytes(np.hstack([heads, pixels.reshape(4, -1)]).tobytes())
    raw = read(f"cifar:{tmp_path}")
    assert np.allclose(raw.x * 255, np.concatenate(images), atol=1e-4)
    assert raw.y.tolist() == [0, 1, 0, 1] * len(images)
    assert raw.test.tolist() == list(range(4 * len(images) - 4, 4 * len(images)))
    damaged = tmp_path / files[0][0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    read.cache_clear()
    with pytest.raises(ValueError, match=r"is not made of whole records of 307\d bytes"):
        read(f"cifar:{tmp_path}")
    damaged.unlink()
    with pytest.raises(ValueError, match="needs the binary version"):
        read(f"cifar:{tmp_path}")


@pytest.mark.parametrize("packed", [False, True])
def test_files_of_mnist(tmp_path, packed):
    truth = {}
    for part, n in (("train", 20), ("t10k", 8)):
        images = RNG.integers(0, 256, (n, 3, 2), dtype=np.uint8)
        labels = (np.arange(n) % 2).astype(np.uint8)
        truth[part] = images
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            data = head + array.tobytes()
            path = tmp_path / f"{part}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(data) if packed else data)
    raw = read(f"idx:{tmp_path}")
    assert raw.x.shape == (28, 1, 3, 2)
    assert np.allclose(raw.x[:20, 0] * 255, truth["train"], atol=1e-4)
    assert raw.test.tolist() == list(range(20, 28))
    damaged = next(tmp_path.glob("train-images*"))
    content = damaged.read_bytes()
    whole = gzip.decompress(content) if packed else content
    damaged.write_bytes(gzip.compress(whole[:-1]) if packed else whole[:-1])
    read.cache_clear()
    with pytest.raises(ValueError, match="not a whole file"):
        read(f"idx:{tmp_path}")


@pytest.fixture
def someones(tmp_path, monkeypatch):
    """A module of someone's, in the current folder."""
    code = """
        import numpy as np, torch
        x, y = np.arange(60.0).reshape(20, 3) ** 2, np.arange(20) % 2
        pair = (x, y)
        def made(): return {"x": x, "y": y, "x_test": x[:4] + 1, "y_test": y[:4]}
        torch_set = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
        def fails(): raise RuntimeError("no disk")
        odd = 7
        table = np.concatenate([x, y[:, None]], 1)
        triples = [(1.0, 2.0, 3), (4.0, 5.0, 6)]
    """
    (tmp_path / "someones_data.py").write_text(textwrap.dedent(code))
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("someones_data", None)
    read.cache_clear()


def test_objects_in_code(someones):
    pair, torch_set = read("someones_data:pair"), read("someones_data:torch_set")
    assert np.array_equal(pair.x, torch_set.x)
    assert np.array_equal(pair.y, torch_set.y)
    assert read("someones_data:made").test.tolist() == [20, 21, 22, 23]
    for name, rule in (
        ("fails", r"someones_data:fails\(\) failed: RuntimeError: no disk"),
        ("odd", "must be .x, y., .* got int"),
        ("table", r"must hold examples \(x, y\), got a ndarray of shape \(4,\) as example 0"),
        ("x", r"must hold examples \(x, y\), got a ndarray of shape \(3,\) as example 0"),
        ("triples", r"got a tuple of shape \(3,\) as example 0"),
        ("nothing", "cannot import someones_data:nothing: AttributeError"),
    ):
        with pytest.raises(ValueError, match=rule):
            read(f"someones_data:{name}")
    with pytest.raises(ValueError, match="cannot import no_such_module:x: ModuleNotFoundError"):
        read("no_such_module:x")


@pytest.mark.parametrize(
    ("header", "rows", "target", "rule"),
    [
        ("ab", [(1.0, 0)] * 8 + [("nan", 1)] * 8, None, "finite, got NaN or infinity in 8 of 16"),
        (
            "ab",
            [("red", 0), ("blue", 1)] * 8,
            None,
            "column a holds texts, 16 of 16 entries, such as red",
        ),
        ("ab", [(k, "x") for k in range(8)], None, "has one class only, x"),
        ("abc", [(k, k, k % 2) for k in range(16)], None, "columns a and b are equal"),
        ("ab", [(k, k % 2) for k in range(16)], "c", "has no column 'c'"),
        ("ab", [(k, k) for k in range(8)], None, "every class needs 4 examples"),
        ("ab", [(k, 0.5) for k in range(8)], None, "all targets are 0.5"),
        ("aa", [(1, 2)], None, "names columns twice: a"),
        ("ab", [(1, 2), (1,)], None, "line 3 has 1 values, the names are 2"),
        ("a", [(1,)], None, "needs a target and a feature"),
        ("ab", [], None, "needs a line of names and lines of values"),
    ],
)
def test_tables_that_cannot_be_learnt_from(tmp_path, header, rows, target, rule):
    with pytest.raises(ValueError, match=rule):
        read(csv_file(tmp_path / "t.csv", list(header), rows), target)


def test_whole_numbers_are_counts_where_values_are_asked_for(tmp_path):
    """Also counts so rare that no class could be made of them."""
    counts = [0] * 9 + [1] * 5 + [2, 7]
    name = csv_file(tmp_path / "t.csv", ["age", "accidents"], list(enumerate(counts)))
    with pytest.raises(ValueError, match="every class needs 4 examples or more"):
        read(name)
    raw = read(name, task="regression")
    assert not raw.classifies
    assert raw.y.tolist() == counts
    split = load(name, 0, standardise=False, task="regression")
    assert split.all.y.tolist() == counts
    assert split.family is gaussian
    names = csv_file(tmp_path / "n.csv", ["age", "name"], [(k, "ab"[k % 2]) for k in range(16)])
    with pytest.raises(ValueError, match="targets must be numbers to be values, got a"):
        read(names, task="regression")


def test_a_wrong_target_gets_the_nearest_name(tmp_path):
    name = csv_file(tmp_path / "t.csv", ["size", "price"], [(k, k / 7) for k in range(9)])
    with pytest.raises(ValueError, match="Did you mean price"):
        read(name, "prise")


def test_names_that_are_no_data(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.npz").write_bytes(b"no")
    for name, rule in (
        ("digts", "Did you mean digits"),
        ("", "unknown data set ''"),
        ("x" * 5000, "unknown data set 'xxx"),
        ("a\0b.csv", "there is no file"),
        (str(tmp_path / "none.csv"), "there is no file"),
        (str(tmp_path / "empty"), "holds no images"),
        (str(tmp_path / "a.npz"), "cannot be read as NumPy arrays"),
        (f"idx:{tmp_path}", "has no file train-images"),
    ):
        with pytest.raises(ValueError, match=rule):
            read(name)
    with pytest.raises(ValueError, match="Leave out --target"):
        read("digits", "label")


def test_arrays_that_do_not_fit():
    for x, y, rule in (
        (X, NAMES[:-1], "40 inputs and 39 targets"),
        (X, np.zeros((40, 2, 1)), r"targets must have shape \(n,\), or \(n, K\)"),
        (X[:0], [], "has 0 inputs"),
    ):
        with pytest.raises(ValueError, match=rule):
            checked("data", x, y)
    with pytest.raises(TypeError, match="inputs must be numbers"):
        checked("data", np.array([["a"]] * 8), [0, 1] * 4)
    with pytest.raises(ValueError, match="images must lie in"):
        checked("data", 300 * np.ones((8, 1, 2, 2)), [0, 1] * 4, bounds=(0.0, 1.0))


@pytest.mark.parametrize("values", [True, False], ids=["values", "classes"])
def test_the_whole_comes_back_in_its_order_and_units(tmp_path, values):
    targets = 5 + 3 * X[:, 2] if values else NAMES
    name = csv_file(
        tmp_path / "t.csv",
        ["a", "b", "y"],
        [(x[0], 100 * x[1], t) for x, t in zip(X, targets, strict=True)],
    )
    whole = load(name, 3, standardise=False).all
    assert whole.rows.tolist() == list(range(40))
    assert np.allclose(whole.x, X[:, :2] * [1, 100], rtol=1e-6)
    assert np.allclose(whole.y, targets if values else [0, 1] * 20, rtol=1e-6)
    split = load(name, 3)
    assert abs(float(split.train.x.mean())) < 1e-6
    assert sorted(torch.cat([split.train.rows, split.test.rows]).tolist()) != list(range(40))
    assert split.all.rows.tolist() == list(range(40))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Pillow, for the mode
def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path):
    """Beside images of 8 bits, as a folder may hold both."""
    levels = np.linspace(0, 65535, 36).reshape(6, 6).astype(np.uint16)
    for label in ("ant", "bee"):
        (tmp_path / label).mkdir()
        for k in range(4):
            Image.fromarray(levels).save(tmp_path / label / f"{k}.png")
    Image.fromarray((levels // 257).astype(np.uint8)).save(tmp_path / "bee" / "8bit.png")
    raw = read(str(tmp_path))
    assert np.allclose(raw.x[:, 0], levels / 65535, atol=1 / 255)
    assert np.allclose(raw.x[0, 0], levels / 65535, atol=1e-7)


def test_sets_of_hugging_face_from_disk(tmp_path, monkeypatch):
    """Images with classes, and a table with several labels, as `save_to_disk` leaves them."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    pixels = RNG.integers(0, 256, (12, 5, 4), dtype=np.uint8)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["owl", "cat"])}
    )
    images = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(p) for p in pixels], "label": [0, 1] * 6}, features=features
    )
    datasets.DatasetDict(
        {"train": images.select(range(8)), "test": images.select(range(8, 12))}
    ).save_to_disk(tmp_path / "images")
    raw = read(f"hf:{tmp_path / 'images'}")
    assert np.allclose(raw.x[:, 0] * 255, pixels, atol=1e-4)
    assert raw.labels == ("cat", "owl")
    assert raw.y.tolist() == [1, 0] * 6
    assert raw.test.tolist() == [8, 9, 10, 11]
    features = datasets.Features(
        {
            "a": datasets.Value("float64"),
            "labels": datasets.Sequence(datasets.ClassLabel(names=["wet", "cold"])),
        }
    )
    lists = [[], [0], [1], [0, 1]] * 5
    whole = datasets.Dataset.from_dict({"a": X[:20, 0], "labels": lists}, features=features)
    whole.save_to_disk(tmp_path / "table")
    raw = read(f"hf:{tmp_path / 'table'}")
    assert raw.task == "multilabel"
    assert raw.y.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]] * 5
    whole.add_column("b", ["x"] * 20).save_to_disk(tmp_path / "texts")
    with pytest.raises(ValueError, match="the column b holds no numbers"):
        read(f"hf:{tmp_path / 'texts'}")
