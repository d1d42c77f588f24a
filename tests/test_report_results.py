"""Results as rows: in one line a table of pandas or polars, and a file of Parquet."""

import csv
import math

import pytest

import vicinal as vc
from runs import failed, record, three_seeds
from vicinal.report import write
from vicinal.report.exports import as_csv
from vicinal.study import store


def folder_of(folder, records):
    for one in records:
        store.save(folder, one)
    return folder


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path, [*three_seeds(), failed("erm", 3)])


def test_rows_have_configuration_and_measurements(folder):
    rows = vc.results(folder)
    assert len(rows) == 7
    assert len({tuple(row) for row in rows}) == 1  # the same keys in the same order
    (found,) = [r for r in rows if (r["method"], r["seed"]) == ("mixup(alpha=0.2)", 0)]
    truth = record("mixup(alpha=0.2)", 0, 0.92, nll=0.280, fgsm=0.6)
    measured = truth["measured"]
    assert (found["name"], found["data"], found["epochs"]) == (truth["name"], "digits", 2)
    assert found["accuracy"] == measured["accuracy"]["test"] == 0.92
    assert found["train_accuracy"] == measured["accuracy"]["train"]
    assert found["nll_before"] == measured["calibration"]["before"]["nll"]
    assert found["robust/fgsm-1/linf/0.1"] == 0.6
    (broken,) = [row for row in rows if row["status"] == "failed"]
    assert broken["accuracy"] is None


def test_one_line_makes_a_table_of_pandas(folder):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(vc.results(folder))
    means = table[table.status == "done"].groupby("method")["accuracy"].mean()
    assert means["erm"] == pytest.approx((0.90 + 0.92 + 0.91) / 3)
    assert math.isnan(table[table.status == "failed"]["accuracy"].item())


def test_one_line_makes_a_table_of_polars(folder):
    pl = pytest.importorskip("polars")
    table = pl.DataFrame(vc.results(folder))
    means = dict(table.filter(pl.col("status") == "done").group_by("method").agg(
        pl.col("accuracy").mean()).iter_rows())  # fmt: skip
    assert means["erm"] == pytest.approx((0.90 + 0.92 + 0.91) / 3)
    assert table.filter(pl.col("status") == "failed")["accuracy"].to_list() == [None]


def test_what_is_no_run_is_left_out_with_a_warning(folder):
    (folder / "notes.json").write_text("{}")
    with pytest.warns(UserWarning, match="left out, cannot be read: notes.json"):
        assert len(vc.results(folder)) == 7
    with pytest.raises(ValueError, match="is not a folder of runs"):
        vc.results(folder / "none")


def test_parquet_has_the_rows_of_csv_with_their_types(folder, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write(folder, tmp_path / "table.parquet")
    table = parquet.read_table(tmp_path / "table.parquet")
    head, *lines = as_csv(three_seeds()).splitlines()
    assert table.column_names == head.split(",")
    assert table.num_rows == len(lines)
    assert [str(t) for t in table.schema.types] == ["string"] * 2 + ["int64"] + ["string"] * 2 + [
        "double"
    ]
    values = [
        r["value"] for r in table.to_pylist() if (r["method"], r["key"]) == ("erm", "accuracy")
    ]
    assert sorted(values) == [0.90, 0.91, 0.92]


def test_runs_of_a_search_are_rows_but_not_part_of_the_report(tmp_path):
    sought = record("erm", 0)
    sought["configuration"] |= {"measured_on": "validation"}
    sought["name"] = store.name_of(sought["configuration"])
    sought["measured"] = {"accuracy": {"train": 1.0, "validation": 0.8}}
    runs = tmp_path / "runs"
    runs.mkdir()
    folder_of(runs, [sought, record("mixup", 0)])
    scores = {row["method"]: row["validation_accuracy"] for row in vc.results(runs)}
    assert scores == {"erm": 0.8, "mixup": None}
    write(runs, tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert {row["method"] for row in rows} == {"mixup"}
