"""Figures × seeds → records, one JSON file for each; what is stored is not measured again."""

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

import vicinal
from vicinal.machine import files
from vicinal.machine.devices import one_thread
from vicinal.study import store
from vicinal.study.reproduce.measured import Measured, Size
from vicinal.study.reproduce.networks import Diverged

FORMAT = 1
Record = dict[str, Any]


@runtime_checkable
class Reproduction(Protocol):
    """What a module of this package offers for its figure."""

    NAME: str
    DATA: str
    QUICK: Size
    FULL: Size

    def measure(self, seed: int, size: Size, data: str) -> Measured:
        """All that one seed gives."""


def record(
    figure: Reproduction, seed: int, size: Size, data: str, folder: Path, say: Callable[[str], None]
) -> Record:
    """The record of one seed: read where it is stored, else measured and stored.

    Args:
        figure: which.
        seed: of splits, weights, order and draws.
        size: how much of it.
        data: name of a data set.
        folder: where records are; it exists.
        say: told a sentence when a file could not be read and was set aside.
    """
    configuration = {
        "figure": figure.NAME,
        "data": data,
        "size": asdict(size) | {"seeds": None},  # a seed is the same, however many there are
        "seed": seed,
        "version": vicinal.__version__,
    }
    name = f"{figure.NAME}-{store.name_of(configuration)}"
    path = folder / f"{name}.json"
    if (found := _stored(path, configuration, say)) is not None:
        return found
    started = time.perf_counter()
    whole: Record = {"format": FORMAT, "name": name, "configuration": configuration}
    whole["environment"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }
    try:
        whole |= {"status": "done", **asdict(figure.measure(seed, size, data))}
    except Diverged as error:
        whole |= {"status": "failed", "failure": str(error)}
    whole["seconds"] = time.perf_counter() - started
    found = files.plain(whole)
    files.write(path, json.dumps(found, allow_nan=False) + "\n")
    return found


def records(
    figure: Reproduction,
    seeds: Sequence[int],
    size: Size,
    data: str,
    folder: Path,
    *,
    advance: Callable[[], None],
    say: Callable[[str], None],
) -> list[Record]:
    """The records of all seeds of one figure, in order, on one thread."""
    found = []
    with one_thread():
        for seed in seeds:
            found.append(record(figure, seed, size, data, folder, say))
            advance()
    return found


def _stored(path: Path, configuration: Record, say: Callable[[str], None]) -> Record | None:
    def read(path: Path) -> Record:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"not a record of format {FORMAT}")
        if found.get("configuration") != configuration:
            raise ValueError("its configuration is not the one of its name")
        if found.get("status") not in ("done", "failed"):
            raise ValueError(f"neither done nor failed: status {found.get('status')!r}")
        return found

    return files.half_done(path, read, say, what="", then="measured again")
