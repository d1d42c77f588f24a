"""What is audited, and the model as each measurement wants it."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor, nn

import vicinal
from vicinal.maths.losses import Family, bernoulli, categorical
from vicinal.models.forward import Model, unwrapped
from vicinal.robustness.attacks.ball import Bounds, Norm
from vicinal.robustness.attacks.door import opened
from vicinal.robustness.attacks.ensemble import digest


@dataclass(frozen=True)
class Case:
    """What is audited.

    Attributes:
        model: the model.
        x, y: the examples on which it is measured.
        held: others, on which its calibration is mended.
        trained: inputs and targets of training, for the bound, which is a statement on them.
        family: decides what is broken; for values with the tolerance.
        tolerance: deviation that breaks an example of values; None for classes.
        bounds: of the inputs.
        unit: of each feature, in which sizes are told; None for the units of the inputs.
        sizes: of the perturbation, by norm.
        twin: a model from which adversarial inputs may transfer.
        examples: most that are attacked.
        full: whether strong attacks are run.
        seconds, passes: budget of the worst case in each norm.
        seed: of starts, patches and resamples.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    held: tuple[Tensor, Tensor]
    trained: tuple[Tensor, Tensor]
    family: Family
    tolerance: float | None
    bounds: Bounds
    unit: Tensor | None
    sizes: Mapping[Norm, float]
    twin: nn.Module | None
    examples: int
    full: bool
    seconds: float | None
    passes: float | None
    seed: int

    @property
    def name(self) -> str:
        """What decides the numbers, but for the budget, in 16 digits."""
        tensors = [self.x, self.y, *self.held, *self.trained]
        box = () if self.bounds is None else self.bounds
        units = (*box, self.unit)
        tensors += [torch.as_tensor(v, dtype=torch.float64) for v in units if v is not None]
        models = (m for m in (self.model, self.twin) if m is not None)
        weights = [v for m in models for v in m.state_dict().values() if isinstance(v, Tensor)]
        told = [vicinal.__version__, self.family.name, self.tolerance, dict(self.sizes)]
        told += [self.bounds is None, self.unit is None, self.examples, self.seed]
        told += [self.x.device.type]
        described = repr((type(self.model).__name__, told, [digest(t) for t in tensors + weights]))
        return sha256(described.encode()).hexdigest()[:16]


def attackable(case: Case, count: int) -> tuple[Model, Tensor, Tensor]:
    """The model and some examples, in the units in which sizes are told."""
    x, y = case.x[:count], case.y[:count]
    if case.unit is None:
        return case.model, x, y
    return InUnits(case.model, case.unit), x / case.unit, y


class InUnits(nn.Module):
    """A model of inputs that are told in another unit."""

    unit: Tensor

    def __init__(self, model: nn.Module, unit: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("unit", unit, persistent=False)

    def forward(self, x: Tensor) -> object:
        """What the model gives for them."""
        return self.model(x * self.unit.to(x))


def twin(case: Case) -> Model | None:
    """The twin, of inputs in the same units."""
    if case.twin is None or case.unit is None:
        return case.twin
    return InUnits(case.twin, case.unit)


def logit(case: Case) -> Model | None:
    """The one logit of a binary classifier: of two classes, the difference of both."""
    if case.family is bernoulli:
        return case.model
    with opened(case.model) as f:
        outputs = f(case.x[:2])
    if case.family is not categorical or outputs.shape[1:] != (2,):
        return None
    return Difference(case.model)


class Difference(nn.Module):
    """The second logit of a model minus the first."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """It, for each example."""
        outputs: Tensor = unwrapped(self.model(x))
        return outputs[:, 1] - outputs[:, 0]
