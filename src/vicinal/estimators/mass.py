"""Who is mixed with whom, and how often: a probability over ordered pairs, in two factors."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vicinal.estimators.chebyshev import gaussian_points, interpolation


@dataclass(frozen=True)
class Mass:
    """The probability M_ij = Σ_r left_ir right_jr that i is mixed with j, over all pairs.

    With weights of the examples this is mixup of the weighted empirical law: a weight of 2 is
    an example that is there twice.

    Attributes:
        left, right: the factors; r is 1 for all pairs, the number of classes within classes.
        symmetric: whether M_ij = M_ji.
    """

    left: Float[Tensor, "n r"]
    right: Float[Tensor, "n r"]
    symmetric: bool

    def forth(self, values: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Σ_j M_ij v_j."""
        return self.left @ (self.right.T @ values)

    def back(self, values: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Σ_j M_ji v_j."""
        return self.right @ (self.left.T @ values)

    def single(self) -> "Mass":
        """The same in float32."""
        return Mass(self.left.float(), self.right.float(), self.symmetric)


def all_pairs(weights: Float[Tensor, " n"]) -> Mass:
    """Every example meets every example, itself included: mixup."""
    w = (weights / weights.sum())[:, None]
    return Mass(w, w, symmetric=True)


def same_class(weights: Float[Tensor, " n"], ids: Int[Tensor, " n"]) -> Mass:
    """Every example meets those of its class."""
    w, members, sizes = _classes(weights, ids)
    return Mass(w * members, w * members / sizes, symmetric=True)


def other_class(weights: Float[Tensor, " n"], ids: Int[Tensor, " n"]) -> Mass:
    """Every example meets those of the other classes."""
    w, members, sizes = _classes(weights, ids)
    rest = 1 - members @ sizes[:, None]
    ones = torch.ones_like(w)
    left = w / rest * torch.cat((ones, -members), 1)
    return Mass(left, w * torch.cat((ones, members), 1), symmetric=False)


def similar(weights: Float[Tensor, " n"], y: Float[Tensor, " n"], bandwidth: float) -> Mass:
    r"""C-Mixup: partner j of i with probability $\propto w_j e^{-(y_i-y_j)^2/2\sigma^2}$.

    The kernel is interpolated in both labels, to about 1e-12, so that it is never formed unless
    the bandwidth is so small that n points are needed.

    Source:
        Yao, Wang, Zhang, Zou, Finn (2022), arXiv:2210.05775, equation 6.
    """
    w = (weights / weights.sum())[:, None]
    labels = y / bandwidth
    half_range = float(labels.max() - labels.min()) / 2
    at = interpolation(labels, gaussian_points(half_range))
    kernel = torch.exp(-((at.points[:, None] - at.points) ** 2) / 2)
    right = w * at.basis
    total = at.basis @ (kernel @ right.sum(0))
    return Mass(w / total[:, None] * (at.basis @ kernel), right, symmetric=False)


def _classes(weights: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    w = (weights / weights.sum())[:, None]
    members = torch.nn.functional.one_hot(ids).to(w.dtype)
    return w, members, (w * members).sum(0)
