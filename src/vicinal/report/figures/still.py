"""A figure that stands still, for papers: its panels and legend as one SVG, and that as a PDF."""

import json
import re
from collections.abc import Sequence
from html import escape

import vl_convert

from vicinal.report.figures.panels import INK, Figure, Style

BLACK = "#1c1e21"
WIDTH = 300  # of a panel, in pixels
ROOM = 34  # above a panel, for its title
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
CONFIG = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": BLACK, "titleColor": BLACK, "labelFontSize": 11, "titleFontSize": 11,
        "titleFontWeight": "normal", "gridColor": "#e4e4e0", "domainColor": "#9a9a94",
        "tickColor": "#9a9a94", "tickSize": 4,
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
}  # fmt: skip


def svg(figures: Sequence[tuple[Figure, Sequence[Style]]]) -> str:
    """Figures under each other, each with its title, panels and legend."""
    parts, top, wide = [], 0.0, 0.0
    for figure, looks in figures:
        drawn, width, height = _figure(figure, looks)
        parts.append(f'<g transform="translate(0 {top:g})">{drawn}</g>')
        top, wide = top + height + 16, max(wide, width)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:g}" height="{top:g}" '
        f'viewBox="0 0 {wide:g} {top:g}" font-family="{FONT}" fill="{BLACK}">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def pdf(picture: str) -> bytes:
    """An SVG as a PDF of one page."""
    made: bytes = vl_convert.svg_to_pdf(picture)
    return made


def _figure(figure: Figure, looks: Sequence[Style]) -> tuple[str, float, float]:
    """Markup, width and height of one figure."""
    pictures = [_panel(panel.spec()) for panel in figure.panels]
    columns = min(figure.columns, len(pictures))
    cell = max(width for _, width, _ in pictures) + 18
    parts = [_text(6, 18, figure.title, size=15, weight=600)]
    top = 28.0
    for start in range(0, len(pictures), columns):
        row = pictures[start : start + columns]
        for k, (picture, _, _) in enumerate(row):
            title = figure.panels[start + k].title
            parts.append(_text(cell * k + 6, top + 20, title, size=12, weight=600))
            parts.append(
                picture.replace("<svg ", f'<svg x="{cell * k:g}" y="{top + ROOM - 6:g}" ', 1)
            )
        top += ROOM + max(height for _, _, height in row) + 6
    if figure.legend:
        legend, height = _legend(looks, cell * columns)
        parts.append(f'<g transform="translate(0 {top:g})">{legend}</g>')
        top += height
    return "".join(parts), cell * columns, top


def _panel(spec: dict[str, object]) -> tuple[str, float, float]:
    whole = {**spec, "width": WIDTH, "config": CONFIG}
    text = json.dumps(whole).replace(INK, BLACK)  # a picture has no page to take its colour from
    picture: str = vl_convert.vegalite_to_svg(json.loads(text))
    width, height = (
        float(re.search(rf'<svg[^>]* {side}="([\d.]+)"', picture)[1])  # type: ignore[index]
        for side in ("width", "height")
    )
    return picture, width, height


def _legend(looks: Sequence[Style], width: float) -> tuple[str, float]:
    """Entries beside each other, broken into lines where they would leave the figure."""
    parts, x, y = [], 6.0, 14.0
    for look in looks:
        long = 34 + 6.4 * len(look.method)
        if x > 6 and x + long > width:
            x, y = 6.0, y + 20
        colour = BLACK if look.colour == INK else look.colour
        place = f"translate({x + 6:g} {y - 4:g}) scale(5)"
        parts.append(f'<path transform="{place}" d="{look.shape}" fill="{colour}"/>')
        parts.append(_text(x + 18, y, look.method, size=12))
        x += long
    return "".join(parts), y + 10


def _text(x: float, y: float, text: str, *, size: int, weight: int = 400) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}">{escape(text)}</text>'
    )
