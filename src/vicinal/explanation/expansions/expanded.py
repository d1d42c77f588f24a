"""Training with the expansion of the mixup loss in place of mixed inputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vicinal.explanation.derivatives.second_order import engine_of
from vicinal.explanation.terms import terms_along
from vicinal.maths.laws import Beta
from vicinal.maths.losses import Family, poisson
from vicinal.mixing.draw import Draw, Loss, Model, moved
from vicinal.mixing.pairing import Pairing, partners, shuffle
from vicinal.models.forward import check_family, refuse_batch_statistics


@dataclass(frozen=True)
class Expanded:
    r"""The plain loss plus R1, R2 and R3 along the directions to partners: no λ is drawn.

    What is minimised is, per example and to second order, the loss that mixup samples,

    $$l_i + 2\kappa\, \langle p_i - y_i, J_i \delta_i \rangle
        + \tfrac\kappa2\, (J_i\delta_i)' A''_i J_i \delta_i
        + \tfrac\kappa2\, \langle p_i - y_i, H_i[\delta_i, \delta_i] \rangle$$

    with $\delta_i$ the way to the partner and κ = E[λ(1-λ)]. The last term is 0, and costs
    nothing, for piecewise-linear nets. The model is run in its own mode; dropout has one mask for
    the loss of an example and its derivatives.

    The terms can be negative without bound: the last one in any smooth net, which could be trained
    to curve ever more; the first one where the loss is nearly linear, as for classes that are
    mistaken. But the loss that is expanded is at least $-A^*(y_i)$, the least loss that any output
    has against the label: 0 for classes, $-y_i^2/2$ for Gaussian values, $y_i - y_i \log y_i$
    for counts. So a sum below that shows that the example has left the regime of the expansion:
    it then counts with its plain loss alone.

    Args:
        alpha: shape of the law of λ ~ Beta(alpha, alpha), positive; only κ enters.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        An ExpandedDraw: apply it with `vicinal_losses`.

    Raises:
        ValueError: if alpha is not positive.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, Lemma 3.1, there for
        understanding mixup, here minimised; Carratino et al. (2022), arXiv:2006.06049,
        section 5, train on the expansion about shrunk examples.
    """

    alpha: float = 1.0
    pairing: Pairing = shuffle

    def __post_init__(self) -> None:
        Beta(self.alpha)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "ExpandedDraw":
        """Draw partners for this batch."""
        return ExpandedDraw(partners(self.pairing, x, y, rng), Beta(self.alpha).spread)


@dataclass(frozen=True)
class ExpandedDraw:
    """Partners, and κ of the law whose loss is expanded."""

    partner: Int[Tensor, " n"]
    spread: float

    @property
    def draw(self) -> Draw:
        """Nothing is mixed: each example keeps its whole self."""
        whole = torch.ones(len(self.partner), device=self.partner.device)
        return Draw(self.partner, keep=whole, share=whole)

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """The expanded loss of each example, differentiable in the parameters.

        Raises:
            TypeError: for a loss that is no family of this package.
            ValueError: for BatchNorm in train mode, which ties the examples of a batch together.
        """
        check_family(loss)
        assert isinstance(loss, Family)
        if isinstance(model, nn.Module):
            refuse_batch_statistics(list(model.modules()), eval_mode=False)
        terms = terms_along(engine_of(model, loss), x, y, x[self.partner] - x, self.spread)
        total = terms.loss + terms.slope + terms.curvature + terms.residual
        return torch.where(total >= least_loss(loss, y, total), total, terms.loss)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "ExpandedDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


def least_loss(family: Family, y: Tensor, like: Tensor) -> Float[Tensor, " n"]:
    """The least loss that any output can have against each label; for soft ones of classes 0."""
    if family.classifies:
        return torch.zeros_like(like)
    own = y - torch.xlogy(y, y) if family is poisson else -y.square() / 2
    return own.reshape(len(y), -1).sum(-1)
