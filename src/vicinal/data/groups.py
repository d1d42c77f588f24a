"""Rows that belong together, as those of one patient: whole groups go to a part."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped

TRIES = 100  # orders of the groups, of which the first is taken that leaves every class to learn


@dataclass(frozen=True)
class Leak:
    """What a split that tears groups apart would let training know of the test part.

    Attributes:
        shared: groups with rows both for training and for testing.
        groups: all groups.
        rows: rows for testing whose group has rows for training.
    """

    shared: int
    groups: int
    rows: int


def leak_between(
    groups: Int[np.ndarray, " n"], train: Int[np.ndarray, " m"], test: Int[np.ndarray, " k"]
) -> Leak:
    """How many groups have rows in both of two parts.

    Args:
        groups: the group of every row.
        train: rows of the one part.
        test: rows of the other, of which `rows` counts.

    >>> leak_between(np.array([0, 0, 1, 1, 2]), np.array([0, 2, 3]), np.array([1, 4]))
    Leak(shared=1, groups=3, rows=1)
    """
    both = np.intersect1d(groups[train], groups[test])
    return Leak(len(both), len(np.unique(groups)), int(np.isin(groups[test], both).sum()))


def in_whole_groups(
    name: str,
    rows: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " all"],
    sizes: tuple[float, ...],
    strata: Shaped[np.ndarray, " all"],
    rng: np.random.Generator,
) -> list[Int[np.ndarray, " part"]]:
    """Draw parts made of whole groups, each as near its size as the groups allow.

    The parts are drawn one after the other, from the groups that are left, in an order at random.

    Args:
        name: what errors call the data.
        rows: to be divided.
        groups: of all rows of the data.
        sizes: rows wanted in each part but the last, which takes what is left.
        strata: classes of all rows; the last part, for training, must have all of these rows.
        rng: where the order comes from.

    Returns:
        The parts in the order of the sizes, and what is left; rows in ascending order.

    Raises:
        ValueError: for fewer groups than parts, or a class that no draw leaves for training.
    """
    ids, of = np.unique(groups[rows], return_inverse=True)
    if len(ids) <= len(sizes):
        raise ValueError(
            f"{name} has {len(ids)} groups for {len(sizes) + 1} parts; whole groups go to a part, "
            "so that there must be one for each."
        )
    counts, classes = np.bincount(of), np.unique(strata[rows])
    for _ in range(TRIES):
        left, parts = rng.permutation(len(ids)), []
        for k, size in enumerate(sizes):
            chosen = nearest_sum(counts[left], size, keep=len(sizes) - k)
            parts.append(np.sort(rows[np.isin(of, left[chosen])]))
            left = left[~chosen]
        parts.append(np.sort(rows[np.isin(of, left)]))
        if len(np.unique(strata[parts[-1]])) == len(classes):
            return parts
    raise ValueError(
        f"{name}: in {TRIES} draws of whole groups some class was never left for training, because "
        "few groups hold it. Leave the class out, or add groups that have it."
    )


def nearest_sum(counts: Int[np.ndarray, " g"], size: float, keep: int) -> Bool[np.ndarray, " g"]:
    """Which groups together come nearest to a size; of several choices one of the earliest groups.

    Sums that can be reached are marked group by group, each with the group that reached it first.
    Going back from a sum over these groups finds who makes it up.

    Args:
        counts: rows of each group, one or more.
        size: rows wanted.
        keep: groups that must be left, 1 or more.
    """
    most = min(int(counts.sum()), int(2 * size) + int(counts.max()))
    first = np.full(most + 1, -1)  # the group that reached a sum first
    reached = np.zeros(most + 1, dtype=bool)
    reached[0] = True
    aim = round(size)
    for group, count in enumerate(counts.tolist()):
        new = np.flatnonzero(reached[: most + 1 - count]) + count
        new = new[~reached[new]]
        first[new], reached[new] = group, True
        if 0 < aim <= most and reached[aim]:
            break
    sums = np.flatnonzero(reached)[1:]
    total = int(sums[np.abs(sums - size).argmin()])
    chosen = np.zeros(len(counts), dtype=bool)
    while total:
        chosen[first[total]] = True
        total -= int(counts[first[total]])
    while len(counts) - chosen.sum() < keep:  # one large group is left: give back of the small ones
        held = np.flatnonzero(chosen)
        miss = np.abs(counts[held].sum() - counts[held] - size)
        chosen[held[miss.argmin()]] = False
    return chosen
