"""Mixup: one weight for the whole of each sample."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vicinal.maths.laws import Beta, Law
from vicinal.mixing.draw import Draw, per_sample, told, weights_like
from vicinal.mixing.pairing import Assignment, LabelKernel, Pairing, partners, shuffle


@dataclass(frozen=True, init=False)
class Mixup:
    """One weight λ ~ Beta(alpha, alpha) per sample, partners by a random permutation.

    Args:
        alpha: shape of the law of λ, positive: 1.0 draws λ uniformly, values near 0 hardly
            mix. The source uses 0.2 to 0.4 on ImageNet and 1.0 on CIFAR-10.
        law: any law of λ, in place of Beta(alpha, alpha).
        pairing: how partners are chosen; with `LabelKernel` this is C-Mixup, with `Assignment`
            k-mixup.
        per_batch: whether all samples of a batch share one λ. The expected loss is the same, its
            variance larger.

    Returns (when called with x, y, rng):
        A Draw; its shares have the dtype and device of x.

    Raises:
        ValueError: if alpha is not positive.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412; there one λ per batch, here one
        per sample by default. The default alpha is theirs for ImageNet, the more careful one.

    Example:
        >>> import torch
        >>> from vicinal.maths.laws import Fixed
        >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
        >>> draw = Mixup(law=Fixed(0.75))(x, y, np.random.default_rng(0))
        >>> draw.share
        tensor([0.7500, 0.7500])
    """

    law: Law
    pairing: Pairing
    per_batch: bool

    __repr__ = told

    def __init__(
        self,
        alpha: float = 0.2,
        *,
        law: Law | None = None,
        pairing: Pairing = shuffle,
        per_batch: bool = False,
    ) -> None:
        if not 0 < alpha < np.inf:
            raise ValueError(
                f"alpha must be positive, got {alpha}. It shapes λ ~ "
                "Beta(alpha, alpha): 1.0 draws λ uniformly, values near 0 hardly mix. To train "
                "without mixing, pass strategy=None (on the command line erm)."
            )
        object.__setattr__(self, "law", Beta(alpha) if law is None else law)
        object.__setattr__(self, "pairing", pairing)
        object.__setattr__(self, "per_batch", per_batch)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Draw:
        """Draw weights and partners for this batch."""
        lam = self.law.sample(1 if self.per_batch else len(x), rng)
        share = weights_like(x, np.broadcast_to(lam, len(x)).copy())
        return Draw(partners(self.pairing, x, y, rng), per_sample(share, x.ndim), share)


def k_mixup(alpha: float = 1.0, k: int = 16) -> Mixup:
    """Mixup of blocks of k samples with the k others that fit best: `Assignment` pairing.

    Nobody is mixed with itself. A batch of n is cut into blocks of at most n/2 samples: for blocks
    of k it must hold 2k or more.

    Args:
        alpha: shape of the law of λ, positive.
        k: size of the blocks.

    Source:
        Greenewald, Gu, Yurochkin, Solomon, Chien (2023), arXiv:2106.02933. The example of its code
        for CIFAR-10 has k = 16 and alpha = 10; alpha = 1 is a choice made here.
    """
    return Mixup(alpha, pairing=Assignment(k))


def c_mixup(bandwidth: float, alpha: float = 2.0) -> Mixup:
    """Mixup of samples with similar targets, for regression: `LabelKernel` pairing.

    A sample may be drawn as its own partner, as in the source, and then is not mixed; `LabelKernel`
    says how often.

    Args:
        bandwidth: σ of the kernel, positive, in the units of y.
        alpha: shape of the law of λ, positive.

    Source:
        Yao, Wang, Zhang, Zou, Finn (2022), arXiv:2210.05775; a weight per sample. In its code
        alpha is 2 for seven of eight sets (1.5 for exchange rates); the bandwidth is chosen anew
        for each, from 0.05 to 50.
    """
    return Mixup(alpha, pairing=LabelKernel(bandwidth))
