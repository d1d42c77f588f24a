"""What is measured of every run of a study, in the same way for all methods."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vicinal.attacks.ball import Norm
from vicinal.calibration import COLDEST, HOTTEST, calibration, fit_temperature
from vicinal.data import Part, Split
from vicinal.forward import unchanged
from vicinal.hardest import hardest
from vicinal.laws import Beta
from vicinal.losses import Family
from vicinal.mixing.apply import mix
from vicinal.mixing.draw import Draw
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.mixup import Mixup
from vicinal.randomness import generator
from vicinal.recorder import Recorder, decompose
from vicinal.robustness import accuracy_curve
from vicinal.training import Row

# One law for all methods, so that what is explained can be compared: λ uniform.
LAW = Beta(1)
PAIRS, PARTNERS, STEPS = 10_000, 4, 20
EPSILONS: dict[str, dict[Norm, tuple[float, ...]]] = {
    "images": {"linf": (0.0, 0.025, 0.05, 0.1, 0.15), "l2": (0.0, 0.25, 0.5, 0.75, 1.0)},
    "tables": {"linf": (0.0, 0.1, 0.2, 0.3, 0.4), "l2": (0.0, 0.25, 0.5, 1.0, 1.5)},
}
HARDEST = 6  # examples that a run shows
MEASURES = 6  # units of progress that measuring a run counts, in epochs


def evaluation(
    model: nn.Module, split: Split, seed: int, explain_every: int
) -> Callable[[int], Row]:
    """Clean and mixed loss and accuracy on training and test data, on the same pairs always.

    Every `explain_every` epochs (0 for never) the terms of the mixup loss join the row.
    """
    parts: dict[str, tuple[Part, Draw | None]] = {}
    for name, part in (("train", split.train), ("test", split.test)):
        draw = Mixup(LAW.alpha)(part.x, part.y, generator(seed, "evaluation", name))
        parts[name] = (part, None)
        parts[f"{name}_mixed"] = (part, draw)
    inputs = {name: mix(part.x, draw) for name, (part, draw) in parts.items()}

    def accuracy(outputs: Tensor, y: Tensor) -> Tensor:
        # of mixed examples the expected accuracy: each label counts with its share
        return split.family.correct(outputs, y).to(outputs.dtype)

    def evaluate(epoch: int) -> Row:
        row: Row = {}
        if explain_every and epoch % explain_every == 0:
            recorder = Recorder(split.train.x, split.train.y, LAW, split.family, seed=seed)
            recorder(model, epoch)
            row = {f"terms_{name}": value for name, value in recorder.rows[0].items()}
            del row["terms_epoch"]
        with torch.no_grad(), unchanged(model) as f:
            for name, (part, draw) in parts.items():
                outputs = f(inputs[name])
                for what, value in (("loss", split.family), ("accuracy", accuracy)):
                    each = mixed_loss(value, outputs, part.y, draw)
                    row[f"{name}_{what}"] = float(each.double().mean())
        return row

    return evaluate


def measure(
    model: nn.Module,
    start: dict[str, Any],
    split: Split,
    seed: int,
    last: Row,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """All measurements of one trained model.

    Args:
        model: the trained model.
        start: what `explain` gave for its initial weights.
        split: the data; everything but the explanation is measured on its test part.
        seed: of the run, from which pairs and attacks are drawn.
        last: the row of the last epoch.
        advance: told after each of MEASURES measurements.
    """
    with torch.no_grad(), unchanged(model) as f:
        validation, test = f(split.validation.x), f(split.test.x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a temperature at its limit is recorded below
        temperature = fit_temperature(validation, split.validation.y)
    measured: dict[str, Any] = {
        "accuracy": {part: last[f"{part}_accuracy"] for part in ("train", "test")},
        "loss": {part: last[f"{part}_loss"] for part in ("train", "test")},
        "gap": {
            "loss": last["test_loss"] - last["train_loss"],
            "accuracy": last["train_accuracy"] - last["test_accuracy"],
        },
        "temperature": temperature,
        "temperature_at_limit": temperature in (COLDEST, HOTTEST),
        "calibration": {
            "before": calibration(test, split.test.y),
            "after": calibration(test / temperature, split.test.y),
        },
    }
    measured["hardest"] = hardest(test, split, HARDEST)
    advance(1)
    measured["explanation"] = {
        "law": f"Beta({LAW.alpha:g}, {LAW.beta:g})",
        "initial": start,
        "final": explain(model, split.train, split.family, seed),
    }
    advance(1)
    measured["robustness"] = []
    images = "images" if split.bounds is not None else "tables"
    attacks: tuple[Literal["fgsm", "pgd"], ...] = ("fgsm", "pgd")
    for norm, epsilons in EPSILONS[images].items():
        for attack in attacks:
            rng = generator(seed, "attack", norm, attack)
            measured["robustness"].append(
                accuracy_curve(
                    model,
                    split.test.x,
                    split.test.y,
                    epsilons,
                    attack=attack,
                    norm=norm,
                    bounds=split.bounds,
                    family=split.family,
                    steps=STEPS,
                    rng=rng,
                )
            )
            advance(1)
    return measured


def explain(model: nn.Module, part: Part, family: Family, seed: int) -> dict[str, Any]:
    """The mixup loss under LAW and its expansion, on the same pairs for all methods."""
    found = decompose(model, part.x, part.y, LAW, family, pairs=PAIRS, partners=PARTNERS, seed=seed)
    return asdict(found.expansion) | {
        "risk": {"value": found.risk.value, "standard_error": found.risk.standard_error},
        "remainder": found.remainder,
        "remainder_standard_error": found.remainder_standard_error,
    }
