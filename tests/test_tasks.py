"""What targets are taken for, and studies of several labels, several values, and one logit."""

import json
import sys
import textwrap

import numpy as np
import pytest
import torch
from sklearn import metrics

import studies
from vicinal.cli import app
from vicinal.data import load, read
from vicinal.data.raw import checked
from vicinal.data.targets import targets
from vicinal.mixing.mixup import Mixup
from vicinal.models.named import build_model
from vicinal.report import render
from vicinal.study.options import Recipe
from vicinal.study.training.loop import Member, train

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 4))
WEIGHTS = RNG.normal(size=(4, 3))
VALUES = X @ WEIGHTS + 0.3 * RNG.normal(size=(160, 3))
LABELS = (VALUES > 0.5).astype(int)
IDS = np.arange(160) % 3

METHODS = {"erm": None, "mixup(alpha=1)": Mixup(1.0)}
OPTIONS = {
    "model": "mlp",
    "seeds": 1,
    "epochs": 3,
    "train_size": None,
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
}


@pytest.mark.parametrize(
    ("y", "task", "told"),
    [
        (IDS, None, "3 classes (ids 0–2)."),
        (3 * IDS + 5, None, "3 classes (5 = 0, 8 = 1, 11 = 2)."),
        (np.array(["owl", "cat"] * 80), None, "2 classes (cat = 0, owl = 1)."),
        (np.array(["owl", "cat"] * 80), "binary", "2 classes (cat = 0, owl = 1), one logit (bin"),
        (IDS == 1, None, "2 classes (False = 0, True = 1)."),
        (np.arange(160) % 30, None, "30 classes (ids 0–29). If these numbers are values, pass"),
        (np.arange(160) % 30, "regression", "values from 0 to 29 (regression)."),
        (np.array(["5", "2.5"] * 80), "regression", "values from 2.5 to 5 (regression)."),
        (VALUES[:, 0].round() / 2 + 7, None, "values from"),
        (IDS.astype(float), None, "values from 0 to 2 (regression). All are whole numbers: if"),
        (IDS.astype(float), "classification", "3 classes (ids 0–2)."),
        (VALUES, None, "3 values for each example (regression): 0, 1, 2."),
        (LABELS, None, "3 labels, each on or off (multi-label): 0, 1, 2."),
        (LABELS.astype(float), None, "3 labels, each on or off (multi-label): 0, 1, 2."),
        (np.eye(3)[IDS], None, "(multi-label): 0, 1, 2. Each example has exactly one: if these"),
        (np.eye(3)[IDS], "classification", "3 classes (ids 0–2)."),
        (
            LABELS.repeat(4, 1),
            None,
            "12 labels, each on or off (multi-label): 0, 1, 2, 3, 4, … 11.",
        ),
    ],
)
def test_what_targets_are_is_found_and_said(y, task, told):
    raw = checked("data", X, y, task=task)
    assert told in raw.told
    assert raw.told.startswith("Targets: ")


def test_told_otherwise_the_numbers_stay_the_same():
    assert np.array_equal(targets("data", np.eye(3)[IDS], "classification").y, IDS)
    assert np.array_equal(targets("data", IDS.astype(float), "classification").y, IDS)
    assert np.array_equal(targets("data", IDS * 7, "regression").y, IDS * 7.0)


@pytest.mark.parametrize(
    ("y", "task", "rule"),
    [
        (LABELS * 2, None, "neither labels nor plainly values. If they are values, pass --task re"),
        (LABELS * [1, 1, 0], None, "every label must be on in 4 .* too few or too many: 2 .0."),
        (IDS, "multilabel", r"must have shape \(n, labels\) and be 0 or 1"),
        (IDS, "binary", "has 3 classes; --task binary needs two"),
        (VALUES, "classification", "one id or name for each example, or one-hot rows"),
        (VALUES[:, 0], "classification", "classes must be whole numbers or texts"),
        (np.array(["a", "b"] * 80), "regression", "targets must be numbers to be values, got a"),
        (abs(VALUES) * [1, 0, 1], None, "all targets of 1 are 0; there is nothing to learn"),
        (np.where(LABELS, np.nan, 1.0), None, "needs a finite target"),
        (np.arange(160), None, "every class needs 4 .* If the targets are values, pass --task reg"),
    ],
)
def test_targets_that_cannot_be_that(y, task, rule):
    with pytest.raises(ValueError, match=rule):
        checked("data", X, y, task=task)


def test_columns_of_a_table_as_labels(tmp_path):
    header = ["a", "rain", "b", "snow"]
    rows = zip(X[:, 0], LABELS[:, 0], X[:, 1], LABELS[:, 1], strict=True)
    file = tmp_path / "weather.csv"
    file.write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]))
    raw = read(str(file), "snow, rain")
    assert (raw.task, raw.labels, raw.features) == ("multilabel", ("snow", "rain"), ("a", "b"))
    assert np.array_equal(raw.y, LABELS[:, [1, 0]])
    split = load(str(file), 0, target="snow, rain")
    assert (split.outputs, split.classes, split.family.name) == (2, 0, "bernoullis")
    for target, rule in (
        ("rain,snwo", "no column 'snwo'. Did you mean snow"),
        ("rain,rain", "names a column twice"),
        ("a,b,rain,snow", "all its columns are targets"),
    ):
        with pytest.raises(ValueError, match=rule):
            read(str(file), target)


def test_built_in_sets_keep_their_task():
    assert load("breast_cancer", 0, task="binary").family.name == "bernoulli"
    with pytest.raises(ValueError, match="digits is a data set for classification. Leave out"):
        read("digits", None, "regression")


def study_of(data, folder, **options):
    """The records of a study, and for its first run the split and its model, trained again."""
    plan = studies.planned(METHODS, folder / "runs", data=data, **(OPTIONS | options))
    records = studies.execute(plan, advance=lambda units: None, say=lambda sentence: None)
    run = plan.runs[0]
    split = load(data, 0, task=run.source.task)
    model = build_model(run.model, split, 0)
    train(
        [Member("again", model, None, split.train.x, split.train.y, 0, lambda epoch: {})],
        split.family, Recipe(epochs=3, batch_size=16, learning_rate=0.01, weight_decay=0.01),
        checkpoint=folder / "again", progress=lambda: None,
    )  # fmt: skip
    return records, split, model


def test_a_study_of_several_labels_against_scikit_learn(tmp_path):
    np.savez(tmp_path / "labels.npz", x=X, y=LABELS)
    records, split, model = study_of(str(tmp_path / "labels.npz"), tmp_path)
    measured = records[0]["measured"]
    with torch.no_grad():
        logits = model(split.test.x).double().numpy()
    y, p = split.test.y.numpy(), 1 / (1 + np.exp(-logits))
    assert measured["accuracy"]["test"] == pytest.approx(metrics.accuracy_score(y, p > 0.5))
    assert measured["labels_right"] == pytest.approx(1 - metrics.hamming_loss(y, p > 0.5))
    precision = metrics.average_precision_score(y, p, average="macro")
    assert measured["average_precision"] == pytest.approx(precision)
    nll = metrics.log_loss(y.ravel(), p.ravel())
    assert measured["calibration"]["before"]["nll"] == pytest.approx(nll, rel=1e-6)
    assert measured["calibration"]["after"]["nll"] < nll
    assert measured["loss"]["test"] == pytest.approx(3 * nll, rel=1e-5)  # the sum over labels
    for k, one in enumerate(measured["labels"]):
        assert one["nll"] == pytest.approx(metrics.log_loss(y[:, k], p[:, k]), rel=1e-6)
        assert one["on"] == pytest.approx(y[:, k].mean())
        assert one["accuracy"] == pytest.approx(((p[:, k] > 0.5) == y[:, k]).mean())
    curve = next(c for c in measured["robustness"] if (c["attack"], c["norm"]) == ("pgd", "linf"))
    shares = [point["accuracy"] for point in curve["points"]]
    assert shares[0] == pytest.approx(measured["accuracy"]["test"])
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.8 * shares[0]
    terms = measured["explanation"]["final"]
    assert abs(terms["remainder"]) < 0.5 * terms["risk"]["value"]
    page = render(records)
    assert "Test accuracy, all labels right" in page
    assert "Average precision, mean over labels" in page
    assert "Label by label" in page


def test_the_report_pairs_labels_over_seeds():
    """By hand: the differences of average precision are 10 and 20 points."""
    from runs import record
    from vicinal.report.comparison import compare
    from vicinal.report.figures.chosen import finished
    from vicinal.report.figures.labels import by_label

    def of(method, seed, precision):
        one = {"label": "rain", "on": 0.25, "accuracy": 0.8, "average_precision": precision}
        made = record(method, seed)
        made["measured"]["labels"] = [one | {"ece": 0.1, "nll": 0.5}]
        return made

    records = [of("erm", 0, 0.4), of("erm", 1, 0.5), of("mixup", 0, 0.5), of("mixup", 1, 0.7)]
    (group,) = compare(records).groups
    figure = by_label(group, finished(group, records), ())
    half = 12.706204736 * 50**0.5 / 2**0.5  # Student's factor times the standard error
    lines = dict(zip(("erm", "mixup"), figure.table.rows, strict=True))
    assert lines["erm"][:5] == ("rain", "erm", "25.0", "45.0 ± 7.1", "baseline")
    assert lines["mixup"][4] == f"+15.0 [−{half - 15:.1f}, +{half + 15:.1f}]"
    assert by_label(group, finished(group, [record("erm", 0)]), ()) is None


def test_a_study_of_several_values_against_scikit_learn(tmp_path):
    np.savez(tmp_path / "values.npz", x=X, y=VALUES * [1, 100, 1])
    records, split, model = study_of(str(tmp_path / "values.npz"), tmp_path)
    measured = records[0]["measured"]
    assert (split.unit, split.outputs, split.family.name) == (1.0, 3, "gaussians")
    torch.testing.assert_close(split.train.y.std(0, correction=0), torch.ones(3))
    with torch.no_grad():
        f = model(split.test.x).numpy()
    y = split.test.y.numpy()
    assert measured["rmse"] == pytest.approx(metrics.mean_squared_error(y, f) ** 0.5, rel=1e-5)
    assert measured["r2"] == pytest.approx(metrics.r2_score(y, f), rel=1e-5)
    assert measured["mae"] == pytest.approx(metrics.mean_absolute_error(y, f), rel=1e-5)
    assert measured["loss"]["test"] == pytest.approx(((f - y) ** 2).sum(1).mean() / 2, rel=1e-5)
    clean, *attacked = (p["rmse"] for p in measured["robust_rmse"][1]["points"])
    assert clean == pytest.approx(measured["rmse"], rel=1e-6)
    assert attacked == sorted(attacked)
    assert attacked[-1] > 1.1 * clean
    assert "in standard deviations" in render(records)


@pytest.fixture
def one_logit(tmp_path, monkeypatch):
    code = "from torch import nn\ndef made(): return nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))"
    (tmp_path / "one_logit.py").write_text(textwrap.dedent(code))
    monkeypatch.chdir(tmp_path)
    yield "one_logit:made"
    sys.modules.pop("one_logit", None)


def test_a_model_of_one_output_makes_two_classes_binary(tmp_path, one_logit):
    np.savez(tmp_path / "two.npz", x=X, y=LABELS[:, 0])
    records, split, model = study_of("two.npz", tmp_path, model=one_logit)
    measured = records[0]["measured"]
    assert (records[0]["data"]["task"], split.family.name) == ("binary", "bernoulli")
    with torch.no_grad():
        p = model(split.test.x).double().sigmoid().numpy()
    y = split.test.y.numpy()
    assert measured["accuracy"]["test"] == pytest.approx(((p > 0.5) == y).mean())
    before = measured["calibration"]["before"]
    assert before["nll"] == pytest.approx(metrics.log_loss(y, p), rel=1e-6)
    assert before["signed_gap"] == pytest.approx(
        np.maximum(p, 1 - p).mean() - ((p > 0.5) == y).mean(), abs=1e-6
    )
    assert measured["bound"]["factors"]["n"] == len(split.train)
    assert measured["hardest"][0]["loss"] == pytest.approx(
        -np.log(np.where(y == 1, p, 1 - p).min()), rel=1e-5
    )
    assert measured["hardest"][0]["label"] in (0, 1)


def command(*arguments):
    with pytest.raises(SystemExit) as stopped:
        app.meta(arguments, exit_on_error=False)
    return stopped.value.code


FAMILIES = {"binary": "bernoulli", "regression": "gaussian"}


@pytest.mark.parametrize(
    ("name", "file", "tasks", "options"),
    [
        ("explain", "explanation.json", ["binary"], ["--pairs", "40", "--alphas", "1"]),
        ("audit", "audit.json", ["regression"], ["--attacks", "fast", "--examples", "4"]),
    ],
)
def test_trained_models_are_measured_on_the_task_they_are_told(
    tmp_path, name, file, tasks, options, capsys
):
    """The same whole numbers as two classes with one logit, and as values; and a contradiction."""
    np.savez(tmp_path / "two.npz", x=X, y=LABELS[:, 0])
    data = str(tmp_path / "two.npz")
    for task in tasks:
        split = load(data, 0, task=task)
        state = build_model("linear", split, 0).state_dict()
        torch.save(state, tmp_path / "weights.pt")
        given = [str(tmp_path / "weights.pt"), "--data", data, "--architecture", "linear"]
        given += ["--task", task, "--out", str(tmp_path / "out"), *options]
        assert command(name, *given) in (0, None)
        settings = json.loads((tmp_path / "out" / file).read_text())["settings"]
        assert (settings["task"], settings["family"]) == (task, FAMILIES[task])
    assert command(name, *given, "--family", "bernoullis") == 2
    assert f"is for multilabel, not for {task}" in capsys.readouterr().err
