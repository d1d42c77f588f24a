"""A study: methods × seeds on one data set, each run trained, explained, measured and stored."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

import vicinal
from vicinal.data import Split, Task, load, read
from vicinal.machine.devices import checked, forked
from vicinal.machine.processes import check_shared, place
from vicinal.maths.randomness import generator
from vicinal.mixing.choice import During
from vicinal.mixing.draw import Strategy
from vicinal.mixing.labels import vicinal_losses
from vicinal.models.forward import logits_of
from vicinal.models.named import build_model, fitting
from vicinal.models.weights import fill, weights_from
from vicinal.robustness.attacks.adversarial import bounded
from vicinal.robustness.usual import Strength
from vicinal.study import store
from vicinal.study.executors import check
from vicinal.study.executors.launch import failed, launch
from vicinal.study.run import Configuration
from vicinal.study.together import groups
from vicinal.study.training.loop import Precision

TOGETHER = 8
"""Most runs that are trained together: more gain little, and need more memory."""


@dataclass(frozen=True)
class Plan:
    """The runs of a study, checked: nothing that can be known beforehand fails later.

    Attributes:
        runs: seed by seed, all methods of a seed together.
        groups: the same runs, as they are trained together.
        strategies: by the name of the method.
        folder: where records are stored.
        notes: what the user should know beforehand, in sentences.
        device: what computes.
    """

    runs: tuple[Configuration, ...]
    groups: tuple[tuple[Configuration, ...], ...]
    strategies: Mapping[str, Strategy | During | None]
    folder: Path
    notes: tuple[str, ...] = ()
    device: str = "cpu"


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
    task: Task | None = None,
    weights: str | Path | None = None,
    explain_every: int = 0,
    attacks: Strength = "fast",
    parts: int = 1,
    precision: Precision = "float32",
    device: str = "cpu",
    together: int = TOGETHER,
    measured_on: Literal["test", "validation"] = "test",
    processes: int | None = None,
) -> Plan:
    """Check a study and list its runs, seed by seed, all methods of a seed together.

    The options are those of `vicinal compare`; `processes` are those that shall share its batches,
    by default those that are running.

    Raises:
        ValueError: for numbers out of range, a device or data that cannot be had, or a model or
            method that does not fit them.
        OSError: if the folder cannot be written.
    """
    _check_numbers(seeds, epochs, batch_size, learning_rate, weight_decay, explain_every)
    if not together >= 1:
        raise ValueError(f"together must be at least 1, got {together}: 1 trains run by run.")
    if not strategies:
        raise ValueError("methods must name at least one method, such as erm.")
    check_shared(chosen := checked(device), processes or place().processes)
    split = load(data, 0, train_size, target=target, task=task)
    model = model or ("mlp" if split.bounds is None else "cnn")
    if fitting(model, split).task != split.task:
        task = "binary"
        split = load(data, 0, train_size, target=target, task=task)
    strategies = {method: bounded(kind, split.bounds) for method, kind in strategies.items()}
    rows = min(batch_size, len(split.train))
    _check_parts(parts, rows, processes or place().processes, mixes=any(strategies.values()))
    _check_smallest(model, split, batch_size, parts, chosen)
    first = build_model(model, split, 0)
    start = None if weights is None else weights_from(weights)
    notes = [] if start is None else [fill(first, start, split.outputs)]
    _check_methods(strategies, first, split, data, batch_size)
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write to the folder {folder}.")
    runs = tuple(
        Configuration(
            data=data,
            target=target,
            task=task,
            digest=read(data, target, task).digest,
            method=method,
            model=model,
            weights=None if start is None else start.file,
            weights_digest="" if start is None else start.digest,
            seed=seed,
            epochs=epochs,
            train_size=len(split.train),
            batch_size=batch_size,
            parts=parts,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            precision=precision,
            device=chosen.type,
            explain_every=explain_every,
            attacks=attacks,
            measured_on=measured_on,
            version=vicinal.__version__,
        )
        for seed in range(seeds)
        for method in strategies
    )
    notes = [read(data, target, task).told, *notes]
    return Plan(
        runs,
        groups(runs, strategies, together, notes.append),
        strategies,
        folder,
        tuple(notes),
        str(chosen),
    )


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


def _check_parts(parts: int, rows: int, processes: int, *, mixes: bool) -> None:
    """Every process must have a part of a batch, and every part an example."""
    if not processes <= parts:
        raise ValueError(
            f"parts must be at least {processes}, one for each process, got {parts}. Pass fewer "
            "processes, or leave out parts."
        )
    if not 1 <= parts <= rows:
        raise ValueError(
            f"a batch of {rows} examples cannot be cut into {parts} parts for {processes} "
            f"{'processes' if processes > 1 else 'process'}: pass fewer, or a larger batch_size."
        )
    if mixes and rows < 2 * parts:
        raise ValueError(
            f"parts of one example (a batch of {rows} in {parts}) have nobody to be mixed with, so "
            "that only erm can train on them: pass a larger batch_size."
        )


def _check_smallest(
    name: str, split: Split, batch_size: int, parts: int, device: torch.device
) -> None:
    """Let the model take the smallest part of a batch, where it will be trained.

    BatchNorm needs two examples, and someone's model may make tensors on another device.
    """
    last = len(split.train) % batch_size or batch_size
    sizes = {len(rows) for n in {last, batch_size} for rows in np.array_split(range(n), parts)}
    rows = min(sizes - {0})
    model = build_model(name, split, 0).to(device).train()
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"the model {name} has no parameters to train.")
    try:
        with forked():
            outputs = logits_of(model, split.train.x[:rows].to(device))
    except Exception as error:  # someone's model may raise anything
        raise ValueError(
            f"the model {name} cannot train on a batch of {rows}, the smallest part of one"
            f"{'' if device.type == 'cpu' else f', on {device}'}: "
            f"{type(error).__name__}: {error}. Choose another batch_size (the last batch of an "
            f"epoch has {last} of {len(split.train)} examples)."
        ) from error
    if not outputs.requires_grad:
        raise ValueError(
            f"the outputs of the model {name} have no gradient: somewhere it cuts them off, by "
            "detach, no_grad, argmax or a way through NumPy."
        )


def _check_methods(
    strategies: Mapping[str, Strategy | During | None],
    model: torch.nn.Module,
    split: Split,
    data: str,
    batch_size: int,
) -> None:
    """Let every method have the losses of a batch once, so that what does not fit fails now."""
    x, y = split.train.x[:batch_size], split.train.y[:batch_size]
    for method, strategy in strategies.items():
        mixing = strategy.strategy if isinstance(strategy, During) else strategy
        try:
            draw = None if mixing is None else mixing(x, y, generator(0, "trial"))
            with forked():
                vicinal_losses(model.train(), x, y, draw, split.family)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{method} cannot train on {data}: {error}") from error


def execute(
    plan: Plan,
    *,
    executor: str = "loky",
    jobs: int | None = None,
    advance: Callable[[int], None],
    say: Callable[[str], None],
) -> list[store.Record]:
    """Do the runs of a plan that are not stored yet; return the records of all.

    Several processes, on one machine or many, may execute one plan in one folder at a time: they
    share the runs, and all return all records. A run that could not be done (its model raised an
    error, its worker was killed twice) is returned as failed, but not stored: the next time it is
    tried again.

    Args:
        plan: what to run.
        executor: where runs are done: loky (processes on this machine), dask:ADDRESS, ray (the
            cluster that this machine is part of), ray:ADDRESS or slurm. Machines must share the
            folder.
        jobs: how many groups of runs at once; None for one after another in this process (loky),
            or as many as the cluster takes.
        advance: told how many units of progress were done; a run has epochs + MEASURES of its
            attacks.
        say: told what the user should know, a sentence at a time. Both may be called in a thread.

    Raises:
        ValueError: for an executor or a number of jobs that cannot be, or a run named twice.
        OSError: if the folder cannot be written any more, or a cluster cannot be reached.
    """
    check(executor, jobs)
    paths = {run: plan.folder / f"{run.name}.json" for run in plan.runs}
    if len(paths) < len(plan.runs):
        raise ValueError("two runs of the plan have the same configuration.")
    notes = list(plan.notes)
    if jobs is not None and jobs > len(plan.groups):
        notes.append(
            f"{jobs} jobs for {len(plan.groups)} groups of runs that are trained together: some "
            "have nothing to do. A smaller `together` makes more groups."
        )
    for note in notes:
        say(note)
    for path in paths.values():
        store.stored(path, say)
    left_out = launch(
        plan.groups,
        plan.strategies,
        plan.folder,
        device=plan.device,
        executor=executor,
        jobs=jobs,
        advance=advance,
        say=say,
    )
    return [
        failed(run, left_out[run.name]) if run.name in left_out else store.read(path)
        for run, path in paths.items()
    ]
