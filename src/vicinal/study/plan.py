"""From what is asked to the list of runs: whatever can be known beforehand fails here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

import vicinal
from vicinal.data import Split, read, split
from vicinal.data.raw import Raw
from vicinal.machine.devices import checked, forked
from vicinal.machine.processes import check_shared, sharing
from vicinal.maths.randomness import generator
from vicinal.mixing.choice import During
from vicinal.mixing.draw import Strategy
from vicinal.mixing.labels import vicinal_losses
from vicinal.models.forward import logits_of
from vicinal.models.named import build_model, code_of, fitting
from vicinal.models.weights import fill, weights_from
from vicinal.robustness.attacks.adversarial import bounded
from vicinal.study.configuration import Objects, Run
from vicinal.study.executors import check
from vicinal.study.options import Computing, Source, Study
from vicinal.study.together import groups


@dataclass(frozen=True)
class Plan:
    """The runs of a study, checked: nothing that can be known beforehand fails later.

    Attributes:
        study: what was asked.
        runs: seed by seed, all methods of a seed together.
        groups: the same runs, as they are trained together.
        objects: what names stand for.
        folder: where records are stored.
        notes: what the user should know beforehand, in sentences.
        device: what computes.
    """

    study: Study
    runs: tuple[Run, ...]
    groups: tuple[tuple[Run, ...], ...]
    objects: Objects
    folder: Path
    notes: tuple[str, ...] = ()
    device: str = "cpu"


def plan(
    study: Study,
    objects: Objects,
    folder: Path,
    *,
    measured_on: Literal["test", "validation"] = "test",
) -> Plan:
    """Check a study and list its runs, seed by seed, all methods of a seed together.

    Args:
        study: what is asked.
        objects: the strategies of its methods, and data and a model that are given as objects.
        folder: where records are stored.
        measured_on: the part of the data on which runs are measured.

    Raises:
        ValueError: for a device or data that cannot be had, or a model or method that does not fit
            them.
        OSError: if the folder cannot be written.
    """
    computing, training = study.computing, study.training
    check(computing.executor, computing.jobs)
    device, processes = check_device(computing), sharing(computing.processes)
    if processes > 1 and (computing.executor, computing.jobs or 1) != ("loky", 1):
        raise ValueError(
            "the processes that torchrun started share every batch; jobs and executors do runs "
            "side by side: choose one of them."
        )
    methods = _chosen(study, objects)
    source, data = study.source, _split(study.source, training.train_size, objects)
    model = training.model or ("mlp" if data.bounds is None else "cnn")
    if fitting(model, data, objects.model).task != data.task:
        source, objects = replace(source, task="binary"), _binary(objects)
        data = _split(source, training.train_size, objects)
    bound = {method: bounded(kind, data.bounds) for method, kind in methods.items()}
    objects = replace(objects, strategies=bound)
    parts = processes if computing.parts is None else computing.parts
    rows = min(training.recipe.batch_size, len(data.train))
    _check_parts(parts, rows, processes, mixes=any(bound.values()))
    _check_smallest(model, objects, data, training.recipe.batch_size, parts, device)
    first = build_model(model, data, 0, objects.model)
    start = None if training.weights is None else weights_from(training.weights)
    notes = [] if start is None else [fill(first, start, data.outputs)]
    _check_methods(bound, first, data, source.data, training.recipe.batch_size)
    _make_writable(folder)
    raw = _raw(source, objects)
    code = objects.code or code_of(model)
    runs = tuple(
        Run(
            source=source,
            digest=raw.digest,
            method=method,
            model=model,
            weights=None if start is None else start.file,
            weights_digest="" if start is None else start.digest,
            seed=seed,
            train_size=len(data.train),
            recipe=training.recipe,
            parts=parts,
            device=device.type,
            measuring=study.measuring,
            measured_on=measured_on,
            version=vicinal.__version__,
            strategy=objects.told.get(method, ""),
            code=code,
        )
        for seed in range(study.seeds)
        for method in bound
    )
    notes = [raw.told, *data.notes, *notes]
    together = groups(runs, objects, computing.together, notes.append)
    return Plan(study, runs, together, objects, folder, tuple(notes), str(device))


def _make_writable(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write to the folder {folder}.")


def check_device(computing: Computing) -> torch.device:
    """What computes; refused where it cannot be had, or several processes would share it.

    Raises:
        ValueError: then.
    """
    device = checked(computing.device)
    check_shared(device, sharing(computing.processes))
    return device


def _chosen(study: Study, objects: Objects) -> Mapping[str, Strategy | During | None]:
    """The strategies that are compared.

    Raises:
        ValueError: if there is none, or the baseline is not among them.
    """
    if not objects.strategies:
        raise ValueError("methods must name at least one method, such as erm.")
    if study.baseline is not None and study.baseline not in objects.strategies:
        raise ValueError(
            f"the baseline {study.baseline!r} is not among the methods: "
            f"{', '.join(objects.strategies)}."
        )
    return objects.strategies


def _raw(source: Source, objects: Objects) -> Raw:
    """The data whole."""
    if objects.data is not None:
        return objects.data
    return read(source.data, source.target, source.task, source.group)


def _split(source: Source, train_size: int | None, objects: Objects) -> Split:
    """The data as the first seed splits them."""
    return split(_raw(source, objects), source.data, 0, train_size)


def _binary(objects: Objects) -> Objects:
    if objects.data is None:
        return objects
    return replace(objects, data=replace(objects.data, task="binary"))


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
    name: str, objects: Objects, data: Split, batch_size: int, parts: int, device: torch.device
) -> None:
    """Let the model take the smallest part of a batch, where it will be trained.

    BatchNorm needs two examples, and someone's model may make tensors on another device.
    """
    last = len(data.train) % batch_size or batch_size
    sizes = {len(rows) for n in {last, batch_size} for rows in np.array_split(range(n), parts)}
    rows = min(sizes - {0})
    model = build_model(name, data, 0, objects.model).to(device).train()
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"the model {name} has no parameters to train.")
    try:
        with forked():
            outputs = logits_of(model, data.train.x[:rows].to(device))
    except Exception as error:  # someone's model may raise anything
        raise ValueError(
            f"the model {name} cannot train on a batch of {rows}, the smallest part of one"
            f"{'' if device.type == 'cpu' else f', on {device}'}: "
            f"{type(error).__name__}: {error}. Choose another batch_size (the last batch of an "
            f"epoch has {last} of {len(data.train)} examples)."
        ) from error
    if not outputs.requires_grad:
        raise ValueError(
            f"the outputs of the model {name} have no gradient: somewhere it cuts them off, by "
            "detach, no_grad, argmax or a way through NumPy."
        )


def _check_methods(
    strategies: Mapping[str, Strategy | During | None],
    model: torch.nn.Module,
    data: Split,
    name: str,
    batch_size: int,
) -> None:
    """Let every method have the losses of a batch once, so that what does not fit fails now."""
    x, y = data.train.x[:batch_size], data.train.y[:batch_size]
    for method, strategy in strategies.items():
        mixing = strategy.strategy if isinstance(strategy, During) else strategy
        try:
            draw = None if mixing is None else mixing(x, y, generator(0, "trial"))
            with forked():
                vicinal_losses(model.train(), x, y, draw, data.family)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{method} cannot train on {name}: {error}") from error
