"""What was measured against α, where several strengths of one method were compared."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import altair as alt

from vicinal.report.comparison import Cell, Group
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
    mean,
    rounded,
    shaped,
    tooltips,
)
from vicinal.report.metrics import Metric
from vicinal.report.numbers import NONE, differences, level
from vicinal.report.words.findings import interval

ALPHA = re.compile(r"\balpha=([0-9.]+(?:e[+-]?\d+)?)")
APART = 1.12  # between marks of equal α
DASHES = {"solid": [1, 0], "dashed": [5, 3], "dotted": [1, 3], "dash-dotted": [7, 3, 1, 3]}


@dataclass(frozen=True)
class _Strength:
    """A method taken apart: what is left when α is blotted out, and α."""

    kind: str
    alpha: float


def strength(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """Accuracy, calibration and gap against α, one line for each kind of mixing."""
    found = _strengths(group.methods)
    if not found:
        return None
    rows = {m: _rows(group, m, found) for m in group.shown("strength")}
    dashes = dict(zip(dict.fromkeys(s.kind for s in found.values()), cycle(DASHES), strict=False))
    panels = tuple(
        _panel(m, drawn, group.baseline, look, dashes) for m, drawn in rows.items() if drawn
    )
    if not panels:
        return None
    written = [
        (_name(metric), r["method"], "" if r["alpha"] is None else f"{r['alpha']:g}",
         str(r["seeds"]), level(r["value"], metric.unit), *_difference(group, metric, r["method"]))
        for metric, drawn in rows.items()
        for r in drawn
    ]  # fmt: skip
    named = ", ".join(f"{kind} {dash}" for kind, dash in dashes.items())
    kinds = "" if len(dashes) == 1 else f" Lines: {named}."
    return Figure(
        "strength",
        "Against α",
        (
            "The strength of mixing: the larger α, the more evenly two examples are mixed; the "
            "axis is logarithmic. Each mark is a mean over seeds. The level line is "
            f"{group.baseline}, and each bar the 95% interval of the paired difference to it, "
            f"drawn around the mark: where it crosses the line, no difference is shown.{kinds}",
        ),
        panels,
        Table(
            ("Metric", "Method", "α", "Seeds", "Mean", "Difference", "95% interval"),
            tuple(written),
            3,
        ),
        columns=4,
    )


def _strengths(methods: Sequence[str]) -> Mapping[str, _Strength]:
    """The methods that come in two strengths or more."""
    read = {m: found for m in methods if (found := _read(m)) is not None}
    alphas: dict[str, set[float]] = {}
    for found in read.values():
        alphas.setdefault(found.kind, set()).add(found.alpha)
    return {m: found for m, found in read.items() if len(alphas[found.kind]) > 1}


def _read(method: str) -> _Strength | None:
    found = ALPHA.search(method)
    if found is None or not float(found[1]) > 0:
        return None
    kind = method.replace(found[0], "α")
    return _Strength(kind.replace("(α)", ""), float(found[1]))


def _rows(group: Group, metric: Metric, found: Mapping[str, _Strength]) -> list[Row]:
    """One row for each strength, and one for the level of the baseline."""
    rows: list[Row] = []
    kinds = list(dict.fromkeys(s.kind for s in found.values()))
    for method in group.methods:
        cell = group.cell(method, metric.key)
        if cell is None or not cell.values or not (method in found or method == group.baseline):
            continue
        row = mean(cell.values) | {"method": method, "low": None, "high": None}
        if method == group.baseline:
            rows.append(row | {"level": True, "alpha": None})
        if method in found:
            row |= _ends(cell)
            alpha, side = found[method].alpha, kinds.index(found[method].kind) - len(kinds) / 2
            # marks of equal α beside each other
            row |= {"kind": found[method].kind, "alpha": alpha, "place": alpha * APART**side}
            rows.append(row)
    return rows if any(row["alpha"] is not None for row in rows) else []


def _ends(cell: Cell) -> Row:
    """The interval of the paired difference, moved to the mean."""
    d = cell.difference
    if d is None or d.low is None or d.high is None or cell.mean is None:
        return {"low": None, "high": None}
    ends = (cell.mean + end - d.mean for end in (d.low, d.high))
    return dict(zip(("low", "high"), map(rounded, ends), strict=True))


def _difference(group: Group, metric: Metric, method: str) -> tuple[str, str]:
    """The paired difference to the baseline and its interval, written."""
    cell = group.cell(method, metric.key)
    d = None if cell is None else cell.difference
    if d is None:
        return NONE, NONE
    size = differences((d.mean, d.low, d.high), metric.unit)[0]
    return size, interval(d, metric.unit) or NONE


def _panel(
    metric: Metric,
    rows: Sequence[Row],
    baseline: str,
    look: Sequence[Style],
    dashes: Mapping[str, str],
) -> Panel:
    form = ".1%" if metric.unit == "percent" else "~g"
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(zero=False, padding=6),
        axis=alt.Axis(format=form, tickCount=4),
    )
    alphas = sorted({row["alpha"] for row in rows if row["alpha"] is not None})
    # room on both sides, and no labels but those of strengths that were run
    scale = alt.Scale(type="log", domain=[alphas[0] / 1.4, alphas[-1] * 1.4], nice=False)
    axis = alt.Axis(values=alphas, format="~g", grid=False, labelOverlap=True)
    x = alt.X("place:Q", title="α", scale=scale, axis=axis)
    tips = tooltips(alpha="α", value="mean", low="from", high="to", seeds="seeds")
    rule = (
        alt.Chart()
        .mark_rule(color=INK, strokeWidth=1.2)
        .encode(y=y, tooltip=tooltips(value="mean", seeds="seeds"))
        .transform_filter("datum.level")
    )
    mixed = "isValid(datum.alpha)"
    dash = alt.Scale(domain=list(dashes), range=[DASHES[word] for word in dashes.values()])
    line = (
        alt.Chart()
        .mark_line(color=INK, opacity=0.5, strokeWidth=1.2)
        .encode(x=x, y=y, strokeDash=alt.StrokeDash("kind:N", legend=None, scale=dash))
        .transform_filter(mixed)
    )
    base = alt.Chart().encode(x=x, color=coloured(look)).transform_filter(mixed)
    bar = base.mark_rule(aria=False, strokeWidth=1.6).encode(y=alt.Y("low:Q"), y2="high:Q")
    point = base.mark_point(filled=True, size=60, opacity=1).encode(
        y=y, shape=shaped(look), tooltip=tips
    )
    drawn = chart(rule, line, bar.transform_filter("isValid(datum.low)"), point, height=150)
    good = "" if metric.better == "neither" else f" {metric.better.capitalize()} is better."
    description = f"Mean over seeds against the strength of mixing; {baseline} as a level.{good}"
    return Panel(_name(metric), description, rows, drawn)


def _name(metric: Metric) -> str:
    unit = {"percent": " %", "nats": ", nats", "": ""}[metric.unit]
    return metric.label + (unit if metric.unit == "nats" else "")
