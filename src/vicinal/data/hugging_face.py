"""Sets of Hugging Face: from the hub, from a folder of files, or as they were saved."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.arrays import of_parts
from vicinal.data.folders import PARTS
from vicinal.data.images import decoded, stack, told
from vicinal.data.lists import of_target
from vicinal.data.raw import Raw
from vicinal.data.targets import Task


def hugging_face(
    name: str, target: str | None, task: Task | None = None, group: str | None = None
) -> Raw:
    """A set of Hugging Face, ``hf:NAME``: images and labels, or a table of numbers.

    Its parts train, test and validation are read, also under their other usual names; others are
    told.

    Raises:
        ValueError: if the library is missing, or the set cannot be had.
    """
    try:
        import datasets
    except ImportError as error:
        raise ValueError(f'{name} needs datasets: pip install "vicinal[hf]".') from error
    try:
        found = _found(datasets, name.removeprefix("hf:"))
    except Exception as error:  # network, names, files: the library raises many kinds
        raise ValueError(f"cannot load {name}: {type(error).__name__}: {error}") from error
    names = {part: key for part, known in PARTS.items() for key in found if key.lower() in known}
    if not names.keys() & {"train", "test"}:
        raise ValueError(f"{name} has no part called train, got {', '.join(map(str, found))}.")
    columns = found[next(iter(names.values()))].features
    label = target or next((k for k in ("label", "labels", "fine_label") if k in columns), "")
    for key in (label, *(() if group is None else (group,))):
        if key not in columns:
            raise ValueError(
                f"{name} has no column {key or 'label'!r}: pass "
                f"{'--target' if key == label else '--group'}. Columns: {', '.join(columns)}."
            )
    changes, groups = Counter[str](), list[np.ndarray]()
    arrays: dict[str, np.ndarray] = {}
    for part, key in names.items():
        named = "" if part == "train" or "train" not in names else f"_{part}"
        x, y = _columns(f"{name}, {key}", found[key], label, group, changes)
        arrays |= {f"x{named}": x, f"y{named}": y}
        groups += [] if group is None else [_array(name, group, found[key][group])]
    return of_parts(
        name,
        arrays,
        task=task,
        groups=None if group is None else np.concatenate(groups),
        group=group or "",
        left_out=[f"the part {key}" for key in found if key not in names.values()],
        remarks=told(changes),
    )


def _found(datasets: Any, name: str) -> Mapping[str, Any]:
    """A set by name, by the folder of its files, or as `save_to_disk` left it."""
    saved = [Path(name) / file for file in ("dataset_dict.json", "dataset_info.json")]
    found = (
        datasets.load_from_disk(name)
        if any(file.is_file() for file in saved)
        else datasets.load_dataset(name)
    )
    parts: Mapping[str, Any] = found if isinstance(found, Mapping) else {"train": found}
    return parts


def _columns(
    name: str, part: Any, label: str, group: str | None, changes: Counter[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a part; how images were changed is counted."""
    y = _targets(name, part, label)
    others = [key for key in part.features if key not in (label, group)]
    if not others:
        raise ValueError(f"{name} needs a feature at least, got only {label}.")
    if len(others) == 1 and type(part.features[others[0]]).__name__ == "Image":
        return _pictures(name, part, others[0], changes), y
    columns = []
    for key in others:
        column = _array(name, key, part[key])
        if column.dtype.kind not in "fiub":
            raise ValueError(
                f"{name}: the column {key} holds no numbers. Encode it as numbers, or leave it out."
            )
        columns.append(column)
    if len({column.shape for column in columns}) > 1:
        raise ValueError(f"{name}: the columns {', '.join(others)} hold lists of several lengths.")
    return np.stack(columns, 1), y


def _targets(name: str, part: Any, label: str) -> np.ndarray:
    """Targets of a part; classes by their names, lists of classes as labels."""
    kind, y = part.features[label], part[label]
    inner: Any = getattr(kind, "feature", None)
    if hasattr(inner, "names"):
        lists = [None if ids is None else [_named(inner.names, k) for k in ids] for ids in y]
        of_target(name, label, np.fromiter(lists, object, len(lists)), None)  # none is missing
        return np.array([np.isin(np.arange(len(inner.names)), ids) for ids in y]).astype(np.int64)
    if hasattr(kind, "names"):
        return np.array([_named(kind.names, k) for k in y], dtype=object)
    return _array(name, label, y)


def _named(names: list[str], k: int | None) -> str | None:
    """The name of a class; none for the mark -1 of a missing label."""
    return names[k] if k is not None and 0 <= k < len(names) else None


def _array(name: str, key: str, column: Any) -> np.ndarray:
    try:
        found = np.asarray(column)
    except ValueError as error:  # lists of several lengths
        raise ValueError(f"{name}: the column {key} cannot be read: {error}") from error
    missing = [row for row, value in enumerate(found) if value is None] if found.ndim == 1 else []
    if missing and all(isinstance(value, int | float | None) for value in found):
        return found.astype(np.float64)  # None is NaN
    return found


def _pictures(name: str, part: Any, key: str, changes: Counter[str]) -> np.ndarray:
    """Images of one size and kind.

    Raises:
        ValueError: with the number of the first that is missing, damaged, or unlike the first.
    """
    images: list[np.ndarray] = []
    for k in range(len(part)):
        try:
            pixels, changed = decoded(part[k][key])
        except Exception as error:  # readers raise many kinds for damaged files
            raise ValueError(f"{name}: image {k} cannot be read: {error}") from error
        images.append(pixels)
        changes.update(changed)
    if len({image.shape for image in images}) > 1:
        raise ValueError(f"{name} has images of several sizes or kinds. Make them alike.")
    return stack(images)
