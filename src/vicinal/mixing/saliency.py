"""SaliencyMix: the box is cut where the partner matters most to the model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.apply import mix
from vicinal.mixing.cutting import cut_sides, interval, outside, root, volume
from vicinal.mixing.draw import Draw, Loss, Model, moved, told, weights_like
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.pairing import Pairing, partners, shuffle
from vicinal.models.forward import unchanged, unwrapped


@dataclass(frozen=True)
class SaliencyMix:
    """A box of relative area 1-λ, λ ~ Beta(alpha, alpha), around the partner's salient pixel.

    That pixel is where the gradient of the partner's loss by the input is largest. It needs the
    model, so the box is placed when the draw is applied; nothing is random by then. The box
    is cut off at the border; the share in the loss is the fraction of pixels kept, counted. Of
    signals (n, C, T) it is an interval, of volumes (n, C, D, H, W) a cuboid.

    Args:
        alpha: shape of the law of λ, positive.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A SaliencyDraw: apply it with `vicinal_losses`, or see the box with `resolve`.

    Raises:
        ValueError: if alpha is not positive, or x has no side of more than one pixel.

    Source:
        Uddin, Monira, Shin, Chung, Bae (2021), arXiv:2006.01791, section 3, with its alpha = 1;
        saliency by the gradient of the model itself in place of OpenCV's detector, a box per
        sample instead of one per batch. Its code mixes half of the batches of CIFAR, which is
        ``RandomChoice((SaliencyMix(), None))``.
    """

    alpha: float = 1.0
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "SaliencyDraw":
        """Draw sizes and partners for this batch."""
        sides = cut_sides(x, "SaliencyMix")
        side = root(1 - Beta(self.alpha).sample(len(x), rng), sides)
        return SaliencyDraw(partners(self.pairing, x, y, rng), torch.from_numpy(side).to(x.device))


@dataclass(frozen=True)
class SaliencyDraw:
    """Partners, and the side of each box relative to the image, in float64."""

    partner: Int[Tensor, " n"]
    side: Float[Tensor, " n"]

    @property
    def draw(self) -> None:
        """None: where the boxes lie depends on the model; see `resolve`."""
        return None

    def resolve(self, model: Model, x: Tensor, y: Tensor, loss: Loss) -> Draw:
        """The plain draw, with each box around the pixel that matters most to this model."""
        sides = cut_sides(x, "SaliencyMix")
        found = input_saliency(model, x, y, loss).flatten(1).argmax(1)[self.partner].cpu().numpy()
        centres = np.unravel_index(found, sides)
        side, rng = self.side.cpu().numpy(), np.random.default_rng(0)  # not used: centres given
        box = [interval(side, n, rng, centre) for n, centre in zip(sides, centres, strict=True)]
        share = weights_like(x, 1 - volume(box, sides))
        return Draw(self.partner, outside(x, box), share)

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """The mixed loss of the batch with boxes cut around salient pixels."""
        draw = self.resolve(model, x, y, loss)
        return mixed_loss(loss, unwrapped(model(mix(x, draw))), y, draw)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "SaliencyDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


def input_saliency(
    model: Model, x: Float[Tensor, "n *rest"], y: Tensor, loss: Loss
) -> Float[Tensor, "n *sides"]:
    """The length of the gradient of each loss by each pixel, over channels; in eval mode.

    Args:
        model: maps x to outputs; it is left as it was.
        x: images (n, C, H, W), or samples with other axes after the channels.
        y: labels that `loss` takes.
        loss: maps (outputs, y) to one loss per example, (n,).

    Returns:
        Saliency, (n, H, W), without the channels, 0 or more.

    Source:
        Simonyan, Vedaldi, Zisserman (2014), arXiv:1312.6034, section 3, for the loss instead of a
        score, and the Euclidean length instead of the maximum over channels.
    """
    with torch.enable_grad(), unchanged(model) as f:
        inputs = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(f(inputs), y).sum(), inputs)
    saliency: Tensor = gradient.norm(dim=1)
    return saliency
