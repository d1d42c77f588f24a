"""Differences to the baseline: one panel per metric, one line per method."""

from collections.abc import Sequence

import altair as alt

from vicinal.report.comparison import Group
from vicinal.report.figures.panels import (
    INK,
    Figure,
    Panel,
    Row,
    Runs,
    Style,
    Table,
    chart,
    coloured,
    rounded,
    shaped,
    tooltips,
)
from vicinal.report.metrics import Metric
from vicinal.report.numbers import NONE, differences
from vicinal.report.sizes import middle, named_norm

SCALED = ("_before", "_after")  # how keys of pairs of metrics end


def paired_differences(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """Every method minus the baseline, one panel per metric."""
    norm = named_norm(group)
    # two panels stand beside each other: pairs, as trained and scaled, share a line
    plain = sorted(group.shown("differences"), key=lambda m: m.key.endswith(SCALED))
    robust = (middle(group, attack, norm) for attack in ("fgsm", "pgd", "ensemble"))
    metrics = [m for m in (*plain, *robust) if m]
    rows = {metric: _difference_rows(group, metric) for metric in metrics}
    panels = tuple(_forest(group, m, found, look) for m, found in rows.items() if found)
    if not panels:
        return None
    written = [_written_difference(row, metric) for metric, found in rows.items() for row in found]
    return Figure(
        "differences",
        f"Differences to {group.baseline}",
        (
            f"Each mark is the mean of method minus {group.baseline} on the same seeds, each bar "
            "its 95% interval. Where a bar crosses the line at zero, no difference is shown; that "
            "is not evidence that there is none."
            + ("" if group.intervals else " With one seed there are no intervals."),
        ),
        panels,
        Table(
            ("Metric", "Method", "Seeds", "Difference", "95% interval", "Reads"),
            tuple(written),
            2,
        ),
        columns=2,
        legend=False,
    )


def _difference_rows(group: Group, metric: Metric) -> list[Row]:
    scale = 100 if metric.unit == "percent" else 1
    rows = []
    for method in group.others:
        cell = group.cell(method, metric.key)
        if cell is not None and (d := cell.difference) is not None:
            ends = [None if v is None else rounded(scale * v) for v in (d.mean, d.low, d.high)]
            row = dict(zip(("value", "low", "high"), ends, strict=True))
            words = metric.phrase(d.words)
            rows.append({"method": method, **row, "seeds": d.count, "words": words, "zero": 0})
    return rows


def _forest(group: Group, metric: Metric, rows: Sequence[Row], look: Sequence[Style]) -> Panel:
    unit = {"percent": "points", "nats": "nats", "": ""}[metric.unit]
    good = "" if metric.better == "neither" else f"{metric.better} is better"
    y = alt.Y(
        "method:N",
        sort=list(group.others),
        title=None,
        axis=alt.Axis(labelLimit=150, ticks=False, domain=False, grid=False),
    )
    title = ", ".join(part for part in (unit, good) if part) or None
    x = alt.X(
        "value:Q",
        title=title,
        axis=alt.Axis(tickCount=5),
        scale=alt.Scale(zero=True, nice=True, padding=6),
    )
    base = alt.Chart().encode(y=y, color=coloured(look))
    zero = alt.Chart().mark_rule(aria=False, color=INK, opacity=0.5).encode(x=alt.X("zero:Q"))
    bar = base.mark_rule(aria=False, strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    bar = bar.transform_filter("isValid(datum.low)")
    tips = [
        *tooltips(value="difference", low="from", high="to", seeds="seeds"),
        alt.Tooltip("words:N", title="reads"),
    ]
    point = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=x, shape=shaped(look), tooltip=tips
    )
    drawn = chart(zero, bar, point, height=26 * len(rows) + 8)
    return Panel(metric.label, "Difference to the baseline with its interval.", rows, drawn)


def _written_difference(row: Row, metric: Metric) -> tuple[str, ...]:
    scale = 100 if metric.unit == "percent" else 1
    values = [None if row[k] is None else row[k] / scale for k in ("value", "low", "high")]
    mean, low, high = differences(values, metric.unit)
    between = NONE if row["low"] is None else f"{low} to {high}"
    return metric.label, row["method"], str(row["seeds"]), mean, between, row["words"]
