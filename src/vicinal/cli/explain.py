"""vicinal explain: what mixup does to the loss of a trained model."""

import json
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from vicinal.cli.errors import ending
from vicinal.machine import files
from vicinal.machine.progress import starting
from vicinal.study.command import typed
from vicinal.study.subject import Explaining

if TYPE_CHECKING:
    from vicinal.study.explained import Explained


def explain(asked: Annotated[Explaining, Parameter(name="*")]) -> int:
    """Explain what mixup does to a trained model's loss, at every strength.

    Writes explanation.json, explanation.html and explanation.svg, and prints a table.
    """
    with ending(kept=""):
        with starting():
            from vicinal.study.explained import run_explanation
        found = run_explanation(asked)
        if found is not None:
            _write(found, asked)
    return 0


def _write(found: "Explained", asked: Explaining) -> None:
    from vicinal.report.figures import still
    from vicinal.report.figures.strengths import figures
    from vicinal.report.pages import explained

    record, out = found.record, asked.out
    named = found.inputs, found.targets, found.rows, found.features, found.bounds
    page = explained.page(record, explained.Examples(*named), command=typed("explain", asked))
    out.mkdir(parents=True, exist_ok=True)
    files.write(out / "explanation.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    files.write(out / "explanation.html", page)
    files.write(out / "explanation.svg", still.svg(figures(record)))
    console = Console(emoji=False)
    console.print(explained.table(record))
    for topic, text in explained.sentences(record):
        console.print(f"[bold]{topic}:[/] {escape(text)}", highlight=False)
    console.print(escape(f"Figure: {out / 'explanation.html'}"), highlight=False, soft_wrap=True)
