"""The mixup loss above the adversarial loss at ε_i and ε_mix, with the conditions and without."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from vicinal.data import Part
from vicinal.explanation.risk import vicinal_risk
from vicinal.maths.laws import Uniform
from vicinal.maths.losses import bernoulli
from vicinal.maths.randomness import generator
from vicinal.mixing.mixup import Mixup
from vicinal.robustness.theory.bound import MixupBound, mixup_bound
from vicinal.study.reproduce.measured import Curve, Facts, Measured, Size, curves, looked_at
from vicinal.study.reproduce.networks import Shape, fit, linear, relu, seeded
from vicinal.study.reproduce.sets import exactly_centred, sized, two_classes
from vicinal.study.training.resume import Row

NAME, DATA = "bound", "digits"
QUICK = Size(seeds=3, epochs=30, train=300, test=60, looks=6)
FULL = Size(seeds=5, epochs=150, train=1000, test=500, looks=14)
LAW = Uniform()
LINES = {
    "exact": "mixup loss",
    "expanded": "its expansion",
    "own": "adversarial loss at ε_i",
    "mix": "adversarial loss at ε_mix",
}
WRONG = 0.3  # share of labels that are turned where training errors are wanted


@dataclass(frozen=True)
class Case:
    """A model and data that meet the conditions, or break one of them.

    Attributes:
        name: what it is called.
        make: the model for inputs of a shape.
        shift: added to every centred input, in units of their deviation.
        wrong: share of the labels that are turned.
    """

    name: str
    make: Callable[[Shape], nn.Module]
    shift: float = 0.0
    wrong: float = 0.0


CASES: Mapping[str, Case] = {
    "linear": Case("Linear, conditions can hold", lambda shape: linear(shape, 1, bias=False)),
    "relu": Case("ReLU net, conditions can hold", lambda shape: relu(shape, 1, bias=False)),
    "shifted": Case("Linear, not centred", lambda shape: linear(shape, 1, bias=False), shift=1.0),
    "wrong": Case("Linear, wrong labels", lambda shape: linear(shape, 1, bias=False), wrong=WRONG),
    "biased": Case("ReLU net with biases", lambda shape: relu(shape, 1)),
}


def measure(seed: int, size: Size, data: str) -> Measured:
    """Every case through training on mixup, on its own training data."""
    found = two_classes(sized(data, seed, size))
    drawn: list[Curve] = []
    facts: Facts = {}
    epochs = looked_at(size.epochs, size.looks)
    for key, case in CASES.items():
        part = _part(found.train, case, seed)
        model = seeded(seed, partial(_made, case, tuple(part.x.shape[1:])))
        rows = fit(
            model, Mixup(1.0), part, bernoulli,
            epochs=size.epochs, seed=seed, at=epochs,
            look=partial(_look, part=part),
        )  # fmt: skip
        series = {label: [row[line] for row in rows] for line, label in LINES.items()}
        drawn += curves("losses", case.name, epochs, series)
        met = [row["guaranteed"] for row in rows]
        drawn += curves("conditions", case.name, epochs, {"all hold": met})
        facts |= _counted(key, rows)
    labels = " and ".join(found.labels)
    return Measured(
        tuple(drawn),
        facts,
        {"training": f"{len(found.train)} examples of {data}", "classes": labels},
    )


def _made(case: Case, shape: Shape) -> nn.Module:
    return case.make(shape).double()


def _part(train: Part, case: Case, seed: int) -> Part:
    x = exactly_centred(train.x) + case.shift
    turned = torch.from_numpy(generator(seed, "wrong labels").random(len(train)) < case.wrong)
    y: Tensor = torch.where(turned, 1 - train.y, train.y)
    return replace(train, x=x, y=y)


def _look(model: nn.Module, part: Part) -> Row:
    found: MixupBound = mixup_bound(model, part.x, part.y, LAW)
    rng = generator(0, "pairs")
    exact = vicinal_risk(model, part.x, part.y, LAW, bernoulli, pairs=4000, rng=rng)
    failed = [name for name, condition in found.conditions.items() if not condition.holds]
    return {
        "exact": exact.value,
        "expanded": found.mixup_loss,
        "own": found.adversarial_loss,
        "mix": found.adversarial_loss_mix,
        "guaranteed": float(found.guaranteed),
        "holds": float(found.holds),
        "epsilon": float(found.radii.median()),
        "epsilon_mix": found.epsilon_mix,
        "accuracy": found.conditions["classified"].measured,
        "failed": float(len(failed)),
    }


def _counted(key: str, rows: list[Row]) -> Facts:
    """How often the conditions held, and how often the inequality did, with and without them."""
    met = [row for row in rows if row["guaranteed"]]
    unmet = [row for row in rows if not row["guaranteed"]]
    last = rows[-1]
    return {
        f"{key}/met": float(len(met)),
        f"{key}/met/violated": sum(not row["holds"] for row in met),
        f"{key}/unmet": float(len(unmet)),
        f"{key}/unmet/violated": sum(not row["holds"] for row in unmet),
        f"{key}/slack": last["expanded"] - last["own"],
        f"{key}/expanded": last["expanded"],
        f"{key}/epsilon": last["epsilon"],
        f"{key}/epsilon_mix": last["epsilon_mix"],
        f"{key}/accuracy": last["accuracy"],
    }
