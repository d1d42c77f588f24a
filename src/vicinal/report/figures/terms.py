"""The mixup loss taken apart: standard loss, R1, R2, R3 and what they miss."""

from collections.abc import Sequence
from typing import Any

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
    between,
    chart,
    coloured,
    mean,
    shaped,
    tooltips,
)
from vicinal.report.metrics import at
from vicinal.report.numbers import finite, number

TERMS = (
    ("loss", "standard"),
    ("r1", "R1"),
    ("r2", "R2"),
    ("r3", "R3"),
    ("remainder", "remainder"),
    ("risk", "mixup loss"),
)


VALUES = (
    "Losses of values leave out half the square of the target, which no model can change, so the "
    "standard loss and the mixup loss may be negative; the terms are not touched by it."
)


def decomposition(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """Standard loss, R1, R2, R3 and remainder beside the mixup loss, before and after training."""
    rows = {when: _term_rows(runs, when) for when in ("initial", "final")}
    titles = {"initial": "Before training", "final": "After training"}
    panels = tuple(_terms(group, titles[when], rows[when], look) for when in rows if rows[when])
    if not panels:
        return None
    laws = sorted(
        {str(at(r, "measured", "explanation", "law")) for rs in runs.values() for r in rs}
    )
    written = [
        (titles[when], r["method"], r["term"], number(r["value"]), between(r))
        for when, found in rows.items()
        for r in found
    ]
    return Figure(
        "decomposition",
        "What mixing adds to the loss",
        (
            "The mixup loss on the training set, taken apart to second order (Zhang, Deng, "
            "Kawaguchi, Ghorbani, Zou, ICLR 2021, arXiv:2010.04819): the standard loss; R1, a "
            "first-order term, the slope of the loss towards the mean of the data; R2, the "
            "curvature of the loss; R3, the curvature of the model. R1 and R3 may be negative. R3 "
            "is zero for networks made of straight pieces, such as ReLU networks.",
            "The remainder is what the expansion misses, mixup loss minus the four; where it is "
            f"large, the terms explain little. One law for all methods, λ ~ {', '.join(laws)}, so "
            "that they compare. Error bars: 95% intervals over seeds; for one seed, of the "
            "sampling within the run.",
            *((VALUES,) if group.metric("rmse") else ()),
        ),
        panels,
        Table(("When", "Method", "Term", "Mean", "95% interval"), tuple(written), 3),
        columns=2,
    )


def _term_rows(runs: Runs, when: str) -> list[Row]:
    rows = []
    for method, records in runs.items():
        for key, name in TERMS:
            found = [at(r, "measured", "explanation", when) for r in records]
            values = [v for e in found if (v := _term(e, key)) is not None]
            if values:
                error = _sampling_error(found[0], key) if len(values) == 1 else None
                rows.append({"method": method, "term": name, **mean(values, error)})
    return rows


def _term(explanation: Any, key: str) -> float | None:
    return finite(at(explanation, "risk", "value") if key == "risk" else at(explanation, key))


def _sampling_error(explanation: Any, key: str) -> float | None:
    """The standard error that a single run states for a term."""
    if key == "risk":
        return finite(at(explanation, "risk", "standard_error"))
    if key == "remainder":
        return finite(at(explanation, "remainder_standard_error"))
    return finite(at(explanation, "standard_errors", key))


def _terms(group: Group, title: str, rows: Sequence[Row], look: Sequence[Style]) -> Panel:
    small = alt.ExprRef("width < 280 ? 9 : 11")  # or the names touch on a phone
    axis = alt.Axis(
        labelAngle=0,
        labelExpr="split(datum.label, ' ')",
        labelFontSize=small,
        ticks=False,
        domain=False,
    )
    x = alt.X("term:N", sort=[n for _, n in TERMS], title=None, axis=axis)
    offset = alt.XOffset("method:N", sort=list(group.methods))
    y = alt.Y("value:Q", title="nats", axis=alt.Axis(tickCount=5))
    base = alt.Chart().encode(x=x, xOffset=offset, color=coloured(look))
    tips = [alt.Tooltip("term:N"), *tooltips(value="mean", low="from", high="to", seeds="seeds")]
    bars = base.mark_bar(opacity=0.75).encode(y=y, tooltip=tips)
    bars = bars.transform_filter("datum.term !== 'mixup loss'")
    error = base.mark_rule(aria=False, strokeWidth=1.2).encode(
        y=alt.Y("low:Q"), y2="high:Q", color=alt.value(INK)
    )
    error = error.transform_filter("isValid(datum.low)")
    point = base.mark_point(filled=True, size=64, opacity=1).encode(
        y=y, shape=shaped(look), tooltip=tips
    )
    point = point.transform_filter("datum.term === 'mixup loss'")
    zero = alt.Chart().mark_rule(aria=False, color=INK, opacity=0.4).encode(y=alt.datum(0))
    drawn = chart(bars, zero, error, point, height=240)
    return Panel(title, "Terms of the mixup loss as bars, the mixup loss as a marker.", rows, drawn)
