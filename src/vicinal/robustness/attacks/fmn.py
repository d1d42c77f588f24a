"""FMN: the nearest broken point, by descending within a ball whose radius adapts."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model
from vicinal.robustness.attacks.ball import DUAL, Ball, Bounds, Norm, lengths, space, spread_out
from vicinal.robustness.attacks.door import Function, entered, slope
from vicinal.robustness.attacks.fab import check_steps
from vicinal.robustness.attacks.goal import Goal, goal
from vicinal.robustness.attacks.gradients import check_slopes
from vicinal.robustness.attacks.nearest import Nearest, keep, polish, start

STEPS = 100
LENGTH, SHRINK = (1.0, 0.01), (0.05, 1e-3)  # α and γ of the source, at first and at last


def fmn(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    steps: int = STEPS,
    scale: Tensor | None = None,
    family: Family = categorical,
    tolerance: float | None = None,
) -> Nearest:
    """The fast minimum-norm attack: one gradient a step for all classes at once.

    Normalised gradient steps on the margin, projected onto a ball. They are as long as the ball is
    wide at first and a hundredth of that at last (in the source 1 and 0.01 in the units of images,
    which misses tables and small radii). The radius is first estimated from the slope, then shrinks
    by γ while the point is broken and grows while it is not; γ falls from 5 % to 0.1 %.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        norm: "linf", "l2" or "l1", of the distance.
        bounds: (low, high) of valid inputs, or None.
        steps: gradient steps.
        scale: unit of each feature, in which the distance is measured; 0 fixes a feature.
        family: decides what is broken, and the margin.
        tolerance: deviation that breaks an example; needed for families without classes.

    Returns:
        Nearest: points and distances.

    Warns:
        UserWarning: if no example that is right has a gradient at the start, so that nothing was
            attacked.

    Raises:
        ValueError: for x, bounds, scale and targets that do not fit, steps not positive, or a
            family without classes and tolerance; if the outputs have no gradient.

    Source:
        Pintor, Roli, Brendel, Biggio (2021), arXiv:2102.12827, algorithm 1.
    """
    check_steps(steps, family, tolerance)
    whole, aim = space(x, norm, bounds, scale), goal(family, y, tolerance)
    with entered(model, x, y, family) as f:
        check_slopes(f, whole, aim, ("margin",), "fmn")
        best = attack(f, whole, aim, steps)
    aim.warn()
    return best


def attack(f: Function, space: Ball, aim: Goal, steps: int) -> Nearest:
    """The search for all examples that are not broken already."""
    best = start(f, space, aim)
    rows = (best.distance > 0).nonzero()[:, 0]
    if not len(rows):
        return best
    part, left, z = space[rows], aim[rows], space.x[rows]
    radius = torch.full_like(best.distance[rows], torch.inf)
    for step in range(steps):
        outputs, margin, gradient = slope(f, z, left.loss("margin"))
        broken = left.broken(outputs)
        keep(best, rows, part, z, broken)
        length = part.distance(z)
        shrink = _annealed(SHRINK, step / steps)
        slopes = _dual_length(gradient * part.scale, part.norm).clamp(min=1e-12)
        ever = torch.isfinite(best.distance[rows])
        outside = torch.where(ever, radius, length + margin.abs() / slopes) * (1 + shrink)
        nearer = torch.minimum(radius * (1 - shrink), best.distance[rows] * (1 - shrink))
        radius = torch.where(broken, nearer, outside)
        unit = gradient * part.scale / _dual_length(gradient * part.scale, "l2", wide=gradient)
        longest = radius * (z[0].numel() ** 0.5 if part.norm == "linf" else 1.0)
        length = _annealed(LENGTH, step / steps) * longest.clamp(max=1e9)
        z = z + spread_out(length, z) * unit * part.scale
        z = _onto(part, z, radius)
    keep(best, rows, part, z, left.broken(f(z)))
    polish(f, space, aim, best)
    return best


def _annealed(ends: tuple[float, float], progress: float) -> float:
    """From the first to the last value, along half a cosine."""
    first, last = ends
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


def _dual_length(gradient: Tensor, norm: Norm, wide: Tensor | None = None) -> Tensor:
    length = lengths(gradient.flatten(1), DUAL[norm])
    return length if wide is None else spread_out(length.clamp(min=1e-30), wide)


def _onto(part: Ball, z: Float[Tensor, "n *rest"], radius: Float[Tensor, " n"]) -> Tensor:
    """Onto balls of one radius per example, then into the box."""
    if part.norm == "l1":
        return part.onto(z, radius.nan_to_num(posinf=1e30))
    delta = z - part.x
    if part.norm == "linf":
        reach = spread_out(radius.nan_to_num(posinf=1e30), z) * part.scale
        delta = torch.maximum(torch.minimum(delta, reach), -reach)
    else:
        delta = delta * spread_out((radius / part.distance(z).clamp(min=1e-30)).clamp(max=1), z)
    return torch.maximum(torch.minimum(part.x + delta, part.high), part.low)
