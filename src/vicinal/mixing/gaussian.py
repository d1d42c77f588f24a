"""Smooth masks: the weight falls with the distance from a random centre."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.cutting import image_size
from vicinal.mixing.draw import Draw, told
from vicinal.mixing.pairing import Pairing, partners, shuffle

SMALLEST = 1e-12  # below that a bump is its centre alone


@dataclass(frozen=True)
class GMix:
    r"""Own weight $e^{-\pi d^2 / \lambda HW}$ at distance d from a random centre.

    λ ~ Beta(alpha, alpha); over the whole plane the weight integrates to λHW. The share in
    the loss is the mean of the weights over the image, which is less than λ near its border.

    Args:
        alpha: shape of the law of λ, positive.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw with kept weights of shape (n, 1, ..., H, W).

    Raises:
        ValueError: if alpha is not positive, or x is not a batch of images (n, ..., H, W).

    Source:
        Park, Yun, Chun (2022), arXiv:2208.09913, section 5, for square images (H² there); alpha
        is a choice made here. Its code gives the bump to the smaller of the two shares, so where
        λ is 1/2 or more the own weight is one minus a bump; here it is a bump for every λ.
    """

    alpha: float = 0.5
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw centres, widths and partners for this batch."""
        height, width = image_size(x, "GMix")
        lam = Beta(self.alpha).sample(len(x), rng)
        scale = np.pi / (np.maximum(lam, SMALLEST) * height * width)
        down, across = _bumps(x, scale, rng)
        share = down.mean(1) * across.mean(1)
        keep = down[:, :, None] * across[:, None, :]
        return _smooth_draw(x, keep, share, partners(self.pairing, x, y, rng))


@dataclass(frozen=True)
class SmoothMix:
    r"""The partner's weight is $e^{-d^2 / 2\sigma^2}$ at distance d from a random centre.

    σ is uniform between two fractions of the side √(HW) of the image. The share in the loss is
    the mean of the own weights.

    Args:
        smallest, largest: range of σ, 0 <= smallest <= largest, relative to the side.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw with kept weights of shape (n, 1, ..., H, W).

    Raises:
        ValueError: if the range of σ is not 0 <= smallest <= largest, finite and not 0, or x is
            not a batch of images (n, ..., H, W).

    Source:
        Lee, Zaheer, Astrid, Lee (2020), CVPR workshops, "SmoothMix": its circular mask; a mask per
        sample. No code of its authors was found. The range of σ is that of OpenMixup, which draws
        it likewise but returns the share of the partner as that of the sample itself.
    """

    smallest: float = 0.25
    largest: float = 0.5
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        if not (0 <= self.smallest <= self.largest < np.inf and self.largest > 0):
            raise ValueError(
                f"the range of σ must satisfy 0 <= smallest <= largest, got {self.smallest} to "
                f"{self.largest}. It is the radius of the partner's part, relative to the image."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw centres, widths and partners for this batch."""
        height, width = image_size(x, "SmoothMix")
        sigma = rng.uniform(self.smallest, self.largest, len(x)) * np.sqrt(height * width)
        down, across = _bumps(x, 1 / np.maximum(2 * sigma**2, SMALLEST), rng)
        share = 1 - down.mean(1) * across.mean(1)
        keep = torch.mul(down[:, :, None], across[:, None, :]).neg_().add_(1)
        return _smooth_draw(x, keep, share, partners(self.pairing, x, y, rng))


def _bumps(
    x: Tensor, scale: Float[np.ndarray, " n"], rng: np.random.Generator
) -> tuple[Float[Tensor, "n height"], Float[Tensor, "n width"]]:
    """The factors, down and across, of exp(-scale d²), d the distance from a uniform pixel.

    In float32 at least: sums over many pixels would be coarse in less.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    rate = torch.from_numpy(-scale).to(dtype)[:, None]
    sides = []
    for length in x.shape[-2:]:
        centre = torch.from_numpy(rng.integers(length, size=len(scale)))
        offset = torch.arange(length) - centre[:, None]
        sides.append((rate * offset.square()).exp_().to(x.device))
    return sides[0], sides[1]


def _smooth_draw(x: Tensor, keep: Tensor, share: Tensor, partner: Tensor) -> Draw:
    dtype = x.dtype if x.is_floating_point() else keep.dtype
    shaped = keep.reshape(len(x), *[1] * (x.ndim - 3), *keep.shape[1:])
    return Draw(partner, shaped.to(dtype), share.to(dtype))
