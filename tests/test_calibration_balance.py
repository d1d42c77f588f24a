"""Recalls and constant answers against scikit-learn, which knows nothing of ours."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, recall_score

from vicinal.calibration import constant_answer, recalls


@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), k=st.integers(2, 6))
def test_recalls_are_those_of_scikit_learn(seed, n, k):
    rng = np.random.default_rng(seed)
    z, y = rng.standard_normal((n, k)), rng.integers(k, size=n)
    found, said = recalls(torch.from_numpy(z), torch.from_numpy(y)), z.argmax(1)
    occur = np.unique(y)
    expected = recall_score(y, said, labels=occur, average=None)
    assert [found.per_class[c] for c in occur] == pytest.approx(expected.tolist())
    assert all(found.per_class[c] is None for c in set(range(k)) - set(occur))
    assert found.counts == tuple(np.bincount(y, minlength=k))
    kept = np.isin(said, occur)  # scikit-learn warns of what has no label, and of one
    if kept.all() and len(occur) > 1:
        assert found.balanced == pytest.approx(balanced_accuracy_score(y, said))


def test_one_logit_is_the_logit_of_class_1():
    z, y = torch.tensor([-1.0, 2.0, 0.5, 3.0]), torch.tensor([0, 0, 1, 1])
    for shape in (z, z[:, None]):
        assert recalls(shape, y).per_class == (0.5, 1.0)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), k=st.integers(2, 5))
def test_constant_answers_are_those_of_dummies(seed, n, k):
    rng = np.random.default_rng(seed)
    before = np.concatenate([np.arange(k), rng.integers(k, size=30)])  # every class occurs
    y, x = rng.integers(k, size=n), np.zeros((n, 1))
    found = constant_answer(torch.from_numpy(y), k, fitted_on=torch.from_numpy(before))
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((len(before), 1)), before)
    assert found.answer == dummy.predict(x)[0]
    assert found.accuracy == pytest.approx(accuracy_score(y, dummy.predict(x)))
    assert found.nll == pytest.approx(log_loss(y, dummy.predict_proba(x), labels=np.arange(k)))
    chance = 1 / len(np.unique(y)) if found.answer in y else 0.0
    assert found.balanced == pytest.approx(chance)


def test_a_class_that_was_never_seen_has_no_chance():
    found = constant_answer(torch.tensor([0, 1]), 3, fitted_on=torch.tensor([0, 0, 2]))
    assert found.nll == np.inf
    assert found.accuracy == 0.5
    assert constant_answer(torch.tensor([1, 1]), 2).nll == 0.0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda y: recalls(np.zeros((2, 2)), y), TypeError, "outputs must be a torch.Tensor"),
        (lambda y: recalls(torch.zeros(2, 2) * np.nan, y), ValueError, "NaN"),
        (lambda y: recalls(torch.zeros(3, 2), y), ValueError, "one class id per row"),
        (lambda y: recalls(torch.zeros(2, 2), y - 1), ValueError, "class ids must lie in 0..1"),
        (lambda y: constant_answer(y, 1), ValueError, "classes must be at least 2"),
        (lambda y: constant_answer(y, 2.0), TypeError, "classes must be a whole number"),
        (lambda y: constant_answer(y[:0], 2), ValueError, "at least 1"),
        (lambda y: constant_answer([0, 1], 2), TypeError, "y must be a torch.Tensor"),
        (lambda y: constant_answer(y, 2, fitted_on=y + 5), ValueError, "0..1, got 5"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused_with_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call(torch.tensor([0, 1]))
