"""Cutting: a box of each sample is taken from its partner, in place or resized.

Signals (n, C, T) are cut along their one axis, images (n, C, H, W) along two, volumes
(n, C, D, H, W) along three. Axes of length 1 have nothing to cut: with k longer ones, a box of
relative volume v has sides v^(1/k) of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.maths.randomness import checked
from vicinal.mixing.draw import Draw, one_tensor, per_sample, told, weights_like
from vicinal.mixing.pairing import Pairing, partners, shuffle

Interval = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]
"""First pixel, and first pixel after, of one interval per sample."""


@dataclass(frozen=True)
class CutMix:
    """A box of relative area 1-λ, λ ~ Beta(alpha, alpha), comes from the partner.

    The box has the shape of the image, a centre drawn uniformly over the pixels, and is cut
    off at the border. The share in the loss is the fraction of pixels kept, counted. Of signals
    (n, C, T), and images of height 1, an interval is cut, of volumes (n, C, D, H, W) a cuboid.
    Images without channels pass as x[:, None].

    Args:
        alpha: shape of the law of λ, positive.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw whose kept weights are 0 or 1, of shape (n, 1, H, W); (n, 1, T) for signals.

    Raises:
        ValueError: if alpha is not positive, or x has no side of more than one pixel.

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
        sides = cut_sides(x, "CutMix")
        side = root(1 - self.law.sample(len(x), rng), sides)
        box = [interval(side, length, rng) for length in sides]
        share = weights_like(x, 1 - volume(box, sides))
        return Draw(partners(self.pairing, x, y, rng), outside(x, box), share)


@dataclass(frozen=True)
class ResizeMix:
    """The whole partner, resized by a factor τ ~ U(smallest, largest), is pasted somewhere.

    The share in the loss is the fraction of pixels that are not covered, 1 - τ² up to
    rounding (1 - τ for signals, 1 - τ³ for volumes). Pixels are copied (nearest neighbour), so
    that the draw fits masks of class ids too.

    Args:
        smallest, largest: range of τ, 0 <= smallest <= largest <= 1.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw whose kept weights are 0 or 1, and whose `place` says which pixel of the partner
        is read.

    Raises:
        ValueError: if the box would be larger than the image or of negative size, x has no side of
            more than one pixel, or even the largest box would have none.

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
        sides = cut_sides(x, "ResizeMix")
        _check_cuts(self.largest, sides, f"ResizeMix(largest={self.largest})")
        side = checked(rng).uniform(self.smallest, self.largest, len(x))
        box = [_within(side, length, rng) for length in sides]
        place = np.zeros((len(x), *[1] * len(sides)), dtype=np.int64)
        for axis, (ends, length) in enumerate(zip(box, sides, strict=True)):
            read = _stretched(ends, length)
            place = place * length + along(read, axis, len(sides))
        return Draw(
            partners(self.pairing, x, y, rng),
            outside(x, box),
            weights_like(x, 1 - volume(box, sides)),
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
        A Draw with kept weights of shape (n, 1, H, W); (n, 1, T) for signals.

    Raises:
        ValueError: if alpha is not positive, r is not in [0, 1], x has no side of more than one
            pixel, or r is so small that no box would have one.

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
        sides = cut_sides(x, "HMix")
        if self.r > 0:
            largest = float(root(np.array([self.r]), sides)[0])
            _check_cuts(largest, sides, f"HMix(r={self.r})")
        lam = Beta(self.alpha).sample(len(x), rng)
        side = root((1 - lam) * self.r, sides)
        box = [interval(side, length, rng) for length in sides]
        left = 1 - volume(box, sides)
        # rounding only shrinks the box, so the weight outside is at most 1; λ is 0 where all is cut
        weight = weights_like(x, lam / np.where(left > 0, left, 1))
        keep = outside(x, box, weight)
        return Draw(partners(self.pairing, x, y, rng), keep, weights_like(x, lam))


def cut_sides(x: Tensor, name: str, axes: tuple[int, ...] = (1, 2, 3)) -> tuple[int, ...]:
    """The lengths of the axes that can be cut, those after samples and channels.

    Args:
        x: a batch.
        name: of the strategy, for errors.
        axes: how many such axes the strategy takes.

    Raises:
        ValueError: if x has another number of axes, or no such axis is longer than 1.
        TypeError: if x is not a tensor.
    """
    one_tensor(x)
    kinds = ("signals (n, C, T)", "images (n, C, H, W)", "volumes (n, C, D, H, W)")
    taken = " or ".join(kinds[count - 1] for count in axes)
    if x.ndim - 2 not in axes:
        advice = "For tables and embeddings use Mixup." if x.ndim < 3 else "Mixup takes any shape."
        if x.ndim == 3:
            advice += " For images without channels pass x[:, None]."
        raise ValueError(f"{name} takes {taken}, got shape {tuple(x.shape)}. {advice}")
    sides = tuple(x.shape[2:])
    if max(sides) < 2:
        raise ValueError(
            f"{name} cuts {taken} along sides of two pixels or more, got shape {tuple(x.shape)}, "
            "where it would never cut. Use Mixup."
        )
    return sides


def root(volumes: Float[np.ndarray, " n"], sides: tuple[int, ...]) -> Float[np.ndarray, " n"]:
    """The relative side of boxes of these relative volumes, which have the shape of the sample."""
    axes = sum(length > 1 for length in sides)
    if axes == 1:
        return volumes
    found: np.ndarray = np.sqrt(volumes) if axes == 2 else np.cbrt(volumes)
    return found


def _check_cuts(largest: float, sides: tuple[int, ...], what: str) -> None:
    """Refuse boxes that never have a pixel: nothing would be mixed, or nothing cut."""
    for length in sides:
        if length > 1 and not largest * length >= 1:
            raise ValueError(
                f"{what} cuts boxes of at most {largest:.3g} of a side, which is less than a pixel "
                f"of {length}, so it would never cut. Take a larger value, or Mixup."
            )


def interval(
    side: Float[np.ndarray, " n"],
    length: int,
    rng: np.random.Generator,
    centre: Int[np.ndarray, " n"] | None = None,
) -> Interval:
    """Intervals of relative length `side`, cut off at the border; centres uniform by default.

    An axis of length 1 lies in the box as a whole.
    """
    size = (side * length).astype(np.int64) if length > 1 else np.ones(len(side), dtype=np.int64)
    start = (rng.integers(length, size=len(side)) if centre is None else centre) - size // 2
    return np.maximum(start, 0), np.minimum(start + size, length)


def volume(box: Sequence[Interval], sides: tuple[int, ...]) -> Float[np.ndarray, " n"]:
    """Area or volume of boxes, relative to the whole."""
    sizes = np.prod([after - first for first, after in box], axis=0)
    share: np.ndarray = sizes / np.prod(sides)
    return share


def along(values: Shaped[np.ndarray, "n length"], axis: int, axes: int) -> np.ndarray:
    """Values along one of several axes, which broadcast along the others."""
    shape = [1] * axes
    shape[axis] = values.shape[1]
    return values.reshape(len(values), *shape)


def outside(
    x: Tensor, box: Sequence[Interval], weight: Float[Tensor, " n"] | None = None
) -> Float[Tensor, "n one *sides"]:
    """1, or a weight, outside the boxes, 0 inside, for samples of the shape of x."""
    sides = x.shape[2:]
    keep: Tensor | None = None
    for axis, (ends, length) in enumerate(zip(box, sides, strict=True)):
        here = weights_like(x, along(_outside(ends, length), axis, len(sides)))
        if weight is not None:
            here = here * per_sample(weight, here.ndim)
        keep = here if keep is None else torch.maximum(keep, here)
    assert keep is not None
    return keep[:, None]


def _outside(ends: Interval, length: int) -> np.ndarray:
    pixels = np.arange(length)
    return (pixels < ends[0][:, None]) | (pixels >= ends[1][:, None])


def _within(side: Float[np.ndarray, " n"], length: int, rng: np.random.Generator) -> Interval:
    """Intervals of relative length `side` at a uniform place where they fit."""
    size = (side * length).astype(np.int64) if length > 1 else np.ones(len(side), dtype=np.int64)
    start = rng.integers(length - size + 1)
    return start, start + size


def _stretched(ends: Interval, length: int) -> Int[np.ndarray, "n length"]:
    """Which pixel of the whole is read at each pixel, so that the interval shows all of it."""
    first, after = ends
    size = np.maximum(after - first, 1)[:, None]
    offset = np.arange(length) - first[:, None]
    read: np.ndarray = ((2 * offset + 1) * length // (2 * size)).clip(0, length - 1)
    return read
