"""APGD: projected gradient ascent with momentum that chooses its own step size."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_whole
from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, Size, ball
from vicinal.robustness.attacks.climb import climb
from vicinal.robustness.attacks.door import Function, entered
from vicinal.robustness.attacks.goal import Goal, Loss, goal
from vicinal.robustness.attacks.gradients import check_slopes
from vicinal.robustness.attacks.pgd import check_restarts

Ascent = Literal["family", "dlr", "targeted"]

PAIRS = 256  # of examples and targets at once, which bounds the memory
LOSSES: tuple[Ascent, ...] = ("family", "targeted")
STEPS = 100
TARGETS: dict[Norm, int] = {"linf": 9, "l2": 9, "l1": 5}  # as in the standard AutoAttack


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
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, numbers or tensors that broadcast against one
            example; None for no bounds.
        steps: gradient steps for each start and target.
        loss: "family", the family's own (with a tolerance, the deviation); "dlr", the difference
            of logits ratio, which does not saturate; "targeted", the same towards each of the 9
            likeliest other classes, 5 in l1. Where there are too few classes for a ratio it is the
            margin, and for values the deviation.
        restarts: how many starts; more than one needs `rng`.
        family: the loss.
        tolerance: deviation that breaks an example of a family without classes; None goes on to
            the highest loss.
        rng: if given, starts are drawn from the ball; if None, the start is x itself.

    Returns:
        Inputs of the shape of x, within eps of x and within bounds: the first broken point, or
        the one of highest loss.

    Warns:
        UserWarning: if no example that is right has a gradient at the start, so that nothing was
            attacked.

    Raises:
        ValueError: if eps exceeds the width of the bounds (8 for 8/255), x leaves them, steps or
            restarts are not positive, or the targets do not fit the family; if the outputs have no
            gradient.

    Source:
        Croce and Hein (2020), arXiv:2003.01690, algorithm 1 and equations 6 and 7; for l1 Croce and
        Hein (2021), arXiv:2103.01208, algorithm 1 and section 3.2, but that features which stand at
        the edge of the box are passed over.

    Example:
        >>> from vicinal.maths.losses import bernoulli
        >>> apgd(lambda x: x.sum(1), torch.tensor([[0.5, 0.5]]), torch.tensor([1]), 0.25,
        ...      family=bernoulli)
        tensor([[0.2500, 0.2500]])
    """
    check_whole("steps", steps, 1)
    if not isinstance(loss, str) or loss not in ("family", "dlr", "targeted"):
        raise ValueError(f"loss must be 'family', 'dlr' or 'targeted', got {loss!r}.")
    check_restarts(restarts, rng)
    within, aim = ball(x, eps, norm, bounds), goal(family, y, tolerance)
    with entered(model, x, y, family) as f:
        climbed: Loss = "family" if loss == "family" else "dlr"
        check_slopes(f, within, aim, (climbed,), "apgd", rng)
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
    for pairs, targets in aim.grouped(f(within.x), TARGETS[within.norm], PAIRS):
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
