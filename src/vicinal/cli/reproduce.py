"""vicinal reproduce: the figures of the talk, each measured from scratch."""

import os
import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vicinal.cli.errors import FAILED_RUN, INTERRUPTED, refuse
from vicinal.machine.names import known

if TYPE_CHECKING:  # --help does not wait for torch
    from vicinal.report.reproduced.page import Reproduced
    from vicinal.study.reproduce.run import Reproduction

FIGURES = (
    "approximation",
    "cosine",
    "robustness",
    "bound",
    "generalization",
    "calibration",
    "variants",
)
ALL = "all"


def reproduce(
    name: str,
    *,
    quick: bool = False,
    seeds: int | None = None,
    data: str | None = None,
    out: Path = Path("reproduced"),
) -> int:
    """Measure the figures of the talk again, from scratch, and say what agrees and what does not.

    Writes for each figure a page (.html), a picture (.svg, .pdf) and its numbers (.csv, .json), and
    index.html for all of them. What is measured is stored in records/ and not measured again.

    Args:
        name: approximation (the mixup loss and its expansion), cosine (the angle between inputs and
            gradients), robustness (accuracy under attack), bound (on the adversarial loss),
            generalization (the gap), calibration, variants (all strategies side by side), or all.
        quick: Smaller data, shorter training and fewer seeds, to see that it works.
        seeds: Number of seeds; by default 5, or 3 for a quick run.
        data: Data instead of those that come with scikit-learn, as in compare: a name, or
            idx:FOLDER with the files of MNIST or Fashion-MNIST, cifar:FOLDER with the binary files
            of CIFAR. The approximation keeps two moons.
        out: Folder for the results.
    """
    say, shown = Console(stderr=True, emoji=False), Console(emoji=False)
    try:
        known("figure", name, (*FIGURES, ALL))
        if seeds is not None and not seeds >= 1:
            raise ValueError(f"seeds must be at least 1, got {seeds}.")
        with shown.status("starting torch") if shown.is_terminal else nullcontext():
            figures = _figures(data)
        (out / "records").mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK | os.X_OK):
            raise PermissionError(f"cannot write to the folder {out}.")
        chosen = figures if name == ALL else {name: figures[name]}
        found = []
        for figure in chosen.values():
            found.append(_measured(figure, quick, seeds, data, out, say))
            shown.print(escape(f"\n{found[-1].title}"), style="bold")
            shown.print(escape(found[-1].paragraph), highlight=False)
    except KeyboardInterrupt:
        say.print("Stopped. The same command goes on from here.")
        return INTERRUPTED
    except (ValueError, OSError) as error:
        refuse(error)
    last = out / f"{name}.html"
    if name == ALL:
        last = out / "index.html"
        _write(last, lambda command: _overview(found, command))
    shown.print(escape(f"\nPage: {last}"), highlight=False, soft_wrap=True)
    return FAILED_RUN if any(figure.failed for figure in found) else 0


def _figures(data: str | None) -> "dict[str, Reproduction]":
    """Every figure by name; data that cannot be had fail now."""
    from vicinal.data import read
    from vicinal.study.reproduce import (
        approximation,
        bound,
        calibration,
        cosine,
        generalization,
        robustness,
        variants,
    )

    if data is not None and not read(data).classifies:
        raise ValueError(f"{data} has values for targets; these figures are about classes.")
    modules: tuple[Reproduction, ...] = (
        approximation,
        cosine,
        robustness,
        bound,
        generalization,
        calibration,
        variants,
    )
    return dict(zip(FIGURES, modules, strict=True))


def _measured(
    figure: "Reproduction",
    quick: bool,
    seeds: int | None,
    data: str | None,
    out: Path,
    say: Console,
) -> "Reproduced":
    """Measure one figure, and write all that it gives."""
    from vicinal.machine import files
    from vicinal.report.figures import still
    from vicinal.report.reproduced import page
    from vicinal.study.reproduce.run import records

    size = figure.QUICK if quick else figure.FULL
    size = replace(size, seeds=seeds or size.seeds)
    used = figure.DATA if data is None or figure.NAME == "approximation" else data
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=say, disable=not say.is_terminal, transient=True) as progress:
        task = progress.add_task(figure.NAME, total=size.seeds)
        done = records(
            figure,
            range(size.seeds),
            size,
            used,
            out / "records",
            advance=lambda: progress.advance(task),
            say=lambda sentence: progress.console.print(escape(sentence), highlight=False),
        )
    found = page.reproduced(figure.NAME, done)
    _write(out / f"{figure.NAME}.html", lambda command: page.page(found, command=command))
    picture = still.svg([(drawing.figure, drawing.looks) for drawing in found.drawings])
    files.write(out / f"{figure.NAME}.svg", picture)
    files.write_bytes(out / f"{figure.NAME}.pdf", still.pdf(picture))
    files.write(out / f"{figure.NAME}.csv", page.table(found))
    files.write(out / f"{figure.NAME}.json", page.as_json(found))
    return found


def _write(path: Path, made: Callable[[str], str]) -> None:
    from vicinal.machine import files

    files.write(path, made("vicinal " + shlex.join(sys.argv[1:])))


def _overview(found: "list[Reproduced]", command: str) -> str:
    from vicinal.report.reproduced import page

    return page.overview(found, command=command)
