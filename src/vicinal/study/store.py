"""The store: one JSON file per run, named by the hash of its configuration, whole or absent."""

import json
import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from vicinal.machine.files import half_done, kind_of, settle, sweep, whole, write
from vicinal.study.record import READABLE

FIELDS: dict[str, type | tuple[type, ...]] = {
    "history": list,
    "environment": dict,
    "seconds": (dict, NoneType),
    "failure": (dict, NoneType),
    "measured": (dict, NoneType),
}
"""The types of fields; older records, and those of other programs, may lack some."""
UNTOLD = ("seconds", "environment", "digest")
"""Of a record, what its digest does not tell."""
Stored = dict[str, Any]
"""A record as the JSON object that stands in its file; `vicinal.study.record` has its types."""


def name_of(configuration: Mapping[str, object]) -> str:
    """16 hex digits that name a configuration."""
    canonical = json.dumps(configuration, sort_keys=True, allow_nan=False)
    return sha256(canonical.encode()).hexdigest()[:16]


def digest_of(record: Mapping[str, object]) -> str:
    """64 hex digits by which it is known that a record is what was written.

    Not of its seconds and environment, so that runs with the same numbers have the same.
    """
    told = {key: value for key, value in record.items() if key not in UNTOLD}
    return sha256(json.dumps(told, sort_keys=True, allow_nan=False).encode()).hexdigest()


def save(folder: Path, record: Stored) -> None:
    """Store one run under its name, once: a run that is stored is never written over.

    So a process that was frozen while another took its run over changes nothing.
    """
    path = folder / f"{record['name']}.json"
    told = record | {"digest": digest_of(record)}
    text = json.dumps(told, indent=1, allow_nan=False) + "\n"
    with whole(path, text.encode()) as partial:
        try:
            os.link(partial, path)
        except FileExistsError:
            if not path.is_file():  # something in its place, which is no record either
                raise
        except OSError:  # some file systems have no links
            if not os.path.lexists(path):
                os.replace(partial, path)
    settle(folder)
    sweep(path)


def read(path: Path) -> Stored:
    """Read one run.

    Raises:
        ValueError: if the file is not a run of this format, or not what was written, with the
            reason.
        FileNotFoundError: if there is none.
    """
    if (kind := kind_of(path)) not in (None, "a file"):
        raise ValueError(f"not a file, but {kind}")
    try:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from error
        return _checked(record, path.stem)
    except RecursionError as error:
        raise ValueError("not a run: nested too deeply") from error


def _checked(record: Any, name: str) -> Stored:
    """A record that is whole, without its digest.

    Raises:
        ValueError: if it is not.
    """
    if not isinstance(record, dict):
        raise ValueError(f"not a run, but a {type(record).__name__}")
    if record.get("format") not in READABLE:
        raise ValueError(
            f"its format is {record.get('format')!r}, and this version of vicinal reads "
            f"{' and '.join(map(str, READABLE))}"
        )
    configuration = record.get("configuration")
    if not isinstance(configuration, dict) or not {"method", "seed"} <= configuration.keys():
        raise ValueError("no configuration with method and seed")
    if record.get("name") != name or name_of(configuration) != name:
        raise ValueError("its name is not the hash of its configuration")
    if record.get("status") not in ("done", "failed"):
        raise ValueError(f"neither done nor failed: status {record.get('status')!r}")
    if record["status"] == "done" and not isinstance(record.get("measured"), dict):
        raise ValueError("done, but without measurements")
    if "digest" in record and record.pop("digest") != digest_of(record):
        raise ValueError("it is not what was written: its digest differs")
    _check_fields(record)
    return record


def _check_fields(record: Stored) -> None:
    """Refuse fields of other types than a run has.

    Raises:
        ValueError: then, with the first such field.
    """
    for key, kinds in FIELDS.items():
        if key in record and not isinstance(record[key], kinds):
            raise ValueError(f"its {key} is a {type(record[key]).__name__}")
    for row in record.get("history", ()):
        if not isinstance(row, dict) or not all(map(_number, row.values())):
            raise ValueError("its history has a row that is not of numbers")
    if not all(map(_number, (record.get("seconds") or {}).values())):
        raise ValueError("its seconds are not numbers")
    configuration = record["configuration"]
    if not isinstance(configuration["method"], str) or type(configuration["seed"]) is not int:
        raise ValueError("its method is no text, or its seed no number")


def _number(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and -1e308 < value < 1e308)  # type: ignore[operator]


def stored(path: Path, say: Callable[[str], None]) -> Stored | None:
    """The record of a run, if there is one; a damaged one is set aside."""
    return half_done(path, read, say, what="", then="running again")


def keep_way(folder: Path, way: str) -> None:
    """Keep the command or the code that made runs of a folder, for who renders them again."""
    name = sha256(way.encode()).hexdigest()[:16]
    write(folder / f"{name}.command", way + "\n")


def ways(folder: Path) -> list[str]:
    """The commands and the code that made the runs of a folder, the oldest first."""
    found = sorted(folder.glob("*.command"), key=lambda path: path.stat().st_mtime_ns)
    return [path.read_text(encoding="utf-8").strip() for path in found]


class Unreadable(NamedTuple):
    """A file that was skipped, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def load(folder: Path) -> tuple[list[Stored], list[Unreadable]]:
    """Every run of a folder, by file name, and the `*.json` files that are none."""
    records, unreadable = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            records.append(read(path))
        except (OSError, ValueError) as error:
            unreadable.append(Unreadable(path.name, str(error)))
    return records, unreadable
