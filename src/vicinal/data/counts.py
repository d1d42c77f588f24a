"""What was read, in one line of counts, and what two parts of it have in common."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int, Shaped


def read_line(
    x: Shaped[np.ndarray, "n *rest"],
    test: Int[np.ndarray, " m"] | None,
    validation: Int[np.ndarray, " v"] | None,
    left_out: Iterable[str] = (),
) -> str:
    """How many examples of what shape were read and for what, what is there twice, what is not.

    Args:
        x: all inputs.
        test: rows for testing, where the data say so.
        validation: rows for validation, where the data say so.
        left_out: what was not read and why, as parts of a sentence.
    """
    shape = "×".join(map(str, x.shape[1:]))
    of = f"{x.shape[1]} columns" if x.ndim == 2 else shape
    line = f"Read: {len(x)} examples of {of}"
    parts = [
        f"{len(rows)} for {what}"
        for rows, what in ((test, "testing"), (validation, "validation"))
        if rows is not None
    ]
    line += f", {' and '.join(parts)} as the data say" if parts else ""
    out = [part for part in left_out if part]
    line += f". Left out: {'; '.join(out)}" if out else ""
    return f"{line}.{_twice(x, test)}"


def _twice(x: np.ndarray, test: np.ndarray | None) -> str:
    """How many inputs stand in training and in testing, or may come to."""
    rows = [hash(row.tobytes()) for row in np.ascontiguousarray(x)]
    if test is None:
        often = sum(count for count in Counter(rows).values() if count > 1)
        if not often:
            return ""
        return (
            f" {often} of them have the same inputs as another; one may be for training and the "
            "other for testing."
        )
    held = set(test.tolist())
    others = {row for k, row in enumerate(rows) if k not in held}
    both = sum(rows[k] in others for k in held)
    return f" {both} of the {len(held)} for testing have the inputs of another part." * bool(both)


def refuse_unseen(
    name: str, y: Shaped[np.ndarray, "n *k"], seen: Int[np.ndarray, " m"], labels: Sequence[str]
) -> None:
    """Refuse classes, or labels that are on, of which no example can be for training.

    Args:
        name: what errors call the data.
        y: class ids, or labels of 0 and 1.
        seen: rows that are not for testing, nor for validation.
        labels: the names of the classes or labels.

    Raises:
        ValueError: with their names.
    """
    found = np.bincount(y[seen], minlength=len(labels)) if y.ndim == 1 else y[seen].sum(0)
    never = [f"{label} ({count})" for label, count in zip(labels, _all(y, labels), strict=True)]
    unseen = [never[k] for k in np.flatnonzero(found == 0)]
    if unseen:
        raise ValueError(
            f"{name}: {', '.join(unseen[:6])} {'is' if len(unseen) == 1 else 'are'} in the parts "
            "for testing and validation only, so that no model can learn it. Leave these examples "
            "out, or add some for training."
        )


def _all(y: np.ndarray, labels: Sequence[str]) -> list[int]:
    counts = np.bincount(y, minlength=len(labels)) if y.ndim == 1 else y.sum(0)
    return [int(count) for count in counts]
