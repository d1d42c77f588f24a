"""A study: methods × seeds on one data set, each run trained, explained, measured and stored."""

import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vicinal
from vicinal import store
from vicinal.data import Split, load, read
from vicinal.measurement import MEASURES, evaluation, explain, measure
from vicinal.mixing.choice import During
from vicinal.mixing.draw import Strategy
from vicinal.model_files import build_model
from vicinal.randomness import generator
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


@dataclass(frozen=True)
class Plan:
    """The runs of a study, checked: nothing that can be known beforehand fails later."""

    runs: tuple[Configuration, ...]
    strategies: Mapping[str, Strategy | During | None]
    folder: Path


def plan(
    strategies: Mapping[str, Strategy | During | None],
    folder: Path,
    *,
    data: str,
    model: str | None,
    seeds: int,
    epochs: int,
    train_size: int | None,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    target: str | None = None,
    explain_every: int = 0,
) -> Plan:
    """Check a study and list its runs, seed by seed, all methods of a seed together.

    Raises:
        ValueError: for numbers out of range, data that cannot be had, or a model or method that
            does not fit them.
        OSError: if the folder cannot be written.
    """
    _check_numbers(seeds, epochs, batch_size, learning_rate, weight_decay, explain_every)
    if not strategies:
        raise ValueError("methods must name at least one method, such as erm.")
    split = load(data, 0, train_size, target=target)
    model = model or ("mlp" if split.bounds is None else "cnn")
    build_model(model, split, 0)
    _check_methods(strategies, split, data, batch_size)
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write to the folder {folder}.")
    runs = tuple(
        Configuration(
            data=data,
            target=target,
            digest=read(data, target).digest,
            method=method,
            model=model,
            seed=seed,
            epochs=epochs,
            train_size=len(split.train),
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            explain_every=explain_every,
            version=vicinal.__version__,
        )
        for seed in range(seeds)
        for method in strategies
    )
    return Plan(runs, strategies, folder)


def _check_numbers(
    seeds: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    explain_every: int,
) -> None:
    for name, count in (("seeds", seeds), ("epochs", epochs), ("batch_size", batch_size)):
        if not count >= 1:
            raise ValueError(f"{name} must be at least 1, got {count}.")
    if not 0 < learning_rate < np.inf:
        raise ValueError(f"learning_rate must be positive, got {learning_rate}.")
    if not 0 <= weight_decay < np.inf:
        raise ValueError(f"weight_decay must be 0 or more, got {weight_decay}.")
    if not explain_every >= 0:
        raise ValueError(f"explain_every must be 0 (never) or more epochs, got {explain_every}.")


def _check_methods(
    strategies: Mapping[str, Strategy | During | None], split: Split, data: str, batch_size: int
) -> None:
    """Let every strategy draw once, so that one that does not fit the data fails now."""
    x, y = split.train.x[:batch_size], split.train.y[:batch_size]
    for method, strategy in strategies.items():
        mixing = strategy.strategy if isinstance(strategy, During) else strategy
        try:
            if mixing is not None:
                mixing(x, y, generator(0, "trial"))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{method} cannot mix {data}: {error}") from error


def execute(
    plan: Plan,
    *,
    advance: Callable[[int], None],
    say: Callable[[str], None],
) -> list[store.Record]:
    """Do the runs of a plan that are not stored yet; return the records of all.

    Args:
        plan: what to run.
        advance: told how many units of progress were done; a run has epochs + MEASURES.
        say: told what the user should know, a sentence at a time.
    """
    records = []
    with _one_thread():
        for run in plan.runs:
            records.append(_record(run, plan, advance, say))
    return records


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
    run: Configuration, plan: Plan, advance: Callable[[int], None], say: Callable[[str], None]
) -> store.Record:
    """The stored record of a run, or that of running it."""
    path = plan.folder / f"{store.name_of(asdict(run))}.json"
    record = _stored(path, say)
    if record is not None:
        advance(run.epochs + MEASURES)
        return record
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        record = _run(run, plan.strategies[run.method], plan.folder, advance)
    for warning in caught:
        say(f"{run.method}, seed {run.seed}: {warning.message}")
    store.save(plan.folder, record)
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
