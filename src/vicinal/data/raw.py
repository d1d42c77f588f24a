"""A data set before it is split: arrays, what they are called, and what must hold of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from jaxtyping import Float, Shaped

ENOUGH = 4  # examples of a class, so that each part can hold one


@dataclass(frozen=True)
class Raw:
    """Inputs and targets as arrays; use `checked` to make one from someone's data.

    Attributes:
        x: inputs, finite.
        y: class ids (integers from 0) or values (floats).
        bounds: valid range of images; None for tables.
        labels: names of the classes, in the order of their ids; empty for values.
        features: names of the columns of a table, where they are known.
        test: rows that are for testing; None where the split is free to choose.
        digest: of the content, so that changed files are other data; empty for built-in sets.
    """

    x: Float[np.ndarray, "n *rest"]
    y: Shaped[np.ndarray, " n"]
    bounds: tuple[float, float] | None = None
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    test: np.ndarray | None = None
    digest: str = ""

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes."""
        return bool(self.y.dtype.kind == "i")

    @property
    def classes(self) -> int:
        """Number of classes; 0 for values."""
        return len(self.labels) if self.classifies else 0


def checked(
    name: str,
    x: np.ndarray,
    y: np.ndarray | Sequence[object],
    *,
    bounds: tuple[float, float] | None = None,
    features: Sequence[str] = (),
    test: np.ndarray | None = None,
    values: bool = False,
) -> Raw:
    """Someone's arrays as a data set; what the targets are follows from their kind.

    Integers, truth values and texts are classes, but where `values` is set; floating numbers are
    values.

    Args:
        name: what errors call the data.
        x: inputs (n, ...), numbers.
        y: targets (n,).
        bounds: valid range of images; None for tables.
        features: names of the columns of a table.
        test: rows that are for testing.
        values: whether integers are values too, such as counts.

    Raises:
        ValueError: for no examples, sizes that differ, inputs or values that are not finite, one
            class, classes of fewer examples than parts, constant values, equal columns, multi-label
            targets, values outside of the bounds, texts where values are asked for.
        TypeError: for inputs that are not numbers.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name}: inputs must be numbers, got {x.dtype}. Encode texts beforehand.")
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"{name} has {len(x)} inputs and {len(y)} targets; both must be equal.")
    x = x.astype(np.float64 if bounds is None else np.float32)  # images are many
    if not np.isfinite(x).all():
        rows = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(1))
        raise ValueError(
            f"{name}: inputs must be finite, got NaN or infinity in {len(rows)} of {len(x)} rows, "
            f"the first at row {rows[0]}. Fill in or leave out what is missing."
        )
    if bounds is not None and not bounds[0] <= x.min() <= x.max() <= bounds[1]:
        raise ValueError(f"{name}: images must lie in {bounds}, got {x.min():g} to {x.max():g}.")
    if x.ndim == 2:
        _refuse_equal_columns(name, x, features)
    y, labels = _targets(name, y, values)
    content = sha256(np.ascontiguousarray(x).data)
    content.update(np.ascontiguousarray(y).data)
    return Raw(x, y, bounds, labels, tuple(features), test, content.hexdigest()[:12])


def _targets(name: str, y: np.ndarray, values: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class ids with the names of the classes, or values."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(
            f"{name}: targets must have shape (n,), got {y.shape}. For several labels or values "
            "per example use the functions from Python; studies take one target."
        )
    if values and y.dtype.kind not in "fiub":
        raise ValueError(f"{name}: targets must be numbers to be values, got {y[0]!s}.")
    if values or y.dtype.kind == "f":
        if not np.isfinite(y).all():
            raise ValueError(f"{name}: targets must be finite, got NaN or infinity.")
        if y.min() == y.max():
            raise ValueError(f"{name}: all targets are {y[0]:g}; there is nothing to learn.")
        return y.astype(np.float64), ()
    kinds, ids = np.unique(y.astype(str) if y.dtype.kind == "O" else y, return_inverse=True)
    if len(kinds) < 2:
        raise ValueError(f"{name} has one class only, {kinds[0]!s}: there is nothing to learn.")
    few = [f"{kinds[k]} ({count})" for k, count in Counter(ids.tolist()).items() if count < ENOUGH]
    if few:
        raise ValueError(
            f"{name}: every class needs {ENOUGH} examples or more, to have one in each part. Fewer "
            f"have: {', '.join(few[:5])}. If the targets are values, write them as floats."
        )
    return ids.astype(np.int64), tuple(map(str, kinds))


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
