"""One model explained: a table for the terminal, a figure, and a page that needs no network."""

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import altair as alt
import numpy as np
from rich.table import Table

from vicinal.report.numbers import number

BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
LINES = ("mixup loss", "expansion at the examples", "expansion at shrunk examples")
TERMS = ("standard", "R1", "R2", "R3")

Record = Mapping[str, Any]
"""An Explanation as plain data."""


def table(record: Record) -> Table:
    """Loss, terms and remainders at each strength."""
    plain = record["curve"][0]["expansion"]["loss"]
    title = f"{record['examples']} examples, {record['family']} loss {plain:.4f} without mixing"
    out = Table(title=title + ", in nats")
    for heading in ("α", "mixup loss", "±", "R1", "R2", "R3", "remainder", "shrunk"):
        out.add_column(heading, justify="right", no_wrap=True)
    for point in record["curve"]:
        first, value = point["expansion"], point["risk"]["value"]
        numbers = (value, _error(point["risk"]), first["r1"], first["r2"], first["r3"])
        missed = (value - first["total"], value - point["shrunk"]["total"])
        out.add_row(f"{point['alpha']:g}", *(f"{v:.4f}" for v in (*numbers, *missed)))
    return out


def figure(record: Record) -> alt.VConcatChart:
    """The loss against α with both expansions, above its terms."""
    alpha = alt.X("alpha:Q", title="α of λ ~ Beta(α, α)", scale=alt.Scale(type="log"))
    curves, bands, terms = [], [], []
    for point in record["curve"]:
        a, risk = point["alpha"], point["risk"]
        totals = (risk["value"], point["expansion"]["total"], point["shrunk"]["total"])
        curves += [
            {"alpha": a, "nats": v, "line": line} for line, v in zip(LINES, totals, strict=True)
        ]
        half = 1.96 * _error(risk)
        bands.append({"alpha": a, "low": risk["value"] - half, "high": risk["value"] + half})
        names = ("loss", "r1", "r2", "r3")
        terms += [
            {"alpha": f"{a:g}", "nats": point["expansion"][key], "term": term, "order": k}
            for k, (key, term) in enumerate(zip(names, TERMS, strict=True))
        ]
    colours = alt.Scale(domain=list(LINES), range=[BLUE, ORANGE, GREEN])
    lines = alt.Chart(alt.InlineData(values=curves)).encode(
        x=alpha,
        y=alt.Y("nats:Q", scale=alt.Scale(zero=False)),
        color=alt.Color("line:N", scale=colours, title=None),
        shape=alt.Shape("line:N", scale=alt.Scale(domain=list(LINES)), title=None),
    )
    band = alt.Chart(alt.InlineData(values=bands)).mark_area(opacity=0.2, color=BLUE)
    upper = alt.layer(
        band.encode(x=alpha, y=alt.Y("low:Q", title="nats"), y2="high:Q"),
        lines.mark_line(),
        lines.mark_point(filled=True, size=60, opacity=1),
    ).properties(width=480, height=260, title="Loss against the strength of mixing")
    scale = alt.Scale(domain=list(TERMS), range=[SKY, ORANGE, BLUE, PURPLE])
    lower = (
        alt.Chart(alt.InlineData(values=terms))
        .mark_bar()
        .encode(
            x=alt.X("alpha:N", sort=None, title="α", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("nats:Q"),
            color=alt.Color("term:N", scale=scale, title=None),
            order="order:Q",
        )
        .properties(width=480, height=200, title="Terms of the expansion at the examples, stacked")
    )
    both: alt.VConcatChart = alt.vconcat(upper, lower)
    both.resolve = alt.Resolve(scale={"color": "independent", "shape": "independent"})
    return both


def page(record: Record, rows: Mapping[int, np.ndarray], labels: Mapping[int, object]) -> str:
    """The figure, its numbers and the examples that carry the terms, as one HTML page.

    Args:
        record: an Explanation as plain data.
        rows: the inputs of the examples that are named in it, by index.
        labels: their targets, by index.
    """
    html: str = figure(record).to_html(inline=True)
    parts = [
        "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:"
        "0 1rem}table{border-collapse:collapse}td,th{padding:.2rem .6rem;text-align:right}"
        "img{image-rendering:pixelated;height:48px}</style>",
        f"<p>Derivatives by {escape(record['engine'])}. Pairs: {escape(record['method'])}.</p>",
        _table(record),
    ]
    titles = {
        "r2": "R2, the curvature of the loss",
        "r3": "R3, the curvature of the model",
        "remainder": "the remainder, which the expansion misses",
    }
    for name, examples in record["carriers"].items():
        parts.append(f"<h2>Examples that carry {titles[name]}</h2>")
        parts.append(_examples(examples, rows, labels))
    before, end, after = html.rpartition("</body>")  # the scripts name it too
    return before + "".join(parts) + end + after


def _table(record: Record) -> str:
    head = ("α", "mixup loss", "standard error", "standard", "R1", "R2", "R3", "total", "shrunk")
    lines = []
    for point in record["curve"]:
        first, risk = point["expansion"], point["risk"]
        cells = [first["loss"], first["r1"], first["r2"], first["r3"], first["total"]]
        values = [risk["value"], risk["standard_error"], *cells, point["shrunk"]["total"]]
        lines.append((f"{point['alpha']:g}", *(number(v) for v in values)))
    return _html_table(head, lines)


def _examples(
    examples: Sequence[Record], rows: Mapping[int, np.ndarray], labels: Mapping[int, object]
) -> str:
    lines = []
    for example in examples:
        k = example["index"]
        values = [example[name] for name in ("loss", "r1", "r2", "r3", "remainder")]
        lines.append((_shown(rows[k]), k, labels[k], *(number(v) for v in values)))
    head = ("input", "index", "target", "loss", "R1", "R2", "R3", "remainder")
    return _html_table(head, lines)


def _html_table(head: Sequence[object], lines: Sequence[Sequence[object]]) -> str:
    def row(tag: str, cells: Sequence[object]) -> str:
        inner = (c if isinstance(c, _Html) else escape(str(c)) for c in cells)
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in inner) + "</tr>"

    return "<table>" + row("th", head) + "".join(row("td", line) for line in lines) + "</table>"


class _Html(str):
    """Markup of our own, not to be escaped."""


def _shown(x: np.ndarray) -> _Html:
    """An image of one or three channels as a picture, anything else as its first numbers."""
    if x.ndim == 3 and x.shape[0] in (1, 3):
        low, high = float(x.min()), float(x.max())
        grey = (255 * (x - low) / max(high - low, 1e-12)).round().astype(np.uint8)
        data = base64.b64encode(_png(grey)).decode()
        return _Html(f'<img alt="" src="data:image/png;base64,{data}">')
    flat = x.reshape(-1)
    return _Html(escape(", ".join(f"{v:.3g}" for v in flat[:6]) + (", …" if flat.size > 6 else "")))


def _png(image: np.ndarray) -> bytes:
    """A picture of shape (1 or 3, height, width), in bytes from 0 to 255."""
    channels, height, width = image.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    lines = b"".join(b"\0" + image[:, k].T.tobytes() for k in range(height))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _error(risk: Record) -> float:
    """Of sampling and of quadrature together; None counts as none."""
    return float(risk["standard_error"] or 0) + float(risk["quadrature_error"] or 0)
