"""GridMix: cells of a grid are taken from the partner."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.cells import pixels
from vicinal.mixing.cutting import along, cut_sides
from vicinal.mixing.draw import Draw, told, weights_like
from vicinal.mixing.pairing import Pairing, partners, shuffle


@dataclass(frozen=True)
class GridMix:
    """Each cell of a grid is kept with probability λ ~ Beta(alpha, alpha), else the partner's.

    The share in the loss is the fraction of pixels kept, counted.

    Args:
        alpha: shape of the law of λ, positive.
        cells: cells along each side, 2 or more; images smaller than that get a cell per pixel.
            Signals (n, C, T) have that many cells in all.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw whose kept weights are 0 or 1, of shape (n, 1, H, W); (n, 1, T) for signals.

    Raises:
        ValueError: if alpha is not positive, there are fewer than two cells, or x has no side of
            more than one pixel.

    Source:
        Baek, Bang, Shim (2021), Pattern Recognition 109, 107594: its mixing by grid cells, without
        its second head that predicts the label of each patch. Followed from its abstract, as no
        code of its authors was found: the law of λ and the number of cells are choices made here.
        What some libraries call GridMix is another method, which puts the holes of GridMask where
        CutMix puts one box.
    """

    alpha: float = 1.0
    cells: int = 4
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)
        if not (self.cells >= 2 and self.cells % 1 == 0):
            raise ValueError(
                f"cells must be a whole number, at least 2 along each side, got {self.cells}. A "
                "single cell would be the whole of one image: nothing would be mixed."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw cells and partners for this batch."""
        sides = cut_sides(x, "GridMix")
        n, count = len(x), int(self.cells)
        lam = Beta(self.alpha).sample(n, rng)
        cells = rng.random((n, *[count] * len(sides))) < along(lam[:, None], 0, len(sides))
        sizes = [pixels(length, count) for length in sides]
        mask, share = cells, cells.astype(np.float64)
        # the last axis first, so that whole rows are copied, in the type that they end in
        for axis in reversed(range(len(sides))):
            share = share @ sizes[axis]
            mask = mask.repeat(sizes[axis], axis=axis + 1).astype(np.float32, copy=False)
        keep = weights_like(x, mask)[:, None]
        share = share / np.prod(sides)
        return Draw(partners(self.pairing, x, y, rng), keep, weights_like(x, share))
