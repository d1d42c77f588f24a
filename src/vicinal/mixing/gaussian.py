"""Smooth masks: the weight falls with the distance from a random centre."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.maths.randomness import checked
from vicinal.mixing.cutting import cut_sides
from vicinal.mixing.draw import Draw, told
from vicinal.mixing.pairing import Pairing, partners, shuffle

SMALLEST = 1e-12  # below that a bump is its centre alone


@dataclass(frozen=True)
class GMix:
    r"""Own weight $e^{-\pi d^2 / \lambda HW}$ at distance d from a random centre.

    λ ~ Beta(alpha, alpha); over the whole plane the weight integrates to λHW. The share in
    the loss is the mean of the weights over the image, which is less than λ near its border.
    Along k axes of more than one pixel, of signals 1 and of volumes 3, the weight is
    $e^{-\pi d^2 / (\lambda V)^{2/k}}$ for V pixels, whose integral is λV.

    Args:
        alpha: shape of the law of λ, positive.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw with kept weights of shape (n, 1, H, W); (n, 1, T) for signals.

    Raises:
        ValueError: if alpha is not positive, or x has no side of more than one pixel.

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
        sides = cut_sides(x, "GMix")
        lam = Beta(self.alpha).sample(len(x), rng)
        scale = np.pi / _squared_side(np.maximum(lam, SMALLEST), sides)
        keep, share = _bumps(x, scale, rng)
        return _smooth_draw(x, keep, share, partners(self.pairing, x, y, rng))


@dataclass(frozen=True)
class SmoothMix:
    r"""The partner's weight is $e^{-d^2 / 2\sigma^2}$ at distance d from a random centre.

    σ is uniform between two fractions of the side of the image: √(HW), T for signals, the cube
    root of the volume for volumes. The share in the loss is the mean of the own weights.

    Args:
        smallest, largest: range of σ, 0 <= smallest <= largest, relative to the side.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw with kept weights of shape (n, 1, H, W); (n, 1, T) for signals.

    Raises:
        ValueError: if the range of σ is not 0 <= smallest <= largest, finite and not 0, or x has
            no side of more than one pixel.

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
        sides = cut_sides(x, "SmoothMix")
        whole = float(_squared_side(np.ones(1), sides)[0])
        sigma = checked(rng).uniform(self.smallest, self.largest, len(x)) * np.sqrt(whole)
        bump, mean = _bumps(x, 1 / np.maximum(2 * sigma**2, SMALLEST), rng)
        keep = bump.neg_().add_(1)
        return _smooth_draw(x, keep, 1 - mean, partners(self.pairing, x, y, rng))


def _squared_side(part: Float[np.ndarray, " n"], sides: tuple[int, ...]) -> np.ndarray:
    """The square of the side of a cube that has this part of the volume of the sample."""
    axes = sum(length > 1 for length in sides)
    for length in sides:
        part = part * length
    return part if axes == 2 else part ** (2 / axes)


def _bumps(
    x: Tensor, scale: Float[np.ndarray, " n"], rng: np.random.Generator
) -> tuple[Float[Tensor, "n *sides"], Float[Tensor, " n"]]:
    """exp(-scale d²), d the distance from a uniform pixel, and its mean over the pixels.

    In float32 at least: sums over many pixels would be coarse in less.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    rate = torch.from_numpy(-scale).to(dtype)[:, None]
    sides = x.shape[2:]
    bump = mean = None
    for axis, length in enumerate(sides):
        centre = torch.from_numpy(rng.integers(length, size=len(scale)))
        offset = torch.arange(length) - centre[:, None]
        factor = (rate * offset.square()).exp_().to(x.device)
        here = factor.reshape(len(factor), *(length if k == axis else 1 for k in range(len(sides))))
        bump = here if bump is None else bump * here
        mean = factor.mean(1) if mean is None else mean * factor.mean(1)
    assert bump is not None
    assert mean is not None
    return bump, mean


def _smooth_draw(x: Tensor, keep: Tensor, share: Tensor, partner: Tensor) -> Draw:
    dtype = x.dtype if x.is_floating_point() else keep.dtype
    return Draw(partner, keep[:, None].to(dtype), share.to(dtype))
