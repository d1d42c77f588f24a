"""How work is shown while it is done, and how a command ends that is stopped."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vicinal.cli.errors import FAILED_RUN, INTERRUPTED, reason, refuse

Advance = Callable[[int], None]
Say = Callable[[str], None]


def starting() -> AbstractContextManager[object]:
    """Says that torch starts, which takes a while, to those who watch."""
    console = Console(emoji=False)
    return console.status("starting torch") if console.is_terminal else nullcontext()


@contextmanager
def working(what: str, total: int, *, shared: bool = False) -> Iterator[tuple[Advance, Say]]:
    """A bar with the time that is left, on the terminal's error stream, and what to tell it.

    Args:
        what: the work.
        total: units of progress.
        shared: whether other processes take part, who must hear of an error.

    Raises:
        SystemExit: if the work was interrupted, refused, or the folder can no longer be used.
    """
    console = Console(stderr=True, emoji=False)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )

    def say(sentence: str) -> None:
        console.print(escape(sentence), highlight=False, soft_wrap=True)

    try:
        with progress:
            task = progress.add_task(what, total=total)
            yield lambda units: progress.advance(task, units), say
    except KeyboardInterrupt:
        say("Stopped. The same command goes on from here.")
        raise SystemExit(INTERRUPTED) from None
    except (ValueError, ConnectionError) as error:  # a missing extra, a cluster that is away
        refuse(error)
    except OSError as error:  # a full disk, above all
        console.print(f"[bold red]Error:[/] {escape(reason(error))}", highlight=False)
        say("What is stored is kept. The same command goes on from here.")
        if shared:
            raise  # which ends the others, too
        raise SystemExit(FAILED_RUN) from error
