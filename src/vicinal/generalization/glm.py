r"""Generalised linear models: mixup's regulariser, the class that it controls, and ranks.

All of it is for one output, f = θ'x, and for inputs whose mean is subtracted here.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from vicinal.maths.arguments import check_law, check_number, check_rng, check_tensors, check_whole
from vicinal.maths.laws import Fixed, Law, glm_coefficient
from vicinal.maths.losses import Family, poisson
from vicinal.models.forward import check_family


@dataclass(frozen=True)
class GlmRegulariser:
    """The regulariser and its factors.

    Attributes:
        value: in nats.
        curvature: mean_i A''(θ'x_i).
        variance: θ'Σ̂θ.
        coefficient: what multiplies ½ curvature · variance.
        own: the part with (θ'x_i)²; 0 where each input is divided by its own λ.
    """

    value: float
    curvature: float
    variance: float
    coefficient: float
    own: float


@dataclass(frozen=True)
class Ranks:
    """How many directions the inputs fill.

    Attributes:
        rank: of the covariance, to rounding.
        stable: tr Σ̂ / ‖Σ̂‖, at most the rank.
        entropy: exponential of the entropy of the eigenvalues as shares, at most the rank.
    """

    rank: int
    stable: float
    entropy: float


def glm_regulariser(
    theta: Float[Tensor, " d"],
    x: Float[Tensor, "n d"],
    law: Law,
    family: Family,
    *,
    divide: Literal["own", "mean"] = "own",
) -> GlmRegulariser:
    r"""What mixing adds to the loss of a generalised linear model, to second order.

    divide="own", each mixed input divided by its own λ (defined for α > 1 and β > 1, and for the
    Poisson family for no such law: its loss of $x_i + \tfrac{1-\lambda}\lambda r$ grows as
    $e^{c/\lambda}$, which no density of λ near 0 outweighs, so that what would be expanded is
    infinite; a fixed λ stays away from 0):

    $$\frac1{2n} \sum_i A''(\theta'x_i)\, E_{\tilde D}[\tfrac{(1-\lambda)^2}{\lambda^2}]\,
      \theta'\hat\Sigma\theta$$

    divide="mean", divided by $\bar\lambda = 1-2\kappa$, finite for every law:

    $$\frac1{2n} \sum_i A''(\theta'x_i) \big[\tfrac{\kappa}{\bar\lambda^2} \theta'\hat\Sigma\theta
      + \tfrac{\kappa - 4\kappa^2}{\bar\lambda^2} (\theta'x_i)^2\big]$$

    Args:
        theta: coefficients.
        x: inputs; their mean is subtracted.
        law: the law of λ.
        family: the loss, with one output.
        divide: by what each mixed input is divided.

    Raises:
        ValueError: for divide="own" where the coefficient is infinite, as at every α ≤ 1, and for
            the Poisson family with a law that comes near 0; for values that are not finite, terms
            that overflow, or the categorical family.
        TypeError: for what is no tensor, law or family.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, Lemma 3.3, which does not
        state the domain.
    """
    if divide not in ("own", "mean"):
        raise ValueError(f"divide must be 'own' or 'mean', got {divide!r}.")
    check_law(law)
    f, variance = _centred(theta, x, family)
    weight = family.quadratic(f, torch.ones_like(f))
    curvature = _finite(float(weight.mean()), "A'' of these coefficients and inputs")
    if divide == "own":
        if family is poisson and variance > 0 and not isinstance(law, Fixed):
            raise ValueError(
                f"the Poisson loss of inputs divided by their own λ is infinite for {law}, at "
                "every alpha: it grows as exp(c/λ) where λ comes near 0, so nothing is left to "
                "expand. Divided by the fixed mean 1 - 2*law.spread it is finite for every law: "
                "pass divide='mean'; or take a law that stays away from 0, such as Fixed(0.7)."
            )
        try:
            coefficient = glm_coefficient(law)
        except ValueError as error:
            raise ValueError(f"{error} Here: pass divide='mean'.") from error
        value = _finite(coefficient * curvature * variance / 2, "the regulariser")
        return GlmRegulariser(value, curvature, variance, coefficient, 0.0)
    kappa, kept = law.spread, 1 - 2 * law.spread
    own = (kappa - 4 * kappa**2) / kept**2 * float((weight * f.square()).mean()) / 2
    coefficient = kappa / kept**2
    value = _finite(coefficient * curvature * variance / 2 + own, "the regulariser")
    return GlmRegulariser(value, curvature, variance, coefficient, own)


def glm_complexity(theta: Float[Tensor, " d"], x: Float[Tensor, "n d"], family: Family) -> float:
    r"""The γ at which θ lies on the edge of W_γ, with means over the given inputs.

    $W_\gamma = \{E[A''(\theta'x)]\, \theta'\Sigma\theta \le \gamma\}$

    Raises:
        ValueError: for values that are not finite, or the categorical family.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, section 3.2.
    """
    f, variance = _centred(theta, x, family)
    value = float(family.quadratic(f, torch.ones_like(f)).mean()) * variance
    return _finite(value, "the complexity")


def ranks(x: Float[Tensor, "n d"]) -> Ranks:
    """Rank and effective ranks of the covariance of inputs or hidden features.

    Raises:
        ValueError: for fewer than 2 examples, or values that are not finite.

    Source:
        Vershynin (2018), High-dimensional probability, 7.6; Roy and Vetterli (2007), EUSIPCO.

    Example:
        >>> ranks(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        Ranks(rank=1, stable=1.0, entropy=1.0)
    """
    check_tensors(x=x)
    if x.ndim != 2 or not len(x) >= 2 or not x.numel() or not bool(torch.isfinite(x).all()):
        raise ValueError(f"ranks needs finite x (n, d) with n of 2 or more, got {tuple(x.shape)}.")
    centred = x.detach().double() - x.detach().double().mean(0)
    singular = torch.linalg.svdvals(centred)
    eps = torch.finfo(x.dtype if x.is_floating_point() else torch.float64).eps
    floor = singular.max() * max(x.shape) * eps
    values = singular[singular > floor].square()
    if not len(values):
        return Ranks(0, 0.0, 0.0)
    share = values / values.sum()
    entropy = float(torch.exp(-(share * share.log()).sum()))
    return Ranks(len(values), float(values.sum() / values.max()), entropy)


def retentive(
    x: Float[Tensor, "n d"],
    family: Family,
    radius: float,
    *,
    rng: np.random.Generator,
    starts: int = 20,
) -> float:
    r"""An estimate of the retentive constant ρ, from above.

    ρ is the largest number with $E A''(v'x) \ge \rho \min\{1, E(v'x)^2\}$ for all $\|v\| \le$
    radius, means over the (centred) inputs. The ratio is minimised by L-BFGS from random
    directions at several lengths; a worse direction may have been missed, and other inputs give
    other means, so the estimate is not used in a bound: `glm_bound` takes the smallest A'' on the
    declared range, which is a ρ that always holds.

    Args:
        x: inputs.
        family: the loss, with one output.
        radius: largest norm of v, positive.
        rng: where the directions come from.
        starts: how many, at least 1.

    Raises:
        ValueError: for a radius that is not positive, values that are not finite.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, assumption 3.1, in the
        form from which the exponents ¼ and ½ follow.
    """
    check_tensors(x=x)
    check_family(family)
    check_number("radius", radius)
    check_rng(rng)
    check_whole("starts", starts, 1)
    if not 0 < radius < np.inf or not starts >= 1:
        raise ValueError(f"radius must be positive and finite, starts 1 or more, got {radius}, "
                         f"{starts}.")  # fmt: skip
    x = x.detach().double().cpu()  # where the search is
    _centred(x.new_zeros(x.shape[1:]), x, family)
    centred = x - x.mean(0)

    def ratio(point: np.ndarray) -> tuple[float, np.ndarray]:
        free = torch.from_numpy(point).requires_grad_()
        v = radius * free / torch.clamp(free.norm(), min=1.0)
        f = centred @ v
        value = family.quadratic(f, torch.ones_like(f)).mean() / f.square().mean().clamp(1e-12, 1)
        (slope,) = torch.autograd.grad(value, free)
        return float(value.detach()), slope.numpy()

    best = np.inf
    for start in range(starts):
        direction = rng.standard_normal(x.shape[1])
        length = (start % 4 + 1) / 4 / np.linalg.norm(direction)
        found = minimize(ratio, length * direction, jac=True, method="L-BFGS-B")
        best = min(best, float(found.fun))
    return _finite(best, "the retentive constant")


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise ValueError(
            f"{what} is not finite, got {value}: A'' overflows for outputs as large as these. "
            "Scale the inputs or the coefficients down."
        )
    return value


def _centred(theta: Tensor, x: Tensor, family: Family) -> tuple[Float[Tensor, " n"], float]:
    """θ'x_i for centred inputs, and θ'Σ̂θ."""
    check_tensors(theta=theta, x=x)
    check_family(family)
    if not family.scalar:
        raise ValueError(f"this is for families of one output, got {family.name}.")
    if not bool(torch.isfinite(theta).all() and torch.isfinite(x).all()):
        raise ValueError("theta and x must be finite, got NaN or infinity.")
    if x.ndim != 2 or not len(x) or theta.shape != x.shape[1:]:
        raise ValueError(
            f"x must have shape (n, d), n at least 1, and theta (d,), got {tuple(x.shape)} and "
            f"{tuple(theta.shape)}."
        )
    f = x.detach().double() @ theta.detach().double()
    f = f - f.mean()
    return f, float(f.square().mean())
