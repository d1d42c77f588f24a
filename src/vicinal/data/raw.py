"""A data set before it is split: arrays, what they are called, and what must hold of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from jaxtyping import Float, Int, Shaped

from vicinal.data.counts import read_line, refuse_unseen
from vicinal.data.extremes import refuse_extremes, refuse_merged
from vicinal.data.missing import missing, plain
from vicinal.data.targets import Targets, Task, sentence, targets


@dataclass(frozen=True)
class Raw:
    """Inputs and targets as arrays; use `checked` to make one from someone's data.

    Attributes:
        x: inputs, finite.
        y: class ids (integers from 0), labels (n, K) of 0 and 1, or values (floats), one or K.
        bounds: valid range of images; None for tables.
        labels: names of the classes in the order of their ids, of the labels, or of several values.
        features: names of the columns of a table, where they are known.
        test: rows that are for testing; None where the split is free to choose.
        digest: of all that decides the numbers, so that changed files are other data; empty for
            built-in sets.
        task: what is to be learnt.
        note: what a reader may want to have otherwise, and what was read and left out.
        validation: rows that are for validation; None where the split is free to choose.
        groups: numbers from 0 of what rows belong to, which no split tears apart; None for none.
        group: what the groups are called.
    """

    x: Float[np.ndarray, "n *rest"]
    y: Shaped[np.ndarray, "n *k"]
    bounds: tuple[float, float] | None = None
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    test: np.ndarray | None = None
    digest: str = ""
    task: Task = "classification"
    note: str = ""
    validation: np.ndarray | None = None
    groups: np.ndarray | None = None
    group: str = ""

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes."""
        return self.task in ("classification", "binary")

    @property
    def classes(self) -> int:
        """Number of classes; 0 for labels and values."""
        return len(self.labels) if self.classifies else 0

    @property
    def free(self) -> Int[np.ndarray, " m"]:
        """Rows that the data keep neither for testing nor for validation."""
        kept = [rows for rows in (self.test, self.validation) if rows is not None]
        return np.setdiff1d(np.arange(len(self.y)), np.concatenate(kept) if kept else [])

    @property
    def told(self) -> str:
        """What the targets were taken for, and what was read, in a line."""
        return sentence(Targets(self.y, self.task, self.labels, self.note))


def checked(
    name: str,
    x: np.ndarray,
    y: np.ndarray | Sequence[object],
    *,
    bounds: tuple[float, float] | None = None,
    features: Sequence[str] = (),
    test: np.ndarray | None = None,
    task: Task | None = None,
    names: Sequence[str] = (),
    validation: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    group: str = "",
    left_out: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> Raw:
    """Someone's arrays as a data set; what the targets are is told, or follows from their kind.

    Args:
        name: what errors call the data.
        x: inputs (n, ...), numbers.
        y: targets (n,) or (n, K); see `targets`.
        bounds: valid range of images; None for tables.
        features: names of the columns of a table.
        test: rows that are for testing.
        task: what is to be learnt; None for what the targets say.
        names: of the targets, where there are several for each example.
        validation: rows that are for validation.
        groups: what each row belongs to, as numbers or texts.
        group: what errors call the groups.
        left_out: what was not read and why, for the line of counts.
        remarks: sentences on how inputs were read.

    Raises:
        ValueError: for no examples, sizes that differ, inputs that are not finite or overflow 32
            bits, equal columns, values outside of the bounds, classes that are for testing only,
            groups that are missing, and targets that `targets` refuses.
        TypeError: for inputs that are not numbers.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name}: inputs must be numbers, got {x.dtype}. Encode texts beforehand.")
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError(f"{name}: inputs and targets must be arrays with a row for each example.")
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(
            f"{name} has {len(x)} inputs and {len(y)} targets; both must be equal, and there must "
            "be some."
        )
    x = _inputs(name, x, bounds, features)
    found = targets(name, y, task, names)
    line = read_line(x, test, validation, left_out)
    raw = Raw(
        x,
        found.y,
        bounds,
        found.labels,
        tuple(features),
        test,
        task=found.task,
        note=" ".join(filter(None, (found.note, line, *remarks))),
        validation=validation,
        groups=None if groups is None else numbered(name, groups, group, len(x)),
        group=group,
    )
    if found.task != "regression":
        refuse_unseen(name, raw.y, raw.free, raw.labels)
    return replace(raw, digest=digest_of(raw))


def digest_of(raw: Raw) -> str:
    """A name for all that decides what is learnt from data, and what its numbers are called.

    These are the values with their shapes and kinds, which rows are for testing and validation and
    belong together, and the task with the names of classes, labels and columns.
    """
    named = (raw.task, raw.bounds, raw.labels, raw.features)
    content = sha256(repr(named).encode())
    for array in (raw.x, raw.y, raw.test, raw.validation, raw.groups):
        content.update(repr(None if array is None else (array.shape, array.dtype.str)).encode())
        if array is not None:
            content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()[:12]


def _inputs(
    name: str, x: np.ndarray, bounds: tuple[float, float] | None, features: Sequence[str]
) -> Float[np.ndarray, "n *rest"]:
    """Inputs as floats, of 32 bits for images, after all that must hold of them."""
    if x[0].size == 0:
        raise ValueError(f"{name}: inputs of shape {x.shape} hold no numbers.")
    if bounds is None:
        for k, values in enumerate(x.T if x.ndim == 2 else ()):
            refuse_merged(name, features[k] if features else str(k), values)
        with np.errstate(over="ignore"):  # of longer floats, which are refused as infinite
            x = x.astype(np.float64)
    if not np.isfinite(x).all():
        undefined = ~np.isfinite(x.reshape(len(x), -1))
        rows, columns = (np.flatnonzero(undefined.any(axis)) for axis in (1, 0))
        of = f", of {', '.join(features[k] for k in columns[:5])}" if features else ""
        raise ValueError(
            f"{name}: inputs must be finite, got NaN or infinity in {len(rows)} of {len(x)} rows, "
            f"the first at row {rows[0]}, counted from 0{of}. Fill in or leave out what is missing."
        )
    if bounds is None:
        refuse_extremes(name, x, features)
    elif not bounds[0] <= x.min() <= x.max() <= bounds[1]:
        normalised = " Negative pixels were standardised already: pass them as they were before."
        raise ValueError(
            f"{name}: images must lie in {bounds}, got {x.min():g} to {x.max():g}. Divide them by "
            "their largest possible value, or pass 8 bits (uint8)."
            f"{normalised * bool(x.min() < 0)}"
        )
    x = x if bounds is None else x.astype(np.float32)  # images are many
    if x.ndim == 2:
        _refuse_equal_columns(name, x, features)
    return x


def numbered(name: str, groups: np.ndarray, group: str, count: int) -> np.ndarray:
    """What rows belong to as numbers from 0.

    Raises:
        ValueError: where a row belongs to nothing, or there is not one group for each row.
    """
    if groups.shape != (count,):
        raise ValueError(f"{name}: {group} must have shape ({count},), got {groups.shape}.")
    groups = plain(groups)
    unknown = np.flatnonzero(missing(groups))
    if len(unknown):
        raise ValueError(
            f"{name}: the group {group} is missing in {len(unknown)} of {count} rows, the first at "
            f"row {unknown[0]}, counted from 0. Give each of these rows a group of its own."
        )
    groups = groups.astype(str) if groups.dtype.kind == "O" else groups
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _refuse_equal_columns(name: str, x: np.ndarray, features: Sequence[str]) -> None:
    first: dict[bytes, int] = {}
    for k in range(x.shape[1]):
        before = first.setdefault(x[:, k].tobytes(), k)
        if before != k:
            named = [features[j] if features else str(j) for j in (before, k)]
            raise ValueError(
                f"{name}: the columns {named[0]} and {named[1]} are equal. Leave one of them out; "
                "a copy would count twice, in attacks above all."
            )
