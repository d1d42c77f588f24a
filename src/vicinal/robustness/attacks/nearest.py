"""What attacks that look for the nearest broken point share: the best so far, and its polish."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.robustness.attacks.ball import Ball, spread_out
from vicinal.robustness.attacks.door import Function
from vicinal.robustness.attacks.goal import Goal

POLISH = 4  # forward passes along the way back


@dataclass(frozen=True)
class Nearest:
    """The nearest broken point found for each example.

    Attributes:
        x: the points; the example itself where it is broken already, or where none was found.
        distance: ‖(point - example)/scale‖, 0 where broken already, infinite where none was found.
    """

    x: Float[Tensor, "n *rest"]
    distance: Float[Tensor, " n"]


def start(f: Function, space: Ball, aim: Goal) -> Nearest:
    """Nothing found but what is broken already."""
    broken = aim.broken(f(space.x))
    distance = torch.where(broken, 0.0, torch.inf).to(space.x)
    return Nearest(space.x.clone(), distance)


def keep(best: Nearest, rows: Tensor, space: Ball, z: Tensor, broken: Tensor) -> None:
    """Write points of these rows that are broken and nearer into the best."""
    distance = space.distance(z)
    better = broken & (distance < best.distance[rows])
    places, near, points = rows[better], distance[better], z[better]
    # an example may be here once for each target: the nearest of them counts
    best.distance.scatter_reduce_(0, places, near, "amin")
    first = near == best.distance[places]
    best.x[places[first]] = points[first]


def polish(f: Function, space: Ball, aim: Goal, best: Nearest) -> None:
    """Go back towards each example along a line, to where the margin crosses zero."""
    rows = ((best.distance > 0) & torch.isfinite(best.distance)).nonzero()[:, 0]
    if not len(rows):
        return
    inner, outer, goal, part = space.x[rows], best.x[rows], aim[rows], space[rows]
    before, beyond = goal.margin(f(inner)), goal.margin(f(outer))
    for attempt in range(POLISH):
        # the secant is exact for linear models; halving is safe for all
        crossing = before / (before - beyond)
        share = crossing * (1 + 1e-5) if attempt % 2 == 0 else torch.full_like(crossing, 0.5)
        share = share.nan_to_num(0.5).clamp(0, 1)
        z = torch.lerp(inner, outer, spread_out(share, inner))
        outputs = f(z)
        broken, margin = goal.broken(outputs), goal.margin(outputs)
        keep(best, rows, part, z, broken)
        wide = spread_out(broken, z)
        outer, beyond = torch.where(wide, z, outer), torch.where(broken, margin, beyond)
        inner, before = torch.where(wide, inner, z), torch.where(broken, before, margin)
