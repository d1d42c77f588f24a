"""The comparison in a terminal: one compact table per group, then the verdict."""

from collections.abc import Iterator

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.console import Group as Stack
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vicinal.machine.names import printable
from vicinal.report.comparison import Cell, Comparison, Group
from vicinal.report.metrics import Metric
from vicinal.report.numbers import NONE, differences, fixed, plus_minus
from vicinal.report.sizes import middle, named_norm
from vicinal.report.words.findings import sentences

WIDE = 100  # columns from which the difference has a column of its own


def summary(comparison: Comparison) -> RenderableType:
    """Table and verdict of every group, for `rich.console.Console.print`.

    From 100 columns on the difference to the baseline has its own column, below it stands
    under the accuracy. Names are shown as they are, never read as markup.
    """
    parts = [part for group in comparison.groups for part in _section(group)]
    return Stack(*parts) if parts else Text("There are no runs to compare.")


def _section(group: Group) -> Iterator[RenderableType]:
    yield Text(f"\n{printable(group.title)}", style="bold")
    yield _Responsive(group)
    for sentence in sentences(group):
        line = Text.assemble((f"{sentence.topic}: ", "bold"), printable(sentence.text))
        yield Padding(line, (0, 0, 0, 1))


class _Responsive:
    """Chooses the table when the width is known."""

    def __init__(self, group: Group) -> None:
        self.group = group

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield table(self.group, wide=options.max_width >= WIDE)


def table(group: Group, *, wide: bool) -> Table:
    """One line per method; two when narrow, where differences and arrows stand below."""
    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    norm = named_norm(group)
    robust = middle(group, "ensemble", norm) or middle(group, "pgd", norm)
    out.add_column("method", overflow="fold", ratio=1)
    for title in _titles(group, robust, wide):
        out.add_column(title, justify="right", no_wrap=True)
    broken = not wide or group.metric("average_precision") is not None  # one column more
    for method in group.methods:
        name = method.replace("(", "\n(", 1) if broken else method
        out.add_row(
            Text(printable(name)), *(Text(cell) for cell in _cells(group, method, robust, wide))
        )
    return out


def _titles(group: Group, robust: Metric | None, wide: bool) -> list[Text]:
    difference = f"minus {_short(group.baseline)} [95%]"
    score = {"accuracy": "accuracy %", "rmse": "RMSE"}[_score(group)]
    precise = group.metric("average_precision") is not None
    score = "all right %" if precise else score
    titles = [score, difference] if wide else [f"{score}\n{difference}"]
    titles += ["mAP %"] if precise else []
    join = " " if wide else "\n"
    if _score(group) == "accuracy":
        titles += [f"NLL{join}→ scaled", f"ECE %{join}→ scaled", "T"]
    else:
        titles += ["R²", "mean error"]
    if robust is not None and robust.threat is not None:
        unit = " %" if robust.unit == "percent" else ""
        titles.append(f"{robust.threat.name}{unit}\n{robust.threat.norm} {robust.threat.eps:g}")
    return [Text(title) for title in titles]


def _cells(group: Group, method: str, robust: Metric | None, wide: bool) -> Iterator[str]:
    score = group.cell(method, _score(group))
    levels = (_level(score), _difference(group, method, score))
    yield from levels if wide else ("\n".join(levels),)
    if group.metric("average_precision") is not None:
        yield _level(group.cell(method, "average_precision"))
    if _score(group) == "accuracy":
        yield _arrow(group, method, "nll", wide)
        yield _arrow(group, method, "ece", wide)
        temperature = group.cell(method, "temperature")
        yield fixed(temperature.mean if temperature else None, 2)
    else:
        yield from (_level(group.cell(method, key)) for key in ("r_squared", "mae"))
    if robust is not None:
        yield _level(group.cell(method, robust.key))


def _score(group: Group) -> str:
    """The first metric of these runs: accuracy of classes, error of values."""
    return "rmse" if group.metric("rmse") is not None else "accuracy"


def _difference(group: Group, method: str, cell: Cell | None) -> str:
    if method == group.baseline:
        return "baseline"
    if cell is None or cell.difference is None:
        return NONE
    d = cell.difference
    mean, low, high = differences((d.mean, d.low, d.high), cell.metric.unit)
    return mean if d.low is None else f"{mean} [{low}, {high}]"


def _arrow(group: Group, method: str, name: str, wide: bool) -> str:
    """The mean as trained, and after one fitted temperature."""
    cells = [group.cell(method, f"{name}_{when}") for when in ("before", "after")]
    written = [
        NONE
        if c is None or c.mean is None
        else fixed(100 * c.mean, 1)
        if c.metric.unit == "percent"
        else fixed(c.mean, 3)
        for c in cells
    ]
    return (" → " if wide else "\n→ ").join(written)


def _level(cell: Cell | None) -> str:
    return NONE if cell is None else plus_minus(cell.mean, cell.sd, cell.metric.unit)


def _short(name: str) -> str:
    return name if len(name) <= 16 else "baseline"
