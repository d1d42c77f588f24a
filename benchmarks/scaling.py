"""What jobs, processes and clusters cost and gain on this machine, and that numbers agree.

    python benchmarks/scaling.py                     # about 15 minutes on two free cores
    python benchmarks/scaling.py --repetitions 1     # a third of that
    python benchmarks/scaling.py --quick             # few epochs, once

Every study runs in a process of its own. Contenders take turns and the least of the repetitions
counts, in case the machine is busy. Dask and Ray are left out where they are not installed. What
workers of a cluster compute is not counted as seconds of this command's processors.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

HERE = [sys.executable, "-m", "vicinal.cli", "compare"]
SHORT = {"data": "digits", "model": "mlp", "seeds": 2, "epochs": 5, "together": 1}
LONG = {"data": "digits", "model": "cnn", "seeds": 3, "epochs": 30, "together": 1}
STACKED = {"data": "digits", "model": "mlp", "seeds": 8, "epochs": 60, "together": 8}
SHARED = LONG | {"seeds": 1}
METHODS = ["erm", "mixup(alpha=1)"]


def arguments(study, *more):
    options = [f"--{name}={value}" for name, value in study.items()]
    return [*HERE, *options, "--methods", *METHODS, *more]


def timed(command, out):
    """Seconds on the clock, seconds of all processors, and the records without their times."""
    before, start = os.times(), time.perf_counter()
    subprocess.run([*command, "--out", out], check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    return wall, cpu, numbers(Path(out) / "runs")


def numbers(folder):
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    kept = ("status", "history", "measured")
    return {
        (r["configuration"]["method"], r["configuration"]["seed"]): {k: r[k] for k in kept}
        for r in records
    }


def largest_difference(one, other):
    """Between all numbers of two studies."""
    if isinstance(one, dict):
        return max((largest_difference(one[k], other[k]) for k in one), default=0.0)
    if isinstance(one, list):
        pairs = zip(one, other, strict=True)
        return max((largest_difference(a, b) for a, b in pairs), default=0.0)
    if isinstance(one, int | float) and not isinstance(one, bool):
        return abs(one - other)
    assert one == other, (one, other)
    return 0.0


def table(title, contenders, repetitions):
    """Contenders in turns; the first is what the others are compared with."""
    best, found = {}, {}
    for _ in range(repetitions):
        for name, command in contenders.items():
            with tempfile.TemporaryDirectory() as out:
                wall, cpu, found[name] = timed(command, out)
            best[name] = min(best.get(name, (1e9, 1e9)), (wall, cpu))
    first = next(iter(contenders))
    print(f"\n{title}\n\n| | seconds | of all processors | ratio | largest difference |")
    print("|---|---|---|---|---|")
    for name, (wall, cpu) in best.items():
        difference = largest_difference(found[first], found[name])
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {wall / best[first][0]:.2f} | {difference:g} |")


START = {
    "torch": "import torch",
    "and vicinal.study.plan, with scikit-learn and scipy": "import vicinal.study.plan",
    "and an optimiser, for which torch imports torch._dynamo": (
        "import vicinal.study.plan, torch; torch.optim.AdamW([torch.zeros(1, requires_grad=True)])"
    ),
}


def start_of_a_worker():
    """What each process does before its first step."""
    print("\nStart of a process\n\n| | seconds | of all processors |\n|---|---|---|")
    for name, code in START.items():
        found = []
        for _ in range(5):
            before, start = os.times(), time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            after, wall = os.times(), time.perf_counter() - start
            found.append((wall, sum(after[2:4]) - sum(before[2:4])))
        wall, cpu = (min(column) for column in zip(*found, strict=True))
        print(f"| {name} | {wall:.1f} | {cpu:.1f} |")


@contextmanager
def dask():
    from distributed import LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(host="127.0.0.1", **options) as cluster:
        yield f"dask:{cluster.scheduler_address}"


@contextmanager
def ray():
    import ray as cluster

    os.environ |= {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": str(os.nice(0)),  # else 15: all others would come first
    }
    context = cluster.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        yield f"ray:{context.address_info['address']}"
    finally:
        cluster.shutdown()


@contextmanager
def clusters():
    """What can be started here, by what it is called in the table: more arguments."""
    with ExitStack() as stack:
        started = {}
        for start in (dask, ray):
            try:
                address = stack.enter_context(start())
            except ImportError as error:
                print(f"\n{start.__name__} is left out: {error}")
            else:
                started[f"{start.__name__}, 2 workers"] = ("--executor", address)
        yield started


def described(study):
    runs = study["seeds"] * len(METHODS)
    stack = f", in stacks of {study['together']}" if study["together"] > 1 else ""
    return f"{runs} runs of a {study['model']}, {study['epochs']} epochs{stack}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repetitions", type=int, default=3)
    given = parser.parse_args()
    repetitions, epochs = (1, {"epochs": 4}) if given.quick else (given.repetitions, {})
    print(f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}")
    start_of_a_worker()
    jobs = {f"jobs {k}": ("--jobs", str(k)) for k in (1, 2)}
    processes = {f"processes {k}": ("--parts", "2", "--processes", str(k)) for k in (1, 2)}
    with clusters() as started:
        for study, contenders in (
            (SHORT, jobs),
            (LONG | epochs, jobs | started),
            (STACKED | epochs, jobs),
            (SHARED | epochs, processes),
        ):
            commands = {name: arguments(study, *more) for name, more in contenders.items()}
            table(described(study), commands, repetitions)


if __name__ == "__main__":
    main()
