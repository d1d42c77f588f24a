"""Mixup: one weight for the whole of each sample."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vicinal.laws import Beta
from vicinal.mixing.draw import Draw, weights_like


@dataclass(frozen=True)
class Mixup:
    """One weight λ ~ Beta(alpha, alpha) per sample, partners by a random permutation.

    Args:
        alpha: shape of the law of λ, positive: 1.0 draws λ uniformly, values near 0 hardly
            mix. The source uses 0.2 to 0.4 on ImageNet and 1.0 on CIFAR-10.

    Returns (when called with x, y, rng):
        A Draw; its shares have the dtype and device of x.

    Raises:
        ValueError: if alpha is not positive.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412; there one λ per batch, here one
        per sample, which has the same expected loss.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.alpha < np.inf:
            raise ValueError(
                f"alpha must be positive, got {self.alpha}. It shapes λ ~ Beta(alpha, alpha): "
                "1.0 draws λ uniformly, values near 0 hardly mix. To train without mixing, "
                "pass strategy=None."
            )

    @property
    def law(self) -> Beta:
        """The law of λ."""
        return Beta(self.alpha)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw weights and partners for this batch."""
        n = len(x)
        share = weights_like(x, self.law.sample(n, rng))
        partner = torch.from_numpy(rng.permutation(n)).to(x.device)
        return Draw(partner, keep=share.reshape(n, *[1] * (x.ndim - 1)), share=share)
