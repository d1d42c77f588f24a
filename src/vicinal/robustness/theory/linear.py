r"""Exact statements for models that are affine in their input, without any expansion.

$$L_{mix} \ge \mathrm{mean}_i\, l(f(\bar\lambda x_i + (1-\bar\lambda)\bar x), y_i),
  \qquad \bar\lambda = 1 - 2\kappa$$
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.explanation.pairs.linear import is_affine
from vicinal.maths.arguments import check_inputs, check_law
from vicinal.maths.laws import Law
from vicinal.maths.losses import Family, bernoulli, categorical
from vicinal.models.forward import Model, check_family, check_targets
from vicinal.robustness.attacks.ball import DUAL, Norm, lengths
from vicinal.robustness.attacks.door import opened
from vicinal.robustness.theory.bound import CENTRED, HOMOGENEOUS
from vicinal.robustness.theory.second_order import checked_radii, logits_and_gradients


def linear_adversarial_loss(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    radius: float | Tensor,
    family: Family = bernoulli,
    *,
    norm: Norm = "l2",
) -> Float[Tensor, " n"]:
    """The exact adversarial loss of a model affine in its input, without bounds.

    The loss is convex in the logit, whose range over the ball is f ± η‖θ‖, in the dual norm; so
    the maximum is at one of the ends.

    Args:
        model: affine, with one output; measured in eval mode and left as it was.
        x: inputs.
        y: targets of the family.
        radius: η in the units of x, one number or one for each example.
        family: bernoulli, gaussian or poisson.
        norm: "l2", "linf" or "l1", of the ball.

    Returns:
        Shape (n,), in nats, float64.

    Raises:
        ValueError: if the model is not affine, the family has several outputs, the norm or the
            radius is out of range.

    Example:
        >>> x = torch.tensor([[3.0, 4.0]])
        >>> linear_adversarial_loss(lambda x: x.sum(1), x, torch.tensor([1]), 0.0).round(decimals=4)
        tensor([0.0009], dtype=torch.float64)
    """
    check_family(family)
    if not family.scalar:
        raise ValueError(
            "the exact adversarial loss is known for one output; pass a model with one logit and "
            "family=bernoulli. For several classes attack the model: vicinal.apgd."
        )
    check_inputs(x)
    if not isinstance(norm, str) or norm not in DUAL:
        raise ValueError(f"norm must be one of {', '.join(DUAL)}, got {norm!r}.")
    eta = checked_radii(radius, x)
    with opened(model) as f:
        check_targets(f, x, y, family)
        _only_affine(f, x)
        logits, gradient = logits_and_gradients(f, x)
    dual = lengths(gradient, DUAL[norm])
    y = y.double() if y.is_floating_point() else y
    return torch.maximum(family(logits - eta * dual, y), family(logits + eta * dual, y))


@dataclass(frozen=True)
class LinearBound:
    """The exact bound of a linear model.

    Attributes:
        loss: mean loss at λ̄ x_i + (1-λ̄) x̄, never above the mixup loss, for every law and family.
        radii: l2 radii in the units of x for which `loss` is the exact adversarial loss; None
            where it is not one, and `why` says why not.
        why: the conditions that fail, empty if none.
    """

    loss: float
    radii: Float[Tensor, " n"] | None
    why: str


def linear_bound(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    law: Law,
    family: Family = categorical,
) -> LinearBound:
    """Mixup's bound for models affine in their input: exact, for every family.

    L_mix ≥ mean_i l(f(λ̄ x_i + (1-λ̄) x̄), y_i) with λ̄ = 1 - 2κ, by Jensen's inequality. For a
    bias-free Bernoulli model on centred data, all classified correctly, the right side is the
    adversarial loss with the radius (1-λ̄)|θ'x_i|/‖θ‖ for example i.

    Args:
        model: affine; measured in eval mode and left as it was.
        x: inputs.
        y: targets of the family.
        law: the law of λ.
        family: the loss.

    Raises:
        ValueError: if the model is not affine, or the targets do not fit.

    Source:
        Derived from the tilted law of Zhang et al. (2021), arXiv:2010.04819, and Jensen (1906).
    """
    check_family(family)
    check_law(law)
    kept = 1 - 2 * law.spread
    with opened(model) as f:
        check_targets(f, x, y, family)
        _only_affine(f, x)
        centre = x.double().mean(0).to(x.dtype)
        outputs = f(torch.lerp(centre.expand_as(x), x, kept))
        loss = float(family(outputs, y).double().mean())
        if family is not bernoulli:
            return LinearBound(loss, None, "radii are known for the Bernoulli family only")
        logits, gradient = logits_and_gradients(f, x)
        right = bool(family.correct(f(x), y).all())
    hard = bool(((y == 0) | (y == 1)).all())
    scale = float(logits.abs().max())
    offset = float((logits - (gradient * x.flatten(1).double()).sum(1)).abs().max())
    mean = float(x.double().flatten(1).mean(0).norm() / x.double().flatten(1).norm(dim=1).max())
    why = [
        sentence
        for fails, sentence in (
            (offset > HOMOGENEOUS * scale, f"the bias is {offset:.3g}, not 0"),
            (mean > CENTRED, f"the inputs are not centred, by {mean:.3g} of their largest norm"),
            (not right, "some examples are misclassified"),
            (not hard, "some labels are neither 0 nor 1"),
        )
        if fails
    ]
    radii = (1 - kept) * logits.abs() / gradient.norm(dim=1).clamp(min=1e-300)
    return LinearBound(loss, None if why else radii, "; ".join(why))


def _only_affine(f: Callable[[Tensor], Tensor], x: Tensor) -> None:
    if not is_affine(f, x):
        raise ValueError(
            "the model is not affine in its input, and this is exact for linear models only, in "
            "32 bits or more. For others see vicinal.mixup_bound."
        )
