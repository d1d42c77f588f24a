"""What is said to the user when something is wrong, and the exit status."""

import os
from typing import NoReturn

from cyclopts import CycloptsError
from rich.console import Console
from rich.markup import escape
from rich.text import Text

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
    Console(stderr=True, emoji=False, quiet=not leads()).print(
        f"[bold red]Error:[/] {escape(reason(error))}", highlight=False, soft_wrap=True
    )
    raise SystemExit(BAD_INPUT)


def reason(error: object) -> str:
    """What is wrong, in words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return str(error)
