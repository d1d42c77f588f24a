"""Tables with a target column: CSV, Parquet and NumPy files."""

import csv
from pathlib import Path

import numpy as np

from vicinal.data.lists import lists, of_target, spread_out
from vicinal.data.raw import Raw, checked
from vicinal.data.targets import Task
from vicinal.machine.names import guess

ENDINGS = (".csv", ".npz", ".parquet")


def table(path: Path, target: str | None, task: Task | None = None) -> Raw:
    """A table from a file.

    CSV needs a line of names. Parquet needs pyarrow; its columns may hold lists, of numbers or of
    the labels that are on. An NPZ file holds the arrays x and y, and
    where a test set is given x_test and y_test; images (n, C, H, W) must lie in [0, 1], or be of
    8 bits.

    Args:
        path: a file with one of ENDINGS.
        target: name of the target column, or several with commas between them; None takes the
            last one. Not for NPZ.
        task: what is to be learnt; None for what the targets say.

    Raises:
        ValueError: if the file cannot be read, or the target is not in it; see also `checked`.
    """
    if path.suffix == ".npz":
        if target is not None:
            raise ValueError(f"{path} holds arrays: its targets are y. Leave out --target.")
        return _arrays(path, task)
    columns = _csv(path) if path.suffix == ".csv" else _parquet(path)
    names = list(columns)
    if len(names) < 2:
        raise ValueError(
            f"{path} needs a target and a feature at least, got one column, {names[0]!r}. Columns "
            "are separated by commas."
        )
    if "" in names:
        raise ValueError(
            f"{path}: column {names.index('') + 1} has no name. Where it counts the rows (as "
            "pandas writes them unless told index=False), leave it out; else name it."
        )
    chosen = _chosen(path, names, target)
    columns = spread_out(str(path), columns, chosen)
    features = [name for name in columns if name not in chosen]
    if not features:
        raise ValueError(f"{path} needs a feature at least; all its columns are targets.")
    for name in features:
        if columns[name].dtype.kind not in "fiub":
            raise ValueError(
                f"{path}: the column {name} holds texts, {_texts(columns[name])}. Encode it as "
                "numbers, or leave it out."
            )
    x = np.stack([columns[name].astype(np.float64) for name in features], 1)
    if len(chosen) == 1:
        y, labels = of_target(str(path), chosen[0], columns[chosen[0]], task)
        return checked(str(path), x, y, features=features, task=task, names=labels)
    for name in chosen:
        if columns[name].dtype.kind not in "fiub":
            raise ValueError(
                f"{path}: of several targets each must be numbers, but {name} holds texts, "
                f"{_texts(columns[name])}. Write 1 for on and 0 for off."
            )
    y = np.stack([columns[name] for name in chosen], 1)
    return checked(str(path), x, y, features=features, task=task, names=chosen)


def _texts(column: np.ndarray) -> str:
    """How many entries of a column are no numbers, and the first of them."""
    texts = [text for text in column.tolist() if _column([str(text)]).dtype.kind == "U"]
    texts = texts or column.tolist()  # numbers that are stored as texts
    return f"{len(texts)} of {len(column)} entries, such as {texts[0]!s}"


def _chosen(path: Path, names: list[str], target: str | None) -> list[str]:
    """The target columns; a name that itself holds commas is one column."""
    if target is None or target in names:
        return [names[-1] if target is None else target]
    chosen = [name.strip() for name in target.split(",")]
    for name in chosen:
        if name not in names:
            columns = f"{guess(name, names)}Columns: {', '.join(names)}"
            raise ValueError(f"{path} has no column {name!r}. {columns}.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{path}: --target names a column twice: {target}.")
    return chosen


def _csv(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    if len(rows) < 2:
        lines = "one line" if rows else "no lines"
        raise ValueError(f"{path} needs a line of names and lines of values, got {lines}.")
    names = [name.strip() for name in rows[0]]
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{path} names columns twice: {', '.join(repeated)}.")
    for k, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise ValueError(f"{path}: line {k} has {len(row)} values, the names are {len(names)}.")
    return {name: _column([row[k].strip() for row in rows[1:]]) for k, name in enumerate(names)}


def _column(texts: list[str]) -> np.ndarray:
    """Whole numbers, numbers (an empty entry is NaN), or texts."""
    try:
        return np.array([int(text) for text in texts])
    except ValueError:
        pass
    try:
        return np.array([float(text or "nan") for text in texts])
    except ValueError:
        return np.array(texts)


def _parquet(path: Path) -> dict[str, np.ndarray]:
    try:
        from pyarrow import parquet, types
    except ImportError as error:
        raise ValueError(f'reading {path} needs pyarrow: pip install "vicinal[tables]".') from error
    try:
        found = parquet.read_table(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from error
    columns = {}
    for name in found.column_names:
        kind = found.schema.field(name).type
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            columns[name] = lists(found.column(name))
            continue
        values = found.column(name).to_numpy()
        texts = values.dtype.kind not in "fiub"
        columns[name] = np.array(["" if v is None else str(v) for v in values]) if texts else values
    return columns


def _arrays(path: Path, task: Task | None) -> Raw:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as NumPy arrays: {error}") from error
    if not {"x", "y"} <= arrays.keys():
        raise ValueError(f"{path} must hold the arrays x and y, got {', '.join(sorted(arrays))}.")
    return from_arrays(
        str(path), arrays["x"], arrays["y"], arrays.get("x_test"), arrays.get("y_test"), task=task
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
    """Arrays as a data set; four axes are images, whose 8 bits are scaled to [0, 1].

    Raises:
        ValueError: see `checked`.
    """
    test = None
    if x_test is not None and y_test is not None:
        test = np.arange(len(x), len(x) + len(x_test))
        if np.shape(x_test)[1:] != np.shape(x)[1:]:
            raise ValueError(
                f"{name}: test inputs must have the shape of the others, {np.shape(x)[1:]}, got "
                f"{np.shape(x_test)[1:]}."
            )
        x, y = np.concatenate([x, x_test]), np.concatenate([y, y_test])
    if x.ndim == 4:
        if x.dtype == np.uint8:
            x = x.astype(np.float32) / np.float32(255)  # images are many
        return checked(name, x, y, bounds=(0.0, 1.0), test=test, task=task)
    return checked(name, x, y, test=test, task=task)
