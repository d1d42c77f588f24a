"""Columns that hold a list for each example: vectors of one length, or labels that are on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vicinal.data.targets import Task


def lists(column: Any) -> np.ndarray:
    """Lists of an Arrow column: (n, length) where all are numbers of one length, else as objects.

    Args:
        column: a chunked array of Arrow, of lists.
    """
    from pyarrow import compute, types

    lengths = compute.list_value_length(column).to_numpy()  # NaN where there is no list
    kind = column.type.value_type
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    if number and len(lengths) and (lengths == lengths[0]).all():
        flat: np.ndarray = compute.list_flatten(column).to_numpy()
        return flat.reshape(len(lengths), int(lengths[0]))
    return np.fromiter(column.to_pylist(), dtype=object, count=len(lengths))


def spread_out(
    path: str, columns: Mapping[str, np.ndarray], chosen: Sequence[str]
) -> dict[str, np.ndarray]:
    """Vectors of features as so many columns, named ``name[0]``, ``name[1]`` and so on.

    Args:
        path: what errors call the table.
        columns: one array for each, of shape (n,), or what `lists` gives.
        chosen: names of the targets, which are left as they are.

    Raises:
        ValueError: for lists of features that are no vectors of one length, several targets of
            which one holds lists, or two columns of one name.
    """
    found: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        held = column.ndim == 2 or column.dtype.kind == "O"
        if name in chosen and held and len(chosen) > 1:
            raise ValueError(
                f"{path}: the target {name} holds a list for each example, which is several "
                f"targets already. Name it alone: --target {name}."
            )
        if name in chosen or not held:
            parts = {name: column}
        elif column.ndim == 2:
            parts = {f"{name}[{k}]": values for k, values in enumerate(column.T)}
        else:
            raise ValueError(
                f"{path}: the column {name} holds {_unlike(column)}. Lists of features must be "
                "numbers, as many for each example; leave the column out, or name it as --target "
                "where it holds labels."
            )
        if twice := found.keys() & parts.keys():
            raise ValueError(f"{path} names a column twice: {min(twice)}, of the list {name}.")
        found |= parts
    return found


def of_target(
    path: str, name: str, column: np.ndarray, task: Task | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A target column, and the names of several targets that it holds; none for a single one.

    Lists of texts are the labels that are on, and so are lists of whole numbers that differ in
    length, or that are told to be labels and are not 0 or 1. Vectors are several targets.

    Raises:
        ValueError: for lists of numbers that differ in length, and examples without a list.
    """
    if column.ndim == 2:
        ids = column.dtype.kind in "iu" and not np.isin(column, (0, 1)).all()
        if not (ids and task == "multilabel"):
            return column, tuple(f"{name}[{k}]" for k in range(column.shape[1]))
        column = np.fromiter(map(list, column.tolist()), dtype=object, count=len(column))
    if column.dtype.kind != "O":
        return column, ()
    missing = [row for row, on in enumerate(column) if on is None or None in on]
    if missing:
        raise ValueError(
            f"{path}: the target {name} is missing, in whole or in part, in {len(missing)} of "
            f"{len(column)} rows, the first at row {missing[0]}. Write an empty list for no label."
        )
    if any(isinstance(label, float | list | dict) for on in column for label in on):
        raise ValueError(
            f"{path}: the target {name} holds {_unlike(column)}. Values must be as many for each "
            "example; labels must be texts or whole numbers."
        )
    labels = sorted({label for on in column for label in on})
    place = {label: k for k, label in enumerate(labels)}
    y = np.zeros((len(column), len(labels)), dtype=np.int64)
    for row, on in enumerate(column):
        y[row, [place[label] for label in on]] = 1
    return y, tuple(map(str, labels))


def _unlike(column: np.ndarray) -> str:
    """What lists hold that are no vectors of one length."""
    lengths = [-1 if values is None else len(values) for values in column]
    first = next((row for row, length in enumerate(lengths) if length != lengths[0]), None)
    if first is None or not all(
        isinstance(value, int | float | None) for values in column for value in values or ()
    ):
        example: object = next((values for values in column if values), [])
        return f"lists that are not all numbers, such as {example}"
    sizes = ["none" if lengths[row] < 0 else str(lengths[row]) for row in (0, first)]
    return f"lists of different lengths: {sizes[0]} at row 0, {sizes[1]} at row {first}"
