"""The mixup loss taken apart: standard loss, R1, R2, R3 and what they miss."""

from collections.abc import Callable, Sequence

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
from vicinal.report.numbers import finite, number
from vicinal.study.measured import Explanation, Terms

Number = Callable[[Terms], float | None]
TERMS: dict[str, tuple[Number, Number]] = {
    "standard": (lambda t: t.loss, lambda t: t.standard_errors.get("loss")),
    "R1": (lambda t: t.r1, lambda t: t.standard_errors.get("r1")),
    "R2": (lambda t: t.r2, lambda t: t.standard_errors.get("r2")),
    "R3": (lambda t: t.r3, lambda t: t.standard_errors.get("r3")),
    "remainder": (lambda t: t.remainder, lambda t: t.remainder_standard_error),
    "mixup loss": (lambda t: t.risk.value, lambda t: t.risk.standard_error),
}
"""What is drawn, by its name: its value, and the standard error that a single run states for it."""
WHEN: dict[str, Callable[[Explanation], Terms]] = {
    "Before training": lambda e: e.initial,
    "After training": lambda e: e.final,
}
VALUES = (
    "Losses of values leave out half the square of the target, which no model can change, so the "
    "standard loss and the mixup loss may be negative; the terms are not touched by it."
)


def decomposition(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """Standard loss, R1, R2, R3 and remainder beside the mixup loss, before and after training."""
    explained = {
        method: [r.measured.explanation for r in records if r.measured and r.measured.explanation]
        for method, records in runs.items()
    }
    rows = {
        when: [
            row
            for method, found in explained.items()
            for row in _rows(method, [terms(explanation) for explanation in found])
        ]
        for when, terms in WHEN.items()
    }
    panels = tuple(_terms(group, when, found, look) for when, found in rows.items() if found)
    if not panels:
        return None
    laws = sorted({explanation.law for found in explained.values() for explanation in found})
    written = [
        (when, r["method"], r["term"], number(r["value"]), between(r))
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


def _rows(method: str, found: Sequence[Terms]) -> list[Row]:
    rows = []
    for name, (value, standard_error) in TERMS.items():
        values = [v for terms in found if (v := finite(value(terms))) is not None]
        if values:
            error = finite(standard_error(found[0])) if len(values) == 1 else None
            rows.append({"method": method, "term": name, **mean(values, error)})
    return rows


def _terms(group: Group, title: str, rows: Sequence[Row], look: Sequence[Style]) -> Panel:
    small = alt.ExprRef("width < 280 ? 9 : 11")  # or the names touch on a phone
    axis = alt.Axis(
        labelAngle=0,
        labelExpr="split(datum.label, ' ')",
        labelFontSize=small,
        ticks=False,
        domain=False,
    )
    x = alt.X("term:N", sort=list(TERMS), title=None, axis=axis)
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
