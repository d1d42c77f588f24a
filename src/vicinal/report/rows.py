"""The table of measurements, written: metrics as lines, methods as columns."""

from dataclasses import dataclass

from vicinal.report.comparison import Cell, Group
from vicinal.report.metrics import Metric
from vicinal.report.numbers import NONE, differences, plus_minus
from vicinal.report.sizes import middle, named_norm


@dataclass(frozen=True)
class Entry:
    """One cell of the table, written."""

    value: str
    difference: str
    words: str


@dataclass(frozen=True)
class Line:
    """One metric of the table, written."""

    label: str
    unit: str
    better: str
    entries: tuple[Entry, ...]


def main_metrics(group: Group) -> list[Metric]:
    """The metrics of the short table, without those that no run could measure."""
    norm = named_norm(group)
    robust = [middle(group, attack, norm) for attack in ("fgsm", "pgd", "ensemble")]
    metrics = group.shown("main") + [metric for metric in robust if metric is not None]
    measured = {cell.metric for cell in group.cells if cell.values}
    return [metric for metric in metrics if metric in measured]


def line(group: Group, metric: Metric) -> Line:
    """One metric over all methods, written."""
    cells = [group.cell(method, metric.key) for method in group.methods]
    return Line(
        label=metric.label,
        unit={"percent": "%", "nats": "nats", "": ""}[metric.unit],
        better="" if metric.better == "neither" else f"{metric.better} is better",
        entries=tuple(_entry(cell, group.baseline) for cell in cells),
    )


def _entry(cell: Cell | None, baseline: str) -> Entry:
    if cell is None or cell.mean is None:
        return Entry(NONE, "", "")
    unit = cell.metric.unit
    value = plus_minus(cell.mean, cell.sd, unit)
    left_out = f", {cell.left_out} not finite" if cell.left_out else ""
    if cell.difference is None:
        name = "baseline" if cell.method == baseline else "no shared seed"
        return Entry(value, "", name + left_out)
    d = cell.difference
    mean, low, high = differences((d.mean, d.low, d.high), unit)
    interval = "" if d.low is None else f" [{low}, {high}]"
    return Entry(value, mean + interval, cell.metric.phrase(d.words) + left_out)
