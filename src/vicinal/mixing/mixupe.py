"""MixupE: mixup with its first-order regulariser made stronger."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.apply import each, mix
from vicinal.mixing.draw import Draw, Loss, Model, moved, per_sample, told
from vicinal.mixing.hidden import one_weight
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.pairing import Pairing, shuffle
from vicinal.models.forward import unwrapped


@dataclass(frozen=True)
class MixupE:
    r"""The mixup loss, plus η times the first-order term of its own expansion.

    That term is $c\,\langle \nabla_x l(f(x_i), y_i),\, \bar x - x_i \rangle$ on the clean inputs,
    with $c = E_{\tilde D}[1-\lambda] = \alpha / (2\alpha + 1)$ and $\bar x$ the mean of the batch;
    its mean over the data is R1. It can be negative: it rewards a loss that falls towards the
    mean. It costs a second pass that is differentiated twice.

    Args:
        alpha: shape of the law of λ ~ Beta(alpha, alpha), positive.
        eta: η, 0 or more; 0 is mixup.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A MixupEDraw: apply it with `vicinal_losses`.

    Raises:
        ValueError: if alpha is not positive, or eta negative or infinite.

    Source:
        Zou, Verma, Mittal, Tang, Pham, Kannala, Bengio, Solin, Kawaguchi (2023),
        arXiv:2212.13381: the exact derivative, with alpha and η as its code has them for
        CIFAR-100. That code also offers a cheaper stand-in, holds
        the residual p - y constant, and rescales the sum to the size of the mixup loss; here
        the sum is what it is, and the gradient is that of the term.
    """

    alpha: float = 2.0
    eta: float = 0.001
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)
        if not 0 <= self.eta < np.inf:
            raise ValueError(
                f"eta must be 0 or more and finite, got {self.eta}. It weighs the first-order "
                "term that is added to the mixup loss: 0 is plain mixup."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "MixupEDraw":
        """Draw weights and partners for this batch."""
        draw = one_weight(self.alpha, self.pairing, x, y, rng)
        return MixupEDraw(draw, self.eta * 2 * Beta(self.alpha).spread)


@dataclass(frozen=True)
class MixupEDraw:
    """A mixture, and the weight η·c of the first-order term."""

    draw: Draw
    weight: float

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """Mixup loss plus weighted slope of the clean loss towards the mean of the batch."""
        mixed = mixed_loss(loss, unwrapped(model(mix(x, self.draw))), y, self.draw)
        return mixed + self.weight * slope_to_mean(model, x, y, loss)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "MixupEDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


def slope_to_mean(model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
    r"""The derivative of each loss along $\bar x - x_i$, itself differentiable."""
    with torch.enable_grad():
        dtype = x.dtype if isinstance(x, Tensor) else None
        t = torch.zeros(len(y), dtype=dtype, device=y.device, requires_grad=True)

        def ahead(part: Tensor) -> Tensor:
            step = per_sample(t, part.ndim).to(part.dtype)
            return part + step * (part.mean(0, keepdim=True) - part)

        total = loss(unwrapped(model(each(ahead, x))), y).sum()
        (slope,) = torch.autograd.grad(total, t, create_graph=True)
    return slope
