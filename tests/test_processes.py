"""Two processes that really start, against one."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vicinal import cli
from vicinal.cli.tune import tune
from vicinal.data import load
from vicinal.explanation.summary import explain
from vicinal.machine.processes import ALONE, deal, join, launch, leave, place
from vicinal.machine.typed import build
from vicinal.maths.losses import bernoulli, categorical
from vicinal.mixing.hidden import ManifoldMixup
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.regmixup import RegMixup
from vicinal.models.named import build_model
from vicinal.robustness.attacks.worst import worst_case
from vicinal.study.audit import Case, audit
from vicinal.study.options import Recipe, Search
from vicinal.study.training.loop import Member, train

SCHEDULE = Recipe(epochs=3, batch_size=6, learning_rate=0.03, weight_decay=1e-2)
PARTS = 3


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
    "narrow": ("plain", (None, Mixup(1.0))),
}


def trained(name, folder):
    kind, strategies = CASES[name]
    schedule = replace(SCHEDULE, batch_size=12) if kind == "norm" else SCHEDULE
    group = members(kind, strategies)
    if name == "narrow":  # bfloat16 is what float32 is rounded to
        group = [replace(one, model=one.model.float(), x=one.x.float()) for one in group]
        schedule = replace(schedule, precision="bfloat16")
    histories = train(
        group,
        categorical,
        schedule,
        parts=PARTS,
        checkpoint=folder / name,
        progress=lambda: None,
        every=0.0,
    )
    return [vars(one) for one in histories], [one.model.state_dict() for one in group]


SHORT = {
    "robustness.attacks.ensemble.BATCH": 16,
    "robustness.distances.BATCH": 16,
    "robustness.curve.BATCH": 16,
    "robustness.attacks.apgd.STEPS": 10,
    "robustness.attacks.fab.STEPS": 10,
    "robustness.attacks.fmn.STEPS": 10,
    "robustness.attacks.square.QUERIES": 20,
    "robustness.signs.QUERIES": 20,
    "robustness.signs.NOISES": 3,
    "study.audit.outputs.RESAMPLES": 100,
    "explanation.derivatives.second_order.NUMBERS": {True: 100, False: 100},
    "explanation.summary.BATCH": 32,
    "explanation.pairs.sampled.BATCH": 64,
}


def measured(folder):
    """Attacks on 70 examples in batches of 16, so that the last one is smaller."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(140, 3, generator=g)
    y = (x @ torch.tensor([1.0, -2.0, 0.5]) + 0.2 * torch.rand(140, generator=g) > 0).long()
    model = network("plain", 0).float()
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    seen = []
    model.register_forward_hook(lambda module, inputs, outputs: seen.append(len(outputs)))
    case = Case(
        model, x[:70], y[:70], (x[70:100], y[70:100]), (x, y), categorical, None,
        (0.0, 1.0), None, {"linf": 0.05, "l2": 0.08}, None, 70, True, None, None, 0,
    )  # fmt: skip
    at_random = lambda x: x[:, 0] - x[:, 1] + 0.05 * torch.randn(len(x))
    with pytest.MonkeyPatch.context() as patch:
        for name, few in SHORT.items():
            patch.setattr(f"vicinal.{name}", few)
        found = {"audit": audit(case, folder, lambda name, share: None)}
        found["passes of the audit"] = sum(seen)
        seen.clear()
        for passes in (5, 60, 400):
            short = worst_case(model, x, y, 0.05, passes=passes, where=place())
            found[passes] = short.by, [a.passes for a in short.accounts], short.complete
        drawn = worst_case(
            at_random, x, (x[:, 0] > x[:, 1]).long(), 0.03, family=bernoulli, where=place()
        )
        found["random"] = drawn.by, drawn.draws, drawn.x.tolist()
        found["explained"] = [
            asdict(
                explain(
                    model, x, y, alphas=[0.2, 1.0], pairs=pairs, partners=partners, shown=3,
                    rng=np.random.default_rng(0), where=place(),
                )
            )
            for pairs, partners in ((400, 3), (None, None))
        ]  # fmt: skip
        found["passes"] = sum(seen)
        if place().rank == 0:  # what one does alone, it does without the others
            found["alone"] = worst_case(model, x, y, 0.05, passes=5, where=ALONE).by
    for name in ("ensemble linf", "ensemble l2"):
        for account in found["audit"][name]["accounts"]:
            del account["seconds"]
    return found


def tuned(out, **options):
    """A search whose batches are cut in two; what it prints is not shown."""
    options = {"data": "iris", "trials": 2, "seeds": 1, "epochs": 2, "parts": 2} | options
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        tune(build(Search, options | {"methods": ("mixup",), "out": out, "precision": "bfloat16"}))


def in_two(folder):
    """What each process does."""
    where = join()
    found = {name: trained(name, Path(folder)) for name in CASES}
    torch.save(found | {"measured": measured(Path(folder))}, f"{folder}/found{where.rank}")
    squares = deal(lambda k: (k * k, join().rank), range(5))
    tuned(Path(folder, "two"))
    leave()
    return where.processes, squares


def close(one, other, rel=1e-12):
    """Of parameters ten times that: they are sums of many steps."""
    for (histories, models), (others, states) in ((one, other),):
        for a, b in zip(histories, others, strict=True):
            rows = zip(a["history"], b["history"], strict=True)
            assert all(row == pytest.approx(found, rel=rel) for row, found in rows)
        for a, b in zip(models, states, strict=True):
            for name, value in a.items():
                torch.testing.assert_close(value, b[name], rtol=10 * rel, atol=rel / 10)


def test_two_processes_train_and_measure_as_one_does(tmp_path):
    """Also with statistics of the batch, dropout, hidden layers, and parts without an example.

    Attacks are equal to the last bit: those of an audit, of a budget, of a model that draws. So is
    an explanation, from pairs and partners that are drawn, or from all. A search ends alike.
    """
    processes, squares = launch(2, in_two, str(tmp_path))
    assert processes == 2
    assert squares == [(k * k, k % 2) for k in range(5)]
    first, second = (torch.load(tmp_path / f"found{k}") for k in (0, 1))
    for name in CASES:
        close(first[name], second[name])
        path = tmp_path / "alone"
        path.mkdir(exist_ok=True)
        # in the same parts only the order differs in which float32 adds up gradients
        close(first[name], trained(name, path), rel=1e-5 if name == "narrow" else 1e-12)
    one, (two, other) = measured(tmp_path / "one"), (found["measured"] for found in (first, second))
    # of an audit this short the signs of masking are the most, which one process looks for
    for what, most in (("passes of the audit", 0.9), ("passes", 0.7)):
        alone, *shares = (found.pop(what) for found in (one, two, other))
        assert alone <= sum(shares) < 1.2 * alone
        assert max(shares) < most * alone
    assert one == two
    assert {key: value for key, value in two.items() if key != "alone"} == other
    assert 0.2 < one["audit"]["ensemble linf"]["points"][-1]["accuracy"] < 0.9
    assert [one[passes][2] for passes in (5, 60, 400)] == [False, False, True]
    tuned(tmp_path / "one")
    alone, found = (json.loads((tmp_path / k / "tune.json").read_text()) for k in ("one", "two"))
    for search in (alone, found):
        del search["seconds"]
        search["trials"] = [trial | {"seconds": 0} for trial in search["trials"]]
    assert found == alone
    (run, *_) = (tmp_path / "two" / "runs").glob("*.json")
    record = json.loads(run.read_text())
    assert record["environment"]["processes"] == record["configuration"]["parts"] == 2
    assert record["configuration"]["precision"] == "bfloat16"


def test_parts_add_up_to_the_gradient_of_the_batch(tmp_path):
    """Without mixing nothing depends on the parts."""
    ends = []
    for parts in (1, 3, 6):
        group = members("plain", (None,))
        schedule = Recipe(epochs=3, batch_size=6, learning_rate=0.03, weight_decay=1e-2)
        (one,) = train(
            group,
            categorical,
            schedule,
            parts=parts,
            checkpoint=tmp_path / f"{parts}",
            progress=lambda: None,
        )
        ends.append(([vars(one)], [group[0].model.state_dict()]))
    close(ends[0], ends[1])
    close(ends[0], ends[2])


def test_parts_in_bfloat16_add_up_to_what_rounding_leaves_of_the_batch(tmp_path):
    """One part or three differ by less than bfloat16 and float32 do, and they do differ."""
    ends = []
    for parts, precision in ((1, "float32"), (1, "bfloat16"), (3, "bfloat16")):
        (one,) = members("plain", (None,))
        one = replace(one, model=one.model.float(), x=one.x.float())
        schedule = replace(SCHEDULE, precision=precision)
        file = tmp_path / f"{precision}{parts}"
        (found,) = train(
            [one], categorical, schedule, parts=parts, checkpoint=file, progress=lambda: None
        )
        weights = torch.cat([value.flatten() for value in one.model.parameters()])
        ends.append((found.history[-1]["objective"], weights.detach()))
    (exact, plain), (whole, once), (cut, thrice) = ends
    rounding = (once - plain).norm() / plain.norm()
    assert 1e-4 < rounding < 0.05
    assert (thrice - once).norm() / plain.norm() < 1.5 * rounding
    assert abs(cut - whole) < 1.5 * abs(whole - exact) + 1e-3


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
        Recipe(epochs=2, batch_size=6, learning_rate=0.01, weight_decay=0.01, precision="bfloat16"),
        checkpoint=tmp_path / "c",
        progress=lambda: None,
    )
    assert set(seen) == {torch.bfloat16}
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert not model._forward_hooks
    assert all(math.isfinite(row["objective"]) for row in one.history)


METHODS = ["erm", "mixup(alpha=1)", "mixup(alpha=0.2)"]
OPTIONS = ["--data", "iris", "--model", "mlp", "--seeds", "1", "--methods", *METHODS]


def numbers(out):
    records = [json.loads(path.read_text()) for path in sorted((out / "runs").glob("*.json"))]
    processes = {record["environment"].pop("processes") for record in records}
    for record in records:
        del record["seconds"]
    return records, processes


def killed(command, folder, awaited):
    """Kill one of the processes of a command as soon as there is a file, which ends all."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(folder.glob(awaited)) and time.monotonic() < deadline:
        time.sleep(0.005)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [k for k in children if b"spawn_main" in Path(f"/proc/{k}/cmdline").read_bytes()]
    os.kill(int(workers[0]), signal.SIGKILL)
    assert process.wait(timeout=120) != 0
    process.stderr.close()
    assert list(folder.glob(awaited))


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_study_in_two_processes_is_killed_goes_on_and_gives_what_one_gives(tmp_path):
    """One of the processes is killed, which ends both. Each measures a run, and both the third."""
    options = [*OPTIONS, "--epochs", "3"]
    command = [sys.executable, "-m", "vicinal.cli", "compare", *options, "--processes", "2"]
    killed([*command, "--out", str(tmp_path / "two")], tmp_path / "two", "runs/*.checkpoint")
    again = subprocess.run(
        [*command, "--out", str(tmp_path / "two")], capture_output=True, text=True
    )
    assert again.returncode == 0
    said = " ".join(again.stderr.split())
    assert re.fullmatch(
        r"Targets: 3 classes \(setosa = 0, versicolor = 1, virginica = 2\)\. .* trained "
        r"together, up to 3 runs as one stack of models\."
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


@pytest.mark.parametrize("command", ["compare", "tune"])
def test_more_processes_than_can_share_a_batch_are_refused_before_they_start(
    command, monkeypatch, capsys, tmp_path
):
    """Than it has examples, or the data do, or parts; or beside jobs; or within torchrun."""
    monkeypatch.setattr("vicinal.machine.processes.launch", None)  # which nothing may call
    common = ["--data", "iris", "--methods", "erm", "mixup", "--out", str(tmp_path / "new")]
    for options, message in (
        (["2", "--batch-size", "1"], "1 examples cannot be cut into 2 parts for 2 processes"),
        (["80", "--batch-size", "99"], "74 examples cannot be cut into 80 parts for 80 processes"),
        (["3", "--parts", "2"], "parts must be at least 3, one for each process, got 2"),
        (["2", "--jobs", "2"], "choose one of them"),
        (["0"], "processes must be at least 1, got 0"),
    ):
        with pytest.raises(SystemExit) as caught:
            cli.app.meta([command, *common, "--processes", *options])
        assert caught.value.code == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "new").exists()


def weights_for(data, folder):
    split = load(data, 0)
    model = build_model("linear", split, 0)
    optimiser = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(split.train.x), split.train.y).backward()
        optimiser.step()
    torch.save(model.state_dict(), folder / "weights.pt")
    return [str(folder / "weights.pt"), "--architecture", "linear", "--data", data]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_an_audit_of_two_processes_is_killed_and_one_goes_on(tmp_path):
    """160 examples are two batches; what was done before the kill is taken over."""
    options = [*weights_for("breast_cancer", tmp_path), "--norms", "linf"]
    options += ["--part", "train", "--examples", "160"]
    two, one = tmp_path / "two", tmp_path / "one"
    command = [sys.executable, "-m", "vicinal.cli", "audit", *options, "--processes", "2"]
    killed([*command, "--out", str(two)], two, "parts/*.attack")
    before = min(path.stat().st_mtime_ns for path in two.glob("parts/*.json"))
    records = []
    for out in (two, one):
        with pytest.raises(SystemExit) as caught:
            cli.app.meta(["audit", *options, "--out", str(out)])
        assert not caught.value.code
        records.append(json.loads((out / "audit.json").read_text()))
        for account in records[-1]["ensemble linf"]["accounts"]:
            del account["seconds"]
    assert before == min(path.stat().st_mtime_ns for path in two.glob("parts/*.json"))
    assert records[0] == records[1]


def test_more_processes_than_batches_are_refused_before_they_start(monkeypatch, capsys, tmp_path):
    weights = weights_for("wine", tmp_path)
    monkeypatch.setattr("vicinal.machine.processes.launch", None)  # which nothing may call
    for options, message in (
        (["--processes", "3"], "at most 1, as there are 54 examples to attack, in batches of 128"),
        (["--processes", "0"], "processes must be at least 1, got 0"),
    ):
        with pytest.raises(SystemExit) as caught:
            cli.app.meta(["audit", *weights, *options, "--out", str(tmp_path / "new")])
        assert caught.value.code == 2
        assert message in " ".join(capsys.readouterr().err.split())
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as caught:
        cli.app.meta(["audit", *weights, "--processes", "2", "--out", str(tmp_path / "new")])
    assert caught.value.code == 2
    assert "torchrun has started 2 processes" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
