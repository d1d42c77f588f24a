"""GridMix: cells of a grid are taken from the partner."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.cells import pixels
from vicinal.mixing.cutting import image_size
from vicinal.mixing.draw import Draw, told, weights_like
from vicinal.mixing.pairing import Pairing, partners, shuffle


@dataclass(frozen=True)
class GridMix:
    """Each cell of a grid is kept with probability λ ~ Beta(alpha, alpha), else the partner's.

    The share in the loss is the fraction of pixels kept, counted.

    Args:
        alpha: shape of the law of λ, positive.
        cells: cells along each side, 1 or more; images smaller than that get a cell per pixel.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw whose kept weights are 0 or 1, of shape (n, 1, ..., H, W).

    Raises:
        ValueError: if alpha is not positive, there is no cell, or x is not a batch of images.

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
        if not (self.cells >= 1 and self.cells % 1 == 0):
            raise ValueError(
                f"cells must be a whole number, at least 1 along each side, got {self.cells}."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw cells and partners for this batch."""
        height, width = image_size(x, "GridMix")
        n, side = len(x), int(self.cells)
        lam = Beta(self.alpha).sample(n, rng)
        cells = rng.random((n, side, side)) < lam[:, None, None]
        rows, columns = pixels(height, side), pixels(width, side)
        # across first, so that down whole rows are copied, in the type that they end in
        mask = cells.repeat(columns, axis=2).astype(np.float32).repeat(rows, axis=1)
        keep = weights_like(x, mask).reshape(n, *[1] * (x.ndim - 3), height, width)
        share = (rows @ cells @ columns) / (height * width)
        return Draw(partners(self.pairing, x, y, rng), keep, weights_like(x, share))
