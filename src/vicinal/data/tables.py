"""Tables with a target column: CSV, Parquet and NumPy files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vicinal.data.arrays import from_arrays as from_arrays
from vicinal.data.arrays import npz
from vicinal.data.delimited import csv_columns
from vicinal.data.extremes import refuse_merged
from vicinal.data.lists import of_target, spread_out
from vicinal.data.parquet import parquet_columns
from vicinal.data.raw import Raw, checked
from vicinal.data.targets import Task
from vicinal.data.written import beyond, column, numbers_of, with_commas
from vicinal.machine.names import guess

ENDINGS = (".csv", ".npz", ".parquet")


def table(
    path: Path, target: str | None, task: Task | None = None, group: str | None = None
) -> Raw:
    """A table from a file.

    CSV needs a line of names. Parquet needs pyarrow; its columns may hold lists, of numbers or of
    the labels that are on. An NPZ file holds the arrays x and y, and where there are parts of their
    own x_test and y_test, x_validation and y_validation; see `from_arrays` for images.

    Args:
        path: a file with one of ENDINGS, in letters of any case.
        target: name of the target column, or several with commas between them; None takes the
            last one. Not for NPZ.
        task: what is to be learnt; None for what the targets say.
        group: the column, or array, that says what rows belong to; it is no feature.

    Raises:
        ValueError: if the file cannot be read, or the target is not in it; see also `checked`.
    """
    ending = path.suffix.lower()
    if ending == ".npz":
        if target is not None:
            raise ValueError(f"{path} holds arrays: its targets are y. Leave out --target.")
        return npz(path, task, group)
    left_out: list[str] = []
    if ending == ".csv":
        texts = csv_columns(path)
        chosen = _chosen(path, list(texts), target, group)
        columns = _of_texts(path, texts, {*chosen, group})
    else:
        wanted = {target, group, *(target or "").split(",")} - {None}
        columns, left_out = parquet_columns(path, {str(name).strip() for name in wanted})
        chosen = _chosen(path, list(columns), target, group)
    groups = None if group is None else columns.pop(group)
    if groups is not None and groups.ndim == 2:
        raise ValueError(f"{path}: the group {group} holds a list for each row. Name one for each.")
    columns = spread_out(str(path), columns, chosen)
    features = [name for name in columns if name not in chosen]
    if not features:
        raise ValueError(f"{path} needs a feature at least; all its columns are targets.")
    for name in features:
        if columns[name].dtype.kind not in "fiub":
            raise ValueError(
                f"{path}: the column {name} holds texts, {_texts(columns[name])}. Encode it as "
                "numbers, or leave it out."
            )
        refuse_merged(str(path), name, columns[name])
    x = np.stack([columns[name].astype(np.float64) for name in features], 1)
    y, labels = _targets(path, columns, chosen, task)
    return checked(
        str(path),
        x,
        y,
        features=features,
        task=task,
        names=labels,
        groups=groups,
        group=group or "",
        left_out=left_out,
    )


def _of_texts(
    path: Path, texts: Mapping[str, list[str]], names: set[str | None]
) -> dict[str, np.ndarray]:
    """Columns of texts as numbers where all are; those of these names may hold labels.

    Raises:
        ValueError: for numbers that are written with commas, or beyond 64 bits.
    """
    columns = {name: column(entries, label=name in names) for name, entries in texts.items()}
    for name, entries in texts.items():
        if large := beyond(columns[name]):
            raise ValueError(
                f"{path}: the column {name} holds whole numbers beyond 64 bits, such as {large}, "
                "which differ by less than numbers can. Leave it out if it names rows; else write "
                "it in larger units."
            )
        if columns[name].dtype.kind == "U" and with_commas(entries):
            raise ValueError(
                f"{path}: the column {name} holds numbers with commas, such as "
                f"{next(text for text in entries if ',' in text)}. Write 1.5 for one and a half, "
                "and 1000 for a thousand."
            )
    return columns


def _targets(
    path: Path, columns: Mapping[str, np.ndarray], chosen: list[str], task: Task | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The targets, and their names where there are several for each example."""
    if len(chosen) == 1:
        return of_target(str(path), chosen[0], columns[chosen[0]], task)
    for name in chosen:
        if columns[name].dtype.kind not in "fiub":
            raise ValueError(
                f"{path}: of several targets each must be numbers, but {name} holds texts, "
                f"{_texts(columns[name])}. Write 1 for on and 0 for off."
            )
    return np.stack([columns[name] for name in chosen], 1), tuple(chosen)


def _texts(column: np.ndarray) -> str:
    """How many entries of a column are no numbers, and the first of them."""
    texts = [text for text in column.tolist() if numbers_of([str(text)]) is None]
    texts = texts or column.tolist()  # numbers that are stored as texts
    return f"{len(texts)} of {len(column)} entries, such as {texts[0]!s}"


def _chosen(path: Path, names: list[str], target: str | None, group: str | None) -> list[str]:
    """The target columns; a name that itself holds commas is one column.

    Raises:
        ValueError: for too few columns, and for a target or group that is none of them.
    """
    if len(names) < 2:
        got = f"one column, {names[0]!r}" if names else "no columns"
        raise ValueError(
            f"{path} needs a target and a feature at least, got {got}. Columns are separated by "
            "commas."
        )
    for name in () if group is None else (group,):
        _refuse_unknown(path, name, names)
    if target is None:
        others = [name for name in names if name != group]
        return others[-1:]
    chosen = [target] if target in names else [name.strip() for name in target.split(",")]
    for name in chosen:
        _refuse_unknown(path, name, names)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{path}: --target names a column twice: {target}.")
    if group in chosen:
        raise ValueError(f"{path}: {group} cannot be both a target and the group.")
    return chosen


def _refuse_unknown(path: Path, name: str, names: list[str]) -> None:
    if name not in names:
        columns = f"{guess(name, names)}Columns: {', '.join(names)}"
        raise ValueError(f"{path} has no column {name!r}. {columns}.")
