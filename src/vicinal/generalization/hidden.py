"""Two-layer nets with squared loss, mixed at their last hidden features."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.laws import Law, glm_coefficient


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
    centred = _centred(features)
    variance = float((centred @ theta.detach().double()).square().mean())
    return glm_coefficient(law) * variance / 2


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
    if not 0 < gamma < math.inf:
        raise ValueError(f"gamma must be positive and finite, got {gamma}.")
    centred = _centred(features)
    mean = features.detach().double().mean(0)
    n = len(features)
    _, singular, directions = torch.linalg.svd(centred / math.sqrt(n), full_matrices=False)
    floor = float(singular.max()) * max(features.shape) * torch.finfo(features.dtype).eps
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


def _centred(features: Tensor) -> Tensor:
    if features.ndim != 2 or not len(features) >= 2 or not bool(torch.isfinite(features).all()):
        raise ValueError(
            f"features must be finite (n, d) with n of 2 or more, got {tuple(features.shape)}."
        )
    values = features.detach().double()
    return values - values.mean(0)
