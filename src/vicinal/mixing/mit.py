"""MIT: two mixtures of each pair, whose outputs are decoupled and trained on plain labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.apply import mix
from vicinal.mixing.draw import Draw, Loss, Model, moved, per_sample, told, weights_like
from vicinal.mixing.pairing import Pairing, partners, shuffle
from vicinal.models.forward import unwrapped


@dataclass(frozen=True)
class MIT:
    r"""Mixup inference in training: outputs of raw samples, recovered from two mixtures.

    The same pair is mixed with $\lambda_1 \ge 1/2 \ge \lambda_2$. Were the model linear between
    the two samples, its outputs there would be

    $$t_i = \frac{(1-\lambda_2) f_1 - (1-\lambda_1) f_2}{\lambda_1 - \lambda_2}, \qquad
      t_j = \frac{\lambda_1 f_2 - \lambda_2 f_1}{\lambda_1 - \lambda_2}$$

    and these are trained on the labels of the two samples, half each. No label is mixed, which
    keeps the model calibratable.

    Args:
        alpha: shape of the law: λ1 is the larger of b and 1-b, λ2 the smaller of b' and 1-b',
            with b, b' ~ Beta(alpha, alpha), drawn until they are `margin` apart.
        margin: least λ1 - λ2, in [0, 1).
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A MITDraw: apply it with `vicinal_losses`.

    Raises:
        ValueError: if alpha is not positive, the margin not in [0, 1), or so large for this
            alpha that it is met less than once in 1000 draws.

    Source:
        Wang, Li, Zhao, Heng, Zhang (2023), CVPR, "On the pitfall of mixup for uncertainty
        calibration", its variant MIT-L with alpha, margin and halves as in its code; weights per
        sample.
    """

    alpha: float = 0.5
    margin: float = 0.5
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)
        if not 0 <= self.margin < 1:
            raise ValueError(
                f"margin must lie in [0, 1), got {self.margin}. It is the least distance of the "
                "two weights, by which outputs are divided."
            )
        if not _chance(self.alpha, self.margin) > 1e-3:
            raise ValueError(
                f"margin={self.margin} is hardly ever met with alpha={self.alpha}, whose weights "
                "lie near 1/2. Take a smaller margin or a smaller alpha."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "MITDraw":
        """Draw two weights and a partner for each sample."""
        weights = np.zeros((2, len(x)))
        near = np.ones(len(x), dtype=bool)
        while near.any():
            b = Beta(self.alpha).sample((2, int(near.sum())), rng)
            weights[0, near] = np.maximum(b[0], 1 - b[0])
            weights[1, near] = np.minimum(b[1], 1 - b[1])
            gap = weights[0] - weights[1]
            near = ~((gap >= self.margin) & (gap > 1e-6))
        first, second = weights_like(x, weights[0]), weights_like(x, weights[1])
        return MITDraw(partners(self.pairing, x, y, rng), first, second)


@dataclass(frozen=True)
class MITDraw:
    """Partners, and the two weights of each pair."""

    partner: Int[Tensor, " n"]
    first: Float[Tensor, " n"]
    second: Float[Tensor, " n"]

    @property
    def draw(self) -> Draw:
        """The mixture with the first weight."""
        return Draw(self.partner, self.first, self.first)

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """Half the loss of each of the two decoupled outputs."""
        f1 = unwrapped(model(mix(x, self.draw)))
        f2 = unwrapped(model(mix(x, Draw(self.partner, self.second, self.second))))
        own, other = decoupled(f1, f2, self.first, self.second)
        return (loss(own, y) + loss(other, y[self.partner])) / 2

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "MITDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


def decoupled(f1: Tensor, f2: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of the two samples, of which f1 and f2 are taken to be mixtures."""
    a, b = per_sample(first, f1.ndim), per_sample(second, f1.ndim)
    gap = a - b
    return ((1 - b) * f1 - (1 - a) * f2) / gap, (a * f2 - b * f1) / gap


def _chance(alpha: float, margin: float) -> float:
    """The probability that two weights are `margin` apart, to three digits."""
    middle = (np.arange(2000) + 0.5) / 2000
    larger = stats.beta.ppf(0.5 + middle / 2, alpha, alpha)
    return float((2 * stats.beta.cdf(np.minimum(larger - margin, 0.5), alpha, alpha)).mean())
