"""Label by label: what is measured of each of several labels, over the runs of a method."""

import statistics
from collections.abc import Iterable, Sequence

from vicinal.maths.statistics import paired
from vicinal.report.comparison import Group
from vicinal.report.figures.panels import Figure, Runs, Style, Table
from vicinal.report.numbers import NONE, deviation, finite, level, plus_minus
from vicinal.study.measured import Label
from vicinal.study.record import Record

HEADERS = ("Label", "Method", "On %", "Average precision %", "Minus baseline", "Right %", "ECE %")


def by_label(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """A line for each label and method; only for runs with several labels."""
    names = list(dict.fromkeys(one.label for rs in runs.values() for r in rs for one in _of(r)))
    if not names:
        return None
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


def _of(record: Record) -> Sequence[Label]:
    return (record.measured and record.measured.labels) or ()


def _line(name: str, method: str, runs: Runs, baseline: str) -> tuple[str, ...]:
    own, other = (_by_seed(name, runs.get(m, ())) for m in (method, baseline))
    on = _finite(one.on for one in own.values())
    return (
        name,
        method,
        level(statistics.fmean(on), "percent") if on else NONE,
        _level(one.average_precision for one in own.values()),
        "baseline" if method == baseline else _difference(own, other),
        _level(one.accuracy for one in own.values()),
        _level(one.ece for one in own.values()),
    )


def _by_seed(name: str, records: Sequence[Record]) -> dict[int, Label]:
    return {record.seed: one for record in records for one in _of(record) if one.label == name}


def _difference(own: dict[int, Label], other: dict[int, Label]) -> str:
    """Of average precision, over the seeds of which both have it."""
    pairs = [(own[s].average_precision, other[s].average_precision) for s in own if s in other]
    values = [100 * (a - b) for a, b in pairs if a is not None and b is not None]
    if not values:
        return NONE
    found = paired(values)
    ends = "" if found.low is None else f" [{found.low:+.1f}, {found.high:+.1f}]"
    return f"{found.mean:+.1f}{ends}".replace("-", "−")


def _level(values: Iterable[float | None]) -> str:
    """Mean and deviation over seeds."""
    found = _finite(values)
    return plus_minus(statistics.fmean(found), deviation(found), "percent") if found else NONE


def _finite(values: Iterable[float | None]) -> list[float]:
    return [number for value in values if (number := finite(value)) is not None]
