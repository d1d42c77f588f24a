"""What a run measured, as named metrics: where each stands in a record, and which way is good."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vicinal.report.numbers import finite

Better = Literal["higher", "lower", "neither"]
Unit = Literal["percent", "nats", ""]


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


NORMS = {"linf": "l∞", "l2": "l2", "l1": "l1"}

# key, label, unit, better, path inside `measured`
_PLAIN: tuple[tuple[str, str, Unit, Better, tuple[str, ...]], ...] = (
    ("accuracy", "Test accuracy", "percent", "higher", ("accuracy", "test")),
    ("labels_right", "Test accuracy, label by label", "percent", "higher", ("labels_right",)),
    (
        "average_precision",
        "Average precision, mean over labels",
        "percent",
        "higher",
        ("average_precision",),
    ),
    ("rmse", "Test RMSE", "", "lower", ("rmse",)),
    ("r_squared", "Test R²", "", "higher", ("r2",)),
    ("mae", "Test mean absolute error", "", "lower", ("mae",)),
    ("coverage", "Distance of coverage from its level", "percent", "lower", ("coverage", "error")),
    ("nll_before", "NLL, before temperature", "nats", "lower", ("calibration", "before", "nll")),
    ("nll_after", "NLL, after temperature", "nats", "lower", ("calibration", "after", "nll")),
    ("ece_before", "ECE, before temperature", "percent", "lower", ("calibration", "before", "ece")),
    ("ece_after", "ECE, after temperature", "percent", "lower", ("calibration", "after", "ece")),
    ("brier_before", "Brier, before temperature", "", "lower", ("calibration", "before", "brier")),
    ("brier_after", "Brier, after temperature", "", "lower", ("calibration", "after", "brier")),
    (
        "signed_gap_before",
        "Confidence minus accuracy, before temperature",
        "percent",
        "neither",
        ("calibration", "before", "signed_gap"),
    ),
    (
        "signed_gap_after",
        "Confidence minus accuracy, after temperature",
        "percent",
        "neither",
        ("calibration", "after", "signed_gap"),
    ),
    ("temperature", "Temperature", "", "neither", ("temperature",)),
    ("gap_loss", "Gap in loss, test minus train", "nats", "neither", ("gap", "loss")),
    (
        "gap_accuracy",
        "Gap in accuracy, train minus test",
        "percent",
        "neither",
        ("gap", "accuracy"),
    ),
    ("bound", "Bound on the loss", "nats", "neither", ("bound", "value")),
    (
        "bound_constant",
        "Loss of a constant prediction",
        "nats",
        "neither",
        ("bound", "constant_loss"),
    ),
    (
        "masking",
        "Failed checks for masked gradients",
        "",
        "lower",
        ("masking", "failed"),
    ),
    ("risk", "Mixup loss at the end", "nats", "neither", ("explanation", "final", "risk", "value")),
    ("loss", "Standard loss at the end", "nats", "neither", ("explanation", "final", "loss")),
    ("r1", "R1 at the end", "nats", "neither", ("explanation", "final", "r1")),
    ("r2", "R2 at the end", "nats", "neither", ("explanation", "final", "r2")),
    ("r3", "R3 at the end", "nats", "neither", ("explanation", "final", "r3")),
    ("remainder", "Remainder at the end", "nats", "neither", ("explanation", "final", "remainder")),
)


_IN_OTHER_WORDS: dict[str, dict[str, str]] = {
    "multilabel": {
        "Test accuracy": "Test accuracy, all labels right",
        "Accuracy": "All labels right",
        "NLL, before temperature": "NLL per label, before temperature",
        "NLL, after temperature": "NLL per label, after temperature",
        "ECE, before temperature": "ECE over all labels, before temperature",
        "ECE, after temperature": "ECE over all labels, after temperature",
    },
    "several values": {
        "Test RMSE": "Test RMSE, in standard deviations",
        "Test R²": "Test R², mean over the values",
        "Test mean absolute error": "Test mean absolute error, in standard deviations",
        "RMSE": "RMSE, in standard deviations,",
    },
}
"""What a metric is called where there are several targets for each example."""


def attack_name(attack: str, steps: int) -> str:
    """FGSM, PGD-20, worst case."""
    if attack in (named := {"ensemble": "worst case", "minimum norm": "nearest broken point"}):
        return named[attack]
    return attack.upper() if steps <= 1 else f"{attack.upper()}-{steps}"


def at(record: Any, *path: str) -> Any:
    """What stands at a path of keys, None where the path ends early."""
    for key in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(key)
    return record


def measurements(record: Mapping[str, Any]) -> dict[Metric, float | None]:
    """Every metric of one finished run; None where the value is not finite."""
    measured = record.get("measured") or {}
    words = _words(record)
    found: dict[Metric, float | None] = {}
    for key, label, unit, better, path in _PLAIN:
        if path[0] not in measured:
            continue  # of another kind of target
        label = words.get(label, label)
        found[Metric(key, label, unit, better)] = finite(at(measured, *path))
        if key.startswith("signed_gap"):
            found[_size_of_gap(key, label)] = _absolute(finite(at(measured, *path)))
    return found | dict(_robust(measured, words))


def several(record: Mapping[str, Any]) -> str:
    """Which kind of several targets each example has: multilabel, several values, or none."""
    task = at(record, "data", "task")
    if task == "multilabel":
        return "multilabel"
    return "several values" if task == "regression" and at(record, "data", "labels") else ""


def _words(record: Mapping[str, Any]) -> Mapping[str, str]:
    return _IN_OTHER_WORDS.get(several(record), {})


def _robust(
    measured: Mapping[str, Any], words: Mapping[str, str]
) -> Iterator[tuple[Metric, float | None]]:
    of_values: list[tuple[str, str, Unit, Better, Mapping[str, Any]]] = [
        ("rmse", "RMSE", "", "lower", c) for c in measured.get("robust_rmse") or ()
    ]
    curves: list[tuple[str, str, Unit, Better, Mapping[str, Any]]] = [
        ("accuracy", "Accuracy", "percent", "higher", c) for c in measured.get("robustness") or ()
    ]
    for value, name, unit, better, curve in (*curves, *of_values):
        attack, norm, steps = str(curve["attack"]), str(curve["norm"]), int(curve.get("steps") or 1)
        for point in curve["points"]:
            if point["eps"] > 0:  # at 0 it is the clean accuracy again
                threat = Threat(attack, steps, norm, float(point["eps"]))
                key = f"robust/{attack}-{steps}/{norm}/{threat.eps:g}"
                label = f"{words.get(name, name)} under {threat.described}"
                yield Metric(key, label, unit, better, threat), finite(point[value])


def _size_of_gap(key: str, label: str) -> Metric:
    label = label.replace("Confidence minus accuracy", "|Confidence minus accuracy|")
    return Metric(f"absolute_{key}", label, "percent", "lower")


def _absolute(value: float | None) -> float | None:
    return None if value is None else abs(value)
