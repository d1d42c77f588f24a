"""Reliability diagrams: accuracy against confidence, before and after temperature scaling."""

from collections.abc import Sequence

import altair as alt

from vicinal.maths.statistics import proportion
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
    rounded,
    shaped,
    tooltips,
)
from vicinal.report.numbers import finite, level
from vicinal.study.measured import Calibration
from vicinal.study.record import Record


def reliability(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """Accuracy in each bin of confidence, before and after temperature scaling."""
    rows = {
        (method, when): found
        for method, records in runs.items()
        for when, read in WHEN.items()
        if (found := _bin_rows(method, [c for r in records if (c := read(r)) is not None]))
    }
    if not rows:
        return None
    written = [
        (method, f"{when} scaling", f"{r['left']:.2f} to {r['right']:.2f}", str(r["count"]),
         level(r["confidence"], "percent"), level(r["value"], "percent"), between(r, "percent"))
        for (method, when), found in rows.items()
        for r in found
    ]  # fmt: skip
    headers = ("Method", "When", "Bin", "Examples", "Confidence %", "Accuracy %", "95% interval")
    return Figure(
        "reliability",
        "Reliability",
        (
            "Accuracy on test examples against the confidence of the model, in equal bins, as "
            "trained and after dividing the logits by one temperature fitted on validation data. "
            "On the diagonal confidence is right; above it the model is under-confident.",
            "Bars show the share of examples in each bin. Runs of all seeds are pooled; the "
            "Wilson 95% intervals take their examples as independent.",
        ),
        tuple(
            reliable(
                f"{method}, {'as trained' if when == 'before' else 'scaled'}",
                f"Accuracy by confidence, {when} temperature scaling, with the diagonal.",
                found,
                look,
            )
            for (method, when), found in rows.items()
        ),
        Table(headers, tuple(written), 3),
        columns=6,
        legend=False,
    )


def _before(record: Record) -> Calibration | None:
    scaled = record.measured and record.measured.calibration
    return scaled.before if scaled else None


def _after(record: Record) -> Calibration | None:
    scaled = record.measured and record.measured.calibration
    return scaled.after if scaled else None


WHEN = {"before": _before, "after": _after}
"""Scaling by one temperature, and what was measured then."""


def _bin_rows(method: str, measured: Sequence[Calibration]) -> list[Row]:
    """Bins with examples, pooled over runs."""
    pooled: dict[tuple[float, float], list[float]] = {}
    for b in (b for found in measured for b in found.bins):
        confidence, accuracy = finite(b.confidence), finite(b.accuracy)
        if b.count and confidence is not None and accuracy is not None:
            sums = pooled.setdefault((float(b.low), float(b.high)), [0.0, 0.0, 0.0])
            for i, part in enumerate((1.0, confidence, accuracy)):
                sums[i] += b.count * part
    total = sum(count for count, _, _ in pooled.values())
    return [
        bin_row(method, ends, (round(count), confidence, round(right)), total)
        for ends, (count, confidence, right) in sorted(pooled.items())
    ]


def bin_row(
    method: str, ends: tuple[float, float], sums: tuple[int, float, int], total: float
) -> Row:
    """One bin: sums are its examples, their confidences, and how many of them are right."""
    count, confidence, right = sums
    wilson = proportion(right, count)
    return {
        "method": method,
        "left": rounded(ends[0]),
        "right": rounded(ends[1]),
        "count": count,
        "share": rounded(count / total),
        "confidence": rounded(confidence / count),
        "value": rounded(wilson.value),
        "low": rounded(wilson.low),
        "high": rounded(wilson.high),
    }


def reliable(title: str, description: str, rows: Sequence[Row], look: Sequence[Style]) -> Panel:
    """Accuracy by confidence of one method, with the diagonal and the share of each bin."""
    method = rows[0]["method"]
    unit = alt.Scale(domain=[0, 1])
    percent = alt.Axis(format=".0%", values=[0, 0.5, 1], grid=False)
    x = alt.X("confidence:Q", scale=unit, title="confidence", axis=percent)
    y = alt.Y("value:Q", scale=unit, title=None, axis=percent)
    tips = tooltips(
        confidence="confidence", value="accuracy", low="from", high="to", count="examples"
    )
    share = (
        alt.Chart()
        .mark_rect(color=INK, opacity=0.16)
        .encode(x=alt.X("left:Q"), x2="right:Q", y=alt.Y("share:Q"), y2=alt.datum(0))
    )
    diagonal = (
        alt.Chart(alt.InlineData(values=[{"at": 0, "method": method}, {"at": 1, "method": method}]))
        .mark_line(color=INK, opacity=0.45, strokeDash=[3, 3], strokeWidth=1)
        .encode(x=alt.X("at:Q"), y=alt.Y("at:Q"))
    )
    base = alt.Chart().encode(x=x, color=coloured(look))
    bar = base.mark_rule(aria=False, strokeWidth=1.4).encode(y=alt.Y("low:Q"), y2="high:Q")
    point = base.mark_point(filled=True, size=38, opacity=1).encode(
        y=y, shape=shaped(look), tooltip=tips
    )
    drawn = chart(share, diagonal, bar, point, height=140)
    return Panel(title, description, rows, drawn)
