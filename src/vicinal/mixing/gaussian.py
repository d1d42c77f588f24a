"""Smooth masks: the weight falls with the distance from a random centre."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vicinal.laws import Beta
from vicinal.mixing.cutting import image_size
from vicinal.mixing.draw import Draw, told, weights_like
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
        Park, Yun, Chun (2022), arXiv:2208.09913, section 5, for square images (H² there).
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
        keep = _bumps(scale, height, width, rng)
        return _smooth_draw(x, keep, partners(self.pairing, x, y, rng))


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
        Lee, Zaheer, Astrid, Lee (2020), CVPR workshops, "SmoothMix": its circular mask.
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
        keep = 1 - _bumps(1 / np.maximum(2 * sigma**2, SMALLEST), height, width, rng)
        return _smooth_draw(x, keep, partners(self.pairing, x, y, rng))


def _bumps(
    scale: Float[np.ndarray, " n"], height: int, width: int, rng: np.random.Generator
) -> Float[np.ndarray, "n height width"]:
    """exp(-scale d²), d the distance in pixels from a centre uniform over the pixels."""
    sides = []
    for length in (height, width):
        centre = rng.integers(length, size=len(scale))
        offset = np.arange(length) - centre[:, None]
        sides.append(np.exp(-scale[:, None] * offset**2))
    bumps: np.ndarray = sides[0][:, :, None] * sides[1][:, None, :]
    return bumps


def _smooth_draw(x: Tensor, keep: Float[np.ndarray, "n height width"], partner: Tensor) -> Draw:
    share = weights_like(x, keep.mean((1, 2)))
    shaped = keep.reshape(len(x), *[1] * (x.ndim - 3), *keep.shape[1:])
    return Draw(partner, weights_like(x, shaped), share)
