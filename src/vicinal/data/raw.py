"""A data set before it is split: arrays, what they are called, and what must hold of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from jaxtyping import Float, Shaped

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
        digest: of the content, so that changed files are other data; empty for built-in sets.
        task: what is to be learnt.
        note: what a reader may want to have otherwise.
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

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes."""
        return self.task in ("classification", "binary")

    @property
    def classes(self) -> int:
        """Number of classes; 0 for labels and values."""
        return len(self.labels) if self.classifies else 0

    @property
    def told(self) -> str:
        """What the targets were taken for, in a sentence."""
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

    Raises:
        ValueError: for no examples, sizes that differ, inputs that are not finite, equal columns,
            values outside of the bounds, and targets that `targets` refuses.
        TypeError: for inputs that are not numbers.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name}: inputs must be numbers, got {x.dtype}. Encode texts beforehand.")
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"{name} has {len(x)} inputs and {len(y)} targets; both must be equal.")
    x = x.astype(np.float64 if bounds is None else np.float32)  # images are many
    if not np.isfinite(x).all():
        undefined = ~np.isfinite(x.reshape(len(x), -1))
        rows, columns = (np.flatnonzero(undefined.any(axis)) for axis in (1, 0))
        of = f", of {', '.join(features[k] for k in columns[:5])}" if features else ""
        raise ValueError(
            f"{name}: inputs must be finite, got NaN or infinity in {len(rows)} of {len(x)} rows, "
            f"the first at row {rows[0]}, counted from 0{of}. Fill in or leave out what is missing."
        )
    if bounds is not None and not bounds[0] <= x.min() <= x.max() <= bounds[1]:
        raise ValueError(
            f"{name}: images must lie in {bounds}, got {x.min():g} to {x.max():g}. Divide them by "
            "their largest possible value, or pass 8 bits (uint8)."
        )
    if x.ndim == 2:
        _refuse_equal_columns(name, x, features)
    found = targets(name, y, task, names)
    content = sha256(np.ascontiguousarray(x).data)
    content.update(np.ascontiguousarray(found.y).data)
    digest = content.hexdigest()[:12]
    return Raw(
        x, found.y, bounds, found.labels, tuple(features), test, digest, found.task, found.note
    )


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
