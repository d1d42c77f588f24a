"""The mixup loss beside its expansions through training, and where they fail: two moons."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from vicinal.data import Part
from vicinal.explanation.expansions.expanded import Expanded
from vicinal.explanation.expansions.shrunk import expand_shrunk
from vicinal.explanation.risk import vicinal_risk
from vicinal.explanation.terms import expand
from vicinal.maths.laws import Uniform
from vicinal.maths.losses import bernoulli
from vicinal.mixing.draw import Strategy
from vicinal.mixing.mixup import Mixup
from vicinal.study.reproduce.measured import Curve, Facts, Measured, Size, curves, looked_at
from vicinal.study.reproduce.networks import fit, linear, relu, seeded
from vicinal.study.reproduce.sets import MOONS, cubic, moons
from vicinal.study.training.resume import Row

NAME, DATA = "approximation", MOONS
QUICK = Size(seeds=3, epochs=60, train=40, test=200, looks=5)
FULL = Size(seeds=5, epochs=300, train=100, test=1000, looks=14)
LAW, RATE = Uniform(), 0.05
SCALES = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # of the trained weights
LOSSES = {
    "risk": "mixup loss",
    "expansion": "expanded at the examples",
    "shrunk": "expanded at shrunk examples",
}
MODELS = {"logistic": "Logistic regression", "relu": "Two-layer ReLU net"}
WAYS: Mapping[str, tuple[str, Strategy | None]] = {
    "mixup": ("trained on mixup", Mixup(1.0)),
    "expanded": ("trained on the expansion", Expanded(1.0)),
    "erm": ("trained without mixing", None),
}


def measure(seed: int, size: Size, data: str) -> Measured:
    """Both models, trained in three ways, looked at through training; all sums exact."""
    found: list[Curve] = []
    facts: Facts = {}
    for key, name in MODELS.items():
        train, test, make = _problem(key, seed, size)
        losses: dict[str, list[float | None]] = {}
        epochs = looked_at(size.epochs, size.looks)
        for way, (label, strategy) in WAYS.items():
            model = seeded(seed, make)
            rows = fit(
                model, strategy, train, bernoulli,
                epochs=size.epochs, seed=seed, at=epochs, learning_rate=RATE,
                look=partial(_look, train=train, test=test),
            )  # fmt: skip
            losses[label] = [row["test"] for row in rows]
            facts |= {f"{key}/{way}/{name}": rows[-1][name] for name in ("test", "accuracy")}
            if way != "expanded":
                series = {line: [r[what] for r in rows] for what, line in LOSSES.items()}
                found += curves("training", f"{name}, {label}", epochs, series)
                facts |= _off(f"{key}/{way}", rows)
            if way == "mixup":
                found += _scaled(name, model, train)
        found += curves("instead", name, epochs, losses)
    told = {"training": f"{size.train} points of two moons", "test": f"{size.test} points"}
    return Measured(tuple(found), facts, told)


def _problem(key: str, seed: int, size: Size) -> tuple[Part, Part, Callable[[], nn.Module]]:
    """Training and test data and the model, in float64; the linear one sees products."""
    found = moons(seed, size.train, size.test)
    if key == "relu":
        train, test = (replace(part, x=part.x.double()) for part in (found.train, found.test))
        return train, test, lambda: relu((2,), 1).double()
    train, test = cubic(found.train, found.test)
    return train, test, lambda: linear(tuple(train.x.shape[1:]), 1).double()


def _look(model: nn.Module, train: Part, test: Part) -> Row:
    with torch.no_grad():
        outputs = model(test.x)
    return _losses(model, train) | {
        "test": float(bernoulli(outputs, test.y).double().mean()),
        "accuracy": float(bernoulli.correct(outputs, test.y).double().mean()),
    }


def _losses(model: nn.Module, train: Part) -> Row:
    x, y = train.x, train.y
    return {
        "risk": vicinal_risk(model, x, y, LAW, bernoulli).value,
        "expansion": expand(model, x, y, LAW, bernoulli).total,
        "shrunk": expand_shrunk(model, x, y, LAW, bernoulli).total,
    }


def _off(prefix: str, rows: list[Row]) -> Facts:
    """How far both expansions are off, relative to the loss: at the start, the end, at worst."""
    facts: Facts = {}
    for what in ("expansion", "shrunk"):
        off = [row[what] / row["risk"] - 1 for row in rows]
        facts |= {f"{prefix}/{what}/first": off[0], f"{prefix}/{what}/last": off[-1]}
        facts[f"{prefix}/{what}/worst"] = max(off, key=abs)
    return facts


def _scaled(name: str, model: nn.Module, train: Part) -> list[Curve]:
    """The relative error of both expansions where all logits are multiplied by a number."""
    off: dict[str, list[float | None]] = {LOSSES[k]: [] for k in ("expansion", "shrunk")}
    for scale in SCALES:
        scaled = copy.deepcopy(model)
        last = scaled[-1]  # type: ignore[index]
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(scale)
        row = _losses(scaled, train)
        for what in ("expansion", "shrunk"):
            off[LOSSES[what]].append(row[what] / row["risk"] - 1)
    return curves("scale", name, SCALES, off)
