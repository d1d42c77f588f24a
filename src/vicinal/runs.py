"""Runs of a study: from configurations to stored records."""

import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vicinal import store
from vicinal.data import load
from vicinal.measurement import MEASURES, evaluation, explain, measure
from vicinal.mixing.choice import During
from vicinal.mixing.draw import Strategy
from vicinal.model_files import build_model
from vicinal.training import Diverged, Schedule, train


@dataclass(frozen=True)
class Configuration:
    """All that decides the numbers of a run; its hash names the run."""

    data: str
    target: str | None
    digest: str
    method: str
    model: str
    seed: int
    epochs: int
    train_size: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    explain_every: int
    version: str


def records(
    group: Sequence[Configuration],
    strategies: Mapping[str, Strategy | During | None],
    folder: Path,
    *,
    advance: Callable[[int], None],
    say: Callable[[str], None],
) -> list[store.Record]:
    """The records of a group of runs, those that are not stored yet by running them.

    Args:
        group: what to run.
        strategies: by the name of the method.
        folder: where records and checkpoints are.
        advance: told how many units of progress were done; a run has epochs + MEASURES.
        say: told what the user should know, a sentence at a time.
    """
    with _one_thread():
        return [_record(run, strategies[run.method], folder, advance, say) for run in group]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make numbers independent of the number of cores, which changes the order of sums.

    Small models gain little from more threads, and lose a lot where the cores are busy: with two
    threads a run took 12 times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _record(
    run: Configuration,
    strategy: Strategy | During | None,
    folder: Path,
    advance: Callable[[int], None],
    say: Callable[[str], None],
) -> store.Record:
    """The stored record of a run, or that of running it."""
    path = folder / f"{store.name_of(asdict(run))}.json"
    record = _stored(path, say)
    if record is not None:
        advance(run.epochs + MEASURES)
        return record
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        record = _run(run, strategy, folder, advance)
    for warning in caught:
        say(f"{run.method}, seed {run.seed}: {warning.message}")
    store.save(folder, record)
    path.with_suffix(".checkpoint").unlink(missing_ok=True)
    return record


def _stored(path: Path, say: Callable[[str], None]) -> store.Record | None:
    try:
        return store.read(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        aside = store.set_aside(path)
        say(f"{path.name} could not be read ({error}); set aside as {aside.name}, running again.")
        return None


def _run(
    run: Configuration,
    strategy: Strategy | During | None,
    folder: Path,
    advance: Callable[[int], None],
) -> store.Record:
    name = store.name_of(asdict(run))
    split = load(run.data, run.seed, run.train_size, target=run.target)
    model = build_model(run.model, split, run.seed)
    # the same for all methods of a seed, and runs of a seed follow one another
    start = _explain_start(run.data, run.target, run.model, run.seed, run.train_size)
    record: store.Record = {
        "format": store.FORMAT,
        "name": name,
        "configuration": asdict(run),
        "environment": _environment(),
        "data": {
            "examples": {p: len(getattr(split, p)) for p in ("train", "validation", "test")},
            "classes": split.classes,
            "shape": list(split.train.x.shape[1:]),
            "bounds": split.bounds,
            "unit": split.unit,
            "labels": list(split.labels),
        },
    }
    started = time.perf_counter()
    try:
        history = train(
            model,
            strategy,
            split.train.x,
            split.train.y,
            split.family,
            Schedule(run.epochs, run.batch_size, run.learning_rate, run.weight_decay, run.seed),
            evaluate=evaluation(model, split, run.seed, run.explain_every),
            checkpoint=folder / f"{name}.checkpoint",
            progress=lambda: advance(1),
        )
    except Diverged as error:
        advance(run.epochs - len(error.history) + MEASURES)
        failure = {"epoch": error.epoch, "reason": str(error)}
        seconds = {"training": time.perf_counter() - started, "measuring": 0.0}
        record |= {"status": "failed", "failure": failure, "history": error.history}
        return store.plain(record | {"measured": None, "seconds": seconds})
    trained = time.perf_counter()
    measured = measure(model, start, split, run.seed, history[-1], advance)
    seconds = {"training": trained - started, "measuring": time.perf_counter() - trained}
    record |= {"status": "done", "failure": None, "history": history}
    return store.plain(record | {"measured": measured, "seconds": seconds})


@lru_cache(maxsize=1)
def _explain_start(
    data: str, target: str | None, model: str, seed: int, train_size: int
) -> dict[str, Any]:
    split = load(data, seed, train_size, target=target)
    return explain(build_model(model, split, seed), split.train, split.family, seed)


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "device": "cpu",
    }
