"""Draws from the Gaussian kernel of labels, in units of its bandwidth, without an n×n table."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

ROWS = 2**22  # entries of a block of a distance matrix: 32 MB in float64


def blocks(n: int) -> list[slice]:
    """Rows of an n×n matrix in blocks that take 32 MB."""
    rows = max(1, ROWS // max(n, 1))
    return [slice(first, min(first + rows, n)) for first in range(0, n, rows)]


def near_vectors(
    labels: Float[np.ndarray, "n d"], rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """One draw from each row of the kernel, block by block, by inversion."""
    n = len(labels)
    rows = np.empty(n, dtype=np.int64)
    uniform = rng.random(n)
    for block in blocks(n):
        kernel = np.exp(-cdist(labels[block], labels, "sqeuclidean") / 2)
        total = np.cumsum(kernel, axis=1)
        point = uniform[block] * total[:, -1]
        rows[block] = (total <= point[:, None]).sum(1).clip(max=n - 1)
    return rows


STEP = 0.5  # width of the steps of the envelope, in bandwidths


def near_values(labels: Float[np.ndarray, " n"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """The same for labels of one number, from counts of labels in steps of distance.

    Within a step the kernel is at most its value at the near edge; so a step is drawn by its
    count times that value, a label uniformly within, and kept with the ratio of its kernel to
    that value. Beyond the last step all labels together weigh less than rounding, because the
    sample itself weighs 1.
    """
    n = len(labels)
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    reach = np.sqrt(2 * (np.log(max(n, 1)) + 37))  # n exp(-reach²/2) < 2^-53
    near = STEP * np.arange(np.ceil(reach / STEP))
    edges = np.concatenate([-near[::-1] - STEP, near, near[-1:] + STEP])
    height = np.exp(-(np.concatenate([near[::-1], near]) ** 2) / 2)
    rows = np.empty(n, dtype=np.int64)
    waiting = np.arange(n)
    while len(waiting):
        refused = []
        for chunk in np.array_split(waiting, len(waiting) * len(edges) // ROWS + 1):
            found, step = _propose(labels[chunk], ordered, edges, height, rng)
            kernel = np.exp(-((ordered[found] - labels[chunk]) ** 2) / 2)
            kept = rng.random(len(chunk)) * height[step] < kernel
            rows[chunk[kept]] = order[found[kept]]
            refused.append(chunk[~kept])
        waiting = np.concatenate(refused)
    return rows


def _propose(
    labels: Float[np.ndarray, " m"],
    ordered: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " bounds"],
    height: Float[np.ndarray, " steps"],
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """A place in the ordered labels, drawn from the envelope, and the step it lies in."""
    bounds = np.searchsorted(ordered, labels[:, None] + edges)
    total = np.cumsum(np.diff(bounds, axis=1) * height, axis=1)
    point = rng.random(len(labels)) * total[:, -1]
    step = (total <= point[:, None]).sum(1).clip(max=len(height) - 1)
    here = np.arange(len(labels))
    first, last = bounds[here, step], bounds[here, step + 1]
    return rng.integers(first, np.maximum(last, first + 1)), step
