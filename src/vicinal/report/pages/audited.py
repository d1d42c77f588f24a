"""An audit: tables for the terminal, its findings in words, and a page that needs no network."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from vicinal.report.comparison import Group, compare
from vicinal.report.figures.panels import Figure, Runs, Table, styles
from vicinal.report.figures.perturbed import robustness
from vicinal.report.figures.reliability import reliability
from vicinal.report.metrics import NORMS
from vicinal.report.numbers import NONE, fixed, number
from vicinal.report.pages.document import document, shown_settings
from vicinal.study.record import FORMAT, Record

Audit = Mapping[str, Any]
"""The parts of an audit by name, with the settings under "settings"."""
MODEL = "the model"


def sentences(audit: Audit) -> tuple[tuple[str, str], ...]:
    """What was found: topic and text."""
    return (
        _predictions(audit),
        *_robust(audit),
        ("Masked gradients", audit["masking"]["verdict"]),
        *_calibrated(audit),
        *_bounded(audit),
    )


def tables(audit: Audit) -> tuple[tuple[str, str, Table], ...]:
    """Title, what it shows, and numbers."""
    found: list[tuple[str, str, Table]] = []
    if accounts := tuple(_accounts(audit)):
        heads = ("Norm", "Attack", "Tried", "Broken", "Passes", "Seconds")
        text = "Each attack meets what those before it left; every break is looked at again."
        found.append(("What each attack did", text, Table(heads, accounts, 2)))
    if nearest := tuple(_nearest(audit)):
        columns = ("Norm", "25 %", "50 %", "75 %", "Mean", "Reached %", "Check by APGD")
        text = (
            "The smallest distortion found that breaks an example, in the units of the sizes: "
            "quantiles over the examples, mistakes counting as 0. The check says how many examples "
            "thought to be robust APGD broke all the same."
        )
        found.append(("Minimal distortion", text, Table(columns, nearest, 1)))
    signs = audit["masking"]["signs"].values()
    if rows := tuple(("pass" if sign["passed"] else "FAIL", sign["words"]) for sign in signs):
        text = "Attacks may fail because slopes mislead them. Each check must pass."
        found.append(("Signs of masked gradients", text, Table(("Result", "Measured"), rows, 2)))
    if "bound" in audit:
        found.append(("Conditions of mixup's bound", *_conditions(audit["bound"])))
    return tuple(found)


def terminal(audit: Audit) -> RenderableType:
    """Findings, then the tables, for `rich.console.Console.print`."""
    parts: list[RenderableType] = [
        Padding(Text.assemble((f"{topic}: ", "bold"), text), (0, 0, 0, 1))
        for topic, text in sentences(audit)
    ]
    for title, _, table in tables(audit):
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for k, head in enumerate(table.headers):
            grid.add_column(Text(head), justify="left" if k < table.names else "right")
        for row in table.rows:
            grid.add_row(*(Text(cell) for cell in row))
        parts += [Text(f"\n{title}", style="bold"), grid]
    return Stack(*parts)


def page(audit: Audit, *, command: str) -> str:
    """The audit as one HTML page.

    Args:
        audit: the parts, with the settings under "settings".
        command: what was typed.
    """
    run = _as_run(audit)
    group, runs, look = compare([run]).groups[0], {MODEL: [run]}, styles((MODEL,))
    drawn = [(figure, look) for figure in _figures(group, runs)]
    return document(
        "audited.html.jinja",
        specs=[panel.spec() for figure, _ in drawn for panel in figure.panels],
        whole=dict(audit),
        title=f"Audit of {audit['settings']['model']}",
        facts=", ".join(f"{k} {v}" for k, v in audit["settings"].items() if k in ("data", "part")),
        sentences=sentences(audit),
        drawn_figures=drawn,
        tables=tables(audit),
        command=command,
        settings_of=shown_settings(audit["settings"]),
    )


def _figures(group: Group, runs: Runs) -> Iterator[Figure]:
    for make in (robustness, reliability):
        figure = make(group, runs, styles((MODEL,)))
        if figure is not None:
            yield figure


def _as_run(audit: Audit) -> Record:
    """The audit in the shape of a run, so that the figures of runs show it."""
    curves = list(audit.get("gradients", {}).get("curves", ()))
    for name, part in audit.items():
        if name.startswith("ensemble "):
            curves.append(part)
        elif name.startswith("distances "):
            curves.append({**part["curve"], "steps": 1})
    measured: dict[str, Any] = {"robustness": curves}
    if "calibration" in audit:
        measured["calibration"] = audit["calibration"]
    configuration = {"method": MODEL, "seed": 0, "data": audit["settings"]["data"]}
    return Record.from_json(
        {
            "format": FORMAT,
            "name": MODEL,
            "configuration": configuration,
            "status": "done",
            "failure": None,
            "history": [],
            "measured": measured,
        }
    )


def _predictions(audit: Audit) -> tuple[str, str]:
    found = audit["predictions"]
    right = _share(found)
    if "rmse" not in found:
        return "Accuracy", f"{right} on {found['examples']} examples."
    text = f"{right} of {found['examples']} predictions deviate by no more than the tolerance"
    return "Predictions", f"{text} of {number(audit['settings']['tolerance'])}."


def _robust(audit: Audit) -> Iterator[tuple[str, str]]:
    """The worst case in each norm, and how much weaker attacks flatter."""
    for norm, eps in audit["settings"]["sizes"].items():
        where = f"{NORMS[norm]}, ε = {eps:g}".replace(" ", "\N{NO-BREAK SPACE}")
        found = audit.get(f"ensemble {norm}")
        weak = {
            c["attack"]: c["points"][-1]["accuracy"]
            for c in audit.get("gradients", {}).get("curves", ())
            if c["norm"] == norm
        }
        weaker = ", ".join(f"{fixed(100 * v, 1)} % under {k.upper()}" for k, v in weak.items())
        if found is None:
            rest = "upper bounds, on which no claim can rest: leave out --attacks fast"
            yield f"Under attack, {where}", f"{weaker}; {rest}."
            continue
        clean, worst = found["points"]
        text = f"{_share(worst, 'accuracy')} of {found['examples']} examples withstand every attack"
        text += f"; {fixed(100 * clean['accuracy'], 1)} % without any" + f", {weaker}" * bool(
            weaker
        )
        if not found["complete"]:
            text += ". The budget ended before all attacks did, so this is too high; the same "
            text += "command with a larger one goes on"
        if found["undefined"]:
            text += f". {len(found['undefined'])} had outputs that are not finite and do not count"
        if found["draws"]:
            text += f". The model draws at random: the mean of {found['draws']} draws was attacked"
        yield f"Worst case, {where}", f"{text}."


def _calibrated(audit: Audit) -> Iterator[tuple[str, str]]:
    if "calibration" not in audit:
        return
    for key, name, scale, unit in (("ece", "ECE", 100, " %"), ("nll", "NLL", 1, " nats")):
        intervals = audit["calibration"][f"{key}_intervals"]
        before, after, d = (
            _interval(intervals[k], scale) for k in ("before", "after", "difference")
        )
        low, high = intervals["difference"]["low"], intervals["difference"]["high"]
        shown = "lower" if high < 0 else "higher" if low > 0 else "no difference shown"
        text = f"{before}{unit} as trained, {after} after scaling fitted on other examples"
        yield name, f"{text}; difference {d}: {shown}."


def _bounded(audit: Audit) -> Iterator[tuple[str, str]]:
    bound = audit.get("bound")
    if bound is None:
        if "calibration" in audit:
            yield "Mixup's bound", "It is proved for two classes, and says nothing of this model."
        return
    failing = [name.replace("_", " ") for name, c in bound["conditions"].items() if not c["holds"]]
    sides = (
        f"mixup loss to second order {number(bound['mixup_loss'])}, adversarial loss at its radii "
        f"{number(bound['adversarial_loss'])}"
    )
    if failing:
        claim = f"Its conditions fail ({', '.join(failing)}), so it promises nothing here"
    else:
        claim = "All its conditions hold"
    text = f"{claim}; {sides} nats: the inequality is {'true' if bound['holds'] else 'false'}."
    if bound["share_of_distance"] is not None:
        share = number(bound["share_of_distance"])
        text += f" Its radius is {share} of the smallest l2 distortion found, in the median."
    yield "Mixup's bound", text + " " + " ".join(bound["says_not"])


def _accounts(audit: Audit) -> Iterator[tuple[str, ...]]:
    for name, part in audit.items():
        if name.startswith("ensemble "):
            for a in part["accounts"]:
                counts = (str(a["tried"]), str(a["broken"]), str(a["passes"]))
                yield (NORMS[part["norm"]], a["attack"], *counts, fixed(a["seconds"], 1))


def _nearest(audit: Audit) -> Iterator[tuple[str, ...]]:
    for name, part in audit.items():
        if name.startswith("distances "):
            quantiles = (number(v) if v is not None else NONE for v in part["quantiles"].values())
            mean = number(part["mean"]) if part["mean"] is not None else NONE
            (check,) = part["checks"]
            checked = f"{check['broken']} of {check['tried']} at {check['eps']:g}"
            norm = NORMS[part["curve"]["norm"]]
            yield (norm, *quantiles, mean, fixed(100 * part["reached"], 1), checked)


def _conditions(bound: Mapping[str, Any]) -> tuple[str, Table]:
    rows = tuple(
        (
            "holds" if c["holds"] else "FAILS",
            name.replace("_", " "),
            c["required"],
            number(c["measured"]),
        )
        for name, c in bound["conditions"].items()
    )
    text = (
        f"The theorem was proved under these conditions, measured on {bound['examples']} training "
        "examples as they are given. Where one fails the inequality may be true by luck."
    )
    return text, Table(("Result", "Condition", "Required", "Measured"), rows, 3)


def _share(found: Mapping[str, Any], key: str = "value") -> str:
    """A share with its interval over examples."""
    if found[key] is None:
        return NONE
    ends = (fixed(100 * found[end], 1) for end in ("low", "high"))
    return f"{fixed(100 * found[key], 1)} % [{', '.join(ends)}]"


def _interval(found: Mapping[str, float], scale: float) -> str:
    value, low, high = (
        fixed(scale * found[k], 3 if scale == 1 else 1) for k in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]"
