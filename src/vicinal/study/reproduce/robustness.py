"""Accuracy against ε, trained with and without mixup: one step, many steps, and the worst case."""

from collections.abc import Sequence

import torch
from torch import nn

from vicinal.data import Part, Split
from vicinal.maths.randomness import generator
from vicinal.mixing.mixup import Mixup
from vicinal.models.named import build_model
from vicinal.robustness import accuracy_curve
from vicinal.robustness.attacks.worst import worst_case
from vicinal.study.reproduce.measured import Curve, Facts, Measured, Size, curves
from vicinal.study.reproduce.networks import fit
from vicinal.study.reproduce.sets import sized

NAME, DATA = "robustness", "digits"
QUICK = Size(seeds=3, epochs=8, train=300, test=24, parts=2)
FULL = Size(seeds=5, epochs=30, train=2000, test=100)
# the largest change of a pixel in [0, 1], or of a column in standard deviations
EPSILONS = {"images": (0.03, 0.06, 0.1, 0.15), "tables": (0.1, 0.2, 0.3, 0.5)}
PASSES = {"quick": 300.0, "full": None}  # for each example and ε, in the worst case
STEPS = 20
ATTACKS = {"fgsm": "FGSM, one step", "pgd": f"PGD, {STEPS} steps", "worst": "Worst case of all"}
WAYS = {"erm": None, "mixup": Mixup(1.0)}


def measure(seed: int, size: Size, data: str) -> Measured:
    """Both ways of training, under three attacks in l∞ on the same test examples."""
    split = sized(data, seed, size)
    kind = "tables" if split.bounds is None else "images"
    epsilons = EPSILONS[kind][: size.parts]
    accuracies: dict[str, dict[str, list[float | None]]] = {attack: {} for attack in ATTACKS}
    facts: Facts = {}
    for way, strategy in WAYS.items():
        model = build_model("mlp" if kind == "tables" else "cnn", split, seed)
        fit(model, strategy, split.train, split.family, epochs=size.epochs, seed=seed,
            weight_decay=0.01)  # fmt: skip
        for attack, found in _attacked(model, split, seed, epsilons, size).items():
            accuracies[attack][way] = list(found)
            facts |= {
                f"{attack}/{way}/{e:g}": v for e, v in zip((0.0, *epsilons), found, strict=True)
            }
    drawn: list[Curve] = []
    for attack, series in accuracies.items():
        drawn += curves("accuracy", ATTACKS[attack], (0.0, *epsilons), series)
    words = {
        "training": f"{len(split.train)} examples of {data}",
        "attacked": f"{len(split.test)} test examples",
        "worst case": "whole" if size.parts is None else f"at most {PASSES['quick']:g} passes",
    }
    return Measured(tuple(drawn), facts, words)


def _attacked(
    model: nn.Module, split: Split, seed: int, epsilons: Sequence[float], size: Size
) -> dict[str, tuple[float, ...]]:
    """Accuracy at 0 and at each ε, for each attack."""
    found: dict[str, tuple[float, ...]] = {}
    for attack in ("fgsm", "pgd"):
        curve = accuracy_curve(
            model,
            split.test.x,
            split.test.y,
            (0.0, *epsilons),
            attack=attack,
            bounds=split.bounds,
            family=split.family,
            steps=STEPS,
            rng=generator(seed, "attack", attack),
        )
        found[attack] = tuple(point.accuracy for point in curve.points)
    passes = PASSES["full" if size.parts is None else "quick"]
    worst = (found["pgd"][0], *_worst(model, split, seed, epsilons, passes))
    # what PGD broke is broken: the smaller of two upper bounds is one
    found["worst"] = tuple(map(min, worst, found["pgd"]))
    return found


def _worst(
    model: nn.Module, split: Split, seed: int, epsilons: Sequence[float], passes: float | None
) -> list[float]:
    """Accuracy under the ensemble; what breaks an example in a small ball does in a larger one."""
    part: Part = split.test
    alive = torch.arange(len(part))
    shares = []
    for eps in epsilons:
        if len(alive):
            attacked = worst_case(
                model,
                part.x[alive],
                part.y[alive],
                eps,
                bounds=split.bounds,
                family=split.family,
                rng=generator(seed, "attack", "worst", f"{eps:g}"),
                passes=passes,
            )
            alive = alive[~attacked.success]
        shares.append(len(alive) / len(part))
    return shares
