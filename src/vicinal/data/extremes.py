"""Numbers that 64 bits hold and training in 32 bits does not."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

LARGEST = float(np.finfo(np.float32).max)
SQUARED = 1e18  # numbers whose squares, added up, leave 32 bits
WHOLE = 2**53  # beyond it floats of 64 bits skip whole numbers
ALONE = 1e15  # times the median of its column: no deviation of other rows can scale it


def refuse_extremes(
    name: str,
    values: Shaped[np.ndarray, "n *rest"],
    columns: Sequence[str] = (),
    *,
    what: str = "input",
    alone: bool = True,
) -> None:
    """Refuse numbers that overflow in the middle of training.

    Those are numbers beyond 32 bits, and numbers above 1e18 that stand alone: more than 1e15 times
    as large as the median of their column, so that standardising does not bring them down. Columns
    whose numbers are all as large are standardised as any other.

    Args:
        name: what errors call the data.
        values: finite numbers, one row for each example.
        columns: their names, where there are some.
        what: what errors call a number.
        alone: whether numbers above 1e18 are refused only where they stand alone.

    Raises:
        ValueError: with the first row and column of such a number.
    """
    if not values.size or np.abs(values).max() <= SQUARED:
        return
    flat = np.abs(values.reshape(len(values), -1))
    small = flat / ALONE
    outlying = small > ALONE * np.median(small, 0) if alone else True
    rows, places = np.nonzero((flat > SQUARED) & outlying | (flat > LARGEST))
    if not len(rows):
        return
    of = f", in the column {columns[places[0]]}" if columns else f", at place {places[0]}"
    raise ValueError(
        f"{name}: {what}s must fit into training with 32 bits, got "
        f"{values.reshape(len(values), -1)[rows[0], places[0]]:g} at row {rows[0]}, counted from "
        f"0{of if flat.shape[1] > 1 or columns else ''}. Divide the column by a power of ten, or "
        "leave out the row if it is a mistake."
    )


def refuse_merged(name: str, column: str, values: Shaped[np.ndarray, " n"]) -> None:
    """Refuse whole numbers that differ, and are the same as floats.

    Raises:
        ValueError: with the name of the column.
    """
    if values.dtype.kind not in "iu" or -WHOLE <= int(values.min()) <= int(values.max()) <= WHOLE:
        return
    if len(np.unique(values)) > len(np.unique(values.astype(np.float64))):
        raise ValueError(
            f"{name}: the column {column} holds whole numbers that differ by less than floats of "
            f"64 bits can, such as {values.flat[0]}. Leave it out if it names rows; else subtract "
            "the smallest."
        )
