"""Terms over training."""

import pytest
import torch
from torch import nn

from vicinal.explanation.recorder import Recorder
from vicinal.explanation.terms import expand
from vicinal.maths.laws import Beta
from vicinal.maths.losses import categorical


def test_records_every_few_epochs_without_a_trace():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(), nn.Linear(8, 2))
        x, y = torch.rand(12, 3), torch.arange(12) % 2
    recorder = Recorder(x, y, every=3, pairs=500)
    state = torch.get_rng_state()
    for epoch in range(1, 9):
        recorder(model, epoch)
        assert model.training
    assert torch.get_rng_state().equal(state)
    assert [row["epoch"] for row in recorder.rows] == [1, 4, 7]
    assert recorder.rows[0]["risk"] == recorder.rows[1]["risk"]  # the same pairs
    for row in recorder.rows:
        exact = expand(model, x, y, Beta(1), categorical)
        assert row["loss"] == pytest.approx(exact.loss)
        assert row["r1"] == pytest.approx(exact.r1, rel=1e-5)
        total = row["loss"] + row["r1"] + row["r2"] + row["r3"]
        assert row["remainder"] == pytest.approx(row["risk"] - total)


def test_every_must_be_positive():
    with pytest.raises(ValueError, match="at least 1 epoch"):
        Recorder(torch.rand(2, 1), torch.tensor([0, 1]), every=0)
