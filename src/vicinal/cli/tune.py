"""vicinal tune: search for a method and its strength on validation data, test what was found."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vicinal.cli.errors import FAILED_RUN, ending
from vicinal.machine import files
from vicinal.machine.progress import starting
from vicinal.study.options import Search

if TYPE_CHECKING:  # --help does not wait for torch
    from vicinal.maths.statistics import Paired
    from vicinal.study.search import Found

SHOWN = 10  # trials in the table
USUAL = Search()


def tune(asked: Annotated[Search, Parameter(name="*")] = USUAL) -> int:
    """Search for a method and its strength on validation data, then test the best once.

    Trials are runs, stored in runs/ as those of compare: a search that was stopped goes on where
    it was. Needs Optuna: pip install 'vicinal[tune]'.
    """
    with ending():
        with starting():
            from vicinal.study.configuration import Objects
            from vicinal.study.tune import run_search
        found = run_search(asked, Objects({}))
        if found is None:
            return 0
        text = json.dumps(files.plain(found.to_json()), indent=1)
        files.write(asked.out / "tune.json", text + "\n")
    console = Console(emoji=False)
    console.print(_table(found))
    for sentence in _sentences(found):
        console.print(escape(sentence), highlight=False, soft_wrap=True)
    return FAILED_RUN if found.failed else 0


def _table(found: "Found") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("method")
    table.add_column(f"validation {found.metric}", justify="right")
    for trial in found.trials[:SHOWN]:
        table.add_row(Text(trial.method), _score(trial.scores, found.metric))
    return table


def _score(scores: tuple[float, ...], metric: str) -> str:
    from vicinal.report.numbers import deviation, plus_minus

    percent = metric == "accuracy"
    told = plus_minus(
        sum(scores) / len(scores),
        deviation(scores) if len(scores) > 1 else None,
        "percent" if percent else "nats",
    )
    return told + (" %" if percent else "")


def _sentences(found: "Found") -> Iterator[str]:
    """What was found and what it cost, and no more than was measured."""
    more = len(found.trials) - SHOWN
    if more > 0:
        yield f"… and {more} more, in tune.json."
    if found.failed:
        yield f"Could not be trained: {', '.join(found.failed)}."
    metric, best = found.metric, found.best.method
    yield ""
    yield f"Chosen on validation data: {best}."
    yield f"Test {metric}, looked at once: {_score(found.test, metric)}."
    scale, unit = (100, " points") if metric == "accuracy" else (1, "")
    yield f"Optimism of the validation score: {scale * found.optimism:+.2g}{unit}."
    if found.gain is not None:
        yield (
            f"erm, for comparison: test {metric} {_score(found.plain_test, metric)}, "
            f"optimism {scale * found.plain_optimism:+.2g}{unit}."
        )
        yield f"Difference to erm on the test part, paired: {_gain(found.gain, metric)}."
    trainings, seconds = found.trainings, found.seconds
    yield (
        f"Cost: {trainings['search']} trainings for the search ({seconds['search']:.0f} s), "
        f"{trainings['test']} for the test ({seconds['test']:.0f} s)."
    )


def _gain(gain: "Paired", metric: str) -> str:
    scale = 100 if metric == "accuracy" else 1
    interval = (
        ""
        if gain.low is None or gain.high is None
        else f" [{scale * gain.low:+.2f}, {scale * gain.high:+.2f}]"
    )
    return f"{scale * gain.mean:+.2f}{interval}, {gain.words}"
