"""Accuracy under attack, against the size of the perturbation."""

from collections.abc import Collection, Sequence

import altair as alt

from vicinal.report.comparison import Group
from vicinal.report.figures.panels import (
    Figure,
    Panel,
    Row,
    Runs,
    Style,
    Table,
    between,
    lines,
    mean,
    read_off,
    rounded,
    tooltips,
)
from vicinal.report.metrics import NORMS, attack_name
from vicinal.report.numbers import finite, level
from vicinal.study.measured import Curve, Point
from vicinal.study.record import Record


def robustness(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """Accuracy against the size of the perturbation, one panel per attack and norm."""
    kinds = dict.fromkeys(_kind(c) for rs in runs.values() for r in rs for c in _curves(r))
    rows = {kind: _robust_rows(runs, kind) for kind in sorted(kinds, key=_norm_first)}
    if not rows:
        return None
    furthest: dict[str, float] = {}  # of each norm, so that its panels share their axis
    for kind, found in rows.items():
        furthest[kind[1]] = max(furthest.get(kind[1], 0.0), *(row["eps"] for row in found), 0.0)
    written = [
        (attack_name(kind[0], kind[2]), NORMS.get(kind[1], kind[1]), r["method"], f"{r['eps']:g}",
         level(r["value"], "percent"), between(r, "percent"))
        for kind, found in rows.items()
        for r in found
    ]  # fmt: skip
    return Figure(
        "robustness",
        "Accuracy against ε",
        (
            "Accuracy on test examples that an attack may move by up to ε, in the units of the "
            "inputs. Bands are 95% intervals over seeds; for one seed, over examples.",
            _caution(rows),
        ),
        tuple(_robust(kind, found, look, furthest[kind[1]]) for kind, found in rows.items()),
        Table(
            ("Attack", "Norm", "Method", "ε", "Accuracy %", "95% interval"),
            tuple(written),
            3,
        ),
        columns=4,
        slider="eps",
    )


Kind = tuple[str, str, int]  # attack, norm, steps


def _caution(kinds: Collection[Kind]) -> str:
    """How far these attacks may be believed."""
    names = sorted({attack_name(attack, steps) for attack, _, steps in kinds})
    if any(attack == "ensemble" for attack, _, _ in kinds):
        return (
            "The worst case is taken over the attacks of the standard AutoAttack and more, each "
            "break verified; a claim may rest on it, though stronger attacks may come. The others "
            "are weaker: upper bounds on robust accuracy."
        )
    return (
        f"{' and '.join(names)} are upper bounds on robust accuracy: an attack that finds "
        "nothing does not show that there is nothing. A claim of robustness needs stronger "
        "attacks: --attacks full."
    )


def _curves(record: Record) -> Sequence[Curve]:
    return (record.measured and record.measured.robustness) or ()


def _kind(curve: Curve) -> Kind:
    return curve.attack, curve.norm, curve.steps


def _norm_first(kind: Kind) -> tuple[bool, str, int, str]:
    attack, norm, steps = kind
    return norm != "linf", norm, steps, attack


def _robust_rows(runs: Runs, kind: Kind) -> list[Row]:
    rows = []
    for method, records in runs.items():
        points: dict[float, list[Point]] = {}
        for curve in (c for r in records for c in _curves(r) if _kind(c) == kind):
            for point in curve.points:
                if finite(point.accuracy) is not None:
                    points.setdefault(float(point.eps), []).append(point)
        for eps, found in sorted(points.items()):
            row = {"method": method, "eps": eps, "mark": True}
            row |= mean([p.accuracy for p in found])
            if len(found) == 1:
                row |= {
                    "low": rounded(finite(found[0].low)),
                    "high": rounded(finite(found[0].high)),
                }
            rows.append(row)
    return rows


def _robust(kind: Kind, rows: Sequence[Row], look: Sequence[Style], furthest: float) -> Panel:
    attack, norm, steps = kind
    scale, sizes = alt.Scale(domain=[0, 1]), alt.Scale(domain=[0, furthest])
    y = alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(format=".0%", tickCount=4))
    x = alt.X("eps:Q", title="ε", scale=sizes, axis=alt.Axis(tickCount=4, grid=False))
    tips = tooltips(eps="ε", value="accuracy", low="from", high="to", seeds="seeds")
    title = f"{attack_name(attack, steps)}, {NORMS.get(norm, norm)}"
    whole = lines(look, x, y, tips)
    whole.layer.append(read_off("eps"))
    return Panel(title[:1].upper() + title[1:], "Accuracy by size of perturbation.", rows, whole)
