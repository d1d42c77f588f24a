"""Transfer: adversarial inputs made on another model, tried on this one."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_rng
from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, Size, ball
from vicinal.robustness.attacks.door import Function, entered
from vicinal.robustness.attacks.goal import Goal, goal
from vicinal.robustness.attacks.gradients import check_slopes
from vicinal.robustness.attacks.pgd import ascend

STEPS = 40


def transfer(
    model: Model,
    source: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    eps: Size,
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    family: Family = categorical,
    tolerance: float | None = None,
    rng: np.random.Generator | None = None,
) -> Float[Tensor, "n *rest"]:
    """PGD-40 to the highest loss of the source, kept where it breaks the model.

    A twin of the model trained without the defence (plain ERM for a mixup model) makes the best
    source. Where what it finds breaks the model and the model's own gradients do not, those
    gradients are masked.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        source: another model of the same inputs and outputs.
        x: inputs within bounds.
        y: targets of the family.
        eps: radius of the ball, in the units of x, or one per feature; 0 gives x back.
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, or None.
        family: the loss.
        tolerance: deviation that breaks an example of a family without classes.
        rng: if given, the start is drawn from the ball; if None, it is x itself.

    Returns:
        Inputs of the shape of x: adversarial where they break the model, x itself elsewhere.

    Warns:
        UserWarning: if no example that is right has a gradient at the start, of the source,
            so that nothing was attacked.

    Raises:
        ValueError: for eps, x, bounds and targets that do not fit either model; if the source
            has no gradient.

    Source:
        Papernot, McDaniel, Goodfellow (2016), arXiv:1605.07277.
    """
    check_rng(rng, needed=False)
    within, aim = ball(x, eps, norm, bounds), goal(family, y, tolerance)
    with entered(source, x, y, family) as g, entered(model, x, y, family) as f:
        own = goal(family, y, tolerance)
        check_slopes(g, within, own, ("family",), "transfer from the source", rng)
        z, _ = attack(f, g, within, aim, rng)
    aim.warn()
    return z


def attack(
    f: Function, source: Function, within: Ball, aim: Goal, rng: np.random.Generator | None
) -> tuple[Float[Tensor, "n *rest"], Bool[Tensor, " n"]]:
    """Points, and whether they are broken."""
    start = within.x if rng is None else within.random(rng)
    # what the source does must not be written into the model's list of undefined outputs
    own = goal(aim.family, aim.y, aim.tolerance)
    z = ascend(source, within, start, own, STEPS).z
    broken = aim.broken(f(z))
    z = torch.where(broken.reshape(-1, *[1] * (z.ndim - 1)), z, within.x)
    return z, broken
