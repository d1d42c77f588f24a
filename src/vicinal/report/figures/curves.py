"""Learning curves: accuracy and loss after every epoch, on plain and on mixed examples."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

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

FEW = 4  # epochs, between which Vega would put ticks
POINTS = 50  # epochs drawn at most
MARKED = 5  # markers along a learning curve
WRITTEN = 20  # epochs in the table at most

CURVES = (
    ("test_accuracy", "Test accuracy"),
    ("train_accuracy", "Training accuracy"),
    ("test_mixed_accuracy", "Test accuracy, mixed"),
    ("train_mixed_accuracy", "Training accuracy, mixed"),
    ("test_loss", "Test loss"),
    ("train_loss", "Training loss"),
    ("test_mixed_loss", "Test loss, mixed"),
    ("train_mixed_loss", "Training loss, mixed"),
)

TERMS = (
    ("terms_risk", "Mixup loss"),
    ("terms_loss", "Standard loss"),
    ("terms_r1", "R1"),
    ("terms_r2", "R2"),
    ("terms_r3", "R3"),
    ("terms_remainder", "Remainder"),
)


def terms_over_training(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """The mixup loss and its terms after some epochs, where runs recorded them."""
    rows = {key: _curve_rows(runs, key) for key, _ in TERMS}
    panels = tuple(_curve(rows, key, label, look) for key, label in TERMS if rows[key])
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
    rows = {key: _curve_rows(runs, key) for key, _ in CURVES}
    shown = [(key, label) for key, label in CURVES if rows[key]]
    panels = tuple(_curve(rows, key, label, look) for key, label in shown)
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
        _curve_table(runs, rows, shown),
        columns=4,
    )


def _curve_rows(runs: Runs, key: str) -> list[Row]:
    """One row per method and drawn epoch."""
    rows = []
    for method, records in runs.items():
        by_epoch: dict[int, list[float]] = {}
        for record in records:
            for line in record.get("history") or ():
                if (value := finite(line.get(key))) is not None:
                    by_epoch.setdefault(int(line["epoch"]), []).append(value)
        epochs = spaced(sorted(by_epoch), POINTS)
        marked = set(spaced(epochs, MARKED))
        for epoch in epochs:
            row = {"method": method, "epoch": epoch, **mean(by_epoch[epoch])}
            rows.append(row | ({"mark": True} if epoch in marked else {}))
    return rows


def _at_epochs(epochs: Collection[int]) -> dict[str, Any]:
    """Where ticks stand; of few epochs at each, where Vega would write 1.5 as 2."""
    if max(epochs) - min(epochs) < FEW:
        return {"values": sorted(epochs)}
    return {"tickCount": 4, "tickMinStep": 1}


def _curve(rows: Mapping[str, list[Row]], key: str, label: str, look: Sequence[Style]) -> Panel:
    accuracy = key.endswith("accuracy")
    kind = "accuracy" if accuracy else "loss"
    term = key.startswith("terms_")
    alike = [key] if term else [k for k in rows if k.endswith(kind)]
    # the bands of terms are part of what is shown; those of losses may be far wider than the curves
    ends = ("value", "low", "high") if term else ("value",)
    values = [r[end] for k in alike for r in rows[k] for end in ends if r.get(end) is not None]
    log = not accuracy and not term and min(values) > 0
    domain = [0, 1] if accuracy else [min(values), max(values)]
    kind_of_scale = {"type": "log"} if log else {"zero": False}
    scale = alt.Scale(domain=domain, **kind_of_scale)
    axis = alt.Axis(format=".0%" if accuracy else "~g", tickCount=4)
    y = alt.Y("value:Q", title=None, scale=scale, axis=axis)
    whole = alt.Axis(**_at_epochs({r["epoch"] for r in rows[key]}), format="d", grid=False)
    x = alt.X("epoch:Q", title="epoch", axis=whole)
    tips = tooltips(epoch="epoch", value="mean", low="from", high="to", seeds="seeds")
    drawn = lines(look, x, y, tips)
    return Panel(label, "Mean over seeds by epoch, one line per method.", rows[key], drawn)


def _curve_table(
    runs: Runs, rows: Mapping[str, list[Row]], curves: Sequence[tuple[str, str]]
) -> Table:
    at_epoch = {
        (k, r["method"], r["epoch"]): r["value"] for k, found in rows.items() for r in found
    }
    drawn = {m: sorted({e for _, name, e in at_epoch if name == m}) for m in runs}
    written = [
        (
            method,
            str(epoch),
            *(_written_curve(k, at_epoch.get((k, method, epoch))) for k, _ in curves),
        )
        for method, epochs in drawn.items()
        for epoch in spaced(epochs, WRITTEN)
    ]
    headers = tuple(f"{label}{' %' if 'accuracy' in key else ''}" for key, label in curves)
    return Table(("Method", "Epoch", *headers), tuple(written))


def _written_curve(key: str, value: float | None) -> str:
    return level(value, "percent" if key.endswith("accuracy") else "nats")
