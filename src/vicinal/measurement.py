"""What is measured of every run of a study, in the same way for all methods."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vicinal.attacked import Strength, attacked
from vicinal.calibration import COLDEST, HOTTEST, calibration, fit_temperature
from vicinal.calibration.values import coverage
from vicinal.data import Part, Split
from vicinal.forward import unchanged
from vicinal.generalization import bound_of_trained
from vicinal.hardest import hardest
from vicinal.laws import Beta
from vicinal.losses import Family
from vicinal.mixing.apply import mix
from vicinal.mixing.draw import Draw
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.mixup import Mixup
from vicinal.randomness import generator
from vicinal.recorder import Recorder, decompose
from vicinal.resume import Row

# One law for all methods, so that what is explained can be compared: λ uniform.
LAW = Beta(1)
PAIRS, PARTNERS = 10_000, 4
HARDEST = 6  # examples that a run shows
MEASURES: dict[Strength, int] = {"fast": 6, "full": 66}
"""Units of progress that measuring a run counts, in epochs."""


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
                for what, value in _scores(split.family).items():
                    each = mixed_loss(value, outputs, part.y, draw)
                    row[f"{name}_{what}"] = float(each.double().mean())
        return row

    return evaluate


def _scores(family: Family) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Scores of each example that are affine in the label, so that mixed labels have them too."""
    if not family.classifies:
        # with y²/2, which the family leaves out: half the squared error
        return {"loss": lambda f, y: family(f, y) + y.square() / 2}

    def accuracy(outputs: Tensor, y: Tensor) -> Tensor:
        # of mixed examples the expected accuracy: each label counts with its share
        return family.correct(outputs, y).to(outputs.dtype)

    return {"loss": family, "accuracy": accuracy}


def measure(
    model: nn.Module,
    start: dict[str, Any],
    split: Split,
    seed: int,
    last: Row,
    attacks: Strength,
    scratch: Path,
) -> dict[str, Any]:
    """All measurements of one trained model.

    Args:
        model: the trained model.
        start: what `explain` gave for its initial weights.
        split: the data; everything but the explanation is measured on its test part.
        seed: of the run, from which pairs and attacks are drawn.
        last: the row of the last epoch.
        attacks: how strong they are.
        scratch: name for files of half-done measurements.
    """
    with torch.no_grad(), unchanged(model) as f:
        validation, test = f(split.validation.x), f(split.test.x)
    gap = {"loss": last["test_loss"] - last["train_loss"]}
    measured: dict[str, Any] = {
        "loss": {part: last[f"{part}_loss"] for part in ("train", "test")},
        "gap": gap,
    }
    train = split.train.x, split.train.y
    bound = bound_of_trained(model, train, split.validation.x, split.family, bounds=split.bounds)
    if bound is not None:  # for linear models with one output
        measured["bound"] = bound
    if split.family.classifies:
        measured |= _of_classes(validation, test, split, last, gap)
    else:
        measured |= _of_values(validation, test, split)
    measured["explanation"] = {
        "law": f"Beta({LAW.alpha:g}, {LAW.beta:g})",
        "initial": start,
        "final": explain(model, split.train, split.family, seed),
    }
    return measured | attacked(model, split, seed, attacks, scratch)


def validated(last: Row) -> dict[str, dict[str, float]]:
    """All that a search may know of a model, whose split has its validation part for testing."""
    return {
        what: {"train": last[f"train_{what}"], "validation": last[f"test_{what}"]}
        for what in ("loss", "accuracy")
        if f"test_{what}" in last
    }


def _of_classes(
    validation: Tensor, test: Tensor, split: Split, last: Row, gap: dict[str, float]
) -> dict[str, Any]:
    """Accuracy, and calibration as trained and after one temperature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a temperature at its limit is recorded below
        temperature = fit_temperature(validation, split.validation.y)
    return {
        "accuracy": {part: last[f"{part}_accuracy"] for part in ("train", "test")},
        "gap": gap | {"accuracy": last["train_accuracy"] - last["test_accuracy"]},
        "temperature": temperature,
        "temperature_at_limit": temperature in (COLDEST, HOTTEST),
        "calibration": {
            "before": calibration(test, split.test.y),
            "after": calibration(test / temperature, split.test.y),
        },
        "hardest": hardest(test, split, HARDEST),
    }


def _of_values(validation: Tensor, test: Tensor, split: Split) -> dict[str, Any]:
    """Errors in the units of the targets; coverage of intervals as wide as validation errors."""
    (validation_mean, validation_y), (mean, y) = (
        (outputs.reshape(-1).double() * split.unit, part.y.reshape(-1).double() * split.unit)
        for outputs, part in ((validation, split.validation), (test, split.test))
    )
    deviation = (validation_y - validation_mean).square().mean().sqrt()
    squared = (y - mean).square()
    return {
        "rmse": float(squared.mean().sqrt()),
        "mae": float((y - mean).abs().mean()),
        "r2": float(1 - squared.sum() / (y - y.mean()).square().sum()),
        "coverage": coverage(mean, deviation.expand_as(mean), y),
    }


def explain(model: nn.Module, part: Part, family: Family, seed: int) -> dict[str, Any]:
    """The mixup loss under LAW and its expansion, on the same pairs for all methods."""
    found = decompose(model, part.x, part.y, LAW, family, pairs=PAIRS, partners=PARTNERS, seed=seed)
    return asdict(found.expansion) | {
        "risk": {"value": found.risk.value, "standard_error": found.risk.standard_error},
        "remainder": found.remainder,
        "remainder_standard_error": found.remainder_standard_error,
    }
