"""Rows that belong together go to one part of the data, from the command line to the record."""

import json
from pathlib import Path

import numpy as np
import pytest

import studies
from vicinal import cli
from vicinal.data import read, split
from vicinal.study.methods import parse_methods


@pytest.fixture(autouse=True)
def patients(tmp_path, monkeypatch):
    """30 patients of 6 rows, whose features say which patient it is; the labels are by patient."""
    monkeypatch.chdir(tmp_path)
    rng, rows = np.random.default_rng(0), ["a,b,patient,ill"]
    for patient in range(30):
        a, b = rng.normal(size=2)
        rows += [f"{a + rng.normal() / 50},{b + rng.normal() / 50},p{patient},{patient % 2}"]
        rows += [
            f"{a + rng.normal() / 50},{b + rng.normal() / 50},p{patient},{patient % 2}"
            for _ in range(5)
        ]
    Path("visits.csv").write_text("\n".join(rows) + "\n")


def test_no_patient_is_in_two_parts():
    raw = read("visits.csv", None, None, "patient")
    assert raw.features == ("a", "b")
    for seed in range(3):
        found = split(raw, "visits.csv", seed)
        parts = [
            set(raw.groups[p.rows.numpy()]) for p in (found.train, found.validation, found.test)
        ]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 30


def test_the_option_decides_the_runs(capsys):
    tokens = ["compare", "visits.csv", "--group", "patient", "--seeds", "1", "--epochs", "2"]
    with pytest.raises(SystemExit) as caught:
        cli.app.meta([*tokens, "--methods", "erm", "--model", "linear", "--out", "o"])
    assert not caught.value.code
    (path,) = Path("o/runs").glob("*.json")
    assert json.loads(path.read_text())["configuration"]["group"] == "patient"
    options = {"data": "visits.csv", "seeds": 1, "epochs": 2, "model": "linear"}
    plan = studies.planned(parse_methods(["erm"]), Path("p"), group="patient", **options)
    assert plan.runs[0].name == path.stem
    assert any("Groups: 30 of patient" in note for note in plan.notes)
    Path("other.csv").write_text(Path("visits.csv").read_text().replace(",patient,", ",age,"))
    with pytest.raises(ValueError, match="patient"):
        studies.planned(
            parse_methods(["erm"]), Path("p"), group="patient", **(options | {"data": "other.csv"})
        )
