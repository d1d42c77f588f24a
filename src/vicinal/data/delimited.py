"""Tables as texts with commas between them: CSV."""

import csv
import re
from pathlib import Path

from vicinal.data.written import NUMBER, WHOLE

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
NAMELESS = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")  # what pandas calls a column without a name
INDEX = (
    "Where it counts the rows (as pandas writes them unless told index=False), leave it out; else "
    "name it."
)


def csv_columns(path: Path) -> dict[str, list[str]]:
    """The entries of each column of a CSV file as texts, without blanks around them.

    Raises:
        ValueError: if the file cannot be read, is separated by something else, has no line of names
            or no lines of values, or if a line has more or fewer values than there are names.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)  # a quote that is never closed is an error
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    if len(rows) < 2:
        lines = "one line" if rows else "no lines"
        raise ValueError(f"{path} needs a line of names and lines of values, got {lines}.")
    if empty := [line for line, row in rows if any("\0" in entry for entry in row)]:
        raise ValueError(f"{path}: line {empty[0]} holds zero bytes, which are no text.")
    names = [name.strip() for name in rows[0][1]]
    _refuse_other_separators(path, names)
    for line, row in rows[1:]:
        if len(row) != len(names):
            raise ValueError(
                f"{path}: line {line} has {len(row)} values, the names are {len(names)}."
            )
    columns = [[row[k].strip() for _, row in rows[1:]] for k in range(len(names))]
    _refuse_an_example(path, names, columns)
    for k, name in enumerate(names):
        if NAMELESS.fullmatch(name):
            called = f" but {name!r}, by which pandas calls such a column" if name else ""
            raise ValueError(f"{path}: column {k + 1} has no name{called}. {INDEX}")
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{path} names columns twice: {', '.join(repeated)}.")
    return dict(zip(names, columns, strict=True))


def _refuse_other_separators(path: Path, names: list[str]) -> None:
    """Refuse a line of names that holds more of another separator than commas."""
    line = ",".join(names)
    met = {sign: what for sign, what in SEPARATORS.items() if line.count(sign) >= len(names)}
    if " " in met and len(names) > 1:  # names of several words
        del met[" "]
    one = f", got one column, {names[0]!r}" if len(names) == 1 else ""
    if met:
        what = next(iter(met.values()))
        raise ValueError(
            f"{path} needs a target and a feature at least{one}. Columns are separated by commas. "
            f"Here the names are separated by {what}: write the file anew with commas, and with "
            "points in numbers."
        )


def _refuse_an_example(path: Path, names: list[str], columns: list[list[str]]) -> None:
    """Refuse a first line that is an example: all columns of numbers have numbers for names.

    Names that count the columns, as pandas gives them, are names.
    """
    numbers = [
        name
        for name, entries in zip(names, columns, strict=True)
        if all(map(NUMBER.fullmatch, entries))
    ]
    if not numbers or not all(map(NUMBER.fullmatch, numbers)):
        return
    if len(numbers) > 2 and all(map(WHOLE.fullmatch, numbers)):
        counted = [int(name) for name in numbers]
        start = counted[0]
        if start in (0, 1, *range(1900, 2100)) and counted == list(
            range(start, start + len(counted))
        ):
            return
    raise ValueError(
        f"{path}: its first line, {', '.join(names[:6])}, looks like an example: all columns of "
        "numbers have numbers for names. Write a line of names above it."
    )
