"""What is lost on new data: the gap as measured, and the bound where there is one."""

from collections.abc import Sequence

import altair as alt

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
    mean,
    shaped,
    tooltips,
)
from vicinal.report.metrics import Metric
from vicinal.report.numbers import NONE, finite, level, number
from vicinal.study.measured import Bound
from vicinal.study.record import Record

TINY = 1e-12  # rounding of a loss that is 0
FACTORS = (
    ("L", "L"), ("L_A", "L_A"), ("B", "B"), ("M", "M = sup |θ'x|"), ("rho", "ρ"), ("gamma", "γ"),
    ("needed gamma", "γ needed"), ("grid", "grid"), ("rank", "rank"), ("n", "n"), ("delta", "δ"),
)  # fmt: skip


def gaps(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """The gap between training and test data, in loss and in accuracy."""
    rows = {m: _gap_rows(group, m) for m in group.shown("gaps")}
    panels = tuple(_gap(group, m, found, look) for m, found in rows.items() if found)
    if not panels:
        return None
    written = [
        (metric.label, r["method"], str(r["seeds"]), level(r["value"], metric.unit),
         between(r, metric.unit))
        for metric, found in rows.items()
        for r in found
    ]  # fmt: skip
    return Figure(
        "gap",
        "Gap between training and test data",
        (
            "Mean over seeds of what a model loses on examples that it was not trained on, each "
            "bar its 95% interval. A small gap is no merit by itself: a model that has learned "
            "nothing has none. Both sides are measured on plain, unmixed examples.",
        ),
        panels,
        Table(("Metric", "Method", "Seeds", "Gap", "95% interval"), tuple(written), 2),
        columns=2,
        legend=False,
    )


def bounds(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """The bound of every run that has one, with every factor."""
    found = [
        (record, record.measured.bound)
        for records in runs.values()
        for record in records
        if record.measured and record.measured.bound
    ]
    if not found:
        return None
    caveats = dict.fromkeys(bound.caveat for _, bound in found if bound.caveat)
    indicative = f" Indicative only: {'; '.join(caveats)}." if caveats else ""
    return Figure(
        "bound",
        "Bound on the loss of new data",
        (
            "L ≤ training loss + 2 · L · L_A · max{(γ/ρ)^¼, (γ/ρ)^½} · √(rank/n) + "
            "B · √(log(grid/δ′)/2n), for linear models with one output (Zhang et al. 2021, "
            "Theorem 3.4), where δ′ is half of δ because θ in W_γ is proved from validation "
            f"inputs with the other half.{indicative}",
            "ρ is the smallest A″ within |θ'x| ≤ M, which holds for every law of the inputs and "
            "falls as e^−M for classes; L and B are the largest slope and the range of the loss "
            "there. Vacuous means not below the loss of the best constant prediction, for which "
            "no bound is needed. Each bound holds with probability 1 − δ by itself. For values "
            "the loss is f²/2 − yf, without the y²/2 of the squared error.",
        ),
        _bound_panels(found, look),
        Table(
            ("Method", "Seed", "Reads", "Bound", "Training loss", "Complexity", "Deviation",
             "Constant prediction", *(title for _, title in FACTORS)),
            tuple(_written(record, bound) for record, bound in found),
            3,
        ),
        columns=2,
    )  # fmt: skip


def _gap_rows(group: Group, metric: Metric) -> list[Row]:
    cells = [group.cell(method, metric.key) for method in group.methods]
    return [
        {"method": c.method, "zero": 0, **mean(c.values)}
        for c in cells
        if c is not None and c.values
    ]


def _gap(group: Group, metric: Metric, rows: Sequence[Row], look: Sequence[Style]) -> Panel:
    axis = alt.Axis(labelLimit=150, ticks=False, domain=False, grid=False)
    y = alt.Y("method:N", sort=list(group.methods), title=None, axis=axis)
    form = ".1%" if metric.unit == "percent" else "~g"
    x = alt.X("value:Q", title=None, axis=alt.Axis(tickCount=5, format=form))
    base = alt.Chart().encode(y=y, color=coloured(look))
    bar = base.mark_rule(aria=False, strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    bar = bar.transform_filter("isValid(datum.low)")
    tips = tooltips(value="gap", low="from", high="to", seeds="seeds")
    point = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=x, shape=shaped(look), tooltip=tips
    )
    zero = alt.Chart().mark_rule(aria=False, color=INK, opacity=0.5).encode(x=alt.X("zero:Q"))
    drawn = chart(zero, bar, point, height=26 * len(rows) + 8)
    return Panel(metric.label, "Mean over seeds with its interval, by method.", rows, drawn)


def _bound_panels(
    found: Sequence[tuple[Record, Bound]], look: Sequence[Style]
) -> tuple[Panel, ...]:
    """Test loss and bound of every run on one axis, where a logarithm can show both."""
    rows = []
    for record, bound in found:
        loss = record.measured.loss if record.measured else None
        ends = (bound.value, bound.constant_loss, None if loss is None else loss.test)
        value, constant_loss, test_loss = map(finite, ends)
        if all(v is not None and v > TINY for v in (value, constant_loss, test_loss)):
            row = {"method": record.method, "seed": record.seed, "value": value}
            rows.append(row | {"constant": constant_loss, "test": test_loss})
    if not rows:
        return ()
    x = alt.X("value:Q", title="nats", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=5))
    y = alt.Y("method:N", sort=[s.method for s in look], title=None,
              axis=alt.Axis(labelLimit=150, ticks=False, domain=False, grid=False))  # fmt: skip
    tips = tooltips(seed="seed", value="bound", test="test loss", constant="constant prediction")
    base = alt.Chart().encode(y=y, color=coloured(look), tooltip=tips)
    mark = base.mark_point(filled=True, size=60, opacity=1).encode(x=x, shape=shaped(look))
    test = base.mark_tick(thickness=2, size=14).encode(x=alt.X("test:Q"))
    rule = alt.Chart().mark_rule(aria=False, color=INK, opacity=0.5, strokeDash=[3, 3])
    constant = rule.encode(x=alt.X("constant:Q"))
    height = 26 * len({row["method"] for row in rows}) + 8
    description = "Bounds as marks, test losses as ticks, a constant prediction as dashed lines."
    drawn = chart(constant, test, mark, height=height)
    return (Panel("Bound (marks), test loss (ticks)", description, rows, drawn),)


def _written(record: Record, bound: Bound) -> tuple[str, ...]:
    terms = (bound.value, bound.train_loss, bound.complexity, bound.deviation, bound.constant_loss)
    values = [finite(term) for term in terms]
    return (
        record.method,
        str(record.seed),
        "vacuous" if bound.vacuous else "below a constant prediction",
        *(NONE if v is None else number(0.0 if abs(v) < TINY else v) for v in values),
        *(number(finite(bound.factors.get(key))) for key, _ in FACTORS),
    )
