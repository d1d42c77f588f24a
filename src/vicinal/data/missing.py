"""Labels that are missing: by a value that says so, by the spelling of one, or by a number."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from vicinal.data.written import LONGEST, WHOLE

PANDAS = {"", "#N/A", "#NA", "<NA>", "N/A", "NA", "NAN", "NULL", "NaN", "n/a", "nan", "null"}
SPELT = PANDAS | {"NaT", "None", "?"}
"""Spellings of nothing in tables; in other cases of letters, as none, they are names of classes."""
NUMBERS = (-1, -9, -99, -100, -999, -9999)  # beside classes from 0 or 1; -100 is that of torch
REAL = (int, float, np.integer, np.floating)
SMALLEST = tuple(int(np.iinfo(kind).min) for kind in (np.int32, np.int64))  # NaN cast to whole


def plain(y: np.ndarray) -> np.ndarray:
    """Targets in an array of objects or bytes as numbers or texts, where all are of one kind."""
    if y.dtype.kind == "S":
        return np.asarray(np.char.decode(y, "utf-8", "replace"))
    if y.dtype.kind != "O" or not y.size:
        return y
    kinds = set(map(type, y.flat))
    if kinds <= {bool, np.bool_}:
        return y.astype(bool)
    if bool in kinds or not all(issubclass(kind, REAL) for kind in kinds):
        return y
    if any(issubclass(kind, float | np.floating) for kind in kinds):
        return y.astype(np.float64)
    try:
        return y.astype(np.int64)
    except OverflowError:  # whole numbers beyond 64 bits are names
        return y.astype(str)


def missing(y: Shaped[np.ndarray, "n *k"]) -> Bool[np.ndarray, "n *k"]:
    """Where a target is none: None, NaN, infinity, what pandas has for nothing, or its spelling."""
    if y.dtype.kind in "fc":
        return np.asarray(~np.isfinite(y))
    if y.dtype.kind in "mM":
        return np.asarray(np.isnat(y))
    if y.dtype.kind == "i":
        return np.asarray(np.isin(y, SMALLEST))
    if y.dtype.kind == "U":
        return np.asarray(np.isin(np.char.strip(y), tuple(SPELT)))
    if y.dtype.kind == "O":
        return np.fromiter(map(_nothing, y.flat), bool, y.size).reshape(y.shape)
    return np.zeros(y.shape, dtype=bool)


def _nothing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return value.strip() in SPELT
    return isinstance(value, float | np.floating) and not np.isfinite(value)


def refuse_missing(name: str, y: Shaped[np.ndarray, "n *k"]) -> None:
    """Refuse targets of which some are none.

    Raises:
        ValueError: with how many rows they are in, and the first.
    """
    unknown = missing(y)
    if not unknown.any():
        return
    rows = np.flatnonzero(unknown.reshape(len(y), -1).any(1))
    texts = {value.strip() for value in y[unknown].tolist() if isinstance(value, str)} - {""}
    spelt = f" (written {', '.join(sorted(texts)[:3])})" if texts else ""
    named = " A class that is called so needs another name." if texts else ""
    raise ValueError(
        f"{name}: every example needs a finite target, got none, NaN or infinity{spelt} in "
        f"{len(rows)} of {len(y)} rows, the first at row {rows[0]}, counted from 0. Fill in or "
        f"leave out what is missing.{named}"
    )


def refuse_odd(name: str, y: Shaped[np.ndarray, "n *k"]) -> None:
    """Refuse targets that are neither numbers nor texts, such as dates, complex numbers or lists.

    Raises:
        ValueError: with what they are.
    """
    known = (str, bool, np.bool_, *REAL)
    odd = "" if y.dtype.kind in "biufUO" else str(y.dtype)
    if y.dtype.kind == "O":
        odd = next(
            (type(v).__name__ for v in y.flat if not (isinstance(v, known) or _nothing(v))), ""
        )
    if odd:
        raise ValueError(
            f"{name}: targets must be numbers or texts, got {odd}. Write what is to be learnt as "
            "numbers, or classes as texts."
        )


def refuse_marks(name: str, y: Shaped[np.ndarray, " n"]) -> None:
    """Refuse classes of which one looks like the mark of a missing label.

    -1, -100 and their kin beside ids from 0, or beside texts, are what libraries write where there
    is no label, and so is the largest number without a sign, which -1 becomes. Two classes -1 and 1
    are as usual as 0 and 1; other negative numbers are ratings.

    Raises:
        ValueError: with how many rows have it, and the first.
    """
    marks, others = _marks(y)
    if not marks:
        return
    rows = np.flatnonzero(np.isin(y.astype(str), sorted(marks)))
    beside = f" beside {min(others, key=lambda kind: (len(kind), kind))}" if others else ""
    raise ValueError(
        f"{name}: the label {' or '.join(sorted(marks, key=int, reverse=True))}{beside} is how "
        f"libraries mark a missing label, got it in {len(rows)} of {len(y)} rows, the first at row "
        f"{rows[0]}, counted from 0. Fill in or leave out these rows; if it is a class, number the "
        "classes from 0, or write names."
    )


def _marks(y: np.ndarray) -> tuple[set[str], set[str]]:
    """Labels that mark a missing one, and the others; no marks where they may be classes."""
    kinds = {str(kind) for kind in np.unique(y.astype(str))}
    if y.dtype.kind == "u":
        largest = str(np.iinfo(y.dtype).max)
        others = kinds - {largest}
        counted = len(others) > 1 and others == {str(k) for k in range(len(others))}
        return ({largest} & kinds if counted and str(len(others)) != largest else set()), others
    if y.dtype.kind not in "iUO":
        return set(), kinds
    marks = kinds & {str(number) for number in NUMBERS}
    whole = [int(kind) for kind in kinds if len(kind) <= LONGEST and WHOLE.fullmatch(kind)]
    rated = any(number < 0 for number in whole if str(number) not in marks)
    opposite = len(kinds) == len(whole) == 2 and sum(whole) == 0
    return (set() if rated or opposite else marks), kinds - marks
