"""What the targets are: classes, labels that are on or off, or values; found, or as told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from vicinal.data.deviation import constant
from vicinal.data.extremes import refuse_extremes
from vicinal.data.missing import plain, refuse_marks, refuse_missing, refuse_odd
from vicinal.data.written import numbers_of
from vicinal.maths.kinds import Task as Task

ENOUGH = 4  # examples of a class, so that each part can hold one
FEW = 20  # different numbers that may be classes or values
SHOWN = 6  # names that a sentence holds


@dataclass(frozen=True)
class Targets:
    """Targets and what they are.

    Attributes:
        y: class ids (integers from 0), labels (n, K) of 0 and 1, or values (n,) or (n, K).
        task: what is to be learnt.
        labels: names of the classes in the order of their ids, of the labels, or of the values
            where there are several of them.
        note: what a reader may want to have otherwise; empty where it is plain.
    """

    y: Shaped[np.ndarray, "n *k"]
    task: Task
    labels: tuple[str, ...] = ()
    note: str = ""


def targets(
    name: str, y: np.ndarray, task: Task | None = None, names: Sequence[str] = ()
) -> Targets:
    """Take targets as told, or as what their kind says.

    One target for each example: whole numbers, truth values and texts are classes, floating
    numbers are values. Several for each: labels that are on or off where all are 0 or 1, else
    values if they are floating numbers.

    Args:
        name: what errors call the data.
        y: (n,) or (n, K).
        task: what they are, if not what their kind says.
        names: of the columns, where there are several.

    Raises:
        ValueError: for targets that cannot be what they are told to be, one class, a class or label
            of fewer examples than parts, constant or undefined values, and whatever says that a
            target is missing.
    """
    y = plain(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim not in (1, 2):
        raise ValueError(
            f"{name}: targets must have shape (n,), or (n, K) for several labels or values, got "
            f"{y.shape}."
        )
    names = tuple(names) or tuple(map(str, range(y.shape[1]))) if y.ndim == 2 else ()
    refuse_odd(name, y)
    refuse_missing(name, y)
    found = task or _found(name, y)
    if found == "multilabel":
        return _on_or_off(name, y, names, told=task is not None)
    if found == "regression":
        return _values(name, y, names, told=task is not None)
    return _classes(name, y, names, found, told=task is not None)


def sentence(found: Targets) -> str:
    """What the targets were taken for, to be said before anything is trained."""
    count, names = len(found.labels), _listed(found.labels)
    if found.task == "multilabel":
        told = f"{count} labels, each on or off (multi-label): {names}"
    elif found.task == "regression" and count:
        told = f"{count} values for each example (regression): {names}"
    elif found.task == "regression":
        told = f"values from {found.y.min():g} to {found.y.max():g} (regression)"
    else:
        plain = found.labels == tuple(map(str, range(count)))
        ids = [f"{label} = {k}" for k, label in enumerate(found.labels)]
        told = f"{count} classes ({f'ids 0–{count - 1}' if plain else _listed(ids)})"
        told += ", one logit (binary)" if found.task == "binary" else ""
    return f"Targets: {told}.{' ' * bool(found.note)}{found.note}"


def _listed(names: Sequence[str]) -> str:
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[: SHOWN - 1])}, … {names[-1]}"


def _found(name: str, y: np.ndarray) -> Task:
    if y.ndim == 1:
        return "regression" if y.dtype.kind == "f" else "classification"
    if y.dtype.kind in "fiub" and _binary(y):
        return "multilabel"
    if y.dtype.kind == "f" and not np.isin(y, (-100, -1, 0, 1)).all():
        return "regression"
    raise ValueError(
        f"{name}: targets of shape {y.shape} that are {y.dtype} and not all 0 or 1 are neither "
        "labels nor plainly values. If they are values, pass --task regression (task= in Python); "
        "if -1 marks a missing label, fill in or leave out what is missing."
    )


def _binary(y: np.ndarray) -> bool:
    return bool(np.isin(y, (0, 1)).all())


def _on_or_off(name: str, y: np.ndarray, names: tuple[str, ...], *, told: bool) -> Targets:
    if y.ndim != 2 or y.dtype.kind not in "fiub" or not _binary(y):
        raise ValueError(
            f"{name}: multi-label targets must have shape (n, labels) and be 0 or 1, got {y.shape} "
            f"of {y.dtype}. In a table name a column for each label: --target a,b,c."
        )
    y = y.astype(np.int64)
    on = y.sum(0)
    few = [
        f"{names[k]} ({on[k]})" for k in range(len(on)) if not ENOUGH <= on[k] <= len(y) - ENOUGH
    ]
    if few:
        raise ValueError(
            f"{name}: every label must be on in {ENOUGH} examples or more, and off in {ENOUGH} or "
            f"more of the {len(y)}, to be both in each part. On in too few or too many: "
            f"{_listed(few)}."
        )
    one_hot = not told and bool((y.sum(1) == 1).all())
    note = (
        "Each example has exactly one: if these are classes written one-hot, pass --task "
        "classification."
    )
    return Targets(y, "multilabel", names, note * one_hot)


def _values(name: str, y: np.ndarray, names: tuple[str, ...], *, told: bool) -> Targets:
    y = _as_values(name, y)
    refuse_missing(name, y)  # texts may spell infinity
    refuse_extremes(name, y, names, what="target")
    still = np.flatnonzero(np.atleast_1d(constant(y)))
    if len(still):
        value = np.atleast_1d(y[0])[still[0]]
        which = f" of {names[still[0]]}" if names else ""
        near = "" if (y == y[0]).all(0).flat[still[0]] else ", up to rounding"
        remedy = " If they differ by what matters, subtract their mean." * bool(near)
        raise ValueError(
            f"{name}: all targets{which} are {value:g}{near}; there is nothing to learn.{remedy}"
        )
    few = not told and y.ndim == 1 and len(np.unique(y)) <= FEW and bool((y == np.round(y)).all())
    note = "All are whole numbers: if they are classes, pass --task classification."
    return Targets(y, "regression", names, note * few)


def _as_values(name: str, y: np.ndarray) -> np.ndarray:
    """Targets as numbers; texts only where they are written as numbers are."""
    if y.dtype.kind in "fiub":
        return y.astype(np.float64)
    texts = [str(value).strip() for value in y.flat]
    found = numbers_of(texts)
    if found is None:
        first = next(text for text in texts if numbers_of([text]) is None)
        raise ValueError(f"{name}: targets must be numbers to be values, got {first}.")
    return found.reshape(y.shape)


def _classes(
    name: str, y: np.ndarray, names: tuple[str, ...], task: Task, *, told: bool
) -> Targets:
    if y.ndim == 2:
        if not (y.dtype.kind in "fiub" and _binary(y) and (y.sum(1) == 1).all()):
            raise ValueError(
                f"{name}: classes must be one id or name for each example, or one-hot rows, got "
                f"{y.shape} of {y.dtype}. Several labels for each example are --task multilabel."
            )
        y = np.array(names)[y.argmax(1)] if len(set(names)) == len(names) else y.argmax(1)
    if y.dtype.kind == "f":
        if not (y == np.round(y)).all():
            raise ValueError(f"{name}: classes must be whole numbers or texts, got {y[0]:g}.")
        y = y.astype(np.int64)
    refuse_marks(name, y)
    kinds, ids = np.unique(y.astype(str) if y.dtype.kind == "O" else y, return_inverse=True)
    if len(kinds) < 2:
        raise ValueError(f"{name} has one class only, {kinds[0]!s}: there is nothing to learn.")
    if task == "binary" and len(kinds) > 2:
        raise ValueError(f"{name} has {len(kinds)} classes; --task binary needs two.")
    few = [f"{kinds[k]} ({count})" for k, count in Counter(ids.tolist()).items() if count < ENOUGH]
    if few:
        values = " If the targets are values, pass --task regression."
        raise ValueError(
            f"{name}: every class needs {ENOUGH} examples or more, to have one in each part. Fewer "
            f"have: {_listed(few)}. Leave them out, or put them together."
            f"{values if y.dtype.kind in 'iu' else ''}"
        )
    many = not told and y.dtype.kind in "iu" and len(kinds) > FEW
    note = "If these numbers are values, pass --task regression."
    return Targets(ids.astype(np.int64), task, tuple(map(str, kinds)), note * many)
