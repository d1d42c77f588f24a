"""The strategies side by side."""

from collections.abc import Sequence

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
    mean,
    rounded,
    shaped,
    styles,
    tooltips,
)
from vicinal.report.numbers import differences, finite, number
from vicinal.report.reproduced.claims import Claim
from vicinal.report.reproduced.drawing import Drawing
from vicinal.report.reproduced.seeds import Seeds, listed, signed

TITLE = "The strategies side by side"
# key of the facts: what it is called, its unit, and which way is good
METRICS = {
    "accuracy": ("test accuracy", "percent", "higher"),
    "nll": ("NLL after temperature", "nats", "lower"),
    "ece": ("ECE as trained", "percent", "lower"),
    "ece_after": ("ECE after temperature", "percent", "lower"),
    "pgd": ("accuracy under PGD", "percent", "higher"),
    "gap": ("gap in loss, test minus training", "nats", "lower"),
}
BASE = "erm"


def drawings(seeds: Seeds) -> list[Drawing]:
    """Each strategy minus training without mixing, a panel for each metric."""
    names = _names(seeds)
    looks = styles([BASE, *names])
    panels, written = [], []
    for key, (title, unit, good) in METRICS.items():
        rows = [row for name in names if (row := _row(seeds, name, key, unit)) is not None]
        if rows:
            label = f"{'points' if unit == 'percent' else unit}, {good} is better"
            drawn = _chart(rows, names, looks, label)
            description = "Difference to training without mixing, with its interval."
            panels.append(Panel(title[0].upper() + title[1:], description, rows, drawn))
            written += [_written(seeds, title, key, unit, row) for row in rows]
    if not panels:
        return []
    text = (
        "Every strategy with its defaults, minus training without mixing on the same seeds, with "
        "95% intervals; filled where the interval excludes 0. One model, one schedule, one small "
        "set: what is better here need not be better elsewhere, and a strategy made for larger "
        "images may need other settings.",
    )
    headers = ("Measured", "Strategy", "Mean", "Minus erm", "95% interval", "Reads")
    figure = Figure("metrics", "Against training without mixing", text, tuple(panels),
                    Table(headers, tuple(written), 2), 2, legend=False)  # fmt: skip
    return [Drawing(figure, looks)]


def claims(seeds: Seeds) -> list[Claim]:
    """For each metric, which strategies are shown to be better or worse."""
    return [_claim(seeds, key) for key in METRICS]


def _claim(seeds: Seeds, key: str) -> Claim:
    title, unit, good = METRICS[key]
    known = {n: seeds.minus(f"{n}/{key}", f"{BASE}/{key}") for n in _names(seeds)}
    shown = {
        word: [name for name, d in known.items() if d.words == direction]
        for word, direction in (
            ("better", good),
            ("worse", "lower" if good == "higher" else "higher"),
        )
    }
    counts = [f"{len(names)} of {len(known)} {word}" for word, names in shown.items() if names]
    lists = [f"{word.capitalize()}: {listed(names)}." for word, names in shown.items() if names]
    best = sorted(known, key=lambda n: known[n].mean, reverse=good == "higher")[0]
    nothing = f"no difference shown for any of {len(known)}", "Every interval contains 0."
    if known[best].count == 1:
        nothing = "one seed, so nothing can be shown", "One seed gives no interval."
    return Claim(
        f"{title}: {' and '.join(counts) or nothing[0]}",
        "",
        "beyond",
        f"the best mean is that of {best}, {signed(known[best], unit)}",
        " ".join(lists) or nothing[1],
    )


def _names(seeds: Seeds) -> list[str]:
    names = dict.fromkeys(key.rsplit("/", 1)[0] for key in seeds.names())
    return [name for name in names if name != BASE]


def _row(seeds: Seeds, name: str, key: str, unit: str) -> Row:
    d = seeds.minus(f"{name}/{key}", f"{BASE}/{key}")
    scale = 100 if unit == "percent" else 1
    ends = [None if v is None else rounded(scale * v) for v in (d.mean, d.low, d.high)]
    row = dict(zip(("value", "low", "high"), ends, strict=True))
    shown = d.words in ("higher", "lower")
    return {"method": name, **row, "seeds": d.count, "words": d.words, "shown": shown}


def _chart(rows: list[Row], names: list[str], looks: Sequence[Style], label: str) -> alt.LayerChart:
    y = alt.Y("method:N", sort=names, title=None,
              axis=alt.Axis(labelLimit=150, ticks=False, domain=False, grid=False))  # fmt: skip
    x = alt.X(
        "value:Q", title=label, axis=alt.Axis(tickCount=5), scale=alt.Scale(zero=True, padding=6)
    )
    base = alt.Chart().encode(y=y, color=coloured(looks))
    zero = alt.Chart().mark_rule(aria=False, color=INK, opacity=0.5).encode(x=alt.datum(0))
    bar = base.mark_rule(aria=False, strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    tips = [*tooltips(value="difference", low="from", high="to", seeds="seeds"),
            alt.Tooltip("words:N", title="reads")]  # fmt: skip
    point = base.mark_point(size=60, opacity=1, strokeWidth=1.5).encode(
        x=x,
        shape=shaped(looks),
        fill=alt.condition("datum.shown", coloured(looks), alt.value("transparent")),
        tooltip=tips,
    )
    return chart(zero, bar.transform_filter("isValid(datum.low)"), point, height=20 * len(rows) + 8)


def _written(seeds: Seeds, title: str, key: str, unit: str, row: Row) -> tuple[str, ...]:
    own = mean(seeds.values(f"{row['method']}/{key}"))
    scale = 100 if unit == "percent" else 1
    value, low, high = differences(
        [None if finite(row[k]) is None else row[k] / scale for k in ("value", "low", "high")], unit
    )
    level = number(None if own["value"] is None else scale * own["value"])
    between = f"{low} to {high}"
    return title, row["method"], level, value, between, row["words"]
