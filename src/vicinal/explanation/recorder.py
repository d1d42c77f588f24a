"""Terms over training: a recorder for anyone's loop."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from vicinal.explanation.risk import Estimate, vicinal_risk
from vicinal.explanation.terms import Expansion, expand
from vicinal.machine.processes import ALONE, Place
from vicinal.maths.laws import Beta, Law
from vicinal.maths.losses import Family, categorical
from vicinal.maths.randomness import generator
from vicinal.models.forward import Model


@dataclass(frozen=True)
class Decomposition:
    """The mixup loss of a model beside its expansion to second order, with errors.

    Attributes:
        expansion: standard loss, R1, R2, R3 and their sum.
        risk: the mixup loss.
    """

    expansion: Expansion
    risk: Estimate

    @property
    def remainder(self) -> float:
        """What the expansion leaves out, of third order and more."""
        return self.risk.value - self.expansion.total

    @property
    def remainder_standard_error(self) -> float:
        """Both are estimated from pairs of their own, so their variances add up."""
        total = self.expansion.standard_errors["total"]
        return float(np.hypot(self.risk.standard_error, total))


def decompose(
    model: Model,
    x: Tensor,
    y: Tensor,
    law: Law,
    family: Family,
    *,
    pairs: int,
    partners: int,
    seed: int,
    where: Place = ALONE,
) -> Decomposition:
    """Estimate the mixup loss and its expansion, for one seed on the same pairs always.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        x: inputs.
        y: their targets.
        law: the law of λ.
        family: the loss.
        pairs: mixed examples to evaluate.
        partners: directions per example.
        seed: of pairs and partners.
        where: this process, among those to which passes are dealt, as in `expand`.
    """
    rng = generator(seed, "partners")
    expansion = expand(model, x, y, law, family, partners=partners, rng=rng, where=where)
    rng = generator(seed, "pairs")
    risk = vicinal_risk(model, x, y, law, family, pairs=pairs, rng=rng, where=where)
    return Decomposition(expansion, risk)


@dataclass
class Recorder:
    """Mixup loss, standard loss, R1, R2 and R3 every few epochs, on the same pairs each time.

    Call it at the end of each epoch; `rows` then holds what was measured. The model, its mode,
    gradients and torch's random state are as before.

    Attributes:
        x: inputs to measure on.
        y: their targets.
        law: the law of λ.
        family: the loss.
        every: epochs between measurements, at least 1; the first call is always measured.
        pairs: mixed examples to evaluate each time.
        partners: directions per example.
        seed: of pairs and partners.
        rows: one for each measurement.

    Example:
        >>> import torch
        >>> recorder = Recorder(torch.rand(8, 3), torch.arange(8) % 2, every=2)
        >>> model = torch.nn.Linear(3, 2)
        >>> for epoch in range(1, 6):
        ...     recorder(model, epoch)
        >>> [row["epoch"] for row in recorder.rows]
        [1, 3, 5]
    """

    x: Tensor
    y: Tensor
    law: Law = field(default_factory=lambda: Beta(1))
    family: Family = categorical
    every: int = 1
    pairs: int = 4000
    partners: int = 4
    seed: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.every >= 1:
            raise ValueError(f"every must be at least 1 epoch, got {self.every}.")

    def __call__(self, model: Model, epoch: int) -> None:
        """Measure, if it is time to."""
        if self.rows and epoch - self.rows[-1]["epoch"] < self.every:
            return
        found = decompose(
            model,
            self.x,
            self.y,
            self.law,
            self.family,
            pairs=self.pairs,
            partners=self.partners,
            seed=self.seed,
        )
        terms = found.expansion
        self.rows.append(
            {
                "epoch": epoch,
                "loss": terms.loss,
                "r1": terms.r1,
                "r2": terms.r2,
                "r3": terms.r3,
                "risk": found.risk.value,
                "risk_standard_error": found.risk.standard_error,
                "remainder": found.remainder,
                "remainder_standard_error": found.remainder_standard_error,
            }
        )
