"""vicinal report: render the page again from stored runs."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from vicinal.cli.errors import FAILED_RUN, ending, refuse
from vicinal.machine import files


def report(runs: Path, *, out: Path | None = None, baseline: str | None = None) -> int:
    """Render the report again from stored runs.

    Args:
        runs: Folder of runs, as written by compare.
        out: What to write; by default report.html beside the folder. The ending chooses: .html,
            .md, .tex (a table for booktabs), .json, .csv or .parquet.
        baseline: The method that the others are compared with; by default erm where it is among
            them, else the first.
    """
    from vicinal.report.pages import page
    from vicinal.study import store

    out = out or runs.resolve().parent / "report.html"
    if not runs.is_dir():
        refuse(f"{runs} is not a folder of runs. vicinal compare writes one.")
    if not any(runs.glob("*.json")):
        refuse(f"{runs} holds no runs (*.json). vicinal compare writes them.")
    with ending(kept=""):
        files.check_file(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        unreadable = page.write(runs, out, baseline=baseline, ways=store.ways(runs))
    for name in unreadable:
        Console(stderr=True, emoji=False).print(
            f"Skipped, cannot be read: {escape(str(name))}", highlight=False
        )
    Console(emoji=False).print(escape(f"Report: {out}"), highlight=False, soft_wrap=True)
    return FAILED_RUN if unreadable else 0
