"""Runs of a study: from configurations to stored records."""

import platform
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vicinal.data import Split
from vicinal.machine import files
from vicinal.machine.devices import checked, honest, one_thread, told
from vicinal.machine.processes import ALONE, Place, agreed, deal, leave, place
from vicinal.study import store
from vicinal.study.configuration import Objects, Run, model_of, split_of
from vicinal.study.measures import MEASURES, evaluation, explain, measure, validated
from vicinal.study.record import FORMAT
from vicinal.study.training.loop import Member, train
from vicinal.study.training.resume import Trained

Say = Callable[[str], None]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class _Job:
    """Runs to train together, and the names of those that are to be measured."""

    group: tuple[Run, ...]
    objects: Objects
    folder: Path
    device: str
    wanted: frozenset[str]


def records(
    group: Sequence[Run],
    objects: Objects,
    folder: Path,
    *,
    device: str = "cpu",
    advance: Advance,
    say: Say,
) -> list[store.Stored]:
    """The records of runs that are trained together, those that are not stored yet by running them.

    If one is missing, all are trained again and only that one is measured: so its numbers do not
    depend on what was stored.

    Args:
        group: what to run; one of `groups`.
        objects: what names stand for.
        folder: where records and checkpoints are.
        device: what computes, of the kind that is configured.
        advance: told how many units of progress were done; a run has epochs + MEASURES of its
            attacks.
        say: told what the user should know, a sentence at a time.
    """
    found = {run.name: store.stored(folder / f"{run.name}.json", say) for run in group}
    missing = frozenset(name for name, record in found.items() if record is None)
    advance(sum(run.units for run in group if run.name not in missing))
    if missing:
        job = agreed(
            _Job(tuple(group), objects.of(run.method for run in group), folder, device, missing)
        )
        for record in _fresh(job, advance, say):
            store.save(folder, record)
            found[record["name"]] = record
    checkpoint = _checkpoint(group, folder)
    checkpoint.unlink(missing_ok=True)
    files.sweep(checkpoint)
    return [record for record in found.values() if record is not None]


def follow() -> None:
    """Share what the first process does in `records`, until it ends that with `dismiss`."""
    while (job := agreed(None)) is not None:
        for _ in _fresh(job, lambda units: None, lambda sentence: None):
            pass
    leave()


def dismiss() -> None:
    """End `follow` in the other processes."""
    agreed(None)
    leave()


def _checkpoint(group: Sequence[Run], folder: Path) -> Path:
    names = [run.name for run in group]
    name = names[0] if len(names) == 1 else store.name_of({"together": names})
    return folder / f"{name}.checkpoint"


@contextmanager
def _told(say: Say, who: str) -> Iterator[None]:
    """Say what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        say(f"{who}: {message}")


def _fresh(job: _Job, advance: Advance, say: Say) -> Iterator[store.Stored]:
    """Train a group, and measure those of it that are wanted; all processes do this together."""
    first, wanted = job.group[0], len(job.wanted)
    device = checked(job.device)
    splits = {run.seed: split_of(run, job.objects).on(device) for run in job.group}
    members = [_member(run, job.objects, splits[run.seed]) for run in job.group]
    left = first.recipe.epochs

    def epoch() -> None:
        nonlocal left
        left -= 1
        advance(wanted)

    with one_thread(), honest(device):
        started = time.perf_counter()
        with _told(say, f"{first.method}, seed {first.seed}" + ", …" * (len(members) > 1)):
            trained = train(
                members,
                splits[first.seed].family,
                first.recipe,
                parts=first.parts,
                checkpoint=_checkpoint(job.group, job.folder),
                progress=epoch,
            )
        seconds = (time.perf_counter() - started) / len(members)
        advance(left * wanted)  # of members that have all failed before the end
        ended = [
            _Ended(run, job, member.model, splits[run.seed], one, seconds)
            for run, member, one in zip(job.group, members, trained, strict=True)
            if run.name in job.wanted
        ]
        for record, sentences in _dealt(ended):
            for sentence in sentences:
                say(sentence)
            advance(MEASURES[first.measuring.attacks])
            yield record


def _dealt(ended: Sequence["_Ended"]) -> Iterator[tuple[store.Stored, list[str]]]:
    """The records of runs: each process measures one at a time, and those left over all share."""
    where = place()
    rest = len(ended) - len(ended) % where.processes
    for k in range(0, rest, where.processes):
        yield from deal(partial(_record, where=ALONE), ended[k : k + where.processes])
    yield from (_record(one, where) for one in ended[rest:])


def _member(run: Run, objects: Objects, data: Split) -> Member:
    model = model_of(run, objects, data)
    evaluate = evaluation(model, data, run.seed, run.measuring.explain_every)
    strategy = objects.strategies[run.method]
    return Member(run.name, model, strategy, data.train.x, data.train.y, run.seed, evaluate)


@dataclass(frozen=True)
class _Ended:
    """A run whose training has ended, in how many seconds."""

    run: Run
    job: _Job
    model: torch.nn.Module
    split: Split
    trained: Trained
    seconds: float


def _record(ended: _Ended, where: Place) -> tuple[store.Stored, list[str]]:
    """The record of a run, by measuring it, and what the user should know."""
    run, split, trained = ended.run, ended.split, ended.trained
    record: store.Stored = {
        "format": FORMAT,
        "name": run.name,
        "configuration": run.configuration(),
        "environment": _environment(split.train.x.device)
        | {"trained_together": len(ended.job.group)},
        "data": {
            "examples": {p: len(getattr(split, p)) for p in ("train", "validation", "test")},
            "task": split.task,
            "classes": split.classes,
            "shape": list(split.train.x.shape[1:]),
            "bounds": split.bounds,
            "unit": split.unit,
            "labels": list(split.labels),
        },
    }
    if trained.failed is not None:
        reason = f"the training loss was not finite in epoch {trained.failed}"
        failure = {"epoch": trained.failed, "reason": reason}
        seconds = {"training": ended.seconds, "measuring": 0.0}
        record |= {"status": "failed", "failure": failure, "history": trained.history}
        return files.plain(record | {"measured": None, "seconds": seconds}), []
    said: list[str] = []
    started = time.perf_counter()
    with _told(said.append, f"{run.method}, seed {run.seed}"):
        measured = _measured(ended, where)
    seconds = {"training": ended.seconds, "measuring": time.perf_counter() - started}
    record |= {"status": "done", "failure": None, "history": trained.history}
    return files.plain(record | {"measured": measured, "seconds": seconds}), said


def _measured(ended: _Ended, where: Place) -> dict[str, Any]:
    run, last = ended.run, ended.trained.history[-1]
    if run.measured_on == "validation":
        return validated(last)
    # the same for all methods of a seed, and runs of a seed follow one another
    start = _explain_start(replace(run, method="", strategy=""), ended.job.objects, ended.split)
    scratch = ended.job.folder / run.name
    attacks = run.measuring.attacks
    return measure(ended.model, start, ended.split, run.seed, last, attacks, scratch, where)


_latest: dict[Run, dict[str, Any]] = {}
"""The explanation of the start of one seed, which all its methods share."""


def _explain_start(run: Run, objects: Objects, data: Split) -> dict[str, Any]:
    if run not in _latest:
        _latest.clear()
        model = model_of(run, objects, data)
        _latest[run] = explain(model, data.train, data.family, run.seed)
    return _latest[run]


def _environment(device: torch.device) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "processes": place().processes,
        "device": told(device),
    }
