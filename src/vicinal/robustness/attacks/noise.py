"""Random noise: what breaks without any search."""

import numpy as np
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_rng, check_whole
from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, Size, ball
from vicinal.robustness.attacks.door import Function, entered
from vicinal.robustness.attacks.goal import Goal, goal

DRAWS = 10


def noise(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    eps: Size,
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    draws: int = DRAWS,
    family: Family = categorical,
    tolerance: float | None = None,
    rng: np.random.Generator,
) -> Float[Tensor, "n *rest"]:
    """The worst of some random points of each ball, by margin; the first one that is broken.

    The weakest of attacks. Where it breaks what gradients did not, the gradients are masked.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        eps: radius of the ball, in the units of x, or one per feature; 0 gives x back.
        norm: "linf", "l2" or "l1"; half of the points are drawn at the full radius.
        bounds: (low, high) of valid inputs, or None.
        draws: points that are tried for each example.
        family: the loss.
        tolerance: deviation that breaks an example of a family without classes.
        rng: where the points come from.

    Returns:
        Inputs of the shape of x, within eps of x and within bounds.

    Raises:
        ValueError: for eps, x, bounds and targets that do not fit, or no draws.
    """
    check_whole("draws", draws, 1)
    check_rng(rng)
    within, aim = ball(x, eps, norm, bounds), goal(family, y, tolerance)
    with entered(model, x, y, family) as f:
        z, _ = attack(f, within, aim, draws, rng)
    aim.warn()
    return z


def attack(
    f: Function, within: Ball, aim: Goal, draws: int, rng: np.random.Generator
) -> tuple[Float[Tensor, "n *rest"], Bool[Tensor, " n"]]:
    """Points, and whether they are broken."""
    found = within.x.clone()
    outputs = f(found)
    broken, worst = aim.broken(outputs), aim.margin(outputs)
    for draw in range(draws):
        left = (~broken).nonzero()[:, 0]
        if not len(left):
            break
        part = within[left]
        z = part.random(rng)
        if draw % 2:  # at the full radius: most of a ball's volume does not touch its corners
            z = part.step(part.x, z - part.x, part.eps)
        outputs = f(z)
        won, margin = aim[left].broken(outputs), aim[left].margin(outputs)
        better = won | (margin > worst[left])
        found[left[better]], worst[left[better]] = z[better], margin[better]
        broken[left] = won
    return found, broken
