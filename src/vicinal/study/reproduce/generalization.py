"""Training and test loss through training; the gap against α; the bound of linear models."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from vicinal.data import Part, Split
from vicinal.generalization import generalization_gap, glm_bound
from vicinal.maths.losses import bernoulli
from vicinal.mixing.mixup import Mixup
from vicinal.models.named import build_model
from vicinal.study.reproduce.measured import Curve, Facts, Measured, Size, curves, looked_at
from vicinal.study.reproduce.networks import fit, linear, seeded
from vicinal.study.reproduce.sets import MOONS, sized, two_classes
from vicinal.study.training.resume import Row

NAME, DATA = "generalization", "digits, breast_cancer, two moons"
QUICK = Size(seeds=3, epochs=15, train=60, test=300, looks=4, parts=3)
FULL = Size(seeds=5, epochs=60, train=300, test=2000, looks=12)
ALPHAS = (0.0, 1.0, 0.2, 4.0, 0.05, 16.0)  # 0 is training without mixing; a quick run has fewer
LOGISTIC = "breast_cancer"  # of the bound, where the data asked for have not two classes
# The bound speaks of a class of θ that is declared beforehand: inputs on the unit sphere beside a
# constant of 1, so that ‖x‖ = √2, and ‖θ‖ of at most 3.
X_BOUND, THETA_BOUND, GAMMAS = 2**0.5, 3.0, (0.03, 0.1, 0.3, 1.0, 3.0)


def measure(seed: int, size: Size, data: str) -> Measured:
    """Every set at every strength; the bound on two classes of the first set that has them."""
    names = DATA.split(", ") if data == DATA else [data]
    drawn: list[Curve] = []
    facts: Facts = {}
    words: dict[str, str] = {}
    alphas = sorted(ALPHAS[: size.parts])
    epochs = looked_at(size.epochs, size.looks)
    for name in names:
        split = sized(name, seed, size)
        words[name] = f"{len(split.train)} training, {len(split.test)} test examples"
        rows = {alpha: _trained(split, alpha, seed, size, epochs) for alpha in alphas}
        drawn += _through(name, rows, epochs) + _against(name, rows)
        for alpha, looks in rows.items():
            facts |= {f"{name}/{alpha:g}/{key}": value for key, value in looks[-1].items()}
    found, told = _bounded(seed, size, names, alphas)
    return Measured((*drawn, *found), facts | told, words)


def _trained(split: Split, alpha: float, seed: int, size: Size, epochs: Sequence[int]) -> list[Row]:
    model = build_model("mlp" if split.bounds is None else "cnn", split, seed)
    strategy = Mixup(alpha) if alpha else None
    return fit(
        model, strategy, split.train, split.family,
        epochs=size.epochs, seed=seed, at=epochs, look=partial(_look, split=split),
    )  # fmt: skip


def _look(model: nn.Module, split: Split) -> Row:
    train, test = ((part.x, part.y) for part in (split.train, split.test))
    gap = generalization_gap(model, train, test, split.family)
    return {
        "train": gap.train_loss,
        "test": gap.test_loss,
        "gap": gap.loss.value,
        "error": 1 - (gap.test_accuracy or 0.0),
    }


def _through(name: str, rows: dict[float, list[Row]], epochs: Sequence[int]) -> list[Curve]:
    """Training and test loss through training, with and without mixing."""
    strongest = 1.0 if 1.0 in rows else max(rows)
    ways = {"erm": rows[0.0], "mixup": rows[strongest]}
    found: list[Curve] = []
    for part, label in (("train", "training loss"), ("test", "test loss")):
        series = {way: [row[part] for row in looks] for way, looks in ways.items()}
        found += curves("training", f"{name}, {label}", epochs, series)
    return found


def _against(name: str, rows: dict[float, list[Row]]) -> list[Curve]:
    """Losses at the end, and their gap, against α; places are drawn side by side."""
    series = {
        label: [found[-1][key] for found in rows.values()]
        for key, label in (("train", "training loss"), ("test", "test loss"), ("gap", "gap"))
    }
    return curves("alpha", name, list(rows), series)


def _bounded(
    seed: int, size: Size, names: Sequence[str], alphas: Sequence[float]
) -> tuple[list[Curve], Facts]:
    """Logistic regression in a declared class: its losses and the bound on what is expected."""
    name = next((n for n in names if sized(n, seed, size).classes == 2 and n != MOONS), LOGISTIC)
    split = two_classes(sized(name, seed, size))
    train, test = (_on_sphere(part) for part in (split.train, split.test))
    values: dict[str, list[float | None]] = {}
    for alpha in alphas:
        model = seeded(seed, lambda: linear(tuple(train.x.shape[1:]), 1, bias=False))
        strategy = Mixup(alpha) if alpha else None
        fit(model, strategy, train, bernoulli, epochs=size.epochs, seed=seed)
        theta = _within(model)
        bound = glm_bound(
            theta, train.x.double(), train.y, bernoulli,
            x_bound=X_BOUND, theta_bound=THETA_BOUND, gammas=GAMMAS, held_out=test.x.double(),
        )  # fmt: skip
        expected = float(bernoulli(test.x.double() @ theta, test.y).mean())
        for key, value in (
            ("training loss", bound.train_loss),
            ("test loss", expected),
            ("bound", bound.value),
            ("best constant", bound.constant_loss),
        ):
            values.setdefault(key, []).append(value)
    facts: Facts = {}
    for key, found in values.items():
        facts |= {f"bound/{key}/{a:g}": v for a, v in zip(alphas, found, strict=True)}
    return curves("bound", f"{name}, logistic regression", alphas, values), facts


def _on_sphere(part: Part) -> Part:
    """Each input divided by its norm, so that its largest norm is known beforehand; and a 1."""
    flat = part.x.flatten(1)
    unit = flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return replace(part, x=torch.cat((unit, torch.ones(len(unit), 1)), 1))


def _within(model: nn.Module) -> Tensor:
    """The coefficients, shortened where they are longer than was declared."""
    (weights,) = model.parameters()
    theta = weights.detach()[0].double()
    return theta * min(1.0, THETA_BOUND / float(theta.norm()))
