"""Noisy Feature Mixup: mixup at a drawn layer, with noise added and multiplied there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.apply import each, mix
from vicinal.mixing.draw import Draw, Loss, Model, moved, told, weights_like
from vicinal.mixing.hidden import HiddenDraw, changed, check_layers, one_weight
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.pairing import Pairing, shuffle
from vicinal.models.forward import unwrapped


@dataclass(frozen=True)
class NoisyFeatureMixup:
    r"""Mixup of inputs or hidden features h, then $m \odot \tilde h + a$.

    With levels $s_m$ and $s_a$, one $b, b' \sim$ Beta(2, 5) per batch, and U uniform on [0, 1]
    and N standard normal for each coordinate,

        $m = 1 + s_m b (2U - 1), \qquad a = s_a b' N$

    Args:
        layers: names of modules, "" for the input; None as in `ManifoldMixup`.
        alpha: shape of the law of λ ~ Beta(alpha, alpha), positive.
        additive: $s_a$, 0 or more, in the units of the features.
        multiplicative: $s_m$, 0 or more.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A NoisyDraw: apply it with `vicinal_losses`.

    Raises:
        ValueError: if alpha is not positive, or a level negative or infinite.

    Source:
        Lim, Erichson, Utrera, Xu, Mahoney (2022), arXiv:2110.02180, section 3, and its code for
        the laws of the levels and for the defaults, those of CIFAR-10 and CIFAR-100.
    """

    layers: tuple[str, ...] | None = None
    alpha: float = 1.0
    additive: float = 0.4
    multiplicative: float = 0.2
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        check_layers(self.layers)
        Beta(self.alpha)
        for name in ("additive", "multiplicative"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(
                    f"{name} must be 0 or more and finite, got {getattr(self, name)}. It is a "
                    "level of noise: 0 adds none."
                )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "NoisyDraw":
        """Draw weights, partners, layer, levels and the seed of the noise for this batch."""
        draw = one_weight(self.alpha, self.pairing, x, y, rng)
        return NoisyDraw(
            HiddenDraw(draw, float(rng.random()), self.layers),
            additive=self.additive * float(rng.beta(2, 5)),
            multiplicative=self.multiplicative * float(rng.beta(2, 5)),
            seed=int(rng.integers(2**63)),
        )


@dataclass(frozen=True)
class NoisyDraw:
    """What mixes one batch at a hidden layer, and disturbs it.

    Attributes:
        hidden: where and how features are mixed.
        additive, multiplicative: levels of the noise of this batch.
        seed: of the noise, whose shape is known only at the layer; the same seed, the same noise.
    """

    hidden: HiddenDraw
    additive: float
    multiplicative: float
    seed: int

    @property
    def draw(self) -> Draw:
        """The mixture within."""
        return self.hidden.draw

    def noisy(self, features: Any) -> Any:
        """Features, or a tuple or mapping of them, with the noise of this draw."""
        rng = np.random.default_rng(self.seed)
        return each(lambda part: self._noisy(part, rng), features)

    def _noisy(self, h: Tensor, rng: np.random.Generator) -> Tensor:
        shape = tuple(h.shape)
        scale = 1 + self.multiplicative * (2 * rng.random(shape, dtype=np.float32) - 1)
        shift = self.additive * rng.standard_normal(shape, dtype=np.float32)
        return h * weights_like(h, scale) + weights_like(h, shift)

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """The mixed loss of the outputs, with hidden features mixed and disturbed."""
        layer = self.hidden.layer(model, x)
        with changed(model, layer, lambda h: self.noisy(mix(h, self.draw))):
            outputs = unwrapped(model(x))
        return mixed_loss(loss, outputs, y, self.draw)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "NoisyDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)
