"""Arrays as a data set, from a NumPy file or from code."""

import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.layout import channels_first
from vicinal.data.missing import missing, plain, refuse_missing
from vicinal.data.raw import Raw, checked
from vicinal.data.targets import Task

OF_PARTS = ("x", "y", "x_test", "y_test", "x_validation", "y_validation")
INPUTS = OF_PARTS[::2]
AXES = (
    "Pass tables as (n, columns), images as (n, C, H, W). Grey images are x[:, None], or 8 bits "
    "(uint8); sequences and volumes are columns: x.reshape(len(x), -1)."
)


def npz(path: Path, task: Task | None = None, group: str | None = None) -> Raw:
    """A file of NumPy with the arrays x and y, and those of parts that it has.

    Raises:
        ValueError: if the file is damaged, or announces more than it holds; see also `named_parts`.
    """
    try:
        _refuse_damaged(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, KeyError, MemoryError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read as NumPy arrays: {error}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{path} cannot be read as NumPy arrays: {error}") from error
    return named_parts(str(path), arrays, task, group)


def _refuse_damaged(path: Path) -> None:
    """Compare what each array announces with what is there, before memory is taken for it."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\3\4":
            raise ValueError("it is no file of np.savez")
    with zipfile.ZipFile(path) as packed:
        for member in packed.infolist():
            with packed.open(member) as array:
                announced = _announced(array)
            if not announced <= member.file_size <= 1100 * member.compress_size + 1000:
                raise ValueError(
                    f"{member.filename} announces {announced} bytes, and {member.compress_size} "
                    "are there; the file is damaged"
                )


def _announced(array: Any) -> int:
    """How many bytes an array has, with its head, as this says; 0 for what is no array."""
    if array.read(6) != b"\x93NUMPY":
        return 0
    major, _ = array.read(2)
    array_head = np.lib.format
    heads = {1: array_head.read_array_header_1_0, 2: array_head.read_array_header_2_0}
    if major not in heads:
        raise ValueError(f"its arrays have version {major}, which is not known here")
    shape, _, kind = heads[major](array)
    return int(array.tell()) + math.prod(shape) * kind.itemsize


def named_parts(
    name: str, arrays: Mapping[str, object], task: Task | None = None, group: str | None = None
) -> Raw:
    """Arrays by name: x and y, x_test and y_test, x_validation and y_validation (or x_val, y_val).

    Args:
        name: what errors call the data.
        arrays: by name.
        task: what is to be learnt.
        group: the array that says what rows belong to; of parts, with _test and _validation behind.

    Raises:
        ValueError: for inputs without targets or targets without inputs; see also `of_parts`.
    """
    found: dict[str, object] = {}
    for key in arrays:
        found[key + "idation" if key.endswith("_val") else key] = arrays[key]
    if not {"x", "y"} <= found.keys():
        raise ValueError(f"{name} must hold the arrays x and y, got {', '.join(sorted(arrays))}.")
    for part in ("test", "validation"):
        held = [key for key in (f"x_{part}", f"y_{part}") if key in found]
        if len(held) == 1:
            raise ValueError(
                f"{name} holds {held[0]} without {'y' if held[0][0] == 'x' else 'x'}_{part}. Add "
                "it, or leave both out."
            )
    keys = [key.replace("x", group or "", 1) for key in INPUTS if key in found]
    if absent := [key for key in keys if group and key not in found]:
        raise ValueError(
            f"{name} has no array {absent[0]!r} for the groups, got {', '.join(sorted(arrays))}."
        )
    parts = [plain(np.asarray(found[key])) for key in keys if group]
    left_out = sorted(found.keys() - {*OF_PARTS, *(keys if group else ())})
    return of_parts(
        name,
        {key: np.asarray(found[key]) for key in OF_PARTS if key in found},
        task=task,
        groups=np.concatenate(parts) if group else None,
        group=group or "",
        left_out=[f"the array {key}" for key in left_out],
    )


def from_arrays(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    x_test: np.ndarray | None = None,
    y_test: np.ndarray | None = None,
    *,
    task: Task | None = None,
) -> Raw:
    """Arrays as a data set, with those for testing if there are some.

    Raises:
        ValueError: see `of_parts`.
    """
    found = {"x": x, "y": y}
    if x_test is not None and y_test is not None:
        found |= {"x_test": x_test, "y_test": y_test}
    return of_parts(name, found, task=task)


def of_parts(
    name: str,
    arrays: Mapping[str, np.ndarray],
    *,
    task: Task | None = None,
    groups: np.ndarray | None = None,
    group: str = "",
    left_out: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> Raw:
    """Arrays as a data set, from its parts; four axes are images, of [0, 1] or of 8 bits.

    Args:
        name: what errors call the data.
        arrays: inputs and targets by the names OF_PARTS, of parts both or none.
        task: what is to be learnt.
        groups: what rows belong to: of x, then of x_test, then of x_validation.
        group: what errors call the groups.
        left_out: what was not read and why.
        remarks: sentences on how inputs were read.

    Raises:
        ValueError: for parts that do not fit, and arrays of other axes; see also `checked`.
    """
    inputs, classes, rows, count = [], [], {}, 0
    shape = np.shape(arrays["x"])[1:]
    for part in ("", "test", "validation"):
        keys = [f"{side}_{part}" if part else side for side in "xy"]
        if keys[0] not in arrays:
            continue
        of = f"{name}, the {part} part" if part else name
        own, targets = _part(of, arrays[keys[0]], arrays[keys[1]])
        if own.shape[1:] != shape:
            raise ValueError(
                f"{name}: {part} inputs must have the shape of the others, {shape}, got "
                f"{own.shape[1:]}."
            )
        inputs.append(own)
        classes.append(targets)
        rows[part] = np.arange(count, count + len(own))
        count += len(own)
    if len({targets.dtype.kind in "biuf" for targets in classes}) > 1:
        kinds = ", ".join(f"{targets.dtype}" for targets in classes)
        raise ValueError(f"{name}: targets of all parts must be of one kind, got {kinds}.")
    if len({targets.shape[1:] for targets in classes}) > 1:
        raise ValueError(f"{name}: targets of all parts must have as many columns.")
    found, said, bounds = _images(name, np.concatenate(inputs))
    return checked(
        name,
        found,
        np.concatenate(classes),
        bounds=bounds,
        test=rows.get("test"),
        validation=rows.get("validation"),
        task=task,
        groups=groups,
        group=group,
        left_out=left_out,
        remarks=(*remarks, *said),
    )


def _part(name: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs that are numbers and targets of which none is missing, as many of each."""
    if x.dtype.kind == "O" and not any(isinstance(value, str | bytes) for value in x.flat):
        filled = np.where(missing(x), np.nan, x)
        with suppress(TypeError, ValueError):  # no numbers
            x = filled.astype(np.float64)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{name}: inputs must be numbers, got {x.dtype}. Encode texts beforehand.")
    y = plain(y)
    if not x.ndim or not y.ndim or len(x) != len(y):
        got = [len(side) if side.ndim else "no" for side in (x, y)]
        raise ValueError(f"{name} has {got[0]} inputs and {got[1]} targets; both must be equal.")
    refuse_missing(name, y)
    return x, y


def _images(name: str, x: np.ndarray) -> tuple[np.ndarray, list[str], tuple[float, float] | None]:
    """Images with their channels first and values in [0, 1], sentences, and their range."""
    if x.ndim == 2:
        return x, [], None
    if x.ndim != 4 and not (x.ndim == 3 and x.dtype == np.uint8):
        raise ValueError(
            f"{name}: inputs of shape {x.shape} are neither a table nor images. {AXES}"
        )
    x, said = channels_first(name, x)
    sentences = [said] if said else []
    if x.dtype == np.uint8:
        if x.size and x.max() == 1:
            raise ValueError(
                f"{name}: images of 8 bits reach from 0 to 255, got 1 for the largest value. Pass "
                "numbers in [0, 1] as floats, or multiply them by 255."
            )
        x = x.astype(np.float32) / np.float32(255)  # images are many
    elif x.size and 0 < x.max() <= 1 / 255 and x.min() >= 0:
        sentences.append(f"The largest pixel is {x.max():g}: they may have been scaled twice.")
    return x, sentences, (0.0, 1.0)
