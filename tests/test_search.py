"""The search: on validation data alone, going on where it was, and the cost that it tells."""

import json
import math
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import iris
import studies
from vicinal import cli
from vicinal.data import load
from vicinal.study import configuration, search
from vicinal.study import run as runs
from vicinal.study.methods import parse_methods, searched, with_strength

OPTIONS = iris.OPTIONS | {"together": 8}


def build(text, alpha):
    return next(iter(parse_methods([with_strength(text, alpha)]).items()))


def searching(folder, methods=("erm", "mixup"), *, metric=None, trials=4, seed=0, **options):
    planned = partial(studies.planned, folder=folder, **(OPTIONS | options))
    return search.search(
        {text: searched(text) for text in methods},
        build,
        lambda strategies, part: planned(strategies, measured_on=part),
        lambda plan: studies.execute(plan, advance=lambda _: None, say=lambda _: None),
        metric=metric,
        trials=trials,
        seed=seed,
    )


def without_times(found):
    return {key: value for key, value in found.to_json().items() if key != "seconds"}


def test_the_test_part_is_used_once_and_decides_nothing(tmp_path, monkeypatch):
    """Another test part, the same search, and other numbers for the test alone."""
    found = searching(tmp_path / "a")
    original = configuration.split

    def scrambled(*arguments, **named):
        split = original(*arguments, **named)
        wrong = replace(split.test, y=(split.test.y + 1) % split.classes)
        return replace(split, test=wrong)

    monkeypatch.setattr(configuration, "split", scrambled)
    other = searching(tmp_path / "b")
    assert [replace(t, seconds=0) for t in found.trials] == [
        replace(t, seconds=0) for t in other.trials
    ]
    assert found.test != other.test
    tested = [
        r
        for path in (tmp_path / "a").glob("*.json")
        if (r := json.loads(path.read_text()))["configuration"]["measured_on"] == "test"
    ]
    methods = {r["configuration"]["method"] for r in tested}
    assert methods == {"erm", found.best.method}
    assert found.trainings["test"] == len(tested) == 2 * len(methods)


def test_a_score_is_the_accuracy_on_the_validation_part(tmp_path, monkeypatch):
    kept, original = {}, runs._measured

    def keep(ended, where):
        kept[ended.run.seed] = ended.model
        return original(ended, where)

    monkeypatch.setattr(runs, "_measured", keep)
    plan = studies.planned({"erm": None}, tmp_path, measured_on="validation", **OPTIONS)
    records = studies.execute(plan, advance=lambda _: None, say=lambda _: None)
    for seed, record in enumerate(records):
        part = load("iris", seed).validation
        with torch.no_grad():
            right = kept[seed](part.x).argmax(-1) == part.y
        assert record["measured"]["accuracy"]["validation"] == pytest.approx(
            float(right.double().mean())
        )
        assert record["data"]["examples"]["test"] == len(part)


def test_the_same_search_again_trains_nothing(tmp_path, monkeypatch):
    first = searching(tmp_path)
    assert first.trainings["search"] == 2 * len({t.method for t in first.trials} | {"erm"})
    monkeypatch.setattr(runs, "_fresh", None)
    assert without_times(searching(tmp_path)) == without_times(first)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return studies.planned({"erm": None}, tmp_path_factory.mktemp("none"), **OPTIONS)


def made_up(template, score):
    """A plan and what becomes of it, for methods whose score is a function of their strength."""

    def plan(strategies, part):
        names = [(run, name) for run in template.runs for name in strategies]
        planned = [replace(run, method=name, measured_on=part) for run, name in names]
        return replace(template, runs=tuple(planned))

    def execute(plan):
        return [
            {
                "status": "failed" if (value := score(run.method, run.seed)) is None else "done",
                "configuration": {"method": run.method},
                "measured": {
                    "loss": {run.measured_on: value},
                    "accuracy": {run.measured_on: value},
                },
                "seconds": {"training": 0.5},
            }
            for run in plan.runs
        ]

    return plan, execute


def strength(method):
    return float(method[len("mixup(alpha=") : -1])


@pytest.fixture
def sought(template):
    def sought(score, *, trials=25, metric="loss", methods=("erm", "mixup"), seed=0):
        kinds = {text: searched(text) for text in methods}
        plan, execute = made_up(template, score)
        return search.search(kinds, build, plan, execute, metric=metric, trials=trials, seed=seed)

    return sought


def bowl(method, seed):
    return 1.0 if method == "erm" else abs(math.log(strength(method) / 0.5)) + 0.1 * seed


@pytest.mark.parametrize("seed", [0, 1])
def test_it_finds_the_strength_with_the_lowest_mean_loss(sought, seed):
    found = sought(bowl, seed=seed)
    assert abs(math.log(strength(found.best.method) / 0.5)) < 0.25
    assert found.best.score == pytest.approx(np.mean(found.best.scores))
    scores = [trial.score for trial in found.trials]
    assert scores == sorted(scores)
    assert found.seconds["search"] == 1.0 * (found.trainings["search"] / 2)


def test_higher_accuracy_is_better_and_other_seeds_try_others(sought):
    found = sought(lambda m, s: -bowl(m, s), metric="accuracy")
    assert abs(math.log(strength(found.best.method) / 0.5)) < 0.25
    other = sought(lambda m, s: -bowl(m, s), metric="accuracy", seed=7)
    assert {t.method for t in found.trials} != {t.method for t in other.trials}


def test_optimism_is_what_choosing_adds(template):
    """Strengths that are all alike but for noise in the validation score."""

    def noise(method, seed):
        return 0.0 if method == "erm" else float(np.sin(1e3 * strength(method) + seed))

    parts = {}

    def score(method, seed):
        return parts["validation"](method, seed)

    parts["validation"] = noise
    plan, execute = made_up(template, score)

    def tested(planned):
        if planned.runs[0].measured_on == "test":
            parts["validation"] = lambda method, seed: 0.0
        return execute(planned)

    kinds = {"erm": False, "mixup": True}
    found = search.search(kinds, build, plan, tested, metric="accuracy", trials=20, seed=0)
    assert found.test == found.plain_test == (0.0, 0.0)
    assert found.optimism == pytest.approx(found.best.score)
    assert found.optimism > 0.5
    assert found.plain_optimism == 0.0
    assert found.gain.mean == 0.0


def test_methods_that_cannot_be_trained_are_told(sought):
    def score(method, seed):
        return None if method != "erm" and strength(method) > 1 else bowl(method, seed)

    found = sought(score, trials=15)
    assert found.failed
    assert all(strength(method) > 1 for method in found.failed)
    with pytest.raises(ValueError, match="none of the .* could be trained"):
        sought(lambda method, seed: None, trials=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ()}, "at least one method"),
        ({"methods": ("cutmix",)}, "CutMix takes signals"),
        ({"data": "diabetes", "metric": "accuracy"}, "which have no accuracy"),
        ({"seeds": 0}, "seeds must be at least 1"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        searching(tmp_path, **options)
    assert not list(tmp_path.glob("*.json"))


def test_without_optuna_it_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"pip install 'vicinal\[tune\]'"):
        searching(tmp_path)


def test_strengths_that_are_given_are_not_searched():
    assert searched("mixup")
    assert searched("mixup(stop=0.5)")
    assert not searched("mixup(alpha=1)")
    assert not searched("erm")
    assert with_strength("mixup(stop=0.5)", 0.31) == "mixup(stop=0.5, alpha=0.31)"
    assert list(parse_methods([with_strength("cutmix", 0.5)])) == ["cutmix(alpha=0.5)"]
    with pytest.raises(ValueError, match="Did you mean mixup"):
        searched("mixpu")


def test_the_command_prints_a_table_and_writes_json(capsys, tmp_path):
    tokens = ["tune", "iris", "--model", "linear", "--epochs", "2", "--seeds", "2"]
    with pytest.raises(SystemExit) as caught:
        cli.app.meta([*tokens, "--trials", "3", "--out", str(tmp_path)])
    assert not caught.value.code
    out, err = capsys.readouterr()
    said = err.splitlines()
    assert len(said) == len(set(said))  # of the data once, not at every trial
    found = json.loads((tmp_path / "tune.json").read_text())
    best = found["trials"][0]["method"]
    assert f"Chosen on validation data: {best}." in out
    assert "looked at once" in out
    assert f"Cost: {found['trainings']['search']} trainings for the search" in out
