"""What is measured of every run of a study, in the same way for all methods."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from vicinal.calibration import calibration, calibration_of_positive, fit_temperature
from vicinal.calibration.balance import constant_answer, recalls
from vicinal.calibration.checks import pair
from vicinal.calibration.values import coverage
from vicinal.data import Part, Split
from vicinal.explanation.recorder import Recorder, decompose
from vicinal.generalization import bound_of_trained
from vicinal.machine.processes import ALONE, Place
from vicinal.maths.laws import Beta
from vicinal.maths.losses import Family
from vicinal.maths.randomness import generator
from vicinal.mixing.draw import Draw
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.rows import outputs_for
from vicinal.models.forward import unchanged
from vicinal.robustness.usual import attacked
from vicinal.study.hardest import hardest
from vicinal.study.options import Strength
from vicinal.study.training.resume import Row

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

    def evaluate(epoch: int) -> Row:
        row: Row = {}
        if explain_every and epoch % explain_every == 0:
            recorder = Recorder(split.train.x, split.train.y, LAW, split.family, seed=seed)
            recorder(model, epoch)
            row = {f"terms_{name}": value for name, value in recorder.rows[0].items()}
            del row["terms_epoch"]
        with torch.no_grad(), unchanged(model) as f:
            for name, (part, draw) in parts.items():
                outputs = outputs_for(f, part.x, draw)
                for what, value in _scores(split.family).items():
                    each = mixed_loss(value, outputs, part.y, draw)
                    row[f"{name}_{what}"] = float(each.double().mean())
        return row

    return evaluate


def _scores(family: Family) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Scores of each example that are affine in the label, so that mixed labels have them too."""
    if not family.classifies:
        # with y²/2, which the family leaves out: half the squared error
        return {"loss": lambda f, y: family(f, y) + y.square().reshape(len(y), -1).sum(1) / 2}

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
    where: Place = ALONE,
) -> dict[str, Any]:
    """All measurements of one trained model.

    Args:
        model: the trained model.
        start: what `explain` gave for its initial weights.
        split: the data, where the model is; everything but the explanation is measured on its
            test part.
        seed: of the run, from which pairs and attacks are drawn.
        last: the row of the last epoch.
        attacks: how strong they are.
        scratch: name for files of half-done measurements.
        where: this process, among those that share the measuring by examples.
    """
    with torch.no_grad(), unchanged(model) as f:
        validation, test = f(split.validation.x).cpu(), f(split.test.x).cpu()
    here = split.on("cpu")  # where outputs are looked at
    gap = {"loss": last["test_loss"] - last["train_loss"]}
    measured: dict[str, Any] = {
        "loss": {part: last[f"{part}_loss"] for part in ("train", "test")},
        "gap": gap,
    }
    train = split.train.x, split.train.y
    bound = bound_of_trained(model, train, split.validation.x, split.family, bounds=split.bounds)
    if bound is not None:  # for linear models with one output
        measured["bound"] = bound
    if split.task == "multilabel":
        measured |= _of_labels(validation, test, here, last, gap)
    elif split.family.classifies:
        measured |= _of_classes(validation, test, here, last, gap)
    else:
        measured |= _of_values(validation, test, here)
    measured["explanation"] = {
        "law": f"Beta({LAW.alpha:g}, {LAW.beta:g})",
        "initial": start,
        "final": explain(model, split.train, split.family, seed, where),
    }
    return measured | attacked(model, split, seed, attacks == "full", scratch, where)


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
    if split.task == "binary":
        validation, test = pair(validation, split.validation.y), pair(test, split.test.y)
    whole = (validation, split.validation.y), (test, split.test.y)
    return (
        _accuracy(last, gap)
        | _scaled(*whole)
        | {"hardest": hardest(test, split, HARDEST), "balance": _balance(test, split)}
    )


def _balance(test: Tensor, split: Split) -> dict[str, Any]:
    """Balanced accuracy and recalls, and what the most frequent class of training would score."""
    found, y = recalls(test, split.test.y), split.test.y
    constant = constant_answer(y, test.shape[1], fitted_on=split.train.y)
    return {
        "balanced_accuracy": found.balanced,
        "recalls": found.per_class,
        "counts": found.counts,
        "constant": {
            "answer": split.labels[constant.answer],
            "accuracy": constant.accuracy,
            "nll": constant.nll,
        },
    }


def _of_labels(
    validation: Tensor, test: Tensor, split: Split, last: Row, gap: dict[str, float]
) -> dict[str, Any]:
    """The same over all labels of all examples, each a prediction of its own; and by label."""
    parts = (validation, split.validation.y), (test, split.test.y)
    entries = [(outputs.reshape(-1), y.reshape(-1).long()) for outputs, y in parts]
    each = [by_label(test[:, k], split.test.y[:, k].long()) for k in range(test.shape[1])]
    precisions = [one["average_precision"] for one in each if one["average_precision"] is not None]
    return (
        _accuracy(last, gap)
        | _scaled(*((pair(logit, y), y) for logit, y in entries))
        | {
            "labels_right": float((entries[1][0] > 0).eq(entries[1][1] > 0).double().mean()),
            "average_precision": sum(precisions) / len(precisions) if precisions else None,
            "labels": [{"label": name} | one for name, one in zip(split.labels, each, strict=True)],
        }
    )


def by_label(logit: Tensor, y: Tensor) -> dict[str, Any]:
    """What is measured of one label; no average precision where it is never on, or always."""
    on = float(y.double().mean())
    found = calibration_of_positive(logit, y)
    precision = average_precision_score(y.numpy(), logit.double().numpy()) if 0 < on < 1 else None
    return {
        "on": on,
        "accuracy": float((logit > 0).eq(y > 0).double().mean()),
        "average_precision": precision,
        "ece": found.ece,
        "nll": found.nll,
    }


def _accuracy(last: Row, gap: dict[str, float]) -> dict[str, Any]:
    return {
        "accuracy": {part: last[f"{part}_accuracy"] for part in ("train", "test")},
        "gap": gap | {"accuracy": last["train_accuracy"] - last["test_accuracy"]},
    }


def _scaled(validation: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """Calibration as trained, and after one temperature that was fitted on validation data."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # that it is not determined is recorded below
        temperature = fit_temperature(*validation)
    logits, y = test
    return {
        "temperature": temperature,
        "temperature_at_limit": bool(caught),
        "calibration": {
            "before": calibration(logits, y),
            "after": calibration(logits / temperature, y),
        },
    }


def _of_values(validation: Tensor, test: Tensor, split: Split) -> dict[str, Any]:
    """Errors in the units of the targets; coverage of intervals as wide as validation errors.

    Several values are in the units of their deviations, and R² is the mean of theirs.
    """
    (validation_mean, validation_y), (mean, y) = (
        (
            outputs.reshape(len(part), -1).double() * split.unit,
            part.y.reshape(len(part), -1).double() * split.unit,
        )
        for outputs, part in ((validation, split.validation), (test, split.test))
    )
    deviation = (validation_y - validation_mean).square().mean(0).sqrt()
    squared = (y - mean).square()
    spread = (y - y.mean(0)).square().sum(0)
    return {
        "rmse": float(squared.mean().sqrt()),
        "mae": float((y - mean).abs().mean()),
        "r2": float((1 - squared.sum(0) / spread).mean()),
        "coverage": coverage(
            mean.reshape(-1), deviation.expand_as(mean).reshape(-1), y.reshape(-1)
        ),
    }


def explain(
    model: nn.Module, part: Part, family: Family, seed: int, where: Place = ALONE
) -> dict[str, Any]:
    """The mixup loss under LAW and its expansion, on the same pairs for all methods."""
    found = decompose(
        model, part.x, part.y, LAW, family,
        pairs=PAIRS, partners=PARTNERS, seed=seed, where=where,
    )  # fmt: skip
    return asdict(found.expansion) | {
        "risk": {"value": found.risk.value, "standard_error": found.risk.standard_error},
        "remainder": found.remainder,
        "remainder_standard_error": found.remainder_standard_error,
    }
