"""Which blocks of two images are kept, and where the cells of the images are moved."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from vicinal.mixing.graph_cut import cheapest_labels

NODES = 1024  # of one graph, for which calls and cuts cost about the same
LEAST = 1e-8  # chance of a label, so that none is impossible


def cheapest_masks(
    salient: Float[np.ndarray, "2 n down across"],
    values: Float[np.ndarray, "2 n channels down across"],
    *,
    chances: Float[np.ndarray, "n labels"],
    smooth: float,
    contrast: float,
    prior: float,
    shape: tuple[int, int],
) -> Float[np.ndarray, "n blocks_down blocks_across"]:
    r"""The own weights z of blocks, multiples of 1/m, whose cost is least.

    With s_1 the saliency of the sample, s_0 that of its partner, P the chances of the labels,

    $$\sum_b (1-z_b) s_{1b} + z_b s_{0b} - \frac{prior}{blocks} \log P(m z_b)
      + smooth \sum_{b \sim c} [(z_b - z_c)^2 + contrast\, \phi_{bc}(z_b, z_c)].$$

    Where both weights are 0 or 1, φ is the mean |difference| of values across the border, of
    the sample (1) or its partner (0) on each side, plus the same number for all of them; between, a
    quadratic that joins these. Where that would reward differing weights it is left linear.

    Args:
        salient: of cells, for the partner and for the sample.
        values: of cells and channels, for the partner and for the sample.
        chances: P of each label 0..m.
        smooth: cost of differing weights of neighbours.
        contrast: cost of a difference of values, relative to `smooth`.
        prior: weight of the chances.
        shape: blocks down and across; cells are these or finer.
    """
    m = chances.shape[1] - 1
    cost = _coarse(salient, shape)[::-1].copy()  # of weight 0 and of weight 1
    borders = []
    for turned in (False, True):  # down, then across
        view = cost.swapaxes(2, 3) if turned else cost
        lines = values.swapaxes(3, 4) if turned else values
        step = smooth * contrast * _across_borders(lines, view.shape[2:])
        view[:, :, :-1] += step.sum(1) / 2
        view[:, :, 1:] += step.sum(0) / 2
        bend = (step[0, 1] + step[1, 0] - step[0, 0] - step[1, 1]) / 2
        border = np.maximum(smooth + bend, 0) / m**2
        borders.append(border.swapaxes(1, 2) if turned else border)
    z = np.arange(m + 1) / m
    rare = -np.log(chances + LEAST)[:, None, None, :] * prior / (shape[0] * shape[1])
    costs = cost[0, ..., None] * (1 - z) + cost[1, ..., None] * z + rare
    masks: np.ndarray = _solved(costs, *borders) / m
    return masks


def _solved(costs: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The cheapest labels of each image; small ones one above the other, since calls are dear."""
    n, height, width, labels = costs.shape
    together = max(1, NODES // (height * width * (labels - 1)))
    free = np.concatenate([down, np.zeros((n, 1, width))], axis=1)  # nothing joins two images
    found = []
    for first in range(0, n, together):
        here = slice(first, first + together)
        tall = len(costs[here]) * height
        found.append(
            cheapest_labels(
                costs[here].reshape(tall, width, labels),
                free[here].reshape(tall, width)[:-1],
                across[here].reshape(tall, width - 1),
            )
        )
    return np.concatenate(found).reshape(n, height, width)


def _across_borders(
    values: Float[np.ndarray, "2 n channels down across"], shape: tuple[int, ...]
) -> Float[np.ndarray, "2 2 n borders blocks_across"]:
    """Mean |difference| of values above and below each border, by whose values they are."""
    step, across = (cells // blocks for cells, blocks in zip(values.shape[3:], shape, strict=True))
    above, below = values[:, :, :, step - 1 : -1 : step], values[:, :, :, step::step]
    apart = abs(above[:, None] - below[None]).mean(3)
    found: np.ndarray = apart.reshape(*apart.shape[:-1], shape[1], across).mean(-1)
    return found


def _coarse(
    salient: Float[np.ndarray, "2 n down across"], shape: tuple[int, int]
) -> Float[np.ndarray, "2 n blocks_down blocks_across"]:
    down, across = (cells // blocks for cells, blocks in zip(salient.shape[2:], shape, strict=True))
    parts = salient.reshape(*salient.shape[:2], shape[0], down, shape[1], across)
    found: np.ndarray = parts.sum((3, 5))
    return found


def finer(
    masks: Float[np.ndarray, "n blocks_down blocks_across"], shape: tuple[int, int]
) -> Float[np.ndarray, "n down across"]:
    """Masks of blocks as masks of the cells that these are cut into."""
    down, across = (cells // blocks for cells, blocks in zip(shape, masks.shape[1:], strict=True))
    return masks.repeat(down, axis=1).repeat(across, axis=2)


def moves(
    salient: Float[np.ndarray, "n down across"],
    wanted: Bool[np.ndarray, "n down across"],
    distance: float,
) -> Int[np.ndarray, "n down across"]:
    r"""Which cell is shown at each cell, so that salient ones come to where they are wanted.

    The permutation π that minimises $\sum_c distance |c - \pi(c)|^2 - s_c [\pi(c) \text{ wanted}]$,
    distances relative to the image.
    """
    down, across = salient.shape[1:]
    row, column = np.divmod(np.arange(down * across), across)
    row, column = row / max(down - 1, 1), column / max(across - 1, 1)
    far = distance * ((row[:, None] - row) ** 2 + (column[:, None] - column) ** 2)
    source = np.empty((len(salient), down * across), dtype=np.int64)
    for shown, s, there in zip(source, salient, wanted, strict=True):
        came, went = linear_sum_assignment(far - s.reshape(-1, 1) * there.reshape(1, -1))
        shown[went] = came
    return source.reshape(salient.shape)
