"""APGD: projected gradient ascent with momentum that chooses its own step size."""

import math
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.attacks.ball import Ball, Bounds, Norm, Size, ball, spread_out
from vicinal.attacks.door import Function, entered, slope
from vicinal.attacks.goal import Goal, Loss, goal
from vicinal.forward import Model
from vicinal.losses import Family, categorical

Ascent = Literal["family", "dlr", "targeted"]

PAIRS = 256  # of examples and targets at once, which bounds the memory
LOSSES: tuple[Ascent, ...] = ("family", "targeted")
STEPS, TARGETS = 100, 9
MOMENTUM, RISING = 0.75, 0.75  # α and ρ of the source
FIRST, SHRINK, SHORTEST = 0.22, 0.03, 0.06  # of its checkpoints, in parts of the steps


def apgd(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    eps: Size,
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    steps: int = STEPS,
    loss: Ascent = "family",
    restarts: int = 1,
    family: Family = categorical,
    tolerance: float | None = None,
    rng: np.random.Generator | None = None,
) -> Float[Tensor, "n *rest"]:
    """Auto-PGD: no step size to tune, so it finds what PGD with a badly chosen one misses.

    Starts with steps of 2·eps and momentum 0.75; at checkpoints 0.22, 0.41, 0.57, … of the way
    the step of an example is halved, and its best point taken up again, if its loss rose in fewer
    than three quarters of the steps or its best loss stands still. An example that is broken
    leaves the batch at once.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        eps: radius of the ball, in the units of x, or one per feature; 0 gives x back.
        norm: "linf" or "l2".
        bounds: (low, high) of valid inputs, numbers or tensors that broadcast against one
            example; None for no bounds.
        steps: gradient steps for each start and target.
        loss: "family", the family's own (with a tolerance, the deviation); "dlr", the difference
            of logits ratio, which does not saturate; "targeted", the same towards each of the 9
            likeliest other classes. Where there are too few classes for a ratio it is the margin,
            and for values the deviation.
        restarts: how many starts; more than one needs `rng`.
        family: the loss.
        tolerance: deviation that breaks an example of a family without classes; None goes on to
            the highest loss.
        rng: if given, starts are drawn from the ball; if None, the start is x itself.

    Returns:
        Inputs of the shape of x, within eps of x and within bounds: the first broken point, or
        the one of highest loss.

    Raises:
        ValueError: if eps exceeds the width of the bounds (8 for 8/255), x leaves them, steps or
            restarts are not positive, or the targets do not fit the family.

    Source:
        Croce and Hein (2020), arXiv:2003.01690, algorithm 1 and equations 6 and 7.

    Example:
        >>> from vicinal.losses import bernoulli
        >>> apgd(lambda x: x.sum(1), torch.tensor([[0.5, 0.5]]), torch.tensor([1]), 0.25,
        ...      family=bernoulli)
        tensor([[0.2500, 0.2500]])
    """
    if not steps >= 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    if loss not in ("family", "dlr", "targeted"):
        raise ValueError(f"loss must be 'family', 'dlr' or 'targeted', got {loss!r}.")
    if not restarts >= 1 or (restarts > 1 and rng is None):
        raise ValueError(
            "restarts must be at least 1, and more than 1 needs rng=numpy.random.default_rng(seed) "
            f"to start elsewhere; got restarts={restarts}, rng={rng}."
        )
    within, aim = ball(x, eps, norm, bounds), goal(family, y, tolerance)
    with entered(model, x, y, family) as f:
        found = x.detach()
        highest = aim.loss("family")(f(found))
        broken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _ in range(restarts):
            left = (~broken).nonzero()[:, 0]
            if len(left):
                z, won = attack(f, within[left], aim[left], steps, loss, rng)
                value = aim[left].loss("family")(f(z))
                better = won | (value > highest[left])
                rows = left[better]
                found = found.index_put((rows,), z[better])
                highest[rows], broken[left] = value[better], won
    aim.warn()
    return found.clone()


def attack(
    f: Function,
    within: Ball,
    aim: Goal,
    steps: int,
    loss: Ascent,
    rng: np.random.Generator | None,
) -> tuple[Float[Tensor, "n *rest"], Bool[Tensor, " n"]]:
    """Points, and whether they are broken, from one start towards one or all targets."""
    found = within.x.clone()
    broken = torch.zeros(len(found), dtype=torch.bool, device=found.device)
    if loss != "targeted":
        start = found if rng is None else within.random(rng)
        return climb(f, within, aim, loss, start, steps)
    for pairs, targets in aim.grouped(f(within.x), TARGETS, PAIRS):
        left = ~broken[pairs]
        rows = pairs[left]
        if not len(rows):
            break
        part = within[rows]
        start = part.x if rng is None else part.random(rng)
        aimed = None if targets is None else targets[left]
        z, won = climb(f, part, aim[rows], "dlr", start, steps, aimed)
        # what did not break may still serve as the point of highest loss
        order = torch.argsort(won.int(), stable=True)
        found[rows[order]] = z[order]
        broken[rows[won]] = True
    return found, broken


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
    size: Tensor
    rises: Tensor  # since the last checkpoint
    size_then: Tensor  # at the last checkpoint
    best_then: Tensor

    def keep(self, rows: Tensor) -> "Path":
        """The climbs of some examples."""
        return Path(*(getattr(self, field.name)[rows] for field in fields(self)))

    def move(self, z: Tensor, gradient: Tensor, value: Tensor) -> None:
        """Take up a new point, and remember it if it is the best."""
        self.rises += value > self.value
        self.previous, self.z, self.gradient, self.value = self.z, z, gradient, value
        better = value > self.best_value
        if better.any():
            wide = spread_out(better, z)
            self.best = torch.where(wide, z, self.best)
            self.best_gradient = torch.where(wide, gradient, self.best_gradient)
            self.best_value = torch.where(better, value, self.best_value)

    def halve(self, steps_since: int) -> None:
        """At a checkpoint: halve steps that lead nowhere and go back to the best point."""
        few = self.rises < RISING * steps_since
        still = (self.size == self.size_then) & (self.best_value <= self.best_then)
        stuck = few | still
        self.size_then, self.best_then = self.size, self.best_value
        self.size = torch.where(stuck, self.size / 2, self.size)
        self.rises = torch.zeros_like(self.rises)
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
    """One climb from the start; the first broken point, else the one of highest loss."""
    found = start.clone()
    won = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    alive = torch.arange(len(start), device=start.device)
    marks, last = checkpoints(steps), 0
    outputs, value, gradient = slope(f, start, aim.loss(loss, target))
    path = _start(start, gradient, value, 2 * within.eps)
    for step in range(steps + 1):
        broken = aim.broken(outputs)
        if broken.any():
            won[alive[broken]] = True
            found[alive[broken]] = path.z[broken]
            # an example may be here once for each target, and leaves with all of them
            rows = (~torch.isin(aim.rows, aim.rows[broken])).nonzero()[:, 0]
            alive, path, within, aim = alive[rows], path.keep(rows), within[rows], aim[rows]
            target = None if target is None else target[rows]
        if step == steps or not len(alive):
            break
        if step in marks:
            path.halve(step - last)
            last = step
        z = within.step(path.z, path.gradient, spread_out(path.size, path.z))
        if step:
            ahead = MOMENTUM * (z - path.z) + (1 - MOMENTUM) * (path.z - path.previous)
            z = within.project(path.z + ahead)
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


def _start(z: Tensor, gradient: Tensor, value: Tensor, size: float) -> Path:
    value = torch.where(torch.isnan(value), -torch.inf, value)
    sizes = torch.full((len(z),), size, dtype=z.dtype, device=z.device)
    none = torch.zeros(len(z), dtype=torch.int64, device=z.device)
    return Path(z, z, gradient, value, z, gradient, value, sizes, none, sizes, value)
