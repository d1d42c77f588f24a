"""The typed record of a run: the same JSON object comes back, and what is wrong is named."""

import math
from dataclasses import replace

import numpy as np
import pytest

import studies
from runs import failed, record
from vicinal.mixing.mixup import Mixup
from vicinal.study import store
from vicinal.study.executors import launch
from vicinal.study.fields import write
from vicinal.study.record import Record, records

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 4))
VALUES = X @ RNG.normal(size=(4, 3)) + 0.3 * RNG.normal(size=(160, 3))
OPTIONS = {
    "model": "linear",
    "seeds": 1,
    "epochs": 2,
    "train_size": None,
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
}
STUDIES = {
    "classes": {"data": "iris", "explain_every": 1},
    "one logit": {"data": "breast_cancer", "task": "binary", "train_size": 60},
    "labels": {"data": "labels.npz"},
    "a value": {"data": "diabetes", "explain_every": 1},
    "values": {"data": "values.npz", "attacks": "full"},
    "strong attacks": {"data": "iris", "attacks": "full"},
    "a search": {"data": "iris", "measured_on": "validation"},
    "no end": {"data": "iris", "learning_rate": 1e30},
}


@pytest.mark.parametrize("name", STUDIES)
def test_what_a_study_stores_comes_back_and_all_of_it_has_a_type(name, tmp_path, monkeypatch):
    """To the letter of the file; and nothing that a run writes is without a field of its own."""
    monkeypatch.chdir(tmp_path)
    for few in ("attacks.apgd.STEPS", "attacks.fab.STEPS", "signs.QUERIES", "signs.NOISES"):
        monkeypatch.setattr(f"vicinal.robustness.{few}", 10)
    monkeypatch.setattr("vicinal.robustness.attacks.square.QUERIES", 10)
    monkeypatch.setattr("vicinal.robustness.usual.STRONG", 10)
    np.savez("labels.npz", x=X, y=(VALUES > 0).astype(int))
    np.savez("values.npz", x=X, y=VALUES)
    methods = {"erm": None, "mixup(alpha=1)": Mixup(1.0)}
    plan = studies.planned(methods, tmp_path / "runs", **(OPTIONS | STUDIES[name]))
    studies.done(plan)
    files = list((tmp_path / "runs").glob("*.json"))
    assert len(files) == 2
    for file in files:
        stored = store.read(file)
        made = Record.from_json(stored)
        assert made.to_json() == stored
        assert not made.extra
        assert made.done == (name != "no end")


def test_format_1_and_runs_whose_process_died_are_read(tmp_path):
    for stored in (record("erm", 0), failed("erm", 1)):
        assert stored["format"] == 1
        assert Record.from_json(stored).to_json() == stored
    assert Record.from_json(record("erm", 3)).identity == ("erm", 3)
    assert Record.from_json(record("erm", 3)).measured_on == "test"
    run = studies.planned({"erm": None}, tmp_path, **(OPTIONS | {"data": "iris"})).runs[0]
    died = launch.failed(run, "its worker was killed")
    made = Record.from_json(died)
    assert made.to_json() == died
    assert (made.done, made.failure.reason) == (False, "its worker was killed")


def test_what_a_newer_version_wrote_is_kept_where_it_stood():
    stored = record("erm", 0)
    stored["note"] = {"by": ["someone"]}
    stored["measured"]["fairness"] = 0.5
    stored["measured"]["calibration"]["after"]["bins"][1]["median"] = 0.7
    stored["measured"]["robustness"][1]["points"][2]["tried"] = None
    stored["history"][0]["lr"] = 0.1
    made = Record.from_json(stored)
    assert len(made.extra) == 5
    assert made.extra["measured", "robustness", 1, "points", 2, "tried"] is None
    assert made.to_json() == stored
    without = replace(made, measured=replace(made.measured, calibration=None))
    assert "calibration" not in without.to_json()["measured"]
    assert without.to_json()["measured"]["fairness"] == 0.5


def test_null_is_a_number_that_was_not_finite_and_absence_is_none():
    stored = record("erm", 0)
    stored["measured"]["rmse"] = stored["measured"]["calibration"]["before"]["nll"] = None
    made = Record.from_json(stored).measured
    assert math.isnan(made.rmse)
    assert math.isnan(made.calibration.before.nll)
    assert made.mae is made.calibration.before.maximum is None
    assert made.calibration.before.bins[0].accuracy is None  # of no examples there is none
    assert Record.from_json(stored).to_json() == stored
    assert write(replace(made, mae=math.inf))["mae"] is None


def put(stored, path, value):
    *above, key = path
    for part in above:
        stored = stored[part]
    stored[key] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("measured", "calibration", "before", "nll"), "x",
         "measured.calibration.before.nll must be a number, got 'x'"),
        (("measured", "robustness", 1, "points", 2, "eps"), True,
         r"measured.robustness\[1\].points\[2\].eps must be a number, got True"),
        (("measured", "hardest", 0, "index"), 1.5,
         r"measured.hardest\[0\].index must be a whole number, got 1.5"),
        (("measured", "hardest", 0, "picture"), 3, "picture must be a text, got 3"),
        (("measured", "temperature_at_limit"), 1, "must be true or false, got 1"),
        (("measured", "masking"), None, "measured.masking must be an object, got null"),
        (("measured", "explanation", "final", "risk"), {"value": 1.0},
         "measured.explanation.final.risk.standard_error is missing"),
        (("measured", "explanation", "final", "standard_errors", "r1"), "0",
         "standard_errors.r1 must be a number"),
        (("measured",), None, "measured must be an object in a run that is done, got null"),
        (("measured",), [], r"measured must be an object, got \[\]"),
        (("history",), {}, "history must be a list, got {}"),
        (("status",), "lost", "status must be done or failed, got 'lost'"),
        (("configuration", "seed"), "0", "configuration.seed must be a whole number, got '0'"),
        (("configuration", "seed"), True, "configuration.seed must be a whole number, got True"),
        (("configuration",), {"seed": 0}, "configuration.method must be a text, got null"),
        (("format",), 3, "its format is 3, and this version of vicinal reads 1 and 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_path(path, value, message):
    stored = record("erm", 0)
    put(stored, path, value)
    with pytest.raises(ValueError, match=message):
        Record.from_json(stored)


def test_long_values_are_cut_in_messages():
    with pytest.raises(ValueError, match=r"status must be done or failed, got 'a+\.\.\.\.$"):
        Record.from_json(record("erm", 0, status="a" * 99))


def test_the_door_takes_both_kinds():
    stored = [record("erm", s) for s in range(2)]
    typed = records(stored)
    assert [one.seed for one in typed] == [0, 1]
    assert records(typed) == typed
