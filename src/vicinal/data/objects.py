"""Someone's data by the name of a Python object, or of a set of Hugging Face."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vicinal.data.images import pixels_of, stack
from vicinal.data.raw import Raw
from vicinal.data.tables import from_arrays
from vicinal.data.targets import Task


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


def from_object(name: str, task: Task | None = None) -> Raw:
    """Data named ``module:attribute``: (x, y), (x, y, x_test, y_test), or what gives them.

    The object is a tuple of arrays or tensors, a mapping with the keys x, y (and x_test, y_test),
    a data set of torch with examples (x, y), or a function that is called without arguments and
    returns one of these.

    Raises:
        ValueError: if it is none of these, or the function fails.
    """
    return given(name, imported(name), task)


def given(name: str, value: Any, task: Task | None = None) -> Raw:
    """Data that are given as an object; see `from_object`.

    Args:
        name: what errors call it.
        value: the object.
        task: what is to be learnt, if not what the targets say.
    """
    if callable(value) and not hasattr(value, "__getitem__"):
        try:
            value = value()
        except Exception as error:
            raise ValueError(f"{name}() failed: {type(error).__name__}: {error}") from error
    if isinstance(value, Mapping):
        parts = [value[key] for key in ("x", "y", "x_test", "y_test") if key in value]
    elif isinstance(value, tuple) and len(value) in (2, 4):
        parts = list(value)
    elif hasattr(value, "__len__") and hasattr(value, "__getitem__"):
        rows = [value[k] for k in range(len(value))]
        parts = _columns_of_pairs(name, rows)
    else:
        parts = []
    if len(parts) not in (2, 4):
        raise ValueError(
            f"{name} must be (x, y), (x, y, x_test, y_test), a mapping with these keys, or a data "
            f"set of torch, got {type(value).__name__}."
        )
    return from_arrays(name, *map(_array, parts), task=task)


def _columns_of_pairs(name: str, rows: list[Any]) -> list[np.ndarray]:
    """Inputs and targets of examples (x, y).

    Raises:
        ValueError: if examples are no pairs, as those of an array, which says nothing of targets.
    """
    for k, row in enumerate(rows):
        if not (isinstance(row, tuple | list) and len(row) == 2):
            kind = f"{type(row).__name__} of shape {np.shape(row)}"
            raise ValueError(
                f"{name} must hold examples (x, y), got a {kind} as example {k}. For an array "
                "whose last column is the target pass (a[:, :-1], a[:, -1])."
            )
    return [np.stack([_array(x) for x, _ in rows]), np.array([_array(y) for _, y in rows])]


def hugging_face(name: str, target: str | None, task: Task | None = None) -> Raw:
    """A set of Hugging Face, ``hf:NAME``: images and labels, or a table of numbers.

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
    parts = [found[key] for key in ("train", "test") if key in found]
    if not parts:
        raise ValueError(f"{name} has no part called train, got {', '.join(map(str, found))}.")
    label = target or next(
        (k for k in ("label", "labels", "fine_label") if k in parts[0].features), ""
    )
    if label not in parts[0].features:
        raise ValueError(
            f"{name} has no column {label or 'label'!r}: pass --target. Columns: "
            f"{', '.join(parts[0].features)}."
        )
    arrays = (a for part in parts for a in _columns(name, part, label))
    return from_arrays(name, *arrays, task=task)


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


def _columns(name: str, part: Any, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a part; classes by their names, lists of classes as labels."""
    kind, y = part.features[label], part[label]
    inner: Any = getattr(kind, "feature", None)
    if hasattr(inner, "names"):
        y = np.array([np.isin(np.arange(len(inner.names)), ids) for ids in y]).astype(np.int64)
    elif hasattr(kind, "names"):
        y = np.array(kind.names)[np.asarray(y)]
    others = [key for key in part.features if key != label]
    if len(others) == 1 and type(part.features[others[0]]).__name__ == "Image":
        images = [pixels_of(image) for image in part[others[0]]]
        if len({image.shape for image in images}) > 1:
            raise ValueError(f"{name} has images of several sizes or kinds. Make them alike.")
        return stack(images), np.asarray(y)
    for key in others:
        if np.asarray(part[key][:1]).dtype.kind not in "fiub":
            raise ValueError(
                f"{name}: the column {key} holds no numbers. Encode it as numbers, or leave it out."
            )
    return np.stack([np.asarray(part[key]) for key in others], 1), np.asarray(y)


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
