"""How inputs and gradients are aligned: |cos(∇f(x_i), x_i)| before and after training."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from vicinal.data import Part
from vicinal.maths.laws import Uniform
from vicinal.maths.losses import bernoulli
from vicinal.mixing.mixup import Mixup
from vicinal.robustness.theory.alignment import alignment
from vicinal.study.reproduce.measured import Curve, Facts, Measured, Size, curves
from vicinal.study.reproduce.networks import Shape, fit, lenet, linear, relu, seeded
from vicinal.study.reproduce.sets import exactly_centred, sized, two_classes

NAME, DATA = "cosine", "digits"
QUICK = Size(seeds=3, epochs=8, train=900, test=100)
FULL = Size(seeds=5, epochs=40, train=4000, test=500)
LAW = Uniform()
BINS = 24
MODELS = {"linear": "Linear model", "relu": "Two-layer ReLU net", "lenet": "LeNet-type CNN"}
WHEN = {"start": "before training", "mixup": "trained on mixup", "erm": "trained without mixing"}


def measure(seed: int, size: Size, data: str) -> Measured:
    """R_i, ε_i and ε_mix on the training data of two classes, centred; models without biases."""
    found = two_classes(sized(data, seed, size))
    drawn: list[Curve] = []
    facts: Facts = {}
    for key, make in _models(tuple(found.train.x.shape[1:])).items():
        shares: dict[str, list[float | None]] = {}
        radii: dict[str, list[float | None]] = {}
        for when, label in WHEN.items():
            model = seeded(seed, make)
            if when != "start":
                strategy = Mixup(1.0) if when == "mixup" else None
                fit(model, strategy, found.train, bernoulli, epochs=size.epochs, seed=seed)
            own, told = _aligned(model, found.train)
            shares[label] = _histogram(own)
            levels = np.linspace(0, 1, BINS + 1)
            radii[label] = [float(v) for v in np.quantile(own, levels) * told["scale"]]
            facts |= {f"{key}/{when}/{name}": value for name, value in told.items()}
            facts[f"{key}/{when}/accuracy"] = _accuracy(model, found.test)
        middles = [round((k + 0.5) / BINS, 4) for k in range(BINS)]
        drawn += curves("cosine", MODELS[key], middles, shares)
        drawn += curves("radius", MODELS[key], [k / BINS for k in range(BINS + 1)], radii)
    words = {
        "training": f"{len(found.train)} examples of {data}",
        "classes": " and ".join(found.labels),
    }
    return Measured(tuple(drawn), facts, words)


def _models(shape: Shape) -> dict[str, Callable[[], nn.Module]]:
    models: dict[str, Callable[[], nn.Module]] = {
        "linear": lambda: linear(shape, 1, bias=False),
        "relu": lambda: relu(shape, 1, bias=False),
    }
    if len(shape) == 3 and min(shape[1:]) >= 4:  # pooled twice
        models["lenet"] = lambda: lenet(shape, 1, bias=False)
    return models


def _aligned(model: nn.Module, part: Part) -> tuple[np.ndarray, dict[str, float]]:
    """R_i of each example, and what follows from them for the radii of the bound."""
    found = alignment(model.double(), exactly_centred(part.x), LAW)
    own = found.cosines.numpy()
    told = {
        "median": float(np.median(own)),
        "lowest": float(own.min()),
        "tenth": float(np.quantile(own, 0.1)),
        "epsilon": float(found.radii.median()),
        "epsilon_mix": float(found.radii.min()),
        "c_x": found.c_x,
        "scale": found.c_x * 2 * LAW.spread,
    }
    return own, told


def _histogram(values: np.ndarray) -> list[float | None]:
    counts, _ = np.histogram(np.clip(values, 0, 1), bins=BINS, range=(0, 1))
    return [float(v) for v in counts / len(values)]


def _accuracy(model: nn.Module, part: Part) -> float:
    with torch.no_grad():
        outputs = model(part.x.to(next(model.parameters()).dtype))
    return float(bernoulli.correct(outputs, part.y).double().mean())
