"""The Square attack: random search with square patches, without any gradient."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_rng, check_whole
from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, Size, ball
from vicinal.robustness.attacks.door import Function, entered
from vicinal.robustness.attacks.goal import Goal, goal
from vicinal.robustness.attacks.patches import Patches, exchanged, squares, stripes, subsets, tiles

QUERIES, SHARE = 5000, 0.8
# the share of features in a patch is halved after these parts of the queries
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
ROWS = 512  # in one pass, which bounds the memory
WASTE = 0.1  # of the queries, for asking several at once
MEMORY = 0.9  # of the past, in the share of queries that are taken up


def square(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    eps: Size,
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    queries: int = QUERIES,
    family: Family = categorical,
    tolerance: float | None = None,
    rng: np.random.Generator,
) -> Float[Tensor, "n *rest"]:
    """Random search: change a patch to the edge of the ball, keep it if the margin grew.

    Images (n, c, h, w) get square patches that shrink as the search goes on; anything else gets
    random subsets of features of the same size. In l2 and l1 the length that one patch gives up
    goes to another. It needs outputs only, so masked gradients do not hinder it. An example that is
    broken leaves the batch at once.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        eps: radius of the ball, in the units of x, or one per feature; 0 gives x back.
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, or None.
        queries: forward passes for each example, at least 1.
        family: decides what is broken and the margin.
        tolerance: deviation that breaks an example of a family without classes.
        rng: where the patches come from.

    Returns:
        Inputs of the shape of x, within eps of x and within bounds: broken, or of the largest
        margin seen.

    Raises:
        ValueError: for eps, x, bounds and targets that do not fit, or no queries.

    Source:
        Andriushchenko, Croce, Flammarion, Hein (2020), arXiv:1912.00049, algorithms 1 to 3, with
        p = 0.8; there for images only. In l1 as in Croce and Hein (2021), arXiv:2103.01208.
    """
    check_whole("queries", queries, 1)
    check_rng(rng)
    within, aim = ball(x, eps, norm, bounds), goal(family, y, tolerance)
    with entered(model, x, y, family) as f:
        z, _ = attack(f, within, aim, queries, rng)
    aim.warn()
    return z


def attack(
    f: Function, within: Ball, aim: Goal, queries: int, rng: np.random.Generator
) -> tuple[Float[Tensor, "n *rest"], Bool[Tensor, " n"]]:
    """Points, and whether they are broken."""
    outputs = f(within.x)
    asked = torch.zeros(len(within.x), dtype=torch.int64, device=within.x.device)
    search = Search(within.x.clone(), aim.broken(outputs), aim.margin(outputs), asked)
    draw = (squares if within.x.ndim == 4 else subsets)(within.x, within.norm, rng)
    alive, taken = search.alive(queries), 1.0
    if len(alive):
        part = within[alive]
        trial = stripes(part, rng) if part.norm == "linf" else tiles(part, draw)
        search.judge(f, aim, alive[:, None], trial, queries)
    while len(alive := search.alive(queries)):
        ahead = _ahead(len(alive), taken, queries - int(search.asked[alive].min()))
        rows = alive.repeat_interleave(ahead)
        parts = (search.asked[alive][:, None] + torch.arange(ahead).to(alive)) / queries
        trial = _proposal(within[rows], search.z[rows], _shares(parts.flatten()), draw)
        share = search.judge(f, aim, rows.reshape(-1, ahead), trial, queries)
        taken = MEMORY * taken + (1 - MEMORY) * share
    return search.z, search.won


@dataclass
class Search:
    """Where the search of each example stands.

    While no query is taken up the next ones do not depend on its answer, so several are asked in
    one pass. What comes after one that is taken up is thrown away and does not count, which makes
    the search the same as one query after the other.
    """

    z: Tensor
    won: Tensor
    margin: Tensor
    asked: Tensor

    def alive(self, queries: int) -> Tensor:
        """The examples that are not broken and have queries left."""
        return (~self.won & (self.asked < queries)).nonzero()[:, 0]

    def judge(self, f: Function, aim: Goal, rows: Tensor, trial: Tensor, queries: int) -> float:
        """Ask, and take up the first query that helps; the share that is taken up.

        Args:
            f: the model.
            aim: of all examples.
            rows: (examples, queries ahead), the example of each trial.
            trial: points, row by row.
            queries: that each example has.
        """
        outputs, flat, ahead = f(trial), rows.flatten(), rows.shape[1]
        goal = aim[flat]
        reached, broken = goal.margin(outputs), goal.broken(outputs)
        better = (broken | (reached > self.margin[flat])).reshape(rows.shape)
        query = self.asked[rows] + torch.arange(ahead, device=rows.device)
        better &= query < queries
        rises, first = better.any(1), better.int().argmax(1)
        taken = (torch.arange(len(rows), device=rows.device) * ahead + first)[rises]
        spent = torch.where(rises, first + 1, ahead)
        self.asked[rows[:, 0]] += spent
        at = flat[taken]
        self.z[at], self.margin[at], self.won[at] = trial[taken], reached[taken], broken[taken]
        return len(at) / int(spent.sum())


def _ahead(examples: int, taken: float, left: int) -> int:
    """How many queries to ask at once, where this share of them is taken up."""
    wasteless = int(1 + 2 * WASTE / taken) if taken > 0 else left
    return max(1, min(ROWS // examples, wasteless, left))


def _shares(parts: Tensor) -> np.ndarray:
    """The share of the features in a patch, after these parts of the queries."""
    return SHARE / 2.0 ** np.searchsorted(HALVINGS, parts.cpu().numpy(), side="left")


def _proposal(within: Ball, z: Tensor, shares: np.ndarray, draw: Patches) -> Tensor:
    patch = draw(shares)
    if within.norm == "linf":
        low, high = within.ends
        return torch.where(patch.inside, torch.where(patch.signs() > 0, high, low), z)
    return exchanged(within, z, patch, draw(shares).inside)
