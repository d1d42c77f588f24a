"""The figures of one explained model: its loss against the strength of mixing, and the terms."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from vicinal.report.figures.panels import (
    INK,
    Figure,
    Panel,
    Row,
    Style,
    Table,
    chart,
    coloured,
    lines,
    rounded,
    styles,
    tooltips,
)
from vicinal.report.numbers import NONE, fixed, number

Plain = Mapping[str, Any]
"""An Explanation as plain data, or a part of it."""

LINES = ("mixup loss", "expansion at the examples", "expansion at shrunk examples")
TERMS = ("R1", "R2", "R3", "remainder")
ADDED = "what mixing adds"


def error_of(risk: Plain) -> float:
    """Of sampling and of quadrature together; None counts as none."""
    return float(risk["standard_error"] or 0) + float(risk["quadrature_error"] or 0)


def totals(point: Plain) -> tuple[float, float, float]:
    """The mixup loss and both of its expansions, at one strength."""
    return point["risk"]["value"], point["expansion"]["total"], point["shrunk"]["total"]


def missed(point: Plain) -> tuple[float | None, float | None]:
    """How far both expansions are off, as shares of what mixing adds; None where it adds nothing.

    Losses of values lack the terms in the targets alone, so shares of the loss would mean nothing.
    """
    risk, first, shrunk = totals(point)
    added = risk - point["expansion"]["loss"]
    if abs(added) <= 1.96 * error_of(point["risk"]):
        return None, None
    return (first - risk) / abs(added), (shrunk - risk) / abs(added)


def figures(record: Plain) -> tuple[tuple[Figure, tuple[Style, ...]], ...]:
    """Both figures, each with how its lines or terms are drawn."""
    return (_curve(record), styles(LINES)), (_terms(record), _looks_of_terms())


def _looks_of_terms() -> tuple[Style, ...]:
    """Colours for the terms, ink for their sum."""
    return (*styles(("", *TERMS))[1:], Style(ADDED, INK, styles(LINES)[0].shape))


def _curve(record: Plain) -> Figure:
    curve, look = record["curve"], styles(LINES)
    rows: list[Row] = []
    gaps: list[Row] = []
    for point in curve:
        values, half = totals(point), 1.96 * error_of(point["risk"])
        for line, value, off in zip(LINES, values, (0.0, *missed(point)), strict=True):
            ends = (value - half, value + half) if line == LINES[0] else (None, None)
            shown = {"alpha": point["alpha"], "method": line, "mark": True}
            low, high = map(rounded, ends)
            rows.append(shown | {"value": rounded(value), "low": low, "high": high})
            if off is not None:
                gaps.append(shown | {"value": rounded(100 * off), "low": None, "high": None})
    x = alt.X("alpha:Q", title="α", scale=alt.Scale(type="log", nice=False), axis=_at(curve))
    tips = tooltips(alpha="α", value="nats", low="from", high="to")
    y = alt.Y("value:Q", title="nats", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    percent = alt.Y("value:Q", title="% of what mixing adds", axis=alt.Axis(tickCount=5))
    panels = (
        Panel(
            "Loss against the strength of mixing",
            "The mixup loss and both expansions as lines over α, on a logarithmic axis.",
            rows,
            lines(look, x, y, tips),
        ),
        Panel(
            "How far the expansions are off",
            "The difference of each expansion from the mixup loss, in % of what mixing adds.",
            gaps,
            lines(look, x, percent, tooltips(alpha="α", value="%")),
        ),
    )
    return Figure(
        "strength-of-mixing",
        "The loss against the strength of mixing",
        (
            "The mixup loss of this model under λ ~ Beta(α, α), its band a 95% interval of "
            "sampling and quadrature, beside two expansions of it to second order: about the "
            "examples themselves, where only E[λ(1−λ)] of the law enters, and about the examples "
            "shrunk towards the mean, inputs and labels alike.",
            "Where an expansion keeps close to the mixup loss, its terms explain what mixing does "
            "to this model; where it does not, they do not. How far it is off is told in % of what "
            "mixing adds to the loss, where that is more than the error of sampling.",
        ),
        panels if any(row["method"] != LINES[0] for row in gaps) else panels[:1],
        _numbers(curve),
        columns=2,
    )


def _at(curve: Sequence[Plain]) -> alt.Axis:
    """Ticks where something was measured."""
    return alt.Axis(values=[p["alpha"] for p in curve], format="~g", labelOverlap="greedy")


def _numbers(curve: Sequence[Plain]) -> Table:
    head = ("α", "mixup loss", "± (95%)", "at the examples", "off by", "at shrunk ones", "off by")
    written = []
    for point in curve:
        risk, first, shrunk = totals(point)
        off = [NONE if v is None else f"{fixed(100 * v, 1)} %" for v in missed(point)]
        numbers = (number(risk), number(1.96 * error_of(point["risk"])))
        written.append(
            (f"{point['alpha']:g}", *numbers, number(first), off[0], number(shrunk), off[1])
        )
    return Table(head, tuple(written))


def _terms(record: Plain) -> Figure:
    rows: list[Row] = []
    for point in record["curve"]:
        first, alpha = point["expansion"], f"{point['alpha']:g}"
        added = point["risk"]["value"] - first["loss"]
        left = point["risk"]["value"] - first["total"]
        values = (first["r1"], first["r2"], first["r3"], left, added)
        for k, (term, value) in enumerate(zip((*TERMS, ADDED), values, strict=True)):
            rows.append({"alpha": alpha, "method": term, "value": rounded(value), "order": k})
    return Figure(
        "terms-of-the-expansion",
        "What mixing adds, and what explains it",
        (
            "What mixing adds to the loss (the marker), taken apart and stacked: R1, the slope of "
            "the loss towards the mean of the data; R2, the curvature of the loss; R3, the "
            "curvature of the model, 0 for networks made of straight pieces; and the remainder, "
            "which the expansion at the examples misses. Negative terms hang below zero.",
        ),
        (
            Panel(
                "Terms, stacked",
                "A stack of terms for each strength, and what mixing adds as a marker.",
                rows,
                _stacked([f"{point['alpha']:g}" for point in record["curve"]]),
            ),
        ),
        _terms_table(record["curve"]),
        columns=1,
    )


def _stacked(alphas: Sequence[str]) -> alt.LayerChart:
    look = _looks_of_terms()
    axis = alt.Axis(labelAngle=0, ticks=False)
    x = alt.X("alpha:N", sort=list(alphas), title="α", axis=axis)
    tips = [alt.Tooltip("alpha:N", title="α"), *tooltips(value="nats")]
    base = alt.Chart().encode(x=x, color=coloured(look), tooltip=tips)
    y = alt.Y("value:Q", title="nats", stack="zero", axis=alt.Axis(tickCount=5))
    bars = base.mark_bar().encode(y=y, order="order:Q")
    bars = bars.transform_filter(f"datum.method !== '{ADDED}'")
    point = base.mark_point(filled=True, size=60, opacity=1).encode(y="value:Q")
    point = point.transform_filter(f"datum.method === '{ADDED}'")
    zero = alt.Chart().mark_rule(aria=False, color=INK, opacity=0.4).encode(y=alt.datum(0))
    return chart(bars, zero, point, height=240)


def _terms_table(curve: Sequence[Plain]) -> Table:
    written = []
    for point in curve:
        first = point["expansion"]
        errors = first["standard_errors"]
        cells = [
            number(first[key]) + (f" ± {number(1.96 * errors[key])}" if errors[key] else "")
            for key in ("loss", "r1", "r2", "r3", "total")
        ]
        left = number(point["risk"]["value"] - first["total"])
        written.append((f"{point['alpha']:g}", *cells, left))
    return Table(("α", "standard loss", "R1", "R2", "R3", "sum", "remainder"), tuple(written))
