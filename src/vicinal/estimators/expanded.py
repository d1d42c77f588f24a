r"""The second-order expansion of the mixup loss of a linear model, for any pairing.

$$\sum_{ij} a^0_{ij}\, l_i + a^1_{ij}\, \langle p_i - y_i, z_j - z_i\rangle
  + \tfrac12 a^2_{ij}\, (z_j - z_i)' A''_i (z_j - z_i), \qquad
  a^k_{ij} = M_{ij} E[\lambda (1-\lambda)^k] + M_{ji} E[(1-\lambda) \lambda^k]$$

For all pairs these are L_std, R1 and R2; R3 is 0, because the logits are linear in the input.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.estimators.mass import Mass
from vicinal.maths.losses import Family


def expansion(
    z: Float[Tensor, "n k"],
    labels: Float[Tensor, "n k"],
    mass: Mass,
    family: Family,
    lam: np.ndarray,
    weight: np.ndarray,
) -> Float[Tensor, ""]:
    """L_std + R1 + R2, differentiable in the logits."""
    f = z[:, 0] if family.scalar else z
    y = labels[:, 0] if family.scalar else labels
    loss, p = family(f, y), family.mean(f).reshape(z.shape)
    ones = torch.ones(len(z), 1, dtype=z.dtype)
    k = z.shape[1]
    powers = torch.cat((ones, z, (z[:, :, None] * z[:, None]).flatten(1)), 1)
    forth, back = mass.forth(powers), mass.back(powers)

    def moments(power: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sums over partners of a^k, a^k (z_j - z_i), and a^k (z_j - z_i)(z_j - z_i)'."""
        own = float(weight @ (lam * (1 - lam) ** power))
        other = float(weight @ ((1 - lam) * lam**power))
        both = own * forth + other * back
        total, first = both[:, :1], both[:, 1 : k + 1]
        second = both[:, k + 1 :].reshape(-1, k, k)
        cross = first[:, :, None] * z[:, None]
        square = z[:, :, None] * z[:, None] * total[:, :, None]
        return total, first - total * z, second - cross - cross.mT + square

    slope = ((p - labels) * moments(1)[1]).sum()
    return (moments(0)[0][:, 0] * loss).sum() + slope + _curvature(f, p, moments(2)[2], family) / 2


def _curvature(f: Tensor, p: Tensor, second: Tensor, family: Family) -> Tensor:
    """Σ_i tr(A''_i C_i)."""
    if family.scalar:
        return (family.quadratic(f, torch.ones_like(f)) * second[:, 0, 0]).sum()
    diagonal = second.diagonal(dim1=1, dim2=2)
    return (p * diagonal).sum() - torch.einsum("nk,nkl,nl->", p, second, p)
