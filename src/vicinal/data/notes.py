"""What is out of the ordinary with the parts of a split, in sentences."""

from collections.abc import Mapping, Sequence

import numpy as np

from vicinal.data.deviation import constant
from vicinal.data.groups import Leak
from vicinal.data.raw import Raw
from vicinal.data.targets import SHOWN


def of_groups(raw: Raw, torn: Leak) -> str:
    """How many groups there are, and what a split that tears them apart would let training know."""
    return (
        f"Groups: {torn.groups} of {raw.group or 'rows'}, each whole in one part. Without that, "
        f"{torn.shared} would be both in training and in testing, and {torn.rows} rows for testing "
        "with them."
    )


def constants(values: np.ndarray, what: str, names: Sequence[str]) -> list[str]:
    """Which columns are constant for training, if some are.

    Args:
        values: of the training part.
        what: what a column is called.
        names: of the columns, where they have some.
    """
    found = np.flatnonzero(constant(values))
    if not len(found):
        return []
    named = [names[k] if names else str(k) for k in found.tolist()] if values.ndim == 2 else []
    which = f" ({_shown(named)})" if named else ""
    return [
        f"{len(found)} {what}{'s are' if len(found) > 1 else ' is'} constant for training{which}, "
        "and not divided by a deviation."
    ]


def absent(raw: Raw, parts: Mapping[str, np.ndarray]) -> list[str]:
    """Which classes, or labels that are on, have no example in a part; only small parts lack some.

    Args:
        raw: the data.
        parts: rows by what they are for.
    """
    notes = []
    for part, rows in parts.items() if raw.task != "regression" else ():
        y = raw.y[rows]
        counts = y.sum(0) if y.ndim == 2 else np.bincount(y, minlength=len(raw.labels))
        if none := [raw.labels[k] for k in np.flatnonzero(counts == 0)]:
            notes.append(f"No example for {part} is of {_shown(none)}.")
    return notes


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
