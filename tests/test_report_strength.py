"""Figures against α, of the gap, and of the bound: the numbers in them, by hand."""

import pytest

from runs import record, three_seeds
from vicinal.report import compare, verdict
from vicinal.report.figures.chosen import FIGURES, finished
from vicinal.report.figures.generalization import bounds, gaps
from vicinal.report.figures.panels import styles
from vicinal.report.figures.strength import strength
from vicinal.report.metrics import measurements
from vicinal.study.record import Record


def drawn(runs, figure):
    (group,) = compare(runs).groups
    return figure(group, finished(group, runs), styles(group.methods))


def strengths():
    """Three seeds of erm, mixup at 0.2 and 1, both later moved by the same amount on each seed."""
    runs = three_seeds()
    runs += [record("mixup(alpha=1)", s, a, nll=0.4) for s, a in enumerate((0.93, 0.95, 0.94))]
    return runs


def test_against_alpha_by_hand():
    figure = drawn([*strengths(), *(record("cutmix(alpha=1)", s) for s in range(3))], strength)
    assert [p.title for p in figure.panels][:2] == [
        "Test accuracy",
        "NLL, before temperature, nats",
    ]
    rows = {row["method"]: row for row in figure.panels[0].rows}
    assert set(rows) == {"erm", "mixup(alpha=0.2)", "mixup(alpha=1)"}  # cutmix has one strength
    assert rows["erm"]["alpha"] is None
    assert rows["erm"]["value"] == pytest.approx(0.91)
    found = rows["mixup(alpha=0.2)"]
    assert found["alpha"] == pytest.approx(0.2)
    # the paired difference 0.0233 [-0.0146, 0.0613] around the mean 0.9333
    assert (found["value"], found["low"], found["high"]) == pytest.approx(
        (0.9333, 0.8954, 0.9713), abs=1e-4
    )
    table = {row[1]: row for row in figure.table.rows if row[0] == "Test accuracy"}
    assert table["mixup(alpha=1)"][2:5] == ("1", "3", "94.0")
    assert table["mixup(alpha=0.2)"][5:] == ("+2.33", "[−1.46,\u00a0+6.13]")
    assert all(made in FIGURES for made in (strength, gaps, bounds))  # of the page


def test_kinds_differ_in_everything_but_alpha():
    runs = strengths()
    runs += [record("mixup(alpha=1, stop=0.8)", s) for s in range(3)]
    runs += [record("mixup(alpha=2, stop=0.8)", s) for s in range(3)]
    figure = drawn(runs, strength)
    rows = figure.panels[0].rows
    kinds = {row["method"]: row["kind"] for row in rows if row["alpha"]}
    assert kinds["mixup(alpha=1)"] == "mixup"
    assert kinds["mixup(alpha=1, stop=0.8)"] == "mixup(α, stop=0.8)"
    places = {row["method"]: row["place"] for row in rows if row["alpha"] == 1}
    assert places["mixup(alpha=1)"] != places["mixup(alpha=1, stop=0.8)"]  # both can be seen
    assert figure.text[0].endswith("Lines: mixup solid, mixup(α, stop=0.8) dashed.")
    layers = figure.panels[0].spec()["layer"]
    (dash,) = (found for x in layers if (found := x["encoding"].get("strokeDash")))
    assert dash["scale"] == {"domain": ["mixup", "mixup(α, stop=0.8)"], "range": [[1, 0], [5, 3]]}


def test_one_strength_is_no_axis():
    assert drawn(three_seeds(), strength) is None


def test_without_erm_the_first_strength_is_the_level():
    runs = [record(f"mixup(alpha={a})", s, 0.9 + a / 100) for a in (1, 2) for s in range(3)]
    rows = drawn(runs, strength).panels[0].rows
    assert [row["value"] for row in rows if row.get("level")] == [pytest.approx(0.91)]
    assert [row["alpha"] for row in rows if row["alpha"]] == [1, 2]


def test_gaps_are_levels_with_intervals():
    figure = drawn(three_seeds(), gaps)
    loss, accuracy = figure.panels
    assert loss.rows[0]["value"] == pytest.approx(0.2)  # 0.3 - 0.1 for erm
    assert accuracy.rows[0]["value"] == pytest.approx(0.09)
    # Student's interval of .10, .08, .09
    assert (accuracy.rows[0]["low"], accuracy.rows[0]["high"]) == pytest.approx(
        (0.09 - 0.02484, 0.09 + 0.02484), abs=1e-4
    )


def bounded(method, seed, value, constant=0.69):
    run = record(method, seed)
    run["measured"]["bound"] = {
        "value": value,
        "train_loss": 0.1,
        "complexity": value - 0.3,
        "deviation": 0.2,
        "vacuous": value >= constant,
        "constant_loss": constant,
        "factors": {"L": 1.0, "L_A": 1.0, "B": 2.5, "rho": 0.01, "gamma": 0.3, "n": 40.0},
        "caveat": "the bounds on x are read off the data",
    }
    return run


def test_bounds_are_shown_with_their_factors_and_called_vacuous():
    runs = [bounded("erm", s, v) for s, v in enumerate((5.0, 0.5))]
    runs += [bounded("mixup(alpha=1)", s, 7.0) for s in range(2)]
    figure = drawn(runs, bounds)
    assert "Indicative only: the bounds on x are read off the data." in figure.text[0]
    first, second = (
        dict(zip(figure.table.headers, row, strict=True)) for row in figure.table.rows[:2]
    )
    assert (first["Reads"], second["Reads"]) == ("vacuous", "below a constant prediction")
    assert (first["Bound"], first["Complexity"], first["ρ"], first["B"]) == (
        "5.00", "4.70", "0.0100", "2.50"
    )  # fmt: skip
    assert figure.panels[0].rows[0]["test"] == pytest.approx(0.3)
    (told,) = (s for s in verdict(compare(runs)) if s.startswith("Generalisation bound"))
    assert told.endswith("0.500 to 7.00 nats, where a constant prediction has a loss of 0.690: "
                         "vacuous for 3 of 4 runs.")  # fmt: skip
    assert drawn(three_seeds(), bounds) is None


def test_a_loss_below_zero_has_no_logarithm():
    runs = [bounded("erm", s, 5.0, constant=-1e-20) for s in range(2)]
    figure = drawn(runs, bounds)
    assert not figure.panels
    assert dict(zip(figure.table.headers, figure.table.rows[0], strict=True))[
        "Constant prediction"
    ] == "0"  # fmt: skip


def test_no_two_metrics_share_a_key():
    run = record("erm", 0)
    coverage = {"levels": [0.9], "covered": [{"value": 0.8, "low": 0.7, "high": 0.9}]}
    coverage |= {"error": 0.1, "nll": 1.0, "width": 1.0, "examples": 20}
    run["measured"] |= {"rmse": 1.0, "r2": 0.5, "mae": 1.0, "coverage": coverage}
    found = measurements(Record.from_json(run))
    keys = [metric.key for metric in found]
    assert len(set(keys)) == len(keys)
    found = {metric.key: value for metric, value in found.items()}
    assert (found["r_squared"], found["r2"]) == (0.5, 0.1)  # R² of the fit, R2 of the expansion
