"""FAB: the nearest broken point, by stepping onto linearised boundaries."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_whole
from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model, check_family
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, lengths, space, spread_out
from vicinal.robustness.attacks.door import Function, entered, slope
from vicinal.robustness.attacks.goal import Goal, goal
from vicinal.robustness.attacks.gradients import check_slopes
from vicinal.robustness.attacks.nearest import Nearest, keep, polish, start
from vicinal.robustness.attacks.simplex import filled

STEPS, TARGETS = 100, 9
PAIRS = 256  # of examples and targets at once, which bounds the memory
TOWARDS, OVERSHOOT, BACK = 0.1, 1.05, 0.9  # α_max, η and β of the source


def fab(
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
    """The fast adaptive boundary attack, targeted at the 9 likeliest other classes in turn.

    In each step the boundary to the target is linearised; the current point and the example
    itself are projected onto it within the box, and the next point lies between, with a little
    overshoot. No radius and no step size enter, and the scale of the logits does not matter.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        norm: "linf", "l2" or "l1", of the distance.
        bounds: (low, high) of valid inputs, or None.
        steps: gradient steps for each target.
        scale: unit of each feature, in which the distance is measured; 0 fixes a feature.
        family: decides what is broken, and the margin.
        tolerance: deviation that breaks an example; needed for families without classes.

    Returns:
        Nearest: points and distances, exact for linear models.

    Warns:
        UserWarning: if no example that is right has a gradient at the start, so that nothing was
            attacked.

    Raises:
        ValueError: for x, bounds, scale and targets that do not fit, steps not positive, or a
            family without classes and tolerance; if the outputs have no gradient.

    Source:
        Croce and Hein (2020), arXiv:1907.02044, algorithm 1; targeted as in arXiv:2003.01690.

    Example:
        >>> from vicinal.maths.losses import bernoulli
        >>> x, y = torch.tensor([[0.5, 0.5]]), torch.tensor([1])
        >>> fab(lambda x: x.sum(1) - 0.8, x, y, family=bernoulli).distance.round(decimals=3)
        tensor([0.1000])
    """
    check_steps(steps, family, tolerance)
    whole, aim = space(x, norm, bounds, scale), goal(family, y, tolerance)
    with entered(model, x, y, family) as f:
        check_slopes(f, whole, aim, ("margin",), "fab")
        best = attack(f, whole, aim, steps)
    aim.warn()
    return best


def check_steps(steps: int, family: Family, tolerance: float | None) -> None:
    """Refuse a search for nothing.

    Raises:
        ValueError: for no steps, or nothing that counts as broken.
    """
    check_family(family)
    check_whole("steps", steps, 1)
    if not family.classifies and tolerance is None:
        raise ValueError(
            f"the {family.name} family has no classes: say with tolerance=… which deviation of the "
            "prediction from y, in the units of y, counts as broken."
        )


def attack(f: Function, space: Ball, aim: Goal, steps: int, enough: float = -1.0) -> Nearest:
    """The search towards each target; examples broken within `enough` leave it."""
    best = start(f, space, aim)
    for pairs, targets in aim.grouped(f(space.x), TARGETS, PAIRS):
        left = best.distance[pairs] > max(enough, 0.0)
        rows = pairs[left]
        if not len(rows):
            break
        aimed = None if targets is None else targets[left]
        _towards(f, space, aim, aimed, rows, steps, enough, best)
    polish(f, space, aim, best)
    return best


def _towards(
    f: Function,
    space: Ball,
    aim: Goal,
    target: Tensor | None,
    rows: Tensor,
    steps: int,
    enough: float,
    best: Nearest,
) -> None:
    part, left, z = space[rows], aim[rows], space.x[rows]
    _, margin, gradient = slope(f, z, left.loss("margin", target))
    for _ in range(steps):
        z = _next(part, z, margin, gradient)
        loss = left.loss("margin", target)
        outputs, margin, gradient = slope(f, z, loss)
        broken = left.broken(outputs)
        if not broken.any():
            continue
        keep(best, rows, part, z, broken)
        if enough >= 0:
            going = (best.distance[rows] > enough).nonzero()[:, 0]
            if not len(going):
                return
            rows, part, left, z = rows[going], part[going], left[going], z[going]
            margin, gradient, broken = margin[going], gradient[going], broken[going]
            target = None if target is None else target[going]
        # back towards the example, with the slope of where it was broken: no further pass
        back = torch.where(spread_out(broken, z), torch.lerp(part.x, z, BACK), z)
        margin = margin + (gradient * (back - z)).flatten(1).sum(1)
        z = back


def _next(part: Ball, z: Tensor, margin: Tensor, gradient: Tensor) -> Tensor:
    offset = margin + (gradient * (part.x - z)).flatten(1).sum(1)  # the linearised margin at x
    # both projections at once, as each is many small steps
    places, margins, slopes = (
        torch.cat(v) for v in ((z, part.x), (margin, offset), (gradient,) * 2)
    )
    both = onto_plane(part, places, margins, slopes)
    here, there = both.chunk(2)
    a, b = lengths(part.scaled(both).flatten(1), part.norm).chunk(2)
    alpha = spread_out((a / (a + b).clamp(min=1e-30)).clamp(max=TOWARDS), z)
    z = torch.lerp(z + OVERSHOOT * here, part.x + OVERSHOOT * there, alpha)
    z = torch.clamp(z, part.low, part.high)
    return z if part.plain else torch.where(part.scale > 0, z, part.x)


def onto_plane(
    space: Ball, z: Float[Tensor, "n *rest"], margin: Tensor, gradient: Tensor
) -> Float[Tensor, "n *rest"]:
    """The shortest d for which margin + <gradient, d> = 0 with z + d in the box.

    With weights a = |gradient| scaled and room u left in the direction needed, the coordinates
    of d are min(t b, u), b = a in l2 and 1 in linf; t solves Σ a min(t b, u) = |margin|. In l1 the
    coordinates of largest a are filled first. Where the box is too small every coordinate goes to
    its end.
    """
    up = -torch.sign(gradient) * spread_out(margin.sign(), gradient)
    a, u = (gradient.abs() * space.scale).flatten(1), space.room(z, up)
    if space.norm == "l1":
        length = filled(a, a, u, margin.abs())
    else:
        b = a if space.norm == "l2" else (a > 0).to(a)
        t = _multiplier(a, b, u, margin.abs())
        length = torch.minimum(t[:, None] * b, torch.where(a > 0, u, 0))
    return up * (length.reshape(gradient.shape) * space.scale)


def _multiplier(a: Tensor, b: Tensor, u: Tensor, amount: Tensor) -> Float[Tensor, " n"]:
    """The t with Σ a min(t b, u) = amount, or one that fills everything.

    Newton's method: the sum is concave and piecewise linear in t, so from below it climbs to the
    solution in a finite number of steps and never passes it.
    """
    tiny = torch.finfo(a.dtype).tiny
    rates, ends = a * b, torch.where(a > 0, a * u, 0)
    t = (amount / rates.sum(1).clamp(min=tiny)).clamp(max=1e30)  # finite where there is no slope
    for _ in range(a.shape[1]):
        full = t[:, None] * b >= u
        rest = (rates * ~full).sum(1)
        left = amount - torch.where(full, ends, 0).sum(1)
        higher = torch.where((rest > 0) & (left > 0), left / rest.clamp(min=tiny), t)
        if (higher <= t * (1 + 1e-6)).all():
            break
        t = torch.maximum(t, higher)
    return t
