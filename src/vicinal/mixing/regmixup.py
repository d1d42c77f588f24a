"""RegMixup: the loss on the mixed batch, added to the loss on the clean one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.apply import each, mix
from vicinal.mixing.draw import Draw, Loss, Model, moved, told
from vicinal.mixing.hidden import one_weight
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.pairing import Pairing, shuffle
from vicinal.models.forward import unwrapped


@dataclass(frozen=True)
class RegMixup:
    """Clean loss plus `weight` times the mixup loss, from one pass over both batches.

    Args:
        alpha: shape of the law of λ ~ Beta(alpha, alpha), positive; the source uses 20 on
            CIFAR-10 and 10 on CIFAR-100, strong mixing.
        weight: η, of the mixup loss, 0 or more.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A RegMixupDraw: apply it with `vicinal_losses`.

    Raises:
        ValueError: if alpha is not positive, or weight negative or infinite.

    Source:
        Pinto, Yang, Lim, Torr, Dokania (2022), arXiv:2206.14502, equation 3; a weight per sample.
        The default alpha is theirs for CIFAR-10. Their code averages over both batches, which is
        half of this sum: halve the learning rate and double the weight decay to match it in SGD.
    """

    alpha: float = 20.0
    weight: float = 1.0
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)
        if not 0 <= self.weight < np.inf:
            raise ValueError(
                f"weight must be 0 or more and finite, got {self.weight}. It multiplies the mixup "
                "loss, which is added to the clean loss: 1 weighs both alike."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "RegMixupDraw":
        """Draw weights and partners for this batch."""
        return RegMixupDraw(one_weight(self.alpha, self.pairing, x, y, rng), self.weight)


@dataclass(frozen=True)
class RegMixupDraw:
    """A mixture, and the weight of its loss beside the clean one."""

    draw: Draw
    weight: float

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """Clean plus weighted mixup loss; both batches pass the model as one."""
        both = each(lambda clean, mixed: torch.cat([clean, mixed]), x, mix(x, self.draw))
        clean, mixed = unwrapped(model(both)).tensor_split(2)
        return loss(clean, y) + self.weight * mixed_loss(loss, mixed, y, self.draw)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "RegMixupDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)
