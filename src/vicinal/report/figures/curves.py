"""Learning curves: accuracy and loss after every epoch, on plain and on mixed examples."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from vicinal.report.comparison import Group
from vicinal.report.figures.panels import (
    Figure,
    Panel,
    Row,
    Runs,
    Style,
    Table,
    lines,
    mean,
    spaced,
    tooltips,
)
from vicinal.report.numbers import finite, level
from vicinal.study.record import Epoch

FEW = 4  # epochs, between which Vega would put ticks
POINTS = 50  # epochs drawn at most
MARKED = 5  # markers along a learning curve
WRITTEN = 20  # epochs in the table at most


@dataclass(frozen=True)
class Kept:
    """A curve over training.

    Attributes:
        label: what people read.
        kind: accuracy, loss or term; panels of accuracy or loss share their axis.
        value: reads it off an epoch.
    """

    label: str
    kind: Literal["accuracy", "loss", "term"]
    value: Callable[[Epoch], float | None]


CURVES = (
    Kept("Test accuracy", "accuracy", lambda e: e.test_accuracy),
    Kept("Training accuracy", "accuracy", lambda e: e.train_accuracy),
    Kept("Test accuracy, mixed", "accuracy", lambda e: e.test_mixed_accuracy),
    Kept("Training accuracy, mixed", "accuracy", lambda e: e.train_mixed_accuracy),
    Kept("Test loss", "loss", lambda e: e.test_loss),
    Kept("Training loss", "loss", lambda e: e.train_loss),
    Kept("Test loss, mixed", "loss", lambda e: e.test_mixed_loss),
    Kept("Training loss, mixed", "loss", lambda e: e.train_mixed_loss),
)
TERMS = (
    Kept("Mixup loss", "term", lambda e: e.terms_risk),
    Kept("Standard loss", "term", lambda e: e.terms_loss),
    Kept("R1", "term", lambda e: e.terms_r1),
    Kept("R2", "term", lambda e: e.terms_r2),
    Kept("R3", "term", lambda e: e.terms_r3),
    Kept("Remainder", "term", lambda e: e.terms_remainder),
)
Drawn = Mapping[Kept, list[Row]]


def terms_over_training(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """The mixup loss and its terms after some epochs, where runs recorded them."""
    rows = _drawn(runs, TERMS)
    panels = tuple(_curve(rows, curve, look) for curve in rows)
    if not panels:
        return None
    return Figure(
        "terms-over-training",
        "What mixing adds, over training",
        (
            "The mixup loss on the training set and what it is made of, as training goes on: mean "
            "over seeds, with its 95% interval as a band. In nats; each panel has its own axis.",
        ),
        panels,
        _curve_table(runs, rows, TERMS),
        columns=2,
    )


def learning_curves(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """Accuracy and loss after every epoch, on plain and on mixed examples."""
    rows = _drawn(runs, CURVES)
    panels = tuple(_curve(rows, curve, look) for curve in rows)
    if not panels:
        return None
    return Figure(
        "learning",
        "Learning curves",
        (
            "Mean over seeds after each epoch, with its 95% interval as a band. Mixed means "
            "measured on mixed examples with mixed labels, for every method alike, so mixed "
            "accuracy cannot reach 100%.",
            "Losses are those of training: in nats, or half the squared error of standardised "
            "values. The axis is logarithmic unless one is negative; panels of one kind share it.",
        ),
        panels,
        _curve_table(runs, rows, tuple(rows)),
        columns=4,
    )


def _drawn(runs: Runs, curves: Sequence[Kept]) -> Drawn:
    """The rows of those curves that some run has."""
    rows = {curve: _curve_rows(runs, curve) for curve in curves}
    return {curve: found for curve, found in rows.items() if found}


def _curve_rows(runs: Runs, curve: Kept) -> list[Row]:
    """One row per method and drawn epoch."""
    rows = []
    for method, records in runs.items():
        by_epoch: dict[int, list[float]] = {}
        for epoch in (epoch for record in records for epoch in record.history):
            if (value := finite(curve.value(epoch))) is not None:
                by_epoch.setdefault(epoch.epoch, []).append(value)
        drawn = spaced(sorted(by_epoch), POINTS)
        marked = set(spaced(drawn, MARKED))
        for number in drawn:
            row = {"method": method, "epoch": number, **mean(by_epoch[number])}
            rows.append(row | ({"mark": True} if number in marked else {}))
    return rows


def _at_epochs(epochs: Collection[int]) -> dict[str, Any]:
    """Where ticks stand; of few epochs at each, where Vega would write 1.5 as 2."""
    if max(epochs) - min(epochs) < FEW:
        return {"values": sorted(epochs)}
    return {"tickCount": 4, "tickMinStep": 1}


def _curve(rows: Drawn, curve: Kept, look: Sequence[Style]) -> Panel:
    accuracy, term = curve.kind == "accuracy", curve.kind == "term"
    alike = [curve] if term else [other for other in rows if other.kind == curve.kind]
    # the bands of terms are part of what is shown; those of losses may be far wider than the curves
    ends = ("value", "low", "high") if term else ("value",)
    values = [r[end] for c in alike for r in rows[c] for end in ends if r.get(end) is not None]
    log = curve.kind == "loss" and min(values) > 0
    domain = [0, 1] if accuracy else [min(values), max(values)]
    kind_of_scale = {"type": "log"} if log else {"zero": False}
    scale = alt.Scale(domain=domain, **kind_of_scale)
    axis = alt.Axis(format=".0%" if accuracy else "~g", tickCount=4)
    y = alt.Y("value:Q", title=None, scale=scale, axis=axis)
    whole = alt.Axis(**_at_epochs({r["epoch"] for r in rows[curve]}), format="d", grid=False)
    x = alt.X("epoch:Q", title="epoch", axis=whole)
    tips = tooltips(epoch="epoch", value="mean", low="from", high="to", seeds="seeds")
    drawn = lines(look, x, y, tips)
    return Panel(curve.label, "Mean over seeds by epoch, one line per method.", rows[curve], drawn)


def _curve_table(runs: Runs, rows: Drawn, curves: Sequence[Kept]) -> Table:
    at_epoch = {
        (c, r["method"], r["epoch"]): r["value"] for c, found in rows.items() for r in found
    }
    drawn = {m: sorted({e for _, name, e in at_epoch if name == m}) for m in runs}
    written = [
        (
            method,
            str(epoch),
            *(_written_curve(c, at_epoch.get((c, method, epoch))) for c in curves),
        )
        for method, epochs in drawn.items()
        for epoch in spaced(epochs, WRITTEN)
    ]
    headers = tuple(f"{c.label}{' %' if c.kind == 'accuracy' else ''}" for c in curves)
    return Table(("Method", "Epoch", *headers), tuple(written))


def _written_curve(curve: Kept, value: float | None) -> str:
    return level(value, "percent" if curve.kind == "accuracy" else "nats")
