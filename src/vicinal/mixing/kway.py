"""Mixtures of more than two samples."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vicinal.maths.randomness import checked
from vicinal.mixing.draw import Blend, told, weight_dtype, weights_like
from vicinal.mixing.pairing import Pairing, partners, shuffle


@dataclass(frozen=True)
class DirichletMixup:
    """Mixtures of k samples with weights ~ Dirichlet(alpha, ..., alpha); k = 2 is mixup.

    The weights are rounded to binary fractions, so that they sum to 1 exactly in the dtype
    of x, in whatever order they are added.

    Args:
        k: samples in each mixture, at least 2.
        alpha: shape of the law, positive: values near 0 hardly mix, large ones average.
        pairing: how each of the k-1 partners is chosen.

    Returns (when called with x, y, rng):
        A Blend, for `mix`, `mixed_loss` and `soft_targets`.

    Raises:
        ValueError: if alpha is not positive, or k less than 2.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412, section 2, who found no gain
        over pairs and name no k or alpha: both are choices made here.
    """

    k: int = 3
    alpha: float = 1.0
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        if not (self.k >= 2 and self.k % 1 == 0):
            raise ValueError(
                f"k must be a whole number, at least 2 samples per mixture, got {self.k}."
            )
        if not 0 < self.alpha < np.inf:
            raise ValueError(
                f"alpha must be positive and finite, got {self.alpha}. It shapes the weights, "
                "Dirichlet(alpha, ..., alpha): values near 0 hardly mix."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Blend:
        """Draw weights and partners for this batch."""
        unit = torch.finfo(weight_dtype(x)).eps / 2  # sums of its multiples up to 1 are exact
        weights = checked(rng).dirichlet([self.alpha] * int(self.k), len(x))
        ends = np.round(np.cumsum(weights, axis=1) / unit)
        ends[:, -1] = 1 / unit
        shares = np.diff(np.minimum(ends, 1 / unit), axis=1, prepend=0) * unit
        rows = [partners(self.pairing, x, y, rng) for _ in range(int(self.k) - 1)]
        return Blend(torch.stack(rows, 1), weights_like(x, shares))
