"""Projected gradient descent: many small steps, projected back."""

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.attacks.ball import Bounds, Norm, ball
from vicinal.forward import Model, check_targets, unchanged
from vicinal.losses import Family, categorical


def pgd(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    eps: float,
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    steps: int = 20,
    family: Family = categorical,
    rng: np.random.Generator | None = None,
) -> Float[Tensor, "n *rest"]:
    """Steepest ascent on the loss in `steps` steps of 2.5·eps/steps, projected after each.

    The best point visited is returned: a misclassified one if any was, and among equals the
    one of highest loss; so more steps never give less on the same path.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        eps: radius of the ball, in the units of x; 0 gives x back.
        norm: "linf" or "l2".
        bounds: (low, high) of valid inputs, numbers or tensors that broadcast against one
            example; None for no bounds.
        steps: number of gradient steps, at least 1.
        family: the loss that is maximised.
        rng: if given, the start is drawn uniformly from the ball; if None, it is x itself.

    Returns:
        Inputs of the shape of x, within eps of x and within bounds.

    Raises:
        ValueError: if eps exceeds the width of the bounds (8 for 8/255), x leaves them, steps
            is not positive, or the targets do not fit the family.

    Source:
        Madry, Makelov, Schmidt, Tsipras, Vladu (2018), arXiv:1706.06083; the step size is that of
        its experiments on MNIST, and the best point is kept, not the last.
    """
    if not steps >= 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    within = ball(x, eps, norm, bounds)
    size = 2.5 * eps / steps
    z = x.detach() if rng is None else within.random(rng)
    with unchanged(model) as f:
        with torch.no_grad():
            check_targets(f, x, y, family)
        best = _Best(z)
        for _ in range(steps):
            with torch.enable_grad():
                z = z.detach().requires_grad_()
                outputs = f(z)
                loss = family(outputs, y)
                (gradient,) = torch.autograd.grad(loss.sum(), z)
            z = z.detach()
            best.see(z, outputs.detach(), loss.detach(), y, family)
            z = within.step(z, gradient, size)
        with torch.no_grad():
            outputs = f(z)
            best.see(z, outputs, family(outputs, y), y, family)
    return best.z.clone()


class _Best:
    """The best point seen for each example: misclassified first, then of highest loss."""

    def __init__(self, z: Tensor) -> None:
        self.z = z
        self.wrong = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        self.loss = torch.full((len(z),), -torch.inf, dtype=z.dtype, device=z.device)

    def see(self, z: Tensor, outputs: Tensor, loss: Tensor, y: Tensor, family: Family) -> None:
        wrong = ~family.correct(outputs, y) if family.classifies else self.wrong
        higher = (wrong == self.wrong) & (loss > self.loss)
        better = (wrong & ~self.wrong) | higher
        self.z = torch.where(better.reshape(-1, *[1] * (z.ndim - 1)), z, self.z)
        self.loss = torch.where(better, loss, self.loss)
        self.wrong = self.wrong | wrong
