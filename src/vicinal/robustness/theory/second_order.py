r"""The adversarial loss to second order, of models with one logit.

$$\tilde l_{adv}(\eta, i) = l_i + \eta\,|p_i - y_i|\,\|\nabla f(x_i)\|
                            + \tfrac{\eta^2}2 A''_i \|\nabla f(x_i)\|^2$$
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_number
from vicinal.maths.losses import Family, bernoulli
from vicinal.models.forward import Model, check_family, check_targets
from vicinal.robustness.attacks.door import opened, slope
from vicinal.robustness.attacks.gradients import gradient_of_inputs

BATCH = 1024


def adversarial_loss(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    radius: float | Tensor,
    family: Family = bernoulli,
) -> Float[Tensor, " n"]:
    """The adversarial loss of each example to second order, in an l2 ball of this radius.

    l + η |p - y| ‖∇f‖ + ½ η² A'' ‖∇f‖², the curvature of f itself left out.

    Args:
        model: maps x to one logit; measured in eval mode and left as it was.
        x: inputs.
        y: labels 0 and 1, or probabilities.
        radius: η in the units of x, one number or one for each example.
        family: bernoulli.

    Returns:
        Shape (n,), in nats, float64.

    Warns:
        UserWarning: if all gradients are 0.

    Raises:
        ValueError: for a negative radius, other families, targets that do not fit, a logit without
            gradient.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, section 3.1.
    """
    only_bernoulli(family)
    with opened(model) as f:
        check_targets(f, x, y, family)
        logits, gradient = logits_and_gradients(f, x)
    warn_of_flat(gradient)
    second = second_order(logits, y.reshape(len(x)).double(), gradient.norm(dim=1))
    return second(checked_radii(radius, x))


def second_order(
    logits: Tensor, label: Tensor, lengths: Tensor
) -> Callable[[Tensor], Float[Tensor, " n"]]:
    """The loss to second order, as a function of the radius."""
    loss = bernoulli(logits, label)
    first = bernoulli.residual(logits, label).abs() * lengths
    second = bernoulli.quadratic(logits, lengths)
    return lambda radius: loss + radius * first + radius**2 / 2 * second


def logits_and_gradients(
    f: Callable[[Tensor], Tensor], x: Tensor
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n d"]]:
    """One logit and its gradient for each example, in float64.

    Raises:
        ValueError: if the logits have no gradient by the inputs.
    """
    gradient_of_inputs(f, x, "the second-order adversarial loss")
    logit = lambda outputs: outputs.reshape(len(outputs))  # noqa: E731
    parts = (x[start : start + BATCH] for start in range(0, len(x), BATCH))
    found = [slope(f, part, logit) for part in parts]
    logits = torch.cat([value for _, value, _ in found]).double()
    return logits, torch.cat([gradient.flatten(1) for _, _, gradient in found]).double()


def warn_of_flat(gradient: Float[Tensor, "n d"]) -> None:
    """Warn where every gradient is 0: then nothing moves the model, or its slopes are cut."""
    if not bool(gradient.any()):
        warnings.warn(
            "the gradient is exactly 0 for all examples, so the adversarial loss to second order "
            "is the plain loss. Unless the model is constant its outputs are saturated, rounded or "
            "cut, and this says nothing of robustness.",
            stacklevel=3,
        )


def checked_radii(radius: float | Tensor, x: Tensor) -> Tensor:
    """Radii in float64, one or one per example.

    Raises:
        ValueError: if one is negative or not finite, or there are too many.
    """
    if not isinstance(radius, Tensor):
        check_number("radius", radius)
    elif radius.is_complex():
        raise TypeError(f"radius must hold real numbers, got {radius.dtype}.")
    eta = torch.as_tensor(radius, dtype=torch.float64, device=x.device)
    if eta.ndim and eta.shape != (len(x),):
        raise ValueError(f"radius must be a number or one for each of {len(x)} examples.")
    if not bool(((eta >= 0) & torch.isfinite(eta)).all()):
        raise ValueError(
            f"radius must be 0 or more, in the units of x, got {np.asarray(eta.cpu())}."
        )
    return eta


def only_bernoulli(family: Family) -> None:
    """Refuse what the bound is not proved for.

    Raises:
        ValueError, TypeError: for any other family, and for what is none.
    """
    check_family(family)
    if family is not bernoulli:
        raise ValueError(
            f"the bound is proved for the Bernoulli loss of one logit only, got {family.name}. "
            "For linear models of any family see vicinal.linear_bound."
        )
