"""By what numbers are divided when they are standardised."""

import numpy as np
from jaxtyping import Bool, Float, Shaped

NOISE = 1e-7  # of the largest value: what 32 bits cannot tell from rounding


def constant(values: Shaped[np.ndarray, "n *rest"]) -> Bool[np.ndarray, " *rest"]:
    """Which columns are constant up to rounding, so that their deviation says nothing.

    A column is constant if its standard deviation is at most 1e-7 of its largest absolute value:
    exact equality would miss a column of 0.1 that was summed up in two ways.

    Args:
        values: one row for each example.
    """
    return np.asarray(values.std(0) <= NOISE * np.abs(values).max(0))


def deviation(values: Shaped[np.ndarray, "n *rest"]) -> Float[np.ndarray, " *rest"]:
    """The standard deviation of each column, with 1 in place of that of constant columns.

    A column that is constant in the training part need not be elsewhere. Divided by its deviation
    of 0, or by a small number in its place, its other values would drown all other columns; divided
    by 1 they keep their distance from the constant.

    Args:
        values: one row for each example; as a single column for one number over all.

    >>> deviation(np.array([[3.0, 0.1 + 0.2], [5.0, 0.3]])).tolist()
    [1.0, 1.0]
    """
    return np.where(constant(values), 1.0, values.std(0))
