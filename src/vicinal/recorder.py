"""Terms over training: a recorder for anyone's loop."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from vicinal.forward import Model
from vicinal.laws import Beta, Law
from vicinal.losses import Family, categorical
from vicinal.randomness import generator
from vicinal.risk import vicinal_risk
from vicinal.taylor import expand


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
        partners, pairs = (generator(self.seed, what) for what in ("partners", "pairs"))
        found = expand(
            model, self.x, self.y, self.law, self.family, partners=self.partners, rng=partners
        )
        risk = vicinal_risk(
            model, self.x, self.y, self.law, self.family, pairs=self.pairs, rng=pairs
        )
        error = float(np.hypot(risk.standard_error, found.standard_errors["total"]))
        self.rows.append(
            {
                "epoch": epoch,
                "loss": found.loss,
                "r1": found.r1,
                "r2": found.r2,
                "r3": found.r3,
                "risk": risk.value,
                "risk_standard_error": risk.standard_error,
                "remainder": risk.value - found.total,
                "remainder_standard_error": error,
            }
        )
