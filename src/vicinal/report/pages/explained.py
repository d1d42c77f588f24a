"""One model explained: a table for the terminal, and a page that needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table

from vicinal.machine.pictures import picture
from vicinal.report.figures.strengths import Plain, error_of, figures, totals
from vicinal.report.numbers import fixed, number
from vicinal.report.pages.document import document, shown_settings

CARRIED = {
    "r2": "R2, the curvature of the loss",
    "r3": "R3, the curvature of the model",
    "remainder": "the remainder, which the expansion misses",
}
COLUMNS = 6  # of a row of a table that are shown
EXACT = 1e-9  # of the loss: errors below are those of rounding
HOLDS, FAILS = 0.05, 0.25  # of what mixing adds: below, an expansion is close; above, far off


@dataclass(frozen=True)
class Examples:
    """The examples that a page names, by their index in the explained data.

    Attributes:
        rows: their inputs.
        targets: their targets, in words.
        numbers: their numbers in the data set, from 0.
        features: names of columns, or nothing.
        bounds: of images, black and white; None for tables.
    """

    rows: Mapping[int, np.ndarray]
    targets: Mapping[int, str]
    numbers: Mapping[int, int]
    features: Sequence[str] = ()
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Card:
    """One example: its picture or its first columns, and what it carries."""

    number: int
    target: str
    picture: str | None
    columns: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str], ...]


def table(record: Plain) -> Table:
    """Loss, terms and remainders at each strength."""
    plain = record["curve"][0]["expansion"]["loss"]
    title = f"{record['examples']} examples, {record['family']} loss {plain:.4f} without mixing"
    out = Table(title=title + ", in nats", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("α", "mixup loss", "±", "R1", "R2", "R3", "remainder", "shrunk"):
        out.add_column(heading, justify="right", no_wrap=True)
    for point in record["curve"]:
        first, (value, total, shrunk) = point["expansion"], totals(point)
        numbers = (value, error_of(point["risk"]), first["r1"], first["r2"], first["r3"])
        missed = (value - total, value - shrunk)
        out.add_row(f"{point['alpha']:g}", *(fixed(v, 4) for v in (*numbers, *missed)))
    return out


def sentences(record: Plain) -> tuple[tuple[str, str], ...]:
    """What was found, in words: topic and text, for the strength nearest to uniform λ."""
    point = min(record["curve"], key=lambda p: abs(np.log(p["alpha"])))
    (risk, first, shrunk), terms = totals(point), point["expansion"]
    more = risk - terms["loss"]
    error = error_of(point["risk"])
    names = {"r1": "R1", "r2": "R2", "r3": "R3"}
    value = f"{number(risk)} ± {number(1.96 * error)} nats"
    if error <= EXACT * abs(risk):
        value = f"{number(risk)} nats, summed exactly"
    side = "above" if more >= 0 else "below"
    unsure = ", which is within the error of sampling" if abs(more) <= 1.96 * error else ""
    parts = ", ".join(f"{name} {number(terms[key])}" for key, name in names.items())
    return (
        (
            f"Mixing at α = {point['alpha']:g}",
            f"the mixup loss is {value}, {number(abs(more))} {side} the loss without mixing"
            f"{unsure}.",
        ),
        ("To second order", f"{parts} nats; the remainder is {number(risk - first)}."),
        ("Expansion at the examples", _verdict(more, first - risk, error)),
        ("Expansion at shrunk examples", _verdict(more, shrunk - risk, error)),
    )


def _verdict(added: float, off: float, error: float) -> str:
    """How far an expansion is off, beside what mixing adds, and what that means."""
    if max(abs(off), abs(added)) <= 1.96 * error:
        return (
            f"off by {number(off)} nats, within the error of sampling, as is what mixing adds: "
            "more --pairs would tell."
        )
    if abs(off) <= 1.96 * error:
        return f"off by {number(off)} nats, within the error of sampling: it holds here."
    share = abs(off) / abs(added) if abs(added) > 1.96 * error else None
    if share is None:
        return f"off by {number(off)} nats, where mixing adds nothing that shows."
    far = f"off by {number(off)} nats, {fixed(100 * share, 1)} % of what mixing adds"
    if share < HOLDS:
        return f"{far}: it is close."
    if share < FAILS:
        return f"{far}: its terms tell the direction, and the size roughly."
    return f"{far}: this model is outside the regime in which its terms explain the loss."


def page(record: Plain, examples: Examples, *, command: str) -> str:
    """Findings, figures, their numbers and the examples that carry the terms, as one HTML page.

    Args:
        record: an Explanation as plain data, with the settings under "settings".
        examples: those that are named in it.
        command: what was typed.
    """
    drawn = figures(record)
    specs = [panel.spec() for figure, _ in drawn for panel in figure.panels]
    groups = [
        (CARRIED[name], [_card(example, examples) for example in found])
        for name, found in record["carriers"].items()
        if any(example[name] for example in found)
    ]
    return document(
        "explained.html.jinja",
        specs=specs,
        whole=dict(record),
        title=f"What mixup does to {record['settings']['model']}",
        record=record,
        sentences=sentences(record),
        drawn_figures=drawn,
        groups=groups,
        command=command,
        settings_of=shown_settings(record["settings"]),
    )


def _card(example: Plain, examples: Examples) -> Card:
    k = example["index"]
    row = examples.rows[k]
    image = examples.bounds is not None and row.ndim == 3 and row.shape[0] in (1, 3)
    flat = row.reshape(-1)[:COLUMNS]
    names = list(examples.features[:COLUMNS]) or [f"x{i}" for i in range(len(flat))]
    columns = [(name, number(float(v))) for name, v in zip(names, flat, strict=False)]
    if row.size > COLUMNS:
        columns.append(("…", f"{row.size - COLUMNS} more"))
    keys = {"loss": "loss", "r1": "R1", "r2": "R2", "r3": "R3", "remainder": "remainder"}
    return Card(
        examples.numbers[k],
        examples.targets[k],
        picture(row, *examples.bounds) if image and examples.bounds is not None else None,
        () if image else tuple(columns),
        tuple((name, number(example[key])) for key, name in keys.items()),
    )
