"""Two-layer nets with squared loss, mixed at their last hidden features."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.generalization.bound import (
    Bound,
    assembled,
    check_declared,
    check_held_out,
    grid_of,
    of_family,
    smallest,
)
from vicinal.maths.arguments import check_law, check_number, check_tensors
from vicinal.maths.laws import Law, glm_coefficient
from vicinal.maths.losses import gaussian


@dataclass(frozen=True)
class HiddenBound:
    """The complexity term of the class θ'Σθ ≤ γ over given hidden features.

    Attributes:
        value: 2 √(γ (rank + lift) / n).
        gamma: γ.
        rank: of the covariance Σ of the features.
        lift: ‖Σ^{†/2} μ‖², because features have a mean μ; 0 where they are centred.
    """

    value: float
    gamma: float
    rank: int
    lift: float


def hidden_regulariser(
    theta: Float[Tensor, " d"], features: Float[Tensor, "n d"], law: Law
) -> float:
    r"""The regulariser of half the squared error of θ'h, features mixed about their mean.

    $\frac12 E_{\tilde D}[\frac{(1-\lambda)^2}{\lambda^2}]\, \theta'\hat\Sigma\theta$, where each
    mixed feature is divided by its own λ.

    Args:
        theta: weights of the last layer.
        features: last hidden features h of the training data.
        law: the law of λ, with α > 1 and β > 1 for Beta.

    Raises:
        ValueError: where the coefficient is infinite, as at every α ≤ 1; for values not finite.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, section 3.3.
    """
    check_law(law)
    centred = _centred(features)
    _check_theta(theta, features)
    variance = float((centred @ theta.detach().double()).square().mean())
    try:
        coefficient = glm_coefficient(law)
    except ValueError as error:
        raise ValueError(
            f"{error} Here: vicinal.glm_regulariser(theta, features, law, vicinal.gaussian, "
            "divide='mean')."
        ) from error
    if not math.isfinite(value := coefficient * variance / 2):
        raise ValueError(f"the regulariser is not finite, got {value}. Scale the features.")
    return value


def hidden_complexity(features: Float[Tensor, "n d"], gamma: float) -> HiddenBound:
    r"""The complexity of the class θ'Σθ ≤ γ, Σ and μ of the features.

    $2 \sqrt{\gamma (rank(\Sigma) + \|\Sigma^{\dagger/2} \mu\|^2) / n}$ is twice the Rademacher
    complexity of {θ'h : θ'Σθ ≤ γ}, because
    $E\|\Sigma^{\dagger/2} h\|^2 = rank + \|\Sigma^{\dagger/2}\mu\|^2$. The mean μ must lie in the
    range of Σ, or the class is unbounded.

    Args:
        features: last hidden features, for a first layer fixed beforehand (on other data).
        gamma: γ, positive.

    Raises:
        ValueError: for γ not positive, a mean outside of the range of Σ, values not finite.
    """
    check_number("gamma", gamma)
    if not 0 < gamma < math.inf:
        raise ValueError(f"gamma must be positive and finite, got {gamma}.")
    centred = _centred(features)
    mean = features.detach().double().mean(0)
    n = len(features)
    _, singular, directions = torch.linalg.svd(centred / math.sqrt(n), full_matrices=False)
    floor = float(singular.max()) * max(features.shape) * _eps(features)
    kept = singular > floor
    along = directions[kept] @ mean
    outside = float(mean.square().sum() - along.square().sum())
    if not outside <= 1e-6 * (float(mean.square().sum()) + 1e-300):
        raise ValueError(
            "the mean of the features has a part outside of the range of their covariance, along "
            "which the class is unbounded: a feature is constant. Leave it out, or centre them."
        )
    lift, rank = float((along / singular[kept]).square().sum()), int(kept.sum())
    return HiddenBound(2 * math.sqrt(gamma * (rank + lift) / n), gamma, rank, lift)


def hidden_bound(
    theta: Float[Tensor, " d"],
    features: Float[Tensor, "n d"],
    y: Float[Tensor, " n"],
    *,
    feature_bound: float,
    theta_bound: float,
    y_bounds: tuple[float, float],
    gammas: float | Sequence[float],
    delta: float = 0.05,
    lift: float | None = None,
    held_out: Float[Tensor, "m d"] | None = None,
) -> Bound:
    r"""Bound the expected squared-error loss of θ'h, for a first layer fixed beforehand.

    $$L(\theta) \le L_{std}(\theta) + 2 L \sqrt{\gamma (d + lift) / n}
      + B \sqrt{\log(1/\delta)/2n}, \qquad lift = \|\Sigma^{\dagger/2}\mu\|^2$$

    for all θ with $\theta'\Sigma\theta \le \gamma$, Σ and μ of the law of the features, rank(Σ) at
    most d. With M = feature_bound · theta_bound, which |θ'h| cannot exceed, L is the largest
    |θ'h - y| and B the range of the loss f²/2 - yf (without the y²/2 of half the squared error).
    As in `glm_bound` a grid of γ is paid by a union bound, and θ in the class is proved from
    `held_out` features, by Hoeffding's inequality for E(θ'h)², or measured. The lift must be
    known; measured on the features it makes the bound indicative.

    Args:
        theta: weights of the last layer; no intercept: a constant feature has no variance.
        features: last hidden features of the training data, from a first layer that these data had
            no part in.
        y: training targets, within y_bounds.
        feature_bound: largest ‖h‖ that can occur, known beforehand.
        theta_bound: largest ‖θ‖ that training could have returned.
        y_bounds: smallest and largest y that can occur.
        gammas: γ, or a grid of them, fixed before the data were seen.
        delta: the bound fails with at most this probability.
        lift: of the law of the features, where it is known.
        held_out: features that played no part in training.

    Raises:
        ValueError: where the data are outside of the declared bounds, no γ holds θ, a feature is
            constant, or a number is out of range.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, section 3.3; L and B are
        not given there.
    """
    grid = grid_of(gammas)
    if lift is not None:
        check_number("lift", lift)
    declared = feature_bound, theta_bound, y_bounds, grid, delta
    check_declared(theta, features, y, gaussian, *declared, called="feature_bound")
    top, spent = feature_bound * theta_bound, delta / (2 if held_out is not None else 1)
    factors = of_family(gaussian, top, y_bounds)
    f = features.detach().double() @ theta.detach().double()
    reached = float((f - f.mean()).square().mean())
    if held_out is not None:
        check_held_out(held_out, features)
        # the variance is at most the mean square
        square = float((held_out.detach().double() @ theta.detach().double()).square().mean())
        margin = top**2 * math.sqrt(math.log(1 / spent) / (2 * len(held_out)))
        reached = min(square + margin, top**2)
    gamma, d = smallest(grid, reached), features.shape[1]
    measured = hidden_complexity(features, gamma).lift if lift is None else lift
    complexity = 2 * factors["L"] * factors["L_A"] * math.sqrt(gamma * (d + measured) / len(f))
    more = {"gamma": gamma, "needed gamma": reached, "grid": float(len(grid)), "rank": float(d),
            "lift": measured, "n": float(len(f)), "delta": delta, "M": top}  # fmt: skip
    guesses = [word for word, known in (("the lift", lift), ("θ in the class", held_out))
               if known is None]  # fmt: skip
    caveat = f"{' and '.join(guesses)} measured, not proved" if guesses else ""
    return assembled(f, y, gaussian, complexity, spent / len(grid), factors | more, caveat)


def _eps(features: Tensor) -> float:
    return torch.finfo(features.dtype if features.is_floating_point() else torch.float64).eps


def _check_theta(theta: Tensor, features: Tensor) -> None:
    check_tensors(theta=theta)
    if theta.shape != features.shape[1:] or not bool(torch.isfinite(theta).all()):
        raise ValueError(
            f"theta must hold one finite coefficient per feature ({features.shape[1]}), got "
            f"{tuple(theta.shape)}."
        )


def _centred(features: Tensor) -> Tensor:
    check_tensors(features=features)
    fits = features.ndim == 2 and len(features) >= 2 and features.numel() > 0
    if not fits or not bool(torch.isfinite(features).all()):
        raise ValueError(
            f"features must be finite (n, d) with n of 2 or more, got {tuple(features.shape)}."
        )
    values = features.detach().double()
    return values - values.mean(0)
