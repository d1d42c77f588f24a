"""Cutting: a box of each image is taken from its partner."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vicinal.laws import Beta
from vicinal.mixing.draw import Draw, weights_like


@dataclass(frozen=True)
class CutMix:
    """A box of relative area 1-λ, λ ~ Beta(alpha, alpha), comes from the partner.

    The box has the shape of the image, a centre drawn uniformly over the pixels, and is cut
    off at the border. The share in the loss is the fraction of pixels kept, counted.

    Args:
        alpha: shape of the law of λ, positive.

    Returns (when called with x, y, rng):
        A Draw whose kept weights are 0 or 1, of shape (n, 1, ..., H, W).

    Raises:
        ValueError: if alpha is not positive, or x is not a batch of images (n, ..., H, W).

    Source:
        Yun, Han, Oh, Chun, Choe, Yoo (2019), arXiv:1905.04899, section 3.1; a box per sample
        instead of one per batch.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < np.inf:
            raise ValueError(
                f"alpha must be positive, got {self.alpha}. It shapes the area kept, "
                "λ ~ Beta(alpha, alpha): 1.0 draws it uniformly, values near 0 keep nearly all "
                "or nothing. To train without mixing, pass strategy=None."
            )

    @property
    def law(self) -> Beta:
        """The law of λ before the box is rounded to pixels and cut off at the border."""
        return Beta(self.alpha)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw boxes and partners for this batch."""
        if x.ndim < 3:
            raise ValueError(
                f"CutMix cuts boxes out of images (n, ..., H, W), got shape {tuple(x.shape)}. "
                "For tables and embeddings use Mixup."
            )
        n, height, width = len(x), x.shape[-2], x.shape[-1]
        side = np.sqrt(1 - self.law.sample(n, rng))
        top, bottom = _interval(side, height, rng)
        left, right = _interval(side, width, rng)
        rows, columns = np.arange(height), np.arange(width)
        in_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
        in_columns = (columns >= left[:, None]) & (columns < right[:, None])
        kept = ~(in_rows[:, :, None] & in_columns[:, None, :])
        share = 1 - (bottom - top) * (right - left) / (height * width)
        keep = weights_like(x, kept).reshape(n, *[1] * (x.ndim - 3), height, width)
        partner = torch.from_numpy(rng.permutation(n)).to(x.device)
        return Draw(partner, keep=keep, share=weights_like(x, share))


def _interval(
    side: np.ndarray, length: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """First pixel and first pixel after, of intervals of relative length `side`."""
    size = (side * length).astype(int)
    start = rng.integers(length, size=len(side)) - size // 2
    return start.clip(0, length), (start + size).clip(0, length)
