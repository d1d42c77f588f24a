"""Tables as the world writes them: an index, no names, numbers that are none, other separators."""

import numpy as np
import pandas as pd
import pytest

from vicinal.data import read
from vicinal.data.written import column

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 60))
KIND = np.repeat([0, 1], 30)
TABLE = pd.DataFrame({"a": A, "b": B, "kind": KIND}).sample(frac=1, random_state=0)


def csv(path, text):
    path.write_text(text)
    return str(path)


def lines(header, *columns):
    rows = [header, *(",".join(map(str, row)) for row in zip(*columns, strict=True))]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("index", "told"),
    [
        (TABLE, "__index_level_0__"),
        (TABLE.rename_axis("row"), "row"),
        (TABLE.set_index([TABLE.index, pd.Series(range(60), name="visit")]), "visit"),
        (TABLE.reset_index(drop=True), ""),
    ],
    ids=["nameless", "named", "several", "range"],
)
def test_the_index_of_pandas_is_no_column(tmp_path, index, told):
    pytest.importorskip("pyarrow")
    name = str(tmp_path / "t.parquet")
    index.to_parquet(name)
    for target in ("kind", None):
        raw = read(name, target)
        assert raw.features == ("a", "b")
        assert np.array_equal(raw.x, TABLE[["a", "b"]])
        assert raw.y.tolist() == TABLE["kind"].tolist()
        assert (f"the column {told}, an index of pandas" in raw.told) == (told != "")
        assert ("Left out" in raw.told) == (told != "")
    if told == "row":
        assert read(name, "row", "regression").y.tolist() == TABLE.index.tolist()


def test_the_index_of_pandas_without_its_metadata(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.Table.from_pandas(TABLE).replace_schema_metadata()
    parquet.write_table(table, tmp_path / "t.parquet")
    assert read(str(tmp_path / "t.parquet"), "kind").features == ("a", "b")


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0_level_0"])
def test_a_column_without_a_name_in_csv(tmp_path, name):
    text = lines(f"{name},a,kind", range(60), A, KIND)
    with pytest.raises(ValueError, match=r"column 1 has no name.*leave it out; else name it"):
        read(csv(tmp_path / "t.csv", text))


@pytest.mark.parametrize(
    "columns",
    [
        (np.arange(6, 46), np.round(A[:40], 2), np.arange(40) % 2),
        (np.round(A[:40], 2), np.round(B[:40], 2), np.array(["setosa", "virginica"] * 20)),
        (np.arange(40), np.arange(40) % 2),
        ([7, *range(39)], [7, *range(1, 40)], [1, 0] * 20),
    ],
    ids=["numbers", "texts", "two", "equal"],
)
def test_a_first_line_that_is_an_example(tmp_path, columns):
    header = ",".join(str(entries[0]) for entries in columns)
    text = lines(header, *(entries[1:] for entries in columns))
    with pytest.raises(ValueError, match=r"its first line, .* looks like an example.* of names"):
        read(csv(tmp_path / "t.csv", text))


@pytest.mark.parametrize(
    "names", ["0,1,2", "1,2,3", "0,1,label", "2019,2020,2021", "2019,2020,kind", "a,2,3"]
)
def test_names_that_are_numbers(tmp_path, names):
    raw = read(csv(tmp_path / "t.csv", lines(names, A, B, KIND)))
    assert raw.features == tuple(names.split(","))[:2]
    assert len(raw.x) == 60


@pytest.mark.parametrize("ending", ["CSV", "Csv", "PARQUET", "NPZ"])
def test_endings_in_letters_of_any_case(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    if ending == "NPZ":
        with path.open("wb") as file:
            np.savez(file, x=TABLE[["a", "b"]], y=TABLE["kind"])
    elif ending == "PARQUET":
        pytest.importorskip("pyarrow")
        TABLE.to_parquet(path, index=False)
    else:
        TABLE.to_csv(path, index=False)
    assert np.allclose(read(str(path)).x, TABLE[["a", "b"]])


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1", "-2", "+3"], [1, -2, 3]),
        (["007", "12"], [7, 12]),
        (["1.5", "", "-.5", "1e3", "2."], [1.5, np.nan, -0.5, 1000, 2]),
        (["18446744073709551615", "0"], [2**64 - 1, 0]),
    ],
)
def test_numbers(texts, numbers):
    assert np.array_equal(column(texts), numbers, equal_nan=True)
    assert column(texts).dtype.kind in "fiu"


@pytest.mark.parametrize("text", ["1_000", "1_0.5", "٣", "０", "1e1_0", "0x10", "1 2", "--1", "e5"])
def test_texts_that_python_or_eyes_take_for_numbers(text):
    assert column(["1", text]).tolist() == ["1", text]


@pytest.mark.parametrize(
    "labels", [("1_0", "10", "2", "3"), ("007", "07", "7"), ("00", "01", "10"), ("1e3", "x")]
)
def test_labels_that_look_like_numbers_stay_as_many(tmp_path, labels):
    kinds = np.array(labels)[np.arange(60) % len(labels)]
    raw = read(csv(tmp_path / "t.csv", lines("a,b,y", A, B, kinds)))
    assert raw.labels == tuple(sorted(labels))
    assert [raw.labels[k] for k in raw.y] == kinds.tolist()


def test_leading_zeros_are_no_hindrance_for_values_and_features(tmp_path):
    padded = [f"{k:03d}" for k in range(60)]
    raw = read(csv(tmp_path / "t.csv", lines("a,b,y", A, B, padded)), task="regression")
    assert raw.y.tolist() == list(range(60))
    raw = read(csv(tmp_path / "u.csv", lines("a,b,y", A, padded, KIND)))
    assert raw.x[:, 1].tolist() == list(range(60))


@pytest.mark.parametrize("start", ["1" + 18 * "0", "-1" + 17 * "0", 5000 * "7"], ids=len)
def test_whole_numbers_beyond_64_bits(tmp_path, start):
    ids = [f"{start}{k}" for k in range(10, 70)]
    with pytest.raises(ValueError, match="column account holds whole numbers beyond 64 bits"):
        read(csv(tmp_path / "t.csv", lines("account,b,y", ids, B, KIND)))
    two = [ids[k % 2] for k in range(60)]
    assert len(read(csv(tmp_path / "u.csv", lines("a,b,y", A, B, two))).labels) == 2


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_whole_numbers_that_floats_cannot_tell_apart(tmp_path, ending):
    pytest.importorskip("pyarrow")
    ids = 2**62 + np.arange(60)

    def saved(column):
        table = pd.DataFrame({"account": column, "b": B, "kind": KIND})
        if ending == "csv":
            table.to_csv(tmp_path / "t.csv", index=False)
        else:
            table.to_parquet(tmp_path / "t.parquet", index=False)
        read.cache_clear()
        return read(str(tmp_path / f"t.{ending}"))

    with pytest.raises(ValueError, match="column account holds whole numbers that differ by less"):
        saved(ids)
    with pytest.raises(ValueError, match="column account holds whole numbers that differ by less"):
        saved(-ids)
    assert saved(ids - 2**62).x[:, 0].tolist() == list(range(60))
    assert saved(2**62 + 2048 * np.arange(60)).x[7, 0] == 2**62 + 2048 * 7


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a;b;y\n" + "1,5;2,5;1\n" * 9, "the names are separated by semicolons"),
        ("a\tb\ty\n" + "1.5\t2.5\t1\n" * 9, "the names are separated by tabs"),
        ("a|b|y\n" + "1.5|2.5|1\n" * 9, "the names are separated by bars"),
        ("a b y\n" + "1.5 2.5 1\n" * 9, "the names are separated by blanks"),
        ("a,b,y\n" + '"1,5",2.5,1\n' * 9, "column a holds numbers with commas, such as 1,5"),
        ("a,b,y\n" + '1,2.5,"1.000,5"\n' * 9, "column y holds numbers with commas, such as 1.000"),
        ("a,b,y\n" + '"1,000",2.5,1\n' * 9, "column a holds numbers with commas, such as 1,000"),
        ('a,b,y\n1,2,0\n"3,4,1\n5,6,0\n', "cannot be read as CSV: unexpected end of data"),
        ("a,b,y\n1,2,0\n\0,4,1\n", "line 3 holds zero bytes"),
        ("a,b,y\n1,2,0\n\n3,4\n", "line 4 has 2 values, the names are 3"),
    ],
)
def test_other_separators_and_quotes(tmp_path, text, rule):
    with pytest.raises(ValueError, match=rule):
        read(csv(tmp_path / "t.csv", text))


def test_names_of_several_words(tmp_path):
    header = "size in cm,its weight; kg,what kind is it"
    raw = read(csv(tmp_path / "t.csv", lines(header, A, B, KIND)))
    assert raw.features == ("size in cm", "its weight; kg")


def test_kinds_of_columns_in_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    decimals = pyarrow.array(range(60)).cast(pyarrow.decimal128(30, 2))
    kinds = pyarrow.array([b"x", b"y"] * 30)
    table = pyarrow.table({"a": decimals, "b": A, "kind": kinds})
    parquet.write_table(table, tmp_path / "t.parquet")
    raw = read(str(tmp_path / "t.parquet"))
    assert raw.x[:, 0].tolist() == list(range(60))
    assert raw.labels == ("x", "y")
    struct = table.append_column("s", pyarrow.array([{"u": 1}] * 60))
    parquet.write_table(struct, tmp_path / "s.parquet")
    with pytest.raises(ValueError, match="the column s of struct.* cannot be read"):
        read(str(tmp_path / "s.parquet"), "kind")
    twice = pyarrow.table([A, B, KIND], names=["a", "a", "kind"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(ValueError, match="names columns twice: a"):
        read(str(tmp_path / "twice.parquet"))
