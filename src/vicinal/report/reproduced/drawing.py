"""From the curves of all seeds to figures: means with intervals, one panel for each name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import altair as alt

from vicinal.report.figures.panels import (
    INK,
    Figure,
    Panel,
    Row,
    Style,
    Table,
    between,
    chart,
    coloured,
    mean,
    shaped,
    spaced,
    styles,
    tooltips,
)
from vicinal.report.numbers import finite, number
from vicinal.report.reproduced.seeds import Seeds

MARKED = 16  # markers along a line at most
SHORT = 170  # height of a panel


@dataclass(frozen=True)
class Drawing:
    """A figure with the looks of its series, for its legend."""

    figure: Figure
    looks: tuple[Style, ...]


@dataclass(frozen=True)
class Plot:
    """How the curves of one drawing are shown.

    Attributes:
        name: of the drawing, in the curves.
        title, text: what stands above it.
        x, y: titles of the axes.
        columns: panels beside each other: 2, 3, 4 or 6.
        percent: whether y is a share.
        log: which axes are logarithmic: "", "x", "y" or "xy".
        places: whether values of x are drawn side by side at equal distances.
        steps: whether lines are steps, as of a histogram.
        zero: whether a line is drawn at y = 0.
        least, most: where the axis of y ends; None where the numbers decide.
        filled: name of a drawing whose mean, where it is 1, fills the markers.
        height: of a panel.
    """

    name: str
    title: str
    text: tuple[str, ...]
    x: str
    y: str
    columns: int = 2
    percent: bool = False
    log: str = ""
    places: bool = False
    steps: bool = False
    zero: bool = False
    least: float | None = None
    most: float | None = None
    filled: str = ""
    height: int = SHORT

    def drawn(self, seeds: Seeds) -> Drawing | None:
        """The drawing; None where no seed has its curves."""
        rows = gathered(seeds, self.name)
        if not rows:
            return None
        names = list(dict.fromkeys(row["method"] for found in rows.values() for row in found))
        looks = styles(names)
        if self.filled:
            rows = _filled(rows, gathered(seeds, self.filled))
        panels = tuple(self._panel(title, found, looks) for title, found in rows.items())
        written = tuple(
            (title, r["method"], number(r["x"]), self._number(r["value"]), self._between(r))
            for title, found in rows.items()
            for r in found
        )
        unit = " %" if self.percent else ""
        headers = ("Panel", "Series", self.x, f"{self.y}{unit}", "95% interval")
        table = Table(headers, written, 2)
        figure = Figure(self.name, self.title, self.text, panels, table, self.columns)
        return Drawing(figure, looks)

    def _number(self, value: float | None) -> str:
        return number(100 * value if self.percent and value is not None else value)

    def _between(self, row: Row) -> str:
        return between(row, "percent" if self.percent else "")

    def _panel(self, title: str, rows: Sequence[Row], looks: Sequence[Style]) -> Panel:
        return Panel(
            title,
            f"{self.y} by {self.x}, one line per series.",
            [self._clipped(row) for row in rows],
            self._chart(self._across(rows), self._up(), looks, rows),
        )

    def _across(self, rows: Sequence[Row]) -> alt.X:
        if self.places:
            return alt.X("x:O", title=self.x, axis=alt.Axis(labelAngle=0, grid=False))
        if "x" in self.log:
            at = sorted({row["x"] for row in rows})
            axis = alt.Axis(values=at, grid=False, format="~r", labelOverlap=True)
            return alt.X("x:Q", title=self.x, scale=alt.Scale(type="log", nice=False), axis=axis)
        scale = alt.Scale(nice=False, zero=False)
        return alt.X("x:Q", title=self.x, scale=scale, axis=alt.Axis(tickCount=5, grid=False))

    def _up(self) -> alt.Y:
        axis = alt.Axis(tickCount=3 if "y" in self.log else 5)
        if self.percent:
            axis.format = ".0%"
        scale = alt.Scale(type="log") if "y" in self.log else alt.Scale(zero=False)
        if self.least is not None:
            scale.domainMin = self.least
        if self.most is not None:
            scale.domainMax = self.most
        return alt.Y("value:Q", title=self.y, scale=scale, axis=axis)

    def _clipped(self, row: Row) -> Row:
        """Ends of intervals are drawn no further than the axis goes; the table has them whole."""
        low, high = row["low"], row["high"]
        if low is not None and self.least is not None:
            low = max(low, self.least)
        if high is not None and self.most is not None:
            high = min(high, self.most)
        return row | {"low": low, "high": high}

    def _chart(
        self, x: alt.X, y: alt.Y, looks: Sequence[Style], rows: Sequence[Row]
    ) -> alt.LayerChart:
        base = alt.Chart().encode(x=x, color=coloured(looks))
        shape: Literal["step", "linear"] = "step" if self.steps else "linear"
        band = (
            base.mark_area(opacity=0.14, clip=True, interpolate=shape)
            .encode(y=alt.Y("low:Q"), y2="high:Q")
            .transform_filter("isValid(datum.low)")
        )
        line = base.mark_line(strokeWidth=1.6, clip=True, interpolate=shape).encode(y=y)
        tips = tooltips(x=self.x, value="mean", low="from", high="to", seeds="seeds")
        markers = {
            "mark": base.mark_point(filled=True, size=42, opacity=1),
            "hollow": base.mark_point(filled=False, size=34, strokeWidth=1.2, opacity=0.9),
        }
        points = [
            marker.encode(y=y, shape=shaped(looks), tooltip=tips).transform_filter(f"datum.{key}")
            for key, marker in markers.items()
            if any(row.get(key) for row in rows)  # a layer without marks is a group without a name
        ]
        zero = alt.Chart().mark_rule(aria=False, color=INK, opacity=0.4).encode(y=alt.datum(0))
        return chart(*([zero] if self.zero else []), band, line, *points, height=self.height)


def gathered(seeds: Seeds, drawing: str) -> dict[str, list[Row]]:
    """Rows for each panel of a drawing: mean and interval over seeds at each x of each series."""
    panels: dict[str, dict[str, dict[float, list[float]]]] = {}
    for record in seeds.records:
        for curve in record["curves"]:
            if curve["drawing"] == drawing:
                points = panels.setdefault(curve["panel"], {}).setdefault(curve["series"], {})
                for x, y in zip(curve["x"], curve["y"], strict=True):
                    if finite(y) is not None:
                        points.setdefault(float(x), []).append(float(y))
    return {
        panel: [row for name, points in series.items() for row in _rows(name, points)]
        for panel, series in panels.items()
    }


def _rows(series: str, points: Mapping[float, list[float]]) -> list[Row]:
    at = sorted(points)
    marked = set(spaced(range(len(at)), MARKED))
    return [
        {"method": series, "x": x, **mean(points[x]), **({"mark": True} if k in marked else {})}
        for k, x in enumerate(at)
    ]


def _filled(rows: dict[str, list[Row]], shares: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Markers stay filled where the share is 1, and become hollow elsewhere."""
    whole = {(title, r["x"]) for title, found in shares.items() for r in found if r["value"] == 1}

    def judged(title: str, row: Row) -> Row:
        if (title, row["x"]) in whole:
            return row
        return {key: value for key, value in row.items() if key != "mark"} | {"hollow": True}

    return {title: [judged(title, row) for row in found] for title, found in rows.items()}


def plotted(plots: Sequence[Plot], seeds: Seeds) -> list[Drawing]:
    """The plots that the records have curves for."""
    return [drawn for plot in plots if (drawn := plot.drawn(seeds)) is not None]
