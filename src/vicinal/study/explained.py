"""What mixing does to the loss of a trained model, with the examples that carry it."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vicinal.data import Part, Split
from vicinal.explanation.summary import explain
from vicinal.machine import files
from vicinal.machine.devices import honest, one_thread, told
from vicinal.machine.processes import check_processes, join, launch, leave
from vicinal.machine.progress import working
from vicinal.study.opened import Opened, device_of, noting, opened, settings
from vicinal.study.subject import Explaining


@dataclass(frozen=True)
class Explained:
    """An explanation as plain data, and the examples that it names.

    Attributes:
        record: the explanation, with what it is about under "settings".
        inputs: of the examples that are named, by their index in the part.
        targets: of them, in words.
        rows: of them in the data.
        features: names of the columns of a table.
        bounds: of images.
    """

    record: dict[str, Any]
    inputs: dict[int, np.ndarray]
    targets: dict[int, str]
    rows: dict[int, int]
    features: tuple[str, ...]
    bounds: tuple[float, float] | None


def run_explanation(asked: Explaining) -> Explained | None:
    """Explain a trained model; None in one of several processes that is not the first.

    Raises:
        ValueError: if model or data cannot be had, or do not fit each other.
        ProcessFailed: if one of several processes failed.
    """
    files.check_folder(asked.out)
    device = device_of(asked.computing)
    one = opened(asked.subject, device)
    part: Part = getattr(one.split, asked.part)
    check_processes(asked.computing.processes, len(part), f"are {len(part)} examples")
    if asked.computing.processes > 1:
        alone = replace(asked, computing=replace(asked.computing, processes=1))
        return launch(asked.computing.processes, run_explanation, alone)
    where = join()
    x, y = one.pair(part)
    with (
        one_thread(),
        honest(device),
        working("explaining", 1.0, quiet=where.rank > 0) as shown,
        noting(shown.say),
    ):
        for note in one.notes:
            shown.say(f"Note: {note}")
        done = 0.0

        def progress(share: float) -> None:
            nonlocal done
            shown.advance(share - done)
            done = share

        found = explain(
            one.model,
            x,
            y,
            family=one.family,
            alphas=asked.alphas,
            pairs=None if asked.exact else asked.pairs,
            partners=None if asked.exact else 8,
            shown=asked.shown,
            rng=np.random.default_rng(asked.subject.seed),
            progress=progress,
            where=where,
        )
    leave()
    if where.rank > 0:
        return None
    record = files.plain(asdict(found))
    record["settings"] = settings(one, asked.part, device=told(device))
    return _with_examples(record, one, asked.part)


def _with_examples(record: dict[str, Any], one: Opened, name: str) -> Explained:
    """The examples that the record names, and their rows in the data put into it."""
    split = one.split.on("cpu")
    part: Part = getattr(split, name)
    found = [example for group in record["carriers"].values() for example in group]
    for example in found:
        example["row"] = int(part.rows[example["index"]])
    named = sorted({example["index"] for example in found})
    return Explained(
        record,
        inputs={k: part.x[k].numpy() for k in named},
        targets={k: _target(split, part.y[k].tolist()) for k in named},
        rows={k: int(part.rows[k]) for k in named},
        features=split.features,
        bounds=split.bounds,
    )


def _target(split: Split, y: float | list[float]) -> str:
    if isinstance(y, list):
        if split.task == "multilabel":
            return ", ".join(label for label, on in zip(split.labels, y, strict=True) if on)
        return ", ".join(f"{value:.4g}" for value in y)
    return split.labels[int(y)] if split.labels else f"{y:.4g}"
