"""What a run measured, as named metrics. To add a measure is to add a row to METRICS."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from vicinal.report.numbers import finite
from vicinal.study.measured import Curve, ErrorCurve, Measured
from vicinal.study.record import Record

Better = Literal["higher", "lower", "neither"]
Unit = Literal["percent", "nats", ""]
View = Literal["main", "verdict", "differences", "strength", "gaps"]
"""Where a metric is shown, beside the table of all of them: in the short table, and in the matrix
of the first screen if one direction is good; in the sentences; in the figures of differences,
against the strength of mixing, and of gaps."""
Several = Literal["multilabel", "several values"]
"""That each example has several targets, and of which kind."""
Part = TypeVar("Part")


@dataclass(frozen=True)
class Threat:
    """What robust accuracy was measured against."""

    attack: str
    steps: int
    norm: str
    eps: float

    @property
    def name(self) -> str:
        """The attack with its number of steps, as in PGD-20."""
        return attack_name(self.attack, self.steps)

    @property
    def described(self) -> str:
        """Attack, norm and size, in words that do not break at the sign."""
        size = f"ε = {self.eps:g}".replace(" ", "\N{NO-BREAK SPACE}")
        return f"{self.name}, {NORMS.get(self.norm, self.norm)}, {size}"


@dataclass(frozen=True)
class Metric:
    """One number per run."""

    key: str
    label: str
    unit: Unit
    better: Better
    threat: Threat | None = None

    def phrase(self, words: str) -> str:
        """`higher` or `lower`, and whether this is the good direction where there is one."""
        if words not in ("higher", "lower") or self.better == "neither":
            return words
        return f"{words} ({'better' if words == self.better else 'worse'})"


@dataclass(frozen=True)
class Measure:
    """One metric: what it is called, where it is read, where it is shown.

    Attributes:
        key: its name in exports and in code.
        label: what people read.
        unit: percent for shares, which are written per hundred.
        better: which direction is good.
        value: reads it off what was measured. None where runs of this kind do not measure it; nan
            where they do and this one could not.
        shown: where, beside the table of all metrics.
        topic: what the verdict calls it; rows of one topic share a sentence. The label, if empty.
        multilabel, several_values: the label where each example has several labels, or values.
    """

    key: str
    label: str
    unit: Unit
    better: Better
    value: Callable[[Measured], float | None]
    shown: tuple[View, ...] = ()
    topic: str = ""
    multilabel: str = ""
    several_values: str = ""

    def metric(self, several: Several | None) -> Metric:
        """The metric, by the name that it has for such targets."""
        words = {None: "", "multilabel": self.multilabel, "several values": self.several_values}
        return Metric(self.key, words[several] or self.label, self.unit, self.better)


NORMS = {"linf": "l∞", "l2": "l2", "l1": "l1"}


def of(part: Part | None, value: Callable[[Part], float | None]) -> float | None:
    """A number of a part of what was measured; nan where there is the part and not the number."""
    if part is None:
        return None
    found = value(part)
    return math.nan if found is None else found


METRICS = (
    Measure("accuracy", "Test accuracy", "percent", "higher",
        lambda m: of(m.accuracy, lambda a: a.test),
        ("main", "verdict", "differences", "strength"),
        multilabel="Test accuracy, all labels right"),
    Measure("balanced_accuracy", "Balanced accuracy, mean recall", "percent", "higher",
        lambda m: of(m.balance, lambda b: b.balanced_accuracy), ("main",)),
    Measure("constant_accuracy", "Accuracy of always answering the most frequent class", "percent",
        "neither", lambda m: of(m.balance, lambda b: b.constant.accuracy), ("main",)),
    Measure("labels_right", "Test accuracy, label by label", "percent", "higher",
        lambda m: m.labels_right, ("main", "verdict", "differences")),
    Measure("average_precision", "Average precision, mean over labels", "percent", "higher",
        lambda m: m.average_precision, ("main", "verdict", "differences")),
    Measure("rmse", "Test RMSE", "", "lower",
        lambda m: m.rmse, ("main", "verdict", "differences", "strength"),
        several_values="Test RMSE, in standard deviations"),
    Measure("r_squared", "Test R²", "", "higher",
        lambda m: m.r2, ("main", "differences", "strength"),
        several_values="Test R², mean over the values"),
    Measure("mae", "Test mean absolute error", "", "lower", lambda m: m.mae,
        several_values="Test mean absolute error, in standard deviations"),
    Measure("coverage", "Distance of coverage from its level", "percent", "lower",
        lambda m: of(m.coverage, lambda c: c.error),
        ("main", "verdict", "differences", "strength")),
    Measure("nll_before", "NLL, before temperature", "nats", "lower",
        lambda m: of(m.calibration, lambda c: c.before.nll),
        ("main", "verdict", "differences", "strength"), "NLL",
        multilabel="NLL per label, before temperature"),
    Measure("nll_after", "NLL, after temperature", "nats", "lower",
        lambda m: of(m.calibration, lambda c: c.after.nll),
        ("main", "verdict", "differences", "strength"), "NLL",
        multilabel="NLL per label, after temperature"),
    Measure("ece_before", "ECE, before temperature", "percent", "lower",
        lambda m: of(m.calibration, lambda c: c.before.ece),
        ("main", "verdict", "differences", "strength"), "ECE",
        multilabel="ECE over all labels, before temperature"),
    Measure("ece_after", "ECE, after temperature", "percent", "lower",
        lambda m: of(m.calibration, lambda c: c.after.ece),
        ("main", "verdict", "differences", "strength"), "ECE",
        multilabel="ECE over all labels, after temperature"),
    Measure("brier_before", "Brier, before temperature", "", "lower",
        lambda m: of(m.calibration, lambda c: c.before.brier), ("differences",)),
    Measure("brier_after", "Brier, after temperature", "", "lower",
        lambda m: of(m.calibration, lambda c: c.after.brier), ("differences",)),
    Measure("signed_gap_before", "Confidence minus accuracy, before temperature", "percent",
        "neither", lambda m: of(m.calibration, lambda c: c.before.signed_gap), ("main",)),
    Measure("absolute_signed_gap_before", "|Confidence minus accuracy|, before temperature",
        "percent", "lower", lambda m: of(m.calibration, lambda c: abs(c.before.signed_gap))),
    Measure("signed_gap_after", "Confidence minus accuracy, after temperature", "percent",
        "neither", lambda m: of(m.calibration, lambda c: c.after.signed_gap)),
    Measure("absolute_signed_gap_after", "|Confidence minus accuracy|, after temperature",
        "percent", "lower", lambda m: of(m.calibration, lambda c: abs(c.after.signed_gap))),
    Measure("temperature", "Temperature", "", "neither", lambda m: m.temperature, ("main",)),
    Measure("gap_loss", "Gap in loss, test minus train", "nats", "neither",
        lambda m: of(m.gap, lambda g: g.loss),
        ("main", "verdict", "differences", "strength", "gaps"), "Gap, test minus training loss"),
    Measure("gap_accuracy", "Gap in accuracy, train minus test", "percent", "neither",
        lambda m: of(m.gap, lambda g: g.accuracy), ("strength", "gaps")),
    Measure("bound", "Bound on the loss", "nats", "neither",
        lambda m: of(m.bound, lambda b: b.value)),
    Measure("bound_constant", "Loss of a constant prediction", "nats", "neither",
        lambda m: of(m.bound, lambda b: b.constant_loss)),
    Measure("masking", "Failed checks for masked gradients", "", "lower",
        lambda m: of(m.masking, lambda s: s.failed)),
    Measure("risk", "Mixup loss at the end", "nats", "neither",
        lambda m: of(m.explanation, lambda e: e.final.risk.value)),
    Measure("loss", "Standard loss at the end", "nats", "neither",
        lambda m: of(m.explanation, lambda e: e.final.loss)),
    Measure("r1", "R1 at the end", "nats", "neither",
        lambda m: of(m.explanation, lambda e: e.final.r1)),
    Measure("r2", "R2 at the end", "nats", "neither",
        lambda m: of(m.explanation, lambda e: e.final.r2)),
    Measure("r3", "R3 at the end", "nats", "neither",
        lambda m: of(m.explanation, lambda e: e.final.r3)),
    Measure("remainder", "Remainder at the end", "nats", "neither",
        lambda m: of(m.explanation, lambda e: e.final.remainder)),
)  # fmt: skip
"""Every metric of a run, in the order in which they are shown; those under attack follow."""


def shown(view: View) -> tuple[Measure, ...]:
    """The rows of METRICS that a view shows, in their order."""
    return tuple(row for row in METRICS if view in row.shown)


def attack_name(attack: str, steps: int) -> str:
    """FGSM, PGD-20, worst case."""
    if attack in (named := {"ensemble": "worst case", "minimum norm": "nearest broken point"}):
        return named[attack]
    return attack.upper() if steps <= 1 else f"{attack.upper()}-{steps}"


def measurements(record: Record) -> dict[Metric, float | None]:
    """Every metric of one finished run; None where the value is not finite."""
    if record.measured is None:
        return {}
    targets = several(record)
    read = ((row.metric(targets), row.value(record.measured)) for row in METRICS)
    plain = {metric: finite(value) for metric, value in read if value is not None}
    return plain | dict(_under_attack(record.measured, targets))


def several(record: Record) -> Several | None:
    """Which kind of several targets each example has, if it has several."""
    if record.data is None:
        return None
    if record.data.task == "multilabel":
        return "multilabel"
    return "several values" if record.data.task == "regression" and record.data.labels else None


def _under_attack(
    measured: Measured, targets: Several | None
) -> Iterator[tuple[Metric, float | None]]:
    """Accuracy of classes and error of values, at every size of every attack."""
    name = "All labels right" if targets == "multilabel" else "Accuracy"
    for curve in measured.robustness or ():
        for point in curve.points:
            yield from _at(curve, point.eps, name, "percent", "higher", point.accuracy)
    name = "RMSE, in standard deviations," if targets == "several values" else "RMSE"
    for errors in measured.robust_rmse or ():
        for of_values in errors.points:
            yield from _at(errors, of_values.eps, name, "", "lower", of_values.rmse)


def _at(
    curve: Curve | ErrorCurve, eps: float, name: str, unit: Unit, better: Better, value: float
) -> Iterator[tuple[Metric, float | None]]:
    if eps > 0:  # at 0 it is the clean accuracy again
        threat = Threat(curve.attack, curve.steps, curve.norm, float(eps))
        key = f"robust/{curve.attack}-{curve.steps}/{curve.norm}/{threat.eps:g}"
        yield Metric(key, f"{name} under {threat.described}", unit, better, threat), finite(value)
