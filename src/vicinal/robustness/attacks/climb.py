"""The climb of APGD: where each example stands, how far its next step goes, and when it leaves."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vicinal.robustness.attacks.ball import Ball, spread_out
from vicinal.robustness.attacks.door import Function, slope
from vicinal.robustness.attacks.goal import Goal, Loss

MOMENTUM, RISING = 0.75, 0.75  # α and ρ of the source
FIRST, SHRINK, SHORTEST = 0.22, 0.03, 0.06  # of its checkpoints, in parts of the steps
PHASES = ((3, 0.3), (2, 0.3), (1, 0.4))  # in l1: radius in eps, part of the steps
EVERY = 0.04  # of the steps, between checkpoints in l1
DENSE, SPARSER, REDUCE, SMALLEST = 0.2, 0.95, 1.5, 0.1  # of the share of features and of the step


@dataclass
class Halving:
    """The step size of each example in linf and l2: halved where it leads nowhere."""

    size: Tensor
    rises: Tensor  # since the last checkpoint
    size_then: Tensor  # at the last checkpoint
    best_then: Tensor

    def ahead(self, within: Ball, path: "Path", step: int) -> Tensor:
        """A step uphill with momentum."""
        z = within.step(path.z, path.gradient, spread_out(self.size, path.z))
        if not step:
            return z
        onward = MOMENTUM * (z - path.z) + (1 - MOMENTUM) * (path.z - path.previous)
        return within.project(path.z + onward)

    def stuck(self, within: Ball, path: "Path", since: int) -> Bool[Tensor, " n"]:
        """Halve steps that rose too seldom, or whose best stands still."""
        few = self.rises < RISING * since
        still = (self.size == self.size_then) & (path.best_value <= self.best_then)
        stuck = few | still
        self.size_then, self.best_then = self.size, path.best_value
        self.size = torch.where(stuck, self.size / 2, self.size)
        self.rises = torch.zeros_like(self.rises)
        return stuck


@dataclass
class Sparse:
    """In l1: the step size of each example, and the share of its features that move."""

    size: Tensor
    rises: Tensor
    share: Tensor
    support: Tensor  # features in which the best differed from the example, at the last checkpoint

    def ahead(self, within: Ball, path: "Path", step: int) -> Tensor:
        """A step of one sign per feature among the steepest, projected onto ball and box."""
        gradient = (path.gradient * within.scale).flatten(1)
        # features at the edge of the box are passed over, as they cannot move
        free = within.room(path.z, path.gradient) > 0
        slopes, d = torch.where(free, gradient.abs(), 0), gradient.shape[1]
        # rounded down: one sign for all that moved already would be taken off again whole
        most = (self.share * d).long().clamp(min=1)
        chosen = free & (slopes >= slopes.sort(1).values.gather(1, d - most[:, None]))
        signs = torch.where(chosen, gradient.sign(), 0)
        signs = signs / signs.abs().sum(1, keepdim=True).clamp(min=1)
        moved = (self.size[:, None] * signs).reshape(path.z.shape) * within.scale
        return within.project(path.z + moved)

    def stuck(self, within: Ball, path: "Path", since: int) -> Bool[Tensor, " n"]:
        """Full steps again where the best got sparser, shorter ones elsewhere."""
        support = differing(path.best, within.x)
        sparser = support < SPARSER * self.support
        self.share = support / within.x[0].numel() / REDUCE
        smaller = (self.size / REDUCE).clamp(min=SMALLEST * within.eps)
        self.size = torch.where(sparser, within.eps, smaller)
        self.support = support
        return sparser


@dataclass
class Path:
    """Where the climb of each example stands; every field holds one row per example."""

    z: Tensor
    previous: Tensor
    gradient: Tensor
    value: Tensor
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    pace: Halving | Sparse

    def keep(self, rows: Tensor) -> "Path":
        """The climbs of some examples."""
        pace = replace(self.pace, **_rows(self.pace, rows))
        return replace(self, **_rows(self, rows), pace=pace)

    def move(self, z: Tensor, gradient: Tensor, value: Tensor) -> None:
        """Take up a new point, and remember it if it is the best."""
        self.pace.rises += value > self.value
        self.previous, self.z, self.gradient, self.value = self.z, z, gradient, value
        better = value > self.best_value
        if better.any():
            wide = spread_out(better, z)
            self.best = torch.where(wide, z, self.best)
            self.best_gradient = torch.where(wide, gradient, self.best_gradient)
            self.best_value = torch.where(better, value, self.best_value)

    def judge(self, within: Ball, since: int) -> None:
        """At a checkpoint: what is stuck goes on from its best point at another pace."""
        stuck = self.pace.stuck(within, self, since)
        wide = spread_out(stuck, self.z)
        self.z = torch.where(wide, self.best, self.z)
        self.gradient = torch.where(wide, self.best_gradient, self.gradient)
        self.value = torch.where(stuck, self.best_value, self.value)


def climb(
    f: Function,
    within: Ball,
    aim: Goal,
    loss: Loss,
    start: Float[Tensor, "n *rest"],
    steps: int,
    target: Tensor | None = None,
) -> tuple[Float[Tensor, "n *rest"], Bool[Tensor, " n"]]:
    """One climb from the start; the first broken point, else the one of highest loss.

    In l1 it begins in larger balls, whose points count for nothing but as the next start.
    """
    if within.norm != "l1":
        pace = _halving(within)
        return _climb(f, within, aim, loss, start, steps, checkpoints(steps), pace, target)
    won = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    left = steps
    for radius, part in PHASES:
        count = left if radius == 1 else min(math.ceil(part * steps), left - 1)
        if not count:
            continue  # fewer steps than phases
        left -= count
        larger = within.of_radius(radius * within.eps)
        start = larger.project(start)
        marks, sparse = set(range(0, count, max(int(EVERY * count), 1))), _sparse(larger, start)
        start, won = _climb(
            f, larger, aim, loss, start, count, marks, sparse, target, counts=radius == 1
        )
    return start, won


def _climb(
    f: Function,
    within: Ball,
    aim: Goal,
    loss: Loss,
    start: Float[Tensor, "n *rest"],
    steps: int,
    marks: set[int],
    pace: Halving | Sparse,
    target: Tensor | None = None,
    *,
    counts: bool = True,
) -> tuple[Float[Tensor, "n *rest"], Bool[Tensor, " n"]]:
    found = start.clone()
    won = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    alive = torch.arange(len(start), device=start.device)
    last = 0
    outputs, value, gradient = slope(f, start, aim.loss(loss, target))
    value = torch.where(torch.isnan(value), -torch.inf, value)
    path = Path(start, start, gradient, value, start, gradient, value, pace)
    for step in range(steps + 1):
        broken = aim.broken(outputs) if counts else won[alive]
        if broken.any():
            won[alive[broken]] = True
            found[alive[broken]] = path.z[broken]
            # an example may be here once for each target, and leaves with all of them
            rows = (~torch.isin(aim.rows, aim.rows[broken])).nonzero()[:, 0]
            alive, path, within, aim = alive[rows], path.keep(rows), within[rows], aim[rows]
            target = None if target is None else target[rows]
        if step == steps or not len(alive):
            break
        if step and step in marks:
            path.judge(within, step - last)
            last = step
        z = path.pace.ahead(within, path, step)
        outputs, value, gradient = slope(f, z, aim.loss(loss, target))
        path.move(z, gradient, value)
    found[alive] = path.best
    return found, won


def checkpoints(steps: int) -> set[int]:
    """The steps after which the step size is judged."""
    marks, place, gap = set(), FIRST, FIRST
    while place < 1:
        marks.add(math.ceil(round(place * steps, 6)))
        gap = max(gap - SHRINK, SHORTEST)
        place += gap
    return marks - {0}


def differing(z: Float[Tensor, "n *rest"], x: Float[Tensor, "n *rest"]) -> Float[Tensor, " n"]:
    """In how many features each point differs from the example."""
    return (z != x).flatten(1).sum(1).to(x.dtype)


def _rows(record: Path | Halving | Sparse, rows: Tensor) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: value[rows] for name, value in values.items() if isinstance(value, Tensor)}


def _halving(within: Ball) -> Halving:
    each = within.x.flatten(1)[:, 0]
    sizes = torch.full_like(each, 2 * within.eps)
    return Halving(sizes, torch.zeros_like(each, dtype=torch.int64), sizes, 0 * each - torch.inf)


def _sparse(within: Ball, start: Tensor) -> Sparse:
    support, features = differing(start, within.x), within.x[0].numel()
    dense = support == 0
    share = torch.where(dense, DENSE, support / features / REDUCE)
    sizes = torch.full_like(support, within.eps)
    rises = torch.zeros_like(support, dtype=torch.int64)
    return Sparse(sizes, rises, share, torch.where(dense, features, support))
