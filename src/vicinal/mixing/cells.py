"""Images cut into cells, which are measured, filled and moved."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor


def pixels(length: int, cells: int) -> Int[np.ndarray, " cells"]:
    """How many pixels each cell has along a side; they differ by at most one."""
    return np.bincount(np.arange(length) * cells // max(length, 1), minlength=cells)


@dataclass(frozen=True, eq=False)
class Cells:
    """A grid of cells over images, given by their numbers of pixels down and across."""

    rows: Int[np.ndarray, " down"]
    columns: Int[np.ndarray, " across"]

    @property
    def shape(self) -> tuple[int, int]:
        """Cells down and across."""
        return len(self.rows), len(self.columns)

    def split(self, cells: int) -> "Cells":
        """Each cell cut into at most `cells` down and across, none of them empty."""
        return Cells(*(_split(sizes, cells) for sizes in (self.rows, self.columns)))

    def sums(self, values: Float[Tensor, "*batch height width"]) -> Float[Tensor, "*batch d a"]:
        """Sums over the pixels of each cell."""
        down, across = (
            torch.repeat_interleave(torch.eye(len(sizes)), torch.from_numpy(sizes), 1).to(values)
            for sizes in (self.rows, self.columns)
        )
        return down @ values @ across.T

    def area(self) -> Int[np.ndarray, "down across"]:
        """Pixels of each cell."""
        return np.outer(self.rows, self.columns)

    def fill(self, values: Shaped[np.ndarray, "n down across"]) -> Shaped[np.ndarray, "n h w"]:
        """Images that have one value in each cell."""
        return values.repeat(self.rows, axis=1).repeat(self.columns, axis=2)

    def place(self, source: Int[np.ndarray, "n down across"]) -> Int[np.ndarray, "n h w"]:
        """Which pixel is read at each pixel, where each cell shows another, counted row by row.

        Cells of unequal size are read by the nearest pixel.
        """
        down, across = np.divmod(self.fill(source), len(self.columns))
        row = _read(down, self.rows, np.arange(int(self.rows.sum()))[:, None])
        column = _read(across, self.columns, np.arange(int(self.columns.sum())))
        place: np.ndarray = row * int(self.columns.sum()) + column
        return place


def _split(sizes: Int[np.ndarray, " cells"], cells: int) -> Int[np.ndarray, " finer"]:
    finer = max(1, min(cells, int(sizes.min())))
    return np.concatenate([pixels(size, finer) for size in sizes.tolist()])


def _read(cell: np.ndarray, sizes: Int[np.ndarray, " cells"], pixel: np.ndarray) -> np.ndarray:
    """The pixel of a cell that is shown at each pixel, along one side."""
    first = np.cumsum(sizes) - sizes
    here = np.repeat(np.arange(len(sizes)), sizes)[pixel]
    read: np.ndarray = first[cell] + (pixel - first[here]) * sizes[cell] // sizes[here]
    return read
