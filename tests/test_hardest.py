"""The worst examples, against sorting by hand."""

import numpy as np
import torch

from vicinal.data import load
from vicinal.study.hardest import hardest


def test_the_largest_losses_come_first():
    split = load("digits", 0)
    y = split.test.y
    outputs = torch.from_numpy(np.random.default_rng(0).normal(size=(len(y), 10)))
    probabilities = np.exp(outputs.numpy())
    probabilities /= probabilities.sum(1, keepdims=True)
    losses = -np.log(probabilities[np.arange(len(y)), y.numpy()])
    found = hardest(outputs, split, 3)
    assert [e.index for e in found] == np.argsort(-losses)[:3].tolist()
    worst = found[0]
    assert abs(worst.loss - losses.max()) < 1e-12
    assert worst.label == int(y[worst.index])
    assert worst.predicted == probabilities[worst.index].argmax()
    assert abs(worst.confidence - probabilities[worst.index].max()) < 1e-12
    assert worst.picture.startswith("data:image/png;base64,")


def test_tables_have_no_picture():
    split = load("wine", 0)
    outputs = torch.zeros(len(split.test), 3)
    assert hardest(outputs, split, 2)[0].picture is None
    assert hardest(outputs[:, :1], split, 2) == ()  # one output, no classes
