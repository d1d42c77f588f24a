"""Labels of a grid that are cheapest together, by one minimum cut."""

from functools import cache

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

TOTAL = 2**28  # of all capacities, which SciPy wants as 32-bit integers
NEVER = 2**30  # a capacity that no cut can afford


def cheapest_labels(
    cost: Float[np.ndarray, "height width labels"],
    down: Float[np.ndarray, "above width"],
    across: Float[np.ndarray, "height left"],
) -> Int[np.ndarray, "height width"]:
    r"""The labels a that minimise $\sum_i U_i(a_i) + \sum_{i \sim j} W_{ij} (a_i - a_j)^2$.

    Exactly, but for costs that are rounded to 2^-28 of their sum. With labels 0..m each cell has m
    nodes, of which those below its label lie on the side of the source. An edge from every
    node of a cell to every node of its neighbour costs
    $a_i (m - a_j) + a_j (m - a_i) = (a_i-a_j)^2 + a_i (m - a_i) + a_j (m - a_j)$, whose last two
    terms are taken off the costs of the cells.

    Args:
        cost: U of each cell and label, at least two labels.
        down: W between each cell and the one below it, (height - 1, width), 0 or more.
        across: W between each cell and the one to its right, (height, width - 1), 0 or more.

    Source:
        Ishikawa (2003), IEEE Transactions on Pattern Analysis and Machine Intelligence 25(10),
        section 3, for squared differences.
    """
    height, width, labels = cost.shape
    m = labels - 1
    around = np.zeros((height, width))
    for edges, near, far in _neighbours(down, across):
        around[near] += edges
        around[far] += edges
    a = np.arange(labels)
    cost = cost - around[:, :, None] * a * (m - a)
    cost = cost - cost.min(2, keepdims=True)
    pairs = [np.repeat(edges.ravel(), m * m) for edges, _, _ in _neighbours(down, across)]
    order, indices, indptr, held = _graph(height, width, m)
    capacity = np.concatenate([cost.ravel(), *pairs, *pairs])
    capacity *= TOTAL / (float(capacity.sum()) or 1.0)
    whole = np.concatenate([capacity.round().astype(np.int32), np.full(held, NEVER, np.int32)])
    graph = csr_array((whole[order], indices, indptr), shape=(len(indptr) - 1,) * 2)
    source, sink = graph.shape[0] - 2, graph.shape[0] - 1
    left = graph - maximum_flow(graph, source, sink).flow
    left.eliminate_zeros()
    reached = np.zeros(graph.shape[0], dtype=np.int64)
    reached[breadth_first_order(left, source, return_predecessors=False)] = 1
    found: np.ndarray = reached[:-2].reshape(height, width, m).sum(2)
    return found


Slices = tuple[slice, slice]


def _neighbours(down: np.ndarray, across: np.ndarray) -> list[tuple[np.ndarray, Slices, Slices]]:
    """Values of pairs of neighbours, with the cells above or left, and those below or right."""
    every, first, last = slice(None), slice(None, -1), slice(1, None)
    return [
        (down, (first, every), (last, every)),
        (across, (every, first), (every, last)),
    ]


@cache
def _graph(height: int, width: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The edges in the order of their capacities, as rows of a sparse matrix.

    First those of cells, from the source through the nodes to the sink; then those from each
    node to all of a neighbour, and back; at last those that hold the nodes of a cell in order,
    whose number is returned as well.
    """
    nodes = np.arange(height * width * m).reshape(height, width, m)
    source, sink = nodes.size, nodes.size + 1
    ends = [np.full((height, width, 1), end) for end in (source, sink)]
    chain = np.concatenate([ends[0], nodes, ends[1]], axis=2)
    starts, stops = [chain[:, :, :-1].ravel()], [chain[:, :, 1:].ravel()]
    there = [
        (np.repeat(nodes[near].reshape(-1, m), m, axis=1), np.tile(nodes[far].reshape(-1, m), m))
        for _, near, far in _neighbours(nodes, nodes)
    ]
    for pairs in (there, [(far, near) for near, far in there]):
        starts += [near.ravel() for near, _ in pairs]
        stops += [far.ravel() for _, far in pairs]
    starts.append(nodes[:, :, 1:].ravel())
    stops.append(nodes[:, :, :-1].ravel())
    rows, columns = np.concatenate(starts), np.concatenate(stops)
    place = np.arange(1, len(rows) + 1)
    numbered = csr_array((place, (rows, columns)), shape=(nodes.size + 2,) * 2)
    return numbered.data - 1, numbered.indices, numbered.indptr, height * width * (m - 1)
