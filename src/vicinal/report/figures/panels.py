"""What every figure shares: colours and shapes of methods, panels, and lines with bands.

A figure is a grid of small charts, each as wide as its place in the page. The legend belongs
to the page, one for all panels: it cannot be lost when layers are merged, its entries are
real buttons, and it sets the signal `hidden` of every panel. Colours of axes are
`currentColor`, so the page's style alone decides between light and dark, on screen and paper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from vicinal.maths.statistics import paired
from vicinal.report.numbers import NONE, fixed, number
from vicinal.study.record import Record

INK = "currentColor"  # the baseline, axes and text
# Okabe and Ito (2008), without black (the ink) and the yellow that white paper swallows
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# SVG paths inside the square from -1 to 1, the same in Vega and in the page's legend
SHAPES = (
    "M0-.8A.8 .8 0 1 1 0 .8A.8 .8 0 1 1 0-.8Z",
    "M-.75-.75H.75V.75H-.75Z",
    "M0-.95L.95 .75H-.95Z",
    "M0-1L1 0L0 1L-1 0Z",
    "M0 .95L.95-.75H-.95Z",
    "M-.3-.95H.3V-.3H.95V.3H.3V.95H-.3V.3H-.95V-.3H-.3Z",
    "M.95 0L-.75 .95V-.95Z",
)

ROWS = "rows"  # the name under which a panel's layers find its rows

Row = dict[str, Any]
Runs = Mapping[str, Sequence[Record]]  # method → its finished runs, one per seed


@dataclass(frozen=True)
class Style:
    """How a method is drawn, in every figure."""

    method: str
    colour: str
    shape: str


@dataclass(frozen=True)
class Panel:
    """One small chart: its title, a sentence for those who cannot see it, rows and layers."""

    title: str
    description: str
    rows: Sequence[Row]
    chart: alt.LayerChart

    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification without schema address and configuration.

        The rows are put in last: Altair would copy and check every one of them many times.
        """
        whole = self.chart.to_dict(validate=False)
        kept = {k: v for k, v in whole.items() if k not in ("$schema", "config")}
        text = f"{self.title}. {self.description}"
        datasets = {**whole.get("datasets", {}), ROWS: list(self.rows)}
        return {**kept, "description": text, "datasets": datasets}


@dataclass(frozen=True)
class Table:
    """The numbers of a figure, already written; the first `names` columns are text."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1


@dataclass(frozen=True)
class Figure:
    """Panels, what they show in plain words, and the same numbers as a table."""

    name: str
    title: str
    text: tuple[str, ...]
    panels: tuple[Panel, ...]
    table: Table
    columns: int  # panels beside each other where there is room: 2, 4 or 6
    legend: bool = True
    slider: str = ""  # a field of the rows: the page reads all methods off at one of its values


def styles(methods: Sequence[str]) -> tuple[Style, ...]:
    """Ink for the baseline, which comes first, then colours; shapes tell repeated colours apart."""
    colours = [INK, *(OKABE_ITO[i % len(OKABE_ITO)] for i in range(len(methods) - 1))]
    return tuple(
        Style(method, colour, SHAPES[i % len(SHAPES)])
        for i, (method, colour) in enumerate(zip(methods, colours, strict=True))
    )


def coloured(look: Sequence[Style]) -> alt.Color:
    """The colour of a method; no legend, the page has it."""
    scale = alt.Scale(domain=[s.method for s in look], range=[s.colour for s in look])
    return alt.Color("method:N", scale=scale, legend=None)


def shaped(look: Sequence[Style]) -> alt.Shape:
    """The marker of a method."""
    scale = alt.Scale(domain=[s.method for s in look], range=[s.shape for s in look])
    return alt.Shape("method:N", scale=scale, legend=None)


def tooltips(**titles: str) -> list[alt.Tooltip]:
    """What is shown under the pointer: the method, then fields with their titles."""
    numbers = [alt.Tooltip(f"{f}:Q", title=t, format=".3~g") for f, t in titles.items()]
    return [alt.Tooltip("method:N"), *numbers]


def chart(*layers: alt.Chart, height: int = 170) -> alt.LayerChart:
    """Layers as wide as the place they are put in, without the rows of hidden methods."""
    return (
        alt.LayerChart(data=alt.NamedData(name=ROWS), layer=list(layers))
        .add_params(alt.param(name="hidden", value=[]), alt.param(name="at", value=None))
        .transform_filter("indexof(hidden, datum.method) < 0")
        .properties(
            width="container",
            height=height,
            autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        )
    )


def lines(
    look: Sequence[Style],
    x: alt.X,
    y: alt.Y,
    tips: Sequence[alt.Tooltip],
) -> alt.LayerChart:
    """Mean lines with bands from `low` to `high`, markers where a row has `mark`."""
    base = alt.Chart().encode(x=x, color=coloured(look))
    band = (
        base.mark_area(opacity=0.14, clip=True)
        .encode(y=alt.Y("low:Q"), y2="high:Q")
        .transform_filter("isValid(datum.low)")
    )
    line = base.mark_line(strokeWidth=1.6, clip=True).encode(y=y)
    point = (
        base.mark_point(filled=True, size=42, opacity=1)
        .encode(y=y, shape=shaped(look), tooltip=list(tips))
        .transform_filter("datum.mark")
    )
    return chart(band, line, point)


def read_off(field: str) -> alt.Chart:
    """A line across the panel where the page's slider stands, at the signal `at`."""
    rule = alt.Chart().mark_rule(aria=False, color=INK, opacity=0.5, strokeDash=[3, 3], clip=True)
    drawn: alt.Chart = rule.encode(x=alt.X(f"{field}:Q")).transform_filter(f"datum.{field} === at")
    return drawn


def rounded(value: float | None, digits: int = 4) -> float | None:
    """Fewer digits in the page than anyone can see."""
    return None if value is None else float(f"{value:.{digits}g}")


def mean(values: Sequence[float], error: float | None = None) -> Row:
    """Mean and 95% interval over seeds; for one seed from a standard error, where given."""
    found = paired(values)
    low, high = found.low, found.high
    if low is None and error is not None:
        low, high = found.mean - 1.96 * error, found.mean + 1.96 * error
    ends = {"value": rounded(found.mean), "low": rounded(low), "high": rounded(high)}
    return {**ends, "seeds": found.count}


def between(row: Row, unit: str = "") -> str:
    """The interval of a row, written."""
    if row["low"] is None or row["high"] is None:
        return NONE
    if unit == "percent":
        return f"{fixed(100 * row['low'], 1)} to {fixed(100 * row['high'], 1)}"
    return f"{number(row['low'])} to {number(row['high'])}"


def spaced(values: Sequence[int], count: int) -> list[int]:
    """At most `count` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= count:
        return list(values)
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
