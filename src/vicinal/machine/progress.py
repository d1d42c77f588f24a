"""How work is shown while it is done: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vicinal.machine.names import printable

QUIET = 10.0  # seconds between two lines
STEP = 0.05  # share of the work that is worth a line


@dataclass(frozen=True)
class Shown:
    """What to tell while work is done; both may be called in a thread.

    Attributes:
        advance: told how many units were done.
        say: told what the user should know, a sentence at a time.
    """

    advance: Callable[[float], None]
    say: Callable[[str], None]


def console() -> Console:
    """Where progress and notes go: the error stream, or the cell of a notebook."""
    found = Console(stderr=True, emoji=False)
    return Console(emoji=False) if found.is_jupyter else found


def starting() -> AbstractContextManager[object]:
    """Says that torch starts, which takes a while, to those who watch."""
    found = Console(emoji=False)
    watched = found.is_terminal and not found.is_jupyter
    return found.status("starting torch") if watched else nullcontext()


@contextmanager
def working(what: str, total: float, *, quiet: bool = False) -> Iterator[Shown]:
    """Show how far some work is, and how long it will take.

    Args:
        what: the work, in few words.
        total: units of it.
        quiet: show nothing, as where another process shows the same.
    """
    shown = console()
    shown.quiet = quiet

    def say(sentence: str) -> None:
        shown.print(escape(printable(sentence)), highlight=False, soft_wrap=True)

    if not shown.is_terminal or shown.is_jupyter:  # a bar in a notebook needs more than rich
        yield Shown(_lines(what, total, say), say)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=shown, transient=True) as progress:
        task = progress.add_task(escape(what), total=total)
        yield Shown(lambda units: progress.advance(task, units), say)


def _lines(what: str, total: float, say: Callable[[str], None]) -> Callable[[float], None]:
    """Now and then a line on how far the work is."""
    start = last = time.monotonic()
    done = shown = 0.0

    def advance(units: float) -> None:
        nonlocal done, shown, last
        done += units
        now = time.monotonic()
        share = done / total if total else 1.0
        if now - last >= QUIET and share - shown >= STEP and share < 1:
            left = (now - start) * (1 - share) / share
            say(f"{what}: {share:.0%} done, about {_duration(left)} left.".replace("%", " %"))
            shown, last = share, now

    return advance


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
