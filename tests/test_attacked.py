"""What compare measures under attack: laws between its curves, resumption, units of progress."""

from dataclasses import replace

import pytest
import torch

import studies
from vicinal.report import comparison, terminal
from vicinal.report.pages import page
from vicinal.robustness import usual as attacked
from vicinal.robustness.attacks.adversarial import Adversarial
from vicinal.robustness.usual import named
from vicinal.study.measures import MEASURES

OPTIONS = {
    "model": None,
    "seeds": 1,
    "epochs": 2,
    "train_size": None,
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "attacks": "full",
}


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    for name, few in (
        ("robustness.attacks.apgd.STEPS", 20),
        ("robustness.attacks.fab.STEPS", 10),
        ("robustness.attacks.square.QUERIES", 30),
        ("robustness.signs.QUERIES", 30),
        ("robustness.signs.NOISES", 5),
    ):
        monkeypatch.setattr(f"vicinal.{name}", few)


def run(folder, data, methods=None, **options):
    plan = studies.planned(methods or {"erm": None}, folder, data=data, **(OPTIONS | options))
    units = []
    records = studies.execute(plan, advance=units.append, say=print)
    assert sum(units) == len(plan.runs) * (2 + MEASURES["full"])
    return records


def test_full_attacks_of_classes(tmp_path):
    methods = {"erm": None, "adversarial(eps=0.2)": Adversarial(0.2)}
    records = run(tmp_path, "iris", methods)
    for record in records:
        measured = record["measured"]
        curves = {(c["attack"], c["norm"]): c for c in measured["robustness"]}
        assert set(curves) == {(a, n) for a in ("fgsm", "pgd", "ensemble") for n in ("linf", "l2")}
        for norm in ("linf", "l2"):
            ensemble, pgd = curves["ensemble", norm], curves["pgd", norm]
            clean, point = ensemble["points"]
            weaker = {p["eps"]: p["accuracy"] for p in pgd["points"]}
            assert clean["accuracy"] == weaker[0.0] == measured["accuracy"]["test"]
            assert point["accuracy"] <= weaker[point["eps"]] < weaker[0.0]
            assert point["low"] < point["accuracy"] < point["high"]
            broken = sum(a["broken"] for a in ensemble["accounts"])
            robust = round(point["accuracy"] * ensemble["examples"])
            assert ensemble["accounts"][0]["tried"] - broken == robust
            assert ensemble["complete"]
        signs = measured["masking"]["signs"]
        assert measured["masking"]["failed"] == sum(not s["passed"] for s in signs.values())
        assert "black_box" in signs
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".json"]
    told = page.render(records)
    assert "Accuracy under worst case" in told
    assert "Signs of masked gradients" in told
    group = comparison.compare(records).groups[0]
    shown = terminal.table(group, wide=True)
    assert any("worst case" in str(column.header) for column in shown.columns)


def test_full_attacks_of_values(tmp_path):
    (record,) = run(tmp_path, "diabetes", train_size=60)
    curves = {(c["attack"], c["norm"]): c["points"] for c in record["measured"]["robust_rmse"]}
    for norm in ("linf", "l2"):
        for strong, weak in zip(curves["apgd", norm], curves["pgd", norm], strict=True):
            assert strong["eps"] == weak["eps"]
            assert strong["rmse"] >= 0.99 * weak["rmse"]
        rising = [p["rmse"] for p in curves["apgd", norm]]
        assert rising == sorted(rising)
        assert rising[-1] > rising[0]


def test_a_killed_ensemble_goes_on(tmp_path, monkeypatch):
    (whole,) = run(tmp_path / "whole", "iris")
    real, stops = attacked.worst_case, []

    def killed(*args, **options):
        def stop(share, left):
            if len(stops) < 2:
                stops.append(share)
                raise KeyboardInterrupt

        return real(*args, progress=stop, **options)

    monkeypatch.setattr("vicinal.robustness.usual.worst_case", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "again", "iris")
        assert any(p.name.endswith(".linf.attack") for p in (tmp_path / "again").iterdir())
    (again,) = run(tmp_path / "again", "iris")
    assert stops[0] < stops[1]  # the second began where the first was
    bare = lambda r: [
        {k: v for k, v in c.items() if k != "accounts"} for c in r["measured"]["robustness"]
    ]
    assert bare(again) == bare(whole)
    assert [p.suffix for p in (tmp_path / "again").iterdir()] == [".json"]


def test_fast_runs_have_other_names_and_no_ensemble(tmp_path):
    plans = [
        studies.planned({"erm": None}, tmp_path, data="iris", **(OPTIONS | {"attacks": a}))
        for a in ("fast", "full")
    ]
    first, second = (p.runs[0].name for p in plans)
    assert first != second


def test_no_sign_can_be_looked_for_in_a_model_that_is_always_wrong(tmp_path):
    from vicinal.data import Part, load

    split = load("iris", 0)
    model = torch.nn.Linear(4, 3)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([0.0, 2.0, 0.0]))
    kept = split.test.y != 1
    test = Part(*(v[kept] for v in vars(split.test).values()))
    wrong = replace(split, test=test)
    found = attacked.attacked(model, wrong, 0, True, tmp_path / "x")
    assert "masking" not in found
    assert [c["points"][-1]["accuracy"] for c in found["robustness"]] == [0.0] * 6


def test_the_named_size_is_the_middle_one():
    assert named((0.0, 0.1, 0.2, 0.3, 0.4)) == 0.2
    assert named((0.3, 0.1, 0.2)) == 0.2
