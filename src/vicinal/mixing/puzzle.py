"""PuzzleMix: cells of two images are chosen, and moved, so that what matters to the model stays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import comb
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.mixing.apply import mix
from vicinal.mixing.blocks import cheapest_masks, finer, moves
from vicinal.mixing.cells import Cells, pixels
from vicinal.mixing.cutting import cut_sides
from vicinal.mixing.draw import Draw, Loss, Model, moved, told, weights_like
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.pairing import Pairing, partners, shuffle
from vicinal.mixing.saliency import input_saliency
from vicinal.models.forward import unwrapped

BLOCKS = (2, 4, 8, 16)
"""Blocks along a side of the mask, of which the source draws one for each batch."""
FINEST = 8  # coarser masks are moved in 8 pieces along a side: 4 pixels each of CIFAR's 32


@dataclass(frozen=True)
class PuzzleMix:
    r"""Blocks of two images, kept where they are salient, and moved to where they are kept.

    A mask of B×B blocks, B drawn from 2, 4, 8, 16, has own weights $z \in \{0, 1/m, ..., 1\}$. With
    $s_i$ the saliency of the image in each block, of sum 1, and λ ~ Beta(alpha, alpha), it is the
    minimum of

    $$\sum_b (1-z_b) s_{i,b} + z_b s_{j,b} - \frac{\eta}{B^2} \log P(m z_b)
      + \frac{\beta}{16 B} \sum_{b \sim c} [(z_b - z_c)^2 + \gamma\, \phi_{bc}(z_b, z_c)]$$

    where P is the binomial law of m trials of chance λ, and φ the mean difference of pixels across
    the border of two blocks, of whichever images they show. Then the cells of each image, those
    blocks or finer ones, are permuted so that $\sum_c \zeta |c - \pi(c)|^2 - s_c [z_{\pi(c)} > 0]$
    is least, distances relative to the image; for the partner with 1-z in place of z. It needs
    the model, so the mask is found when the draw is applied; nothing is random by then.

    The share in the loss is the mean of the mask over the pixels.

    Args:
        alpha: shape of the law of λ, positive.
        beta: how dear it is that neighbours differ, 0 or more.
        gamma: how dear differences of pixels are, relative to beta, 0 or more; meant for pixels
            in [0, 1].
        eta: how strongly the mask follows λ, 0 or more.
        zeta: how dear it is to move, 0 or more.
        levels: values that the mask takes, m + 1, from 2 to 16.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A PuzzleDraw: apply it with `vicinal_losses`, or see the mask with `resolve`.

    Raises:
        ValueError: if a parameter is out of range, or x is not a batch of images (n, C, H, W), one
            side of two pixels or more.

    Source:
        Kim, Choo, Song (2020), arXiv:2009.06962, equation 4, with the weights and scales of its
        code for CIFAR-100: alpha, beta, gamma, eta, zeta (t_eps there), levels and blocks. Mask
        and permutations are optimal instead of approximate; saliency is measured in eval mode;
        without its adversarial noise and its loss on clean images.
    """

    alpha: float = 1.0
    beta: float = 1.2
    gamma: float = 0.5
    eta: float = 0.2
    zeta: float = 0.8
    levels: int = 3
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        Beta(self.alpha)
        for name in ("beta", "gamma", "eta", "zeta"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(
                    f"{name} must be 0 or more and finite, got {getattr(self, name)}. It weighs a "
                    "part of what the mask and the places of its blocks cost: 0 leaves it out."
                )
        if not (2 <= self.levels <= 16 and self.levels % 1 == 0):
            raise ValueError(
                f"levels must be a whole number from 2 to 16, got {self.levels}. It is the number "
                "of weights that a block can have: 2 cuts, 3 can also take the mean."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "PuzzleDraw":
        """Draw λ and partners for this batch, and how fine the mask is."""
        cut_sides(x, "PuzzleMix", (2,))
        lam = torch.from_numpy(Beta(self.alpha).sample(len(x), rng)).to(x.device)
        blocks = int(rng.choice(BLOCKS))
        return PuzzleDraw(partners(self.pairing, x, y, rng), lam, blocks, self)


@dataclass(frozen=True)
class PuzzleDraw:
    """Partners, λ in float64, blocks along a side, and what the mask costs."""

    partner: Int[Tensor, " n"]
    lam: Float[Tensor, " n"]
    blocks: int
    rule: PuzzleMix

    @property
    def draw(self) -> None:
        """None: where the blocks lie depends on the model; see `resolve`."""
        return None

    def resolve(self, model: Model, x: Tensor, y: Tensor, loss: Loss) -> Draw:
        """The plain draw, with the mask and the moves that are best for this model."""
        grid = Cells(*(pixels(s, min(self.blocks, s)) for s in cut_sides(x, "PuzzleMix", (2,))))
        cells = grid.split(max(1, FINEST // self.blocks))
        salient = _in_cells(input_saliency(model, x, y, loss), cells)
        partner = self.partner.cpu().numpy()
        rule = self.rule
        mask = cheapest_masks(
            np.stack([salient[partner], salient]),
            _means(x, cells)[[partner, np.arange(len(x))]],
            chances=_binomial(self.lam.cpu().numpy(), int(rule.levels) - 1),
            smooth=rule.beta / (16 * self.blocks),
            contrast=rule.gamma,
            prior=rule.eta,
            shape=grid.shape,
        )
        shown = finer(mask, cells.shape)
        other, own = (
            torch.from_numpy(cells.place(moves(of, wanted, rule.zeta))).to(x.device)
            for of, wanted in ((salient[partner], shown < 1), (salient, shown > 0))
        )
        share = (mask * grid.area()).sum((1, 2)) / grid.area().sum()
        keep = weights_like(x, grid.fill(mask))
        return Draw(self.partner, keep[:, None], weights_like(x, share), place=other, own_place=own)

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """The mixed loss of the batch put together of salient blocks."""
        draw = self.resolve(model, x, y, loss)
        return mixed_loss(loss, unwrapped(model(mix(x, draw))), y, draw)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "PuzzleDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


def _in_cells(
    saliency: Float[Tensor, "n height width"], cells: Cells
) -> Float[np.ndarray, "n down across"]:
    """Saliency of cells, of sum 1 in each image."""
    sums = cells.sums(saliency.double()).cpu().numpy()
    total = sums.sum((1, 2), keepdims=True)
    # a model that heeds nothing heeds all alike
    return np.where(total > 0, sums / np.where(total > 0, total, 1), 1 / (sums[:1].size or 1))


def _means(x: Float[Tensor, "n *rest"], cells: Cells) -> Float[np.ndarray, "n channels d a"]:
    """Mean values of cells, of each channel."""
    wide = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    means: np.ndarray = cells.sums(wide).cpu().double().numpy() / cells.area()
    return means


def _binomial(lam: Float[np.ndarray, " n"], m: int) -> Float[np.ndarray, "n labels"]:
    a = np.arange(m + 1)
    chance: np.ndarray = comb(m, a) * lam[:, None] ** a * (1 - lam[:, None]) ** (m - a)
    return chance
