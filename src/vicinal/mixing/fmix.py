"""FMix: a random blob of each image is taken from its partner."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import fft
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.apply import PART
from vicinal.mixing.cutting import along, cut_sides
from vicinal.mixing.draw import Draw, told, weights_like
from vicinal.mixing.pairing import Pairing, partners, shuffle


@dataclass(frozen=True)
class FMix:
    r"""Masks by threshold of a random field whose spectrum falls as frequency to the -decay.

    The field is white complex noise divided by $f^\delta$ in Fourier space; the fraction λ ~
    Beta(alpha, alpha) of pixels where it is largest is kept. The share in the loss is the
    fraction of pixels kept, counted: λ rounded to whole pixels. Signals (n, C, T) and volumes
    (n, C, D, H, W) have fields of as many axes.

    Args:
        alpha: shape of the law of λ, positive.
        decay: δ, 0 or more: 0 keeps single pixels, large values one smooth region.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw whose kept weights are 0 or 1, of shape (n, 1, H, W); (n, 1, T) for signals.

    Raises:
        ValueError: if alpha is not positive, decay is negative or infinite, or x has no side of
            more than one pixel.

    Source:
        Harris, Marcu, Painter, Niranjan, Prügel-Bennett, Hare (2020), arXiv:2002.12047, section 4,
        with its alpha = 1 and decay = 3; a mask per sample instead of one per batch, edges always
        hard (max_soft = 0 in its code, its default). Its code joins two rows of the noise where
        real and imaginary parts are meant, so that its fields hold only two frequencies across,
        and weighs losses with λ instead of the pixels counted; here all is as in the paper.
    """

    alpha: float = 1.0
    decay: float = 3.0
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)
        if not 0 <= self.decay < np.inf:
            raise ValueError(
                f"decay must be 0 or more and finite, got {self.decay}. It is the power by which "
                "high frequencies of the mask are damped: 3 gives a few smooth regions."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw masks and partners for this batch."""
        sides = cut_sides(x, "FMix")
        n, pixels = len(x), math.prod(sides)
        lam = Beta(self.alpha).sample(n, rng)
        # the nearest whole number of pixels, at random between the two neighbours
        kept = np.floor(lam * pixels + rng.random(n)).astype(np.int64).clip(0, pixels)
        damping = _damping(sides, self.decay)
        mask = np.empty((n, pixels), dtype=bool)
        step = max(1, PART // max(1, pixels))
        for first in range(0, n, step):
            part = kept[first : first + step]
            field = _field(len(part), sides, damping, rng)
            mask[first : first + step] = _largest(field.reshape(len(part), pixels), part)
        keep = weights_like(x, mask).reshape(n, 1, *sides)
        return Draw(partners(self.pairing, x, y, rng), keep, weights_like(x, mask.mean(1)))


def _damping(sides: tuple[int, ...], decay: float) -> Float[np.ndarray, "*half"]:
    """f^-decay at each frequency of a real field; the lowest frequency stands in for 0."""
    whole, half = [np.fft.fftfreq(length) for length in sides[:-1]], np.fft.rfftfreq(sides[-1])
    frequency: np.ndarray = np.zeros(1)
    for axis, f in enumerate([*whole, half]):
        here = along(f[None], axis, len(sides))[0]
        frequency = here if axis == 0 else np.hypot(frequency, here)
    frequency = abs(frequency).clip(min=1 / max(sides))
    damping: np.ndarray = (frequency**-decay).astype(np.float32)
    return damping


def _field(
    n: int,
    sides: tuple[int, ...],
    damping: Float[np.ndarray, "*half"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "n *sides"]:
    """Real random fields: complex normal noise, damped, in Fourier space."""
    # real and imaginary part side by side; single precision is enough to rank pixels
    noise = rng.standard_normal((n, *damping.shape, 2), dtype=np.float32)
    spectrum = noise.view(np.complex64)[..., 0] * damping
    axes = range(1, len(sides) + 1)
    field: np.ndarray = fft.irfftn(spectrum, s=sides, axes=axes, overwrite_x=True)
    return field


def _largest(
    field: Float[np.ndarray, "n pixels"], kept: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, "n pixels"]:
    """Whether each value is among the largest of its row, as many as are kept."""
    n, pixels = field.shape
    rank = pixels - kept.clip(min=1)
    ordered = field.copy()
    for row, lowest in zip(ordered, rank.tolist(), strict=True):
        row.partition(lowest)
    mask: np.ndarray = field >= ordered[np.arange(n), rank, None]
    return mask & (kept > 0)[:, None]
