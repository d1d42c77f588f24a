"""Tables in Parquet files."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.lists import lists

INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name


def parquet_columns(
    path: Path, wanted: Collection[str] = ()
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The columns of a Parquet file, and what was left out.

    What pandas says is an index is no column, as for pandas itself, unless it is asked for.

    Args:
        path: the file.
        wanted: columns that are read in any case.

    Raises:
        ValueError: if pyarrow is missing, the file cannot be read, or it names a column twice.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(f'reading {path} needs pyarrow: pip install "vicinal[tables]".') from error
    try:
        with parquet.ParquetFile(path) as file:  # the name of a folder is no column
            found = file.read()
        index = [name for name in _index(found.schema) if name not in wanted]
    except (OSError, ValueError, MemoryError, pyarrow.ArrowException) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from error
    names = found.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path} names columns twice: {', '.join(twice)}.")
    columns = {}
    for name in names:
        if name in index:
            continue
        try:
            columns[name] = _column(found.column(name))
        except (ValueError, TypeError, NotImplementedError, pyarrow.ArrowException) as error:
            raise ValueError(
                f"{path}: the column {name} of {found.schema.field(name).type} cannot be read: "
                f"{error}. Leave it out, or write it as numbers or texts."
            ) from error
    return columns, [f"the column {name}, an index of pandas" for name in names if name in index]


def _index(schema: Any) -> list[str]:
    """Columns that hold the index of a table of pandas."""
    told = (schema.pandas_metadata or {}).get("index_columns", [])
    named = {name for name in told if isinstance(name, str)}  # a range is told, but has no column
    return [name for name in schema.names if name in named or INDEX.fullmatch(name)]


def _column(column: Any) -> np.ndarray:
    """A column as an array: numbers, texts with nothing for what is missing, or lists."""
    from pyarrow import compute, types

    kind = column.type
    if types.is_dictionary(kind):  # categories of pandas, where a missing one is no index
        column, kind = column.cast(kind.value_type), kind.value_type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return lists(column)
    if types.is_nested(kind):
        raise ValueError("it holds neither numbers nor texts nor lists")
    if types.is_decimal(kind):
        column = column.cast("float64")
    if types.is_binary(kind) or types.is_large_binary(kind):
        column = column.cast("string")
    if types.is_boolean(kind) and column.null_count:
        column = compute.cast(column, "string")
    values: np.ndarray = column.to_numpy()
    if values.dtype.kind in "fiub":
        return values
    return np.array(["" if value is None else str(value) for value in values], dtype=str)
