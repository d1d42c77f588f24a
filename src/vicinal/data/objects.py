"""Someone's data by the name of a Python object."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, bfloat16, strided

from vicinal.data.arrays import OF_PARTS, named_parts
from vicinal.data.raw import Raw
from vicinal.data.targets import Task

AGAIN = 256  # examples of a data set that are read twice


def imported(name: str) -> Any:
    """The object called ``module:attribute``; importing it runs the code of its module.

    Raises:
        ValueError: if there is none, with the reason.
    """
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise ValueError(f"cannot read {name!r}. Write module:attribute.")
    sys.path.insert(0, "")  # as `python -m` does, so that code in the current folder is found
    try:
        value = importlib.import_module(module)
        for part in attribute.split("."):
            value = getattr(value, part)
    except Exception as error:  # the code of that module may raise anything
        raise ValueError(f"cannot import {name}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove("")
    return value


def from_object(name: str, task: Task | None = None, group: str | None = None) -> Raw:
    """Data named ``module:attribute``: (x, y), (x, y, x_test, y_test), or what gives them.

    The object is a tuple of arrays or tensors, a mapping with the keys x, y (and x_test, y_test,
    x_validation, y_validation), a data set of torch with examples (x, y), or a function that is
    called without arguments and returns one of these. It is read twice: a function is called again,
    and up to 256 examples of a data set are asked for again.

    Args:
        name: of the object.
        task: what is to be learnt; None for what the targets say.
        group: the key of a mapping that says what rows belong to.

    Raises:
        ValueError: if it is none of these, fails, or gives other numbers when it is read again.
    """
    return given(name, imported(name), task, group)


def given(name: str, value: Any, task: Task | None = None, group: str | None = None) -> Raw:
    """Data that are given as an object; see `from_object`.

    Args:
        name: what errors call it.
        value: the object.
        task: what is to be learnt, if not what the targets say.
        group: which key holds what belongs together.
    """
    made = callable(value) and not hasattr(value, "__getitem__")
    found = _made(name, value) if made else value
    arrays = _named(name, found, group)
    _refuse_changing(f"{name} was read", name, found, arrays, group)
    if made:
        again = _made(name, value)
        _refuse_changing(f"{name}() was called", name, again, arrays, group)
    if group is not None and group not in arrays:
        raise ValueError(
            f"{name} has no groups {group!r}: pass a mapping with this key, got "
            f"{', '.join(sorted(arrays))}."
        )
    return named_parts(name, arrays, task, group)


def _made(name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:  # the code of that function may raise anything
        raise ValueError(f"{name}() failed: {type(error).__name__}: {error}") from error


def _named(name: str, value: Any, group: str | None) -> dict[str, np.ndarray]:
    """Inputs, targets and groups by their names; what has another name is empty.

    Raises:
        ValueError: for what is neither a tuple, a mapping nor a data set of torch.
    """
    if isinstance(value, Mapping):
        known = ("x", "y", group or "x")
        return {
            str(key): _array(f"{name}, {key}", part if str(key).startswith(known) else ())
            for key, part in value.items()
        }
    if isinstance(value, tuple) and len(value) in (2, 4):
        return {key: _array(name, part) for key, part in zip(OF_PARTS, value, strict=False)}
    if hasattr(value, "columns") and hasattr(value, "iloc"):
        raise ValueError(f"{name} is a table of pandas: pass (table[columns], table[target]).")
    if not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
        raise ValueError(
            f"{name} must be (x, y), (x, y, x_test, y_test), a mapping with these keys, or a data "
            f"set of torch, got {type(value).__name__}."
        )
    rows = [_pair(name, value, k) for k in range(_count(name, value))]
    if not rows:
        raise ValueError(f"{name} holds no examples.")
    for side, what in enumerate(("inputs", "targets")):
        shapes = sorted({row[side].shape for row in rows})
        if len(shapes) > 1:
            raise ValueError(
                f"{name}: {what} must have one shape, got {shapes[0]} and {shapes[-1]}."
            )
    inputs, targets = zip(*rows, strict=True)
    return {"x": np.stack(inputs), "y": np.stack(targets)}


def _refuse_changing(
    what: str, name: str, value: Any, arrays: dict[str, np.ndarray], group: str | None
) -> None:
    """Read a value again, some examples of a data set or else all of it, and compare.

    Raises:
        ValueError: if it differs from what was read before.
    """
    where: list[str] = []
    if isinstance(value, Mapping | tuple):
        again = _named(name, value, group)
        where = sorted(key for key in again if not _equal(arrays.get(key), again[key]))
    elif _count(name, value) != len(arrays["x"]):
        where = ["the number of examples"]
    else:
        last = len(arrays["x"]) - 1
        for k in np.unique(np.linspace(0, last, min(last + 1, AGAIN)).astype(int)).tolist():
            before = (np.asarray(arrays[key][k]) for key in ("x", "y"))
            if not all(map(_equal, before, _pair(name, value, k))):
                where = [f"example {k}"]
                break
    if where:
        raise ValueError(
            f"{what} twice and gave other numbers: {where[0]}. Data must stay the same. Leave out "
            "random transforms, or draw them once from a generator with a seed; what shall change "
            "in training is a method (--methods), which changes each batch."
        )


def _count(name: str, value: Any) -> int:
    try:
        return len(value)
    except Exception as error:  # a class without an instance, or a stream
        raise ValueError(f"{name} has no number of examples: {error}") from error


def _pair(name: str, value: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        row = value[k]
    except Exception as error:  # the code of that data set may raise anything
        raise ValueError(f"{name}[{k}] failed: {type(error).__name__}: {error}") from error
    if not (isinstance(row, tuple | list) and len(row) == 2):
        try:
            shape = f" of shape {np.shape(row)}"
        except ValueError:
            shape = ""
        raise ValueError(
            f"{name} must hold examples (x, y), got a {type(row).__name__}{shape} as example {k}. "
            "For an array whose last column is the target pass (a[:, :-1], a[:, -1])."
        )
    x, y = (_array(f"{name}[{k}]", part) for part in row)
    return x, y


def _equal(one: np.ndarray | None, other: np.ndarray) -> bool:
    """Whether two arrays hold the same, where NaN is the same as NaN."""
    if one is None or one.shape != other.shape:
        return False
    if one.dtype.kind not in "fiub" or other.dtype.kind not in "fiub":
        return str(one.tolist()) == str(other.tolist())
    return bool(np.array_equal(one, other, equal_nan=True))


def _array(name: str, value: Any) -> np.ndarray:
    """Someone's array, tensor, column or number as an array; masked values are none."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.to_dense() if value.layout != strided else value
        return np.asarray((value.float() if value.dtype == bfloat16 else value).numpy())
    if isinstance(value, np.ma.MaskedArray):
        held = np.ma.getdata(value).astype(object)
        held[np.ma.getmaskarray(value)] = None
        return held
    if hasattr(value, "toarray"):  # sparse, of SciPy
        value = value.toarray()
    try:
        return np.asarray(value)
    except Exception as error:  # lists of several lengths, and code of someone's class
        raise ValueError(f"{name} cannot be read as an array: {error}") from error
