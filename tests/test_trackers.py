"""Trackers: what they were told, read back with their own tools, without a network."""

import socket
import sys
import time

import pytest

from runs import failed, record
from vicinal import cli
from vicinal.report import trackers
from vicinal.report.trackers import tell

RUNS = [record("erm", 0), record("mixup(alpha=0.2)", 0, 0.95), failed("erm", 1)]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    original = socket.socket.connect

    def local(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"asked {address}")
        return original(self, address)

    monkeypatch.setattr(socket.socket, "connect", local)


def test_tensorboard_reads_every_epoch_and_what_was_measured(tmp_path):
    pytest.importorskip("tensorboard")
    assert tell(RUNS, "tensorboard", tmp_path) == 2
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (tmp_path / "tensorboard").glob("mixup*")
    events = EventAccumulator(str(folder)).Reload()
    told = [(e.step, e.value) for e in events.Scalars("train_loss")]
    assert told == [(1, 1.0), (2, 0.5)]
    ((step, value),) = [(e.step, e.value) for e in events.Scalars("measured/accuracy")]
    assert step == 2
    assert value == pytest.approx(0.95)
    assert tell(RUNS, "tensorboard", tmp_path) == 0  # each run once
    assert tell([*RUNS, record("erm", 2)], "tensorboard", tmp_path) == 1


def test_mlflow_finds_runs_by_method(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    assert tell(RUNS[:1], "mlflow", tmp_path) == 1
    (run,) = mlflow.search_runs(
        experiment_names=["vicinal"], filter_string="params.method = 'erm'", output_format="list"
    )
    assert run.data.params["epochs"] == "2"
    assert run.data.metrics["measured/accuracy"] == pytest.approx(0.9)
    assert run.data.metrics["measured/robust/pgd-20/linf/0.1"] == pytest.approx(0.4)
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "test_loss")
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5)]


def test_wandb_writes_a_run_to_be_sent_later(tmp_path):
    pytest.importorskip("wandb")
    assert tell(RUNS[:1], "wandb", tmp_path) == 1
    (file,) = (tmp_path / "wandb" / "wandb").glob("offline-run-*/run-*.wandb")
    assert RUNS[0]["name"] in file.name
    deadline = time.monotonic() + 60
    while b"measured/accuracy" not in (content := file.read_bytes()):  # by a process of its own
        assert time.monotonic() < deadline, content
        time.sleep(0.05)
    assert b"train_loss" in content


def test_trackers_that_cannot_be_told(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"unknown tracker 'wandbb'. Known: mlflow"):
        tell(RUNS, "wandbb", tmp_path)
    for name in trackers.TRACKERS:
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ValueError, match=rf"pip install 'vicinal\[{name}\]'"):
            tell(RUNS, name, tmp_path)
    assert not list(tmp_path.iterdir())


TOKENS = ["compare", "iris", "--model", "linear", "--seeds", "1", "--epochs", "1"]


def test_the_command_tells_a_tracker(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    with pytest.raises(SystemExit) as caught:
        cli.app.meta(
            [*TOKENS, "--methods", "erm", "--track", "tensorboard", "--out", str(tmp_path)]
        )
    assert not caught.value.code
    (folder,) = (tmp_path / "tensorboard").glob("erm*")
    assert list(folder.glob("events.out.*"))


def test_a_missing_tracker_is_told_before_anything_is_trained(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SystemExit) as caught:
        cli.app.meta([*TOKENS, "--track", "wandb", "--out", str(tmp_path / "new")])
    assert caught.value.code == 2
    assert "pip install 'vicinal[wandb]'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
