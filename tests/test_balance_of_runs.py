"""Rare classes count: what a run of unequal classes measures, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score

import studies
from vicinal.data import load
from vicinal.models.named import build_model
from vicinal.report import comparison
from vicinal.report.words.findings import sentences
from vicinal.study import measures
from vicinal.study.record import records as typed


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    r = np.random.default_rng(0)
    rows = [f"{r.normal():.3f},{r.normal():.3f},{int(i % 20 == 0)}" for i in range(400)]
    Path("t.csv").write_text("\n".join(["a,b,fraud", *rows]) + "\n")
    options = {"data": "t.csv", "seeds": 2, "epochs": 2, "model": "linear"}
    return studies.done(studies.planned({"erm": None, "again": None}, Path("runs"), **options))


def test_a_constant_answer_is_told_beside_accuracy(found):
    (group,) = comparison.compare(found).groups
    (said,) = [s.text for s in sentences(group) if s.topic == "Unequal classes"]
    assert said.startswith("Always answering the most frequent class would have a test accuracy of")
    share = np.mean([one.measured.balance.constant.accuracy for one in typed(found)])
    assert 0.94 < share < 0.96
    assert f"{100 * share:.1f} %" in said


def test_recalls_are_those_of_scikit_learn(tmp_path):
    split = load("wine", 0)
    model = build_model("linear", split, 0)
    outputs = model(split.test.x).detach()
    own = measures._balance(outputs, split)
    y, predicted = split.test.y.numpy(), outputs.argmax(1).numpy()
    assert own["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, predicted))
    assert own["recalls"] == pytest.approx(recall_score(y, predicted, average=None))
    frequent = np.bincount(split.train.y.numpy()).argmax()
    assert own["constant"]["accuracy"] == pytest.approx((y == frequent).mean())
    assert own["constant"]["answer"] == split.labels[frequent]
