"""A study end to end on small data: pairing, records, reuse, damage, divergence."""

import json

import numpy as np
import pytest
import torch

import studies
from vicinal.calibration import calibration
from vicinal.data import load
from vicinal.explanation.risk import vicinal_risk
from vicinal.explanation.terms import expand
from vicinal.maths.losses import categorical
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.mixup import Mixup
from vicinal.models.reference import MODELS, Standardise
from vicinal.report import render
from vicinal.robustness import accuracy_curve
from vicinal.study import measures as measurement
from vicinal.study import run as runs
from vicinal.study import store

METHODS = {"erm": None, "mixup(alpha=1)": Mixup(1.0)}
OPTIONS = {
    "data": "wine",
    "model": None,
    "seeds": 2,
    "epochs": 3,
    "train_size": None,
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
}


def execute(folder, methods=METHODS, said=None, **options):
    plan = studies.planned(methods, folder, **(OPTIONS | options))
    units, told, said = [], [], [] if said is None else said
    records = studies.execute(plan, advance=units.append, say=told.append)
    assert told[0].startswith("Targets: ")
    said += told[len(plan.notes) :]
    assert sum(units) == sum(run.units for run in plan.runs)
    return records


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return folder, execute(folder)


def numbers(record):
    return {key: value for key, value in record.items() if key != "seconds"}


def test_methods_of_one_seed_share_split_and_initial_weights(finished):
    _, records = finished
    by = {(r["configuration"]["method"], r["configuration"]["seed"]): r for r in records}
    for seed in (0, 1):
        erm, mixup = (by[method, seed]["measured"]["explanation"] for method in METHODS)
        assert erm["initial"] == mixup["initial"]
        assert erm["final"] != mixup["final"]
    first, second = (by["erm", seed]["measured"]["explanation"]["initial"] for seed in (0, 1))
    assert first != second


def test_records_are_what_is_stored_and_nothing_else_is_left(finished):
    folder, records = finished
    assert {path.name for path in folder.iterdir()} == {f"{r['name']}.json" for r in records}
    for record in records:
        assert store.read(folder / f"{record['name']}.json") == record
        assert [row["epoch"] for row in record["history"]] == [1, 2, 3]
        json.dumps(record, allow_nan=False)


def test_measurements_are_those_of_the_functions(finished, monkeypatch, tmp_path):
    """Train again, keep the model, and measure it here with the public functions."""
    kept = {}
    original = runs.measure

    def keep(model, *arguments):
        kept.setdefault("model", model)
        return original(model, *arguments)

    monkeypatch.setattr(runs, "measure", keep)
    record, *_ = execute(tmp_path)
    assert numbers(record) == numbers(finished[1][0])
    model, measured = kept["model"], record["measured"]
    split = load("wine", 0)
    with torch.no_grad():
        test, train = model(split.test.x), model(split.train.x)
    truth = calibration(test, split.test.y)
    assert measured["calibration"]["before"]["ece"] == truth.ece
    assert measured["calibration"]["before"]["bins"][14]["count"] == truth.bins[14].count
    scaled = calibration(test / measured["temperature"], split.test.y)
    assert measured["calibration"]["after"]["nll"] == scaled.nll
    train_loss = float(categorical(train, split.train.y).double().mean())
    assert measured["gap"]["loss"] == pytest.approx(truth.nll - train_loss, abs=1e-6)
    final = measured["explanation"]["final"]
    exact = expand(model, split.train.x, split.train.y, measurement.LAW, categorical)
    for name in ("r2", "r3", "total"):
        error = max(final["standard_errors"][name], 1e-9)
        assert abs(final[name] - getattr(exact, name)) < 5 * error
    assert final["r1"] == pytest.approx(exact.r1, rel=1e-5)
    risk = vicinal_risk(
        model,
        split.train.x,
        split.train.y,
        measurement.LAW,
        categorical,
        pairs=50_000,
        rng=np.random.default_rng(0),
    )
    both = (risk.standard_error**2 + final["risk"]["standard_error"] ** 2) ** 0.5
    assert abs(final["risk"]["value"] - risk.value) < 5 * both
    assert final["remainder"] == pytest.approx(final["risk"]["value"] - final["total"])
    curve = next(c for c in measured["robustness"] if (c["attack"], c["norm"]) == ("fgsm", "l2"))
    epsilons = [point["eps"] for point in curve["points"]]
    again = accuracy_curve(
        model, split.test.x, split.test.y, epsilons, attack="fgsm", norm="l2", bounds=None
    )
    assert [p["accuracy"] for p in curve["points"]] == [p.accuracy for p in again.points]
    assert epsilons[0] == 0
    assert curve["points"][0]["accuracy"] == truth.accuracy


def test_terms_are_followed_over_training(tmp_path):
    """The last ones are those of the trained model; training is not disturbed."""
    record, plain = (
        execute(tmp_path, {"erm": None}, seeds=1, epochs=3, explain_every=every)[0]
        for every in (2, 0)
    )
    found = [row.get("terms_r1") for row in record["history"]]
    assert [value is not None for value in found] == [False, True, False]
    for row, other in zip(record["history"], plain["history"], strict=True):
        assert {k: v for k, v in row.items() if not k.startswith("terms_")} == other
    assert record["measured"] == plain["measured"]
    row = record["history"][1]
    parts = sum(row[f"terms_{name}"] for name in ("loss", "r1", "r2", "r3", "remainder"))
    assert row["terms_risk"] == pytest.approx(parts)
    assert row["terms_loss"] == pytest.approx(row["train_loss"], rel=1e-5)
    page = render([record])
    assert "What mixing adds, over training" in page
    assert "What mixing adds, over training" not in render([plain])


def test_stored_runs_are_reused_and_damaged_ones_run_again(finished, tmp_path, monkeypatch):
    folder, records = finished
    for path in folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    damaged = tmp_path / f"{records[1]['name']}.json"
    damaged.write_text(damaged.read_text()[:100])
    ran, original, said = [], runs.measure, []
    monkeypatch.setattr(runs, "measure", lambda *a: ran.append(a) or original(*a))
    again = execute(tmp_path, said=said)
    assert len(ran) == 1
    assert [numbers(r) for r in again] == [numbers(r) for r in records]
    assert len(said) == 1
    assert "set aside as" in said[0]
    assert len(list(tmp_path.glob("*.unreadable-1"))) == 1


def test_a_run_that_diverges_is_stored_as_failed_and_the_others_go_on(tmp_path):
    class Poisoned:
        """Mixup whose third draw makes the loss infinite."""

        def __init__(self):
            self.calls = 0

        def __call__(self, x, y, rng):
            draw = Mixup(1.0)(x, y, rng)
            self.calls += 1
            if self.calls > 10:
                draw.share[:] = float("nan")
            return draw

    records = execute(tmp_path, {"poisoned": Poisoned(), "erm": None}, seeds=1)
    failed, fine = records
    assert failed["status"] == "failed"
    assert failed["failure"]["epoch"] == 2
    assert failed["measured"] is None
    assert len(failed["history"]) == 1
    assert fine["status"] == "done"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"explain_every": -1}, "explain_every must be 0"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"train_size": 1000}, r"train_size=1000 is not in 3..88"),
        ({"model": "cnn"}, "cnn needs images"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        studies.planned(METHODS, tmp_path / "runs", **(OPTIONS | options))
    assert not list(tmp_path.iterdir())


def test_a_method_that_cannot_mix_the_data_is_refused_beforehand(tmp_path):
    with pytest.raises(ValueError, match="cutmix cannot train on wine: CutMix takes signals"):
        studies.planned({"cutmix": CutMix()}, tmp_path / "runs", **OPTIONS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", MODELS)
def test_models_take_images_and_give_logits_of_inputs_in_raw_units(name):
    body = MODELS[name]((1, 5, 7), 4)
    x = torch.rand(3, 1, 5, 7)
    assert body(x).shape == (3, 4)
    standardised = torch.nn.Sequential(Standardise(0.25, 0.5), body)
    torch.testing.assert_close(standardised(x), body((x - 0.25) / 0.5))


def test_values_are_measured_in_their_units(tmp_path):
    """Train again on values, keep the model, and measure errors with scikit-learn."""
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    from vicinal.models.named import build_model
    from vicinal.study.options import Recipe
    from vicinal.study.training.loop import Member, train

    (record,) = execute(tmp_path, {"mixup": Mixup(1.0)}, data="diabetes", seeds=1)
    split = load("diabetes", 0)
    model = build_model("mlp", split, 0)
    train(
        [Member("again", model, Mixup(1.0), split.train.x, split.train.y, 0, lambda epoch: {})],
        split.family, Recipe(epochs=3, batch_size=16, learning_rate=0.01, weight_decay=0.01),
        checkpoint=tmp_path / "again", progress=lambda: None,
    )  # fmt: skip
    with torch.no_grad():
        predicted = split.unit * model(split.test.x)[:, 0].double().numpy()
    y = split.unit * split.test.y.double().numpy()
    measured = record["measured"]
    assert measured["rmse"] == pytest.approx(root_mean_squared_error(y, predicted), rel=1e-6)
    assert measured["mae"] == pytest.approx(mean_absolute_error(y, predicted), rel=1e-6)
    assert measured["r2"] == pytest.approx(r2_score(y, predicted), rel=1e-6)
    half = np.mean((y - predicted) ** 2) / 2 / split.unit**2
    assert record["history"][-1]["test_loss"] == pytest.approx(half, rel=1e-5)
    clean, *attacked = (p["rmse"] for p in measured["robust_rmse"][1]["points"])
    assert clean == pytest.approx(measured["rmse"], rel=1e-6)
    assert attacked == sorted(attacked)
    assert attacked[-1] > 1.1 * clean
    assert "accuracy" not in measured
    page = render([record])
    assert "Test RMSE" in page
    assert "Test accuracy" not in page


def test_linear_models_of_one_output_are_bounded(tmp_path, finished):
    (record,) = execute(tmp_path, {"erm": None}, data="breast_cancer", model="linear", seeds=1)
    bound = record["measured"]["bound"]
    assert bound["factors"]["n"] == len(load("breast_cancer", 0).train)
    assert bound["train_loss"] == pytest.approx(record["measured"]["loss"]["train"], rel=1e-5)
    assert bound["vacuous"]
    assert "bound" not in finished[1][0]["measured"]  # three classes
