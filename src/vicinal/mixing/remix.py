"""Remix: mixup whose label leans to the rarer class."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.draw import Draw, per_sample, tensors, told, weights_like
from vicinal.mixing.pairing import Pairing, partners, shuffle


@dataclass(frozen=True)
class Remix:
    r"""Inputs as in mixup; the label is the rarer class alone where it is much rarer.

    With $n_i, n_j$ the numbers of training examples of the two classes, the own share is

        0  if $n_i / n_j \ge \kappa$ and $\lambda < \tau$,
        1  if $n_i / n_j \le 1/\kappa$ and $1 - \lambda < \tau$,
        λ  otherwise.

    This is the one strategy whose share in the loss is meant to differ from the share of pixels.

    Args:
        alpha: shape of the law of λ, positive.
        kappa: ratio of class sizes from which the rule acts, at least 1.
        tau: largest weight in the input at which a label may be dropped, in [0, 1].
        counts: training examples of each class; None counts them in each batch.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A Draw with one weight per sample.

    Raises:
        ValueError: if a parameter is out of range, or y names a class that counts lacks.
        TypeError: if y does not hold class ids (n,).

    Source:
        Chou, Chang, Pan, Wei, Juan (2020), arXiv:2007.03943, equation 4, with its κ = 3 and
        τ = 0.5; a weight per sample.
    """

    alpha: float = 1.0
    kappa: float = 3.0
    tau: float = 0.5
    counts: tuple[int, ...] | None = None
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)
        if not 1 <= self.kappa < np.inf:
            raise ValueError(
                f"kappa must be at least 1, got {self.kappa}. It is how many times larger one "
                "class must be for the label of the other to win."
            )
        if not 0 <= self.tau <= 1:
            raise ValueError(
                f"tau must lie in [0, 1], got {self.tau}. A label is dropped where its input "
                "weighs less than tau."
            )
        if self.counts is not None and not all(count >= 1 for count in self.counts):
            raise ValueError(f"counts must be at least 1 for every class, got {self.counts}.")

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw weights and partners for this batch."""
        lam = Beta(self.alpha).sample(len(x), rng)
        partner = partners(self.pairing, x, y, rng)
        size = self._sizes(y)
        if len(size) != len(x):
            raise ValueError(f"x holds {len(x)} examples, y {len(size)}. They must be as many.")
        ratio = size / size[partner.cpu().numpy()]
        share = np.where((ratio >= self.kappa) & (lam < self.tau), 0.0, lam)
        share = np.where((ratio <= 1 / self.kappa) & (1 - lam < self.tau), 1.0, share)
        keep = per_sample(weights_like(x, lam), x.ndim)
        return Draw(partner, keep, weights_like(x, share))

    def _sizes(self, y: Tensor) -> np.ndarray:
        """Number of examples of the class of each sample."""
        tensors(y=y)
        if y.is_floating_point() or y.ndim != 1:
            raise TypeError(
                f"Remix needs class ids (n,), got {y.dtype} of shape {tuple(y.shape)}. If y holds "
                "class ids as floats, pass y.long(); for one-hot labels y.argmax(1)."
            )
        ids = y.cpu().long()
        if len(ids) and int(ids.min()) < 0:
            raise ValueError(f"class ids must be 0 or more, got {int(ids.min())}.")
        if self.counts is None:
            return torch.bincount(ids)[ids].numpy()
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self.counts):
            raise ValueError(
                f"counts lists {len(self.counts)} classes, y names classes {int(ids.min())} to "
                f"{int(ids.max())}. Pass a count for every class."
            )
        sizes: np.ndarray = np.array(self.counts)[ids.numpy()]
        return sizes
