r"""The bound for a model as it was trained, when that model is linear and has one output.

Logits of two classes are one output, their difference. Whatever was not fixed before the data
were seen is paid for, or the bound is called indicative.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.explanation.pairs.linear import is_affine
from vicinal.generalization.bound import Bound, glm_bound
from vicinal.maths.losses import Family, bernoulli, categorical, gaussian
from vicinal.models.forward import Model, unchanged

NORMS = tuple(2.0**k for k in range(-3, 13))  # bounds on ‖θ‖ that are paid for
STEEPEST = 700.0  # the logit at which p(1-p) is about to be rounded to 0, and the bound infinite
HALVINGS = 24  # of the largest γ


@dataclass(frozen=True)
class _Affine:
    """f = θ'x, x with a one at its end and the middle of its range taken off."""

    theta: Float[Tensor, " d"]
    x: Float[Tensor, "n d"]
    y: Shaped[Tensor, " n"]
    held_out: Float[Tensor, "m d"]
    family: Family


def bound_of_trained(
    model: Model,
    train: tuple[Float[Tensor, "n *rest"], Shaped[Tensor, "n *k"]],
    held_out: Float[Tensor, "m *rest"],
    family: Family,
    *,
    bounds: tuple[float, float] | None,
    delta: float = 0.05,
) -> Bound | None:
    r"""`glm_bound` of a trained model, with every choice paid for by a union bound.

    The intercept is the coefficient of a last input, always 1. The bound on ‖θ‖ is the smallest
    power of two from 1/8 to 4096 that holds it, γ the smallest of 25 halvings of the largest that
    it leaves possible; all pairs of both are paid for. With `bounds` the largest ‖x‖ is known
    beforehand. Without, and for values as targets, it is read off the data: the bound is then
    indicative only, as if it had been known.

    Args:
        model: measured in eval mode and left as it was.
        train: inputs and targets that it was trained on.
        held_out: inputs that played no part in training, from which θ in W_γ is proved.
        family: categorical with two classes, Bernoulli, or Gaussian with one output.
        bounds: the range of every input that can occur, or None where there is none.
        delta: the bound fails with at most this probability.

    Returns:
        The bound; None for a model that is not affine in its input, one of several outputs or
        other families, where ‖θ‖ is beyond 4096, and where logits may be so large that the bound
        overflows.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, Theorem 3.4.
    """
    found = _affine(model, train, held_out, family, bounds)
    if found is None:
        return None
    every = torch.cat((found.x, found.held_out))
    x_bound = float(every.norm(dim=1).max())
    if bounds is not None:
        x_bound = math.hypot((bounds[1] - bounds[0]) / 2 * math.sqrt(every.shape[1] - 1), 1.0)
    fitting = [norm for norm in NORMS if norm >= float(found.theta.norm())]
    if not fitting or (found.family is bernoulli and x_bound * fitting[0] > STEEPEST):
        return None
    values = found.family is not bernoulli
    y_bounds = (float(found.y.min()), float(found.y.max())) if values else (0.0, 1.0)
    top = (x_bound * fitting[0]) ** 2 * (1.0 if values else 0.25)
    bound = glm_bound(
        found.theta,
        found.x,
        found.y,
        found.family,
        x_bound=x_bound,
        theta_bound=fitting[0],
        y_bounds=y_bounds,
        gammas=[top / 2.0**k for k in range(HALVINGS + 1)],
        delta=delta / len(NORMS),
        held_out=found.held_out,
    )
    read_off = [name for name, known in (("x", bounds is not None), ("y", not values)) if not known]
    caveat = f"the bounds on {' and '.join(read_off)} are read off the data" if read_off else ""
    factors = bound.factors | {"delta": delta, "grid": bound.factors["grid"] * len(NORMS)}
    return replace(bound, factors=factors, caveat=caveat)


def _affine(
    model: Model,
    train: tuple[Tensor, Tensor],
    held_out: Tensor,
    family: Family,
    bounds: tuple[float, float] | None,
) -> _Affine | None:
    """The model as one linear function, None where it is none."""
    x, y = train
    with unchanged(model) as f:
        with torch.no_grad():
            outputs = f(x[:1]).reshape(1, -1).shape[1]
            one = outputs == (2 if family is categorical else 1)
            if family not in (categorical, bernoulli, gaussian) or not one or not is_affine(f, x):
                return None
        middle = torch.full_like(x[:1], 0.0 if bounds is None else sum(bounds) / 2)
        at = middle.requires_grad_()
        logits = f(at).reshape(-1)
        value = logits[-1] - logits[0] if family is categorical else logits[0]
        (slope,) = torch.autograd.grad(value, at)
    theta = torch.cat((slope.reshape(-1), value.detach().reshape(1))).double()
    inner, outer = (_with_one(part, middle.detach()) for part in (x, held_out))
    return _Affine(theta, inner, y, outer, bernoulli if family is categorical else family)


def _with_one(x: Tensor, middle: Tensor) -> Float[Tensor, "n d"]:
    flat = (x - middle).reshape(len(x), -1).double()
    return torch.cat((flat, flat.new_ones(len(x), 1)), 1)
