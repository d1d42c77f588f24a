"""Cutting: a box of each image is taken from its partner, in place or resized."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.draw import Draw, one_tensor, told, weights_like
from vicinal.mixing.pairing import Pairing, partners, shuffle

Interval = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]
"""First pixel, and first pixel after, of one interval per sample."""


@dataclass(frozen=True)
class CutMix:
    """A box of relative area 1-λ, λ ~ Beta(alpha, alpha), comes from the partner.

    The box has the shape of the image, a centre drawn uniformly over the pixels, and is cut
    off at the border. The share in the loss is the fraction of pixels kept, counted.

    Args:
        alpha: shape of the law of λ, positive.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw whose kept weights are 0 or 1, of shape (n, 1, ..., H, W).

    Raises:
        ValueError: if alpha is not positive, or x is not a batch of images (n, ..., H, W).

    Source:
        Yun, Han, Oh, Chun, Choe, Yoo (2019), arXiv:1905.04899, section 3.1, whose alpha is 1; a
        box per sample instead of one per batch. Its code mixes every batch of ImageNet and half
        of the batches of CIFAR, which is ``RandomChoice((CutMix(), None))``, and makes sides even.
    """

    alpha: float = 1.0
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)

    @property
    def law(self) -> Beta:
        """The law of λ before the box is rounded to pixels and cut off at the border."""
        return Beta(self.alpha)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw boxes and partners for this batch."""
        height, width = image_size(x, "CutMix")
        side = np.sqrt(1 - self.law.sample(len(x), rng))
        rows, columns = interval(side, height, rng), interval(side, width, rng)
        share = weights_like(x, 1 - area(rows, columns, height, width))
        return Draw(partners(self.pairing, x, y, rng), outside(x, rows, columns), share)


@dataclass(frozen=True)
class ResizeMix:
    """The whole partner, resized by a factor τ ~ U(smallest, largest), is pasted somewhere.

    The share in the loss is the fraction of pixels that are not covered, 1 - τ² up to
    rounding. Pixels are copied (nearest neighbour), so that the draw fits masks of class ids too.

    Args:
        smallest, largest: range of τ, 0 <= smallest <= largest <= 1.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw whose kept weights are 0 or 1, and whose `place` says which pixel of the partner
        is read.

    Raises:
        ValueError: if the box would be larger than the image or of negative size, or x is not
            a batch of images (n, ..., H, W).

    Source:
        Qin, Fang, Zhang, Liu, Wang, Wang (2020), arXiv:2012.11101, section 3.2, with its range,
        0.1 to 0.8; the interpolation is not stated there.
    """

    smallest: float = 0.1
    largest: float = 0.8
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        if not 0 <= self.smallest <= self.largest <= 1:
            raise ValueError(
                f"the range of τ must satisfy 0 <= smallest <= largest <= 1, got "
                f"{self.smallest} to {self.largest}. It is the side of the pasted image in units "
                "of the side of the image: a box larger than the image cannot be pasted."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw sizes, places and partners for this batch."""
        height, width = image_size(x, "ResizeMix")
        side = rng.uniform(self.smallest, self.largest, len(x))
        rows, columns = _within(side, height, rng), _within(side, width, rng)
        place = _stretched(rows, height)[:, :, None] * width + _stretched(columns, width)[:, None]
        return Draw(
            partners(self.pairing, x, y, rng),
            outside(x, rows, columns),
            weights_like(x, 1 - area(rows, columns, height, width)),
            torch.from_numpy(place).to(x.device),
        )


@dataclass(frozen=True)
class HMix:
    r"""Cutting and mixing at once: a box from the partner, mixup outside of it.

    With λ ~ Beta(alpha, alpha), the box has relative area (1-λ)r before it is cut off at the
    border, a fraction a of the image after; outside the own weight is λ/(1-a). So λ is the
    share of pixels kept, and the share in the loss.

    Args:
        alpha: shape of the law of λ, positive.
        r: how much of the partner's share is cut rather than mixed, in [0, 1]; 0 is mixup,
            1 CutMix.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw with kept weights of shape (n, 1, ..., H, W).

    Raises:
        ValueError: if alpha is not positive, r is not in [0, 1], or x is not a batch of images.

    Source:
        Park, Yun, Chun (2022), arXiv:2208.09913, section 5; its code shows r = 0.5, and alpha = 1
        is a choice made here. In the paper the share is that of the box before it is cut off at
        the border; its code does as is done here.
    """

    alpha: float = 1.0
    r: float = 0.5
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)
        if not 0 <= self.r <= 1:
            raise ValueError(
                f"r must lie in [0, 1], got {self.r}. It is the part of the partner's share that "
                "is cut: 0 mixes the whole image, 1 only cuts."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw boxes, weights and partners for this batch."""
        height, width = image_size(x, "HMix")
        lam = Beta(self.alpha).sample(len(x), rng)
        side = np.sqrt((1 - lam) * self.r)
        rows, columns = interval(side, height, rng), interval(side, width, rng)
        left = 1 - area(rows, columns, height, width)
        # rounding only shrinks the box, so the weight outside is at most 1; λ is 0 where all is cut
        weight = weights_like(x, lam / np.where(left > 0, left, 1))
        keep = outside(x, rows, columns, weight)
        return Draw(partners(self.pairing, x, y, rng), keep, weights_like(x, lam))


def image_size(x: Tensor, name: str) -> tuple[int, int]:
    """Height and width of a batch of images.

    Raises:
        ValueError: if x has fewer than three axes.
        TypeError: if x is not a tensor.
    """
    one_tensor(x)
    if x.ndim < 3:
        raise ValueError(
            f"{name} takes images (n, ..., H, W), got shape {tuple(x.shape)}. "
            "For tables and embeddings use Mixup."
        )
    return x.shape[-2], x.shape[-1]


def interval(
    side: Float[np.ndarray, " n"],
    length: int,
    rng: np.random.Generator,
    centre: Int[np.ndarray, " n"] | None = None,
) -> Interval:
    """Intervals of relative length `side`, cut off at the border; centres uniform by default."""
    size = (side * length).astype(np.int64)
    start = (rng.integers(length, size=len(side)) if centre is None else centre) - size // 2
    return np.maximum(start, 0), np.minimum(start + size, length)


def area(rows: Interval, columns: Interval, height: int, width: int) -> Float[np.ndarray, " n"]:
    """Area of boxes, relative to the image."""
    share: np.ndarray = (rows[1] - rows[0]) * (columns[1] - columns[0]) / (height * width)
    return share


def outside(
    x: Tensor, rows: Interval, columns: Interval, weight: Float[Tensor, " n"] | None = None
) -> Float[Tensor, "n *ones h w"]:
    """1, or a weight, outside the boxes, 0 inside, for images of the shape of x."""
    height, width = x.shape[-2:]
    down = weights_like(x, _outside(rows, height))
    across = weights_like(x, _outside(columns, width))
    if weight is not None:
        down, across = down * weight[:, None], across * weight[:, None]
    keep = torch.maximum(down[:, :, None], across[:, None, :])
    return keep.reshape(len(x), *[1] * (x.ndim - 3), height, width)


def _outside(ends: Interval, length: int) -> np.ndarray:
    pixels = np.arange(length)
    return (pixels < ends[0][:, None]) | (pixels >= ends[1][:, None])


def _within(side: Float[np.ndarray, " n"], length: int, rng: np.random.Generator) -> Interval:
    """Intervals of relative length `side` at a uniform place where they fit."""
    size = (side * length).astype(np.int64)
    start = rng.integers(length - size + 1)
    return start, start + size


def _stretched(ends: Interval, length: int) -> Int[np.ndarray, "n length"]:
    """Which pixel of the whole is read at each pixel, so that the interval shows all of it."""
    first, after = ends
    size = np.maximum(after - first, 1)[:, None]
    offset = np.arange(length) - first[:, None]
    read: np.ndarray = ((2 * offset + 1) * length // (2 * size)).clip(0, length - 1)
    return read
