"""Label by label: what is measured of each of several labels, over the runs of a method."""

from collections.abc import Sequence
from typing import Any

from vicinal.maths.statistics import paired
from vicinal.report.comparison import Group
from vicinal.report.figures.panels import Figure, Runs, Style, Table
from vicinal.report.metrics import at
from vicinal.report.numbers import NONE, finite, level, spread

HEADERS = ("Label", "Method", "On %", "Average precision %", "Minus baseline", "Right %", "ECE %")


def by_label(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """A line for each label and method; only for runs with several labels."""
    found = {
        m: [labels for r in rs if (labels := at(r, "measured", "labels"))] for m, rs in runs.items()
    }
    if not any(found.values()):
        return None
    names = list(dict.fromkeys(str(one["label"]) for rs in found.values() for r in rs for one in r))
    lines = tuple(_line(name, method, runs, group.baseline) for name in names for method in runs)
    return Figure(
        "labels",
        "Label by label",
        (
            "Average precision is the mean of the precision at every example that has the label, "
            "in the order of the model's scores; a model that says nothing reaches the share of "
            "examples that have it (on). It is left out of runs in whose test part all examples "
            "have the label, or none. Mean and standard deviation over seeds; the difference is "
            "paired over seeds, with its 95% interval.",
            "ECE compares the probability of the label with how often it is on, before "
            "temperature.",
        ),
        (),
        Table(HEADERS, lines, 2),
        columns=2,
        legend=False,
    )


def _line(name: str, method: str, runs: Runs, baseline: str) -> tuple[str, ...]:
    own, other = (_by_seed(name, runs.get(m, ())) for m in (method, baseline))
    shown = {
        key: [v for one in own.values() if (v := finite(one[key])) is not None]
        for key in ("on", "average_precision", "accuracy", "ece")
    }
    return (
        name,
        method,
        _mean(shown["on"]),
        _spread(shown["average_precision"]),
        "baseline" if method == baseline else _difference(own, other),
        _spread(shown["accuracy"]),
        _spread(shown["ece"]),
    )


def _by_seed(name: str, records: Sequence[Any]) -> dict[int, Any]:
    return {
        int(record["configuration"]["seed"]): one
        for record in records
        for one in at(record, "measured", "labels") or ()
        if one["label"] == name
    }


def _difference(own: dict[int, Any], other: dict[int, Any]) -> str:
    key = "average_precision"
    pairs = [(finite(own[s][key]), finite(other[s][key])) for s in own if s in other]
    values = [100 * (a - b) for a, b in pairs if a is not None and b is not None]
    if not values:
        return NONE
    found = paired(values)
    ends = "" if found.low is None else f" [{found.low:+.1f}, {found.high:+.1f}]"
    return f"{found.mean:+.1f}{ends}".replace("-", "−")


def _mean(values: Sequence[float]) -> str:
    return level(sum(values) / len(values), "percent") if values else NONE


def _spread(values: Sequence[float]) -> str:
    if not values:
        return NONE
    mean = sum(values) / len(values)
    squares = sum((v - mean) ** 2 for v in values)
    return spread(
        mean, (squares / (len(values) - 1)) ** 0.5 if len(values) > 1 else None, "percent"
    )
