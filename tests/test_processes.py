"""Two processes that really start, against one."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from vicinal import cli, study
from vicinal.losses import categorical
from vicinal.mixing.hidden import ManifoldMixup
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.regmixup import RegMixup
from vicinal.processes import Place, join, launch, leave, spread
from vicinal.training import Member, Schedule, train

SCHEDULE = Schedule(epochs=3, batch_size=6, learning_rate=0.03, weight_decay=1e-2, parts=3)


def network(kind, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        middle = {"norm": nn.BatchNorm1d(8), "dropout": nn.Dropout(0.3), "plain": nn.GELU()}[kind]
        return nn.Sequential(
            nn.Linear(3, 8, bias=kind != "norm"), middle, nn.Tanh(), nn.Linear(8, 2)
        ).double()


def members(kind, strategies):
    """13 examples: two batches of 6 in parts of 2, and one of 1, of which two parts are empty.

    BatchNorm takes no part of one example: 18 examples are batches of 12 and 6.
    """
    n, g = 18 if kind == "norm" else 13, torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 3, generator=g).double(), torch.randint(2, (n,), generator=g)
    return [
        Member(str(k), network(kind, k), strategy, x, y, k, lambda epoch: {"epochs": epoch})
        for k, strategy in enumerate(strategies)
    ]


CASES = {
    "stack": ("plain", (None, Mixup(1.0))),
    "norm": ("norm", (Mixup(1.0),)),
    "dropout": ("dropout", (RegMixup(),)),
    "hidden": ("plain", (ManifoldMixup(),)),
}


def trained(name, folder):
    kind, strategies = CASES[name]
    schedule = Schedule(**(vars(SCHEDULE) | {"batch_size": 12})) if kind == "norm" else SCHEDULE
    group = members(kind, strategies)
    histories = train(
        group, categorical, schedule, checkpoint=folder / name, progress=lambda: None, every=0.0
    )
    return [vars(one) for one in histories], [one.model.state_dict() for one in group]


def in_two(folder):
    """What each process does."""
    place = join()
    found = {name: trained(name, Path(folder)) for name in CASES}
    torch.save(found, f"{folder}/found{place.rank}")
    squares = spread(lambda k: (k * k, join().rank), range(5))
    leave()
    return place.processes, squares


def close(one, other):
    for (histories, models), (others, states) in ((one, other),):
        for a, b in zip(histories, others, strict=True):
            rows = zip(a["history"], b["history"], strict=True)
            assert all(row == pytest.approx(found, rel=1e-12) for row, found in rows)
        for a, b in zip(models, states, strict=True):
            for name, value in a.items():
                torch.testing.assert_close(value, b[name], rtol=1e-11, atol=1e-13)


def test_two_processes_train_as_one_does(tmp_path):
    """Also with statistics of the batch, dropout, hidden layers, and parts without an example."""
    processes, squares = launch(2, in_two, str(tmp_path))
    assert processes == 2
    assert squares == [(k * k, k % 2) for k in range(5)]
    first, second = (torch.load(tmp_path / f"found{k}") for k in (0, 1))
    for name in CASES:
        close(first[name], second[name])
        path = tmp_path / "alone"
        path.mkdir(exist_ok=True)
        close(first[name], trained(name, path))


def test_parts_add_up_to_the_gradient_of_the_batch(tmp_path):
    """Without mixing nothing depends on the parts."""
    ends = []
    for parts in (1, 3, 6):
        group = members("plain", (None,))
        schedule = Schedule(3, 6, 0.03, 1e-2, parts=parts)
        (one,) = train(
            group, categorical, schedule, checkpoint=tmp_path / f"{parts}", progress=lambda: None
        )
        ends.append(([vars(one)], [group[0].model.state_dict()]))
    close(ends[0], ends[1])
    close(ends[0], ends[2])


def test_passes_in_bfloat16_leave_parameters_and_loss_in_full_precision(tmp_path):
    seen = []

    class Watched(nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            seen.append(out.dtype)
            return out

    model = nn.Sequential(Watched(3, 8), nn.Linear(8, 2))
    x, y = torch.randn(13, 3), torch.arange(13) % 2
    (one,) = train(
        [Member("m", model, Mixup(1.0), x, y, 0, lambda epoch: {})],
        categorical,
        Schedule(2, 6, 0.01, 0.01, precision="bfloat16"),
        checkpoint=tmp_path / "c",
        progress=lambda: None,
    )
    assert set(seen) == {torch.bfloat16}
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert not model._forward_hooks
    assert all(math.isfinite(row["objective"]) for row in one.history)


OPTIONS = ["--data", "iris", "--model", "mlp", "--seeds", "1", "--methods", "erm", "mixup(alpha=1)"]


def numbers(out):
    records = [json.loads(path.read_text()) for path in sorted((out / "runs").glob("*.json"))]
    processes = {record["environment"].pop("processes") for record in records}
    for record in records:
        del record["seconds"]
    return records, processes


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_study_in_two_processes_is_killed_goes_on_and_gives_what_one_gives(tmp_path):
    """One of the processes is killed, which ends both."""
    options = [*OPTIONS, "--epochs", "3"]
    command = [sys.executable, "-m", "vicinal.cli", "compare", *options, "--processes", "2"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "two")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "two").glob("runs/*.checkpoint")) and time.monotonic() < deadline:
        time.sleep(0.005)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [k for k in children if b"spawn_main" in Path(f"/proc/{k}/cmdline").read_bytes()]
    os.kill(int(workers[0]), signal.SIGKILL)
    assert process.wait(timeout=120) != 0
    process.stderr.close()
    assert list((tmp_path / "two").glob("runs/*.checkpoint"))
    again = subprocess.run(
        [*command, "--out", str(tmp_path / "two")], capture_output=True, text=True
    )
    assert again.returncode == 0
    said = " ".join(again.stderr.split())
    assert re.fullmatch(
        r"Targets: 3 classes \(setosa = 0, versicolor = 1, virginica = 2\)\. .* trained "
        r"together, up to 2 runs as one stack of models\."
        r"( process \d+ on \S+ died .*; its runs are taken over\.)?",
        said,
    )
    with pytest.raises(SystemExit) as caught:
        cli.app.meta(["compare", *options, "--parts", "2", "--out", str(tmp_path / "one")])
    assert not caught.value.code
    (two, in_two), (one, in_one) = (numbers(tmp_path / out) for out in ("two", "one"))
    assert (in_two, in_one) == ({2}, {1})
    assert two == one


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--parts", "65"], "a batch of 64 examples cannot be cut into 65 parts"),
        (["--parts", "0"], "parts must be at least 1"),
        (["--precision", "float16"], "float16"),
        (["--processes", "0"], "processes must be at least 1"),
    ],
)
def test_bad_numbers_are_refused(options, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        cli.app.meta(["compare", "digits", "--out", str(tmp_path / "new"), *options])
    assert caught.value.code == 2 if "float16" not in message else caught.value.code
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "new").exists()


def test_more_processes_than_examples_are_refused_before_anything_is_trained(
    monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(study, "place", lambda: Place(0, 2))
    for options, message in (
        (["--parts", "2", "--batch-size", "1"], "1 examples cannot be cut into 2 parts for 2 proc"),
        (["--parts", "1"], "parts must be at least 2, one for each process, got 1"),
    ):
        with pytest.raises(SystemExit) as caught:
            cli.app.meta(["compare", *OPTIONS, *options, "--out", str(tmp_path / "new")])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err.replace("\n", " ")
        assert not (tmp_path / "new").exists()
