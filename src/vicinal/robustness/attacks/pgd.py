"""Projected gradient descent: many small steps, projected back."""

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_rng, check_whole
from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, Size, ball, spread_out
from vicinal.robustness.attacks.door import Function, entered, slope
from vicinal.robustness.attacks.goal import Goal, goal
from vicinal.robustness.attacks.gradients import check_slopes


def pgd(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    eps: Size,
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    steps: int = 20,
    restarts: int = 1,
    family: Family = categorical,
    rng: np.random.Generator | None = None,
) -> Float[Tensor, "n *rest"]:
    """Steepest ascent on the loss in `steps` steps of 2.5·eps/steps, projected after each.

    The best point visited is returned: a misclassified one if any was, and among equals the
    one of highest loss; so more steps never give less on the same path. It goes on where the
    class is wrong already, as training against it needs; only the next restart leaves out what
    is broken.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        eps: radius of the ball, in the units of x, or one per feature; 0 gives x back.
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, numbers or tensors that broadcast against one
            example; None for no bounds.
        steps: number of gradient steps, at least 1.
        restarts: how many starts are tried, at least 1; more than one needs `rng`.
        family: the loss that is maximised.
        rng: if given, the start is drawn uniformly from the ball; if None, it is x itself.

    Returns:
        Inputs of the shape of x, within eps of x and within bounds.

    Warns:
        UserWarning: if no example that is right has a gradient at the start, so that nothing was
            attacked.

    Raises:
        ValueError: if eps exceeds the width of the bounds (8 for 8/255), x leaves them, steps
            is not positive, or the targets do not fit the family; if the outputs have no gradient.

    Source:
        Madry, Makelov, Schmidt, Tsipras, Vladu (2018), arXiv:1706.06083; the step size is that of
        its experiments on MNIST, and the best point is kept, not the last.
    """
    check_whole("steps", steps, 1)
    check_restarts(restarts, rng)
    within, aim = ball(x, eps, norm, bounds), goal(family, y)
    with entered(model, x, y, family) as f:
        check_slopes(f, within, aim, ("family",), "pgd", rng)
        starts = (x.detach() if rng is None else within.random(rng) for _ in range(restarts))
        best = ascend(f, within, next(starts), aim, steps)
        for start in starts:
            left = (~best.wrong).nonzero()[:, 0]
            if len(left):
                best.put(left, ascend(f, within[left], start[left], aim[left], steps))
    aim.warn()
    return best.z.clone()


def check_restarts(restarts: int, rng: np.random.Generator | None) -> None:
    """Refuse no starts, and several that would all be the same.

    Raises:
        ValueError: then.
    """
    check_rng(rng, needed=False)
    check_whole("restarts", restarts, 0)
    if not restarts >= 1 or (restarts > 1 and rng is None):
        raise ValueError(
            "restarts must be at least 1, and more than 1 needs rng=numpy.random.default_rng(seed) "
            f"to start elsewhere; got restarts={restarts}, rng={rng}."
        )


def ascend(f: Function, within: Ball, start: Tensor, aim: Goal, steps: int) -> "Best":
    """The best of one path of steepest ascent on the family's loss."""
    z, size, best = start, 2.5 * within.eps / steps, Best(start)
    loss = aim.loss("family")
    for _ in range(steps):
        outputs, value, gradient = slope(f, z, loss)
        best.see(z, aim.broken(outputs), value)
        z = within.step(z, gradient, size)
    with torch.no_grad():
        outputs = f(z)
        best.see(z, aim.broken(outputs), loss(outputs))
    return best


class Best:
    """The best point seen for each example: misclassified first, then of highest loss."""

    def __init__(self, z: Tensor) -> None:
        self.z = z
        self.wrong = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        self.loss = torch.full((len(z),), -torch.inf, dtype=z.dtype, device=z.device)

    def see(self, z: Tensor, wrong: Tensor, loss: Tensor) -> None:
        """Keep what is better."""
        better = torch.where(wrong == self.wrong, loss > self.loss, wrong)
        if better.all():
            self.z, self.loss = z, loss.to(self.loss)
        elif better.any():
            self.z = torch.where(spread_out(better, z), z, self.z)
            self.loss = torch.where(better, loss.to(self.loss), self.loss)
        self.wrong = self.wrong | wrong

    def put(self, rows: Tensor, other: "Best") -> None:
        """Keep what is better among some of the examples."""
        whole = Best(self.z.clone())
        whole.wrong[rows], whole.loss[rows], whole.z[rows] = other.wrong, other.loss, other.z
        self.see(whole.z, whole.wrong, whole.loss)
