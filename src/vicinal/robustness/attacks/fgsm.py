"""The fast gradient sign method: one step."""

from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model
from vicinal.robustness.attacks.ball import Bounds, Norm, Size, ball
from vicinal.robustness.attacks.door import entered, slope
from vicinal.robustness.attacks.goal import goal
from vicinal.robustness.attacks.gradients import check_slopes


def fgsm(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    eps: Size,
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    family: Family = categorical,
) -> Float[Tensor, "n *rest"]:
    """One steepest-ascent step of length eps on the loss: eps·sign(∇l), or eps·∇l/‖∇l‖ in l2.

    A weak attack: it flatters models whose loss bends within the ball, mixup-trained ones
    among them. Use it to compare with published numbers and as a sign of gradient masking
    (one step must never beat many), not to claim robustness.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        eps: radius of the ball, in the units of x, or one per feature; 0 gives x back.
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, numbers or tensors that broadcast against one
            example; None for no bounds.
        family: the loss that is maximised.

    Returns:
        Inputs of the shape of x, within eps of x and within bounds.

    Warns:
        UserWarning: if no example that is right has a gradient at the start, so that nothing was
            attacked.

    Raises:
        ValueError: if eps exceeds the width of the bounds (8 for 8/255), x leaves them, or the
            targets do not fit the family; if the outputs have no gradient.

    Source:
        Goodfellow, Shlens, Szegedy (2015), arXiv:1412.6572, section 4.

    Example:
        >>> import torch
        >>> from vicinal.maths.losses import bernoulli
        >>> fgsm(lambda x: x.sum(1), torch.tensor([[0.5, 0.5]]), torch.tensor([1]), 0.25,
        ...      family=bernoulli)
        tensor([[0.2500, 0.2500]])
    """
    within = ball(x, eps, norm, bounds)
    aim = goal(family, y)
    with entered(model, x, y, family) as f:
        check_slopes(f, within, aim, ("family",), "fgsm")
        outputs, _, gradient = slope(f, x, aim.loss("family"))
        aim.broken(outputs)
    aim.warn()
    return within.step(x.detach(), gradient, within.eps)
