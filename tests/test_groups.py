"""Which runs are trained together: those for which it was tried, and makes no difference."""

import sys

import pytest
from torch import nn

import studies
from vicinal.mixing.choice import During
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.hidden import ManifoldMixup
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.mixupe import MixupE
from vicinal.mixing.regmixup import RegMixup
from vicinal.study import together as groups

OPTIONS = {
    "data": "digits",
    "seeds": 2,
    "epochs": 1,
    "train_size": 100,
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
}


def planned(tmp_path, strategies, model="linear", **options):
    return studies.planned(strategies, tmp_path, model=model, **(OPTIONS | options))


def notes(plan):
    """What is said of the groups, after the targets."""
    assert plan.notes[0] == "Targets: 10 classes (ids 0–9)."
    return plan.notes[1:]


def names(plan):
    return [[(run.method, run.seed) for run in group] for group in plan.groups]


def test_plain_methods_share_a_group_and_others_have_their_own(tmp_path):
    methods = {
        "erm": None,
        "regmixup": RegMixup(),
        "cutmix": CutMix(),
        "during": During(Mixup(1.0), stop=0.5),
    }
    plain = [(method, seed) for seed in (0, 1) for method in ("erm", "cutmix", "during")]
    found = planned(tmp_path, methods)
    assert names(found) == [plain, [("regmixup", 0), ("regmixup", 1)]]
    assert notes(found) == (
        "erm, cutmix, during, regmixup: trained together, up to 6 runs as one stack of models.",
    )


def test_methods_that_differ_when_stacked_are_trained_run_by_run(tmp_path):
    """MixupE looks at the mean of the batch, Manifold Mixup at a layer of its own."""
    methods = {"erm": None, "mixupe": MixupE(eta=1e-6), "manifold": ManifoldMixup()}
    found = planned(tmp_path, methods, model="mlp")
    assert names(found) == [
        [("erm", 0), ("erm", 1)],
        *[[(method, seed)] for seed in (0, 1) for method in ("mixupe", "manifold")],
    ]
    together, manifold, mixupe = sorted(notes(found))
    assert together == "erm: trained together, up to 2 runs as one stack of models."
    assert "mixupe: trained run by run, because examples of one batch act on" in mixupe
    assert "manifold: trained run by run, because its draws differ" in manifold


def dropout(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, outputs))


def looks(shape, outputs):
    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, outputs)

        def forward(self, x):
            return self.layer(x.flatten(1) if x.sum() > 0 else -x.flatten(1))

    return Looks()


@pytest.mark.parametrize(("factory", "reason"), [(dropout, "random"), (looks, "torch cannot")])
def test_models_that_cannot_be_stacked_are_trained_run_by_run_with_the_reason(
    factory, reason, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "someones", sys.modules[__name__])
    name = f"someones:{factory.__name__}"
    found = planned(tmp_path, {"erm": None, "mixup": Mixup()}, model=name)
    assert [len(group) for group in found.groups] == [1, 1, 1, 1]
    (note,) = notes(found)
    assert note.startswith("erm, mixup: trained run by run, because")
    assert reason in note


def test_groups_follow_from_the_plan_and_keep_to_the_limit(tmp_path):
    methods = {"erm": None, "mixup": Mixup()}
    sizes = [
        [len(group) for group in planned(tmp_path, methods, seeds=5, together=n).groups]
        for n in (1, 4, 8, 100)
    ]
    assert sizes == [[1] * 10, [4, 4, 2], [5, 5], [10]]


def test_models_that_keep_a_core_busy_are_trained_run_by_run(tmp_path, monkeypatch):
    """A linear model of 64 inputs and 10 classes, a batch of 16: 2 · 16 · 64 · 10 operations."""
    for most, sizes in ((20480, [2]), (20479, [1, 1])):
        monkeypatch.setattr(groups, "PAYS", most)
        found = planned(tmp_path, {"erm": None})
        assert [len(group) for group in found.groups] == sizes
        (note,) = notes(found)
        assert ("a batch takes the model 2.0e+04 floating-point operations" in note) == (
            most < 20480
        )


def test_together_must_be_a_number_of_runs(tmp_path):
    with pytest.raises(ValueError, match="together must be at least 1, got 0"):
        planned(tmp_path, {"erm": None}, together=0)


def norm(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, outputs))


def test_a_last_batch_too_small_for_the_model_is_told_beforehand(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "someones", sys.modules[__name__])
    found = planned(tmp_path / "a", {"erm": None, "mixup": Mixup()}, model="someones:norm")
    assert [len(group) for group in found.groups] == [4]  # BatchNorm is no reason
    with pytest.raises(ValueError, match="cannot train on a batch of 1,.*has 1 of 100 examples"):
        planned(tmp_path / "b", {"erm": None}, model="someones:norm", batch_size=33)
    assert not (tmp_path / "b").exists()
