"""What is said to the user when something is wrong, and the exit status."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from cyclopts import CycloptsError
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from vicinal.machine.children import ProcessFailed
from vicinal.machine.names import printable

BAD_INPUT, FAILED_RUN, INTERRUPTED = 2, 1, 130


def leads() -> bool:
    """Whether this process speaks: the first of several that do the same command, or alone."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def misread(error: CycloptsError) -> Text:
    """What is said where the options themselves cannot be read, and where they are told."""
    asked = " ".join(("vicinal", *(error.command_chain or ())))
    return Text.assemble(
        ("Error: ", "bold red"),
        str(error).strip(),
        "\n",
        (f"{asked} --help", "bold cyan"),
        " tells what it takes.",
    )


def refuse(error: object) -> NoReturn:
    """Say what is wrong and exit with BAD_INPUT."""
    _speak(error)
    raise SystemExit(BAD_INPUT)


def reason(error: object) -> str:
    """What is wrong, in words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return str(error)


@contextmanager
def ending(*, kept: str = "The same command goes on from here.") -> Iterator[None]:
    """How a command ends that is refused, stopped, or whose folder can no longer be used.

    Args:
        kept: what is said of work that was begun.

    Raises:
        SystemExit: with the status, once it was said why.
    """
    try:
        yield
    except KeyboardInterrupt:
        _say(f"Stopped. {kept}".strip())
        raise SystemExit(INTERRUPTED) from None
    except (ValueError, TypeError, ConnectionError) as error:
        refuse(error)
    except (FileNotFoundError, NotADirectoryError, FileExistsError, PermissionError) as error:
        refuse(error)
    except OSError as error:  # a full disk, above all
        _speak(error)
        _say(f"What is stored is kept. {kept}".strip())
        raise SystemExit(FAILED_RUN) from error
    except ProcessFailed as failure:  # which has said why
        raise SystemExit(failure.exitcode or FAILED_RUN) from failure


def _speak(error: object) -> None:
    Console(stderr=True, emoji=False, quiet=not leads()).print(
        f"[bold red]Error:[/] {escape(printable(reason(error)))}", highlight=False, soft_wrap=True
    )


def _say(sentence: str) -> None:
    Console(stderr=True, emoji=False, quiet=not leads()).print(sentence, highlight=False)
