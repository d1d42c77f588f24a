"""The commands, and the options that all of them read from a file."""

import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.config import Dict

import vicinal
from vicinal.cli.audit import audit
from vicinal.cli.compare import compare
from vicinal.cli.config import read
from vicinal.cli.errors import misread, refuse
from vicinal.cli.explain import explain
from vicinal.cli.report import report
from vicinal.cli.reproduce import reproduce
from vicinal.cli.tune import tune
from vicinal.machine.typed import Wrong

START = """To begin:

- `vicinal compare digits` trains with and without mixing, 5 seeds each, and writes a report

- `vicinal compare digits --methods erm "mixup(alpha=1)" cutmix --seeds 10`

- `vicinal reproduce all --quick` measures the figures of the talk again, and says what agrees

- `vicinal COMMAND --help` tells what a command can do

What is finished is never done twice: a command that was stopped goes on where it was.
"""

app = App(
    name="vicinal",
    help="Whether mixup helps your model, what it does to it, and whether the gain is real.",
    help_epilogue=START,
    help_format="markdown",
    version=vicinal.__version__,
    default_parameter=Parameter(negative=(), consume_multiple=True),
    error_formatter=misread,
)
COMMANDS: dict[str, Callable[..., int]] = {
    "compare": compare,
    "audit": audit,
    "explain": explain,
    "report": report,
    "reproduce": reproduce,
    "tune": tune,
}
for command in COMMANDS.values():
    app.command(command, help_epilogue="")  # else each repeats that of the whole
app.register_install_completion_command(
    help="Let the shell complete commands and options.", help_epilogue=""
)


@app.meta.default
def main_with_config(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, Parameter(negative=())] = None,
) -> Any:
    """Read options from a file, then run the command.

    Args:
        tokens: The command and its options.
        config: TOML file with the options of the command; the command line overrides it.
    """
    app.config = ()
    if config is not None:
        chain = app.parse_commands(list(tokens))[0]
        if not chain:
            refuse(f"name a command that reads {config}, such as compare.")
        given = read(config, chain[0], COMMANDS)
        app.config = (Dict(given, source=str(config), use_commands_as_keys=False),)
    try:
        return app(tokens)
    except Wrong as error:  # what an option does not take
        refuse(error)


def main() -> None:
    """Entry point of the command `vicinal`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a terminal has no sign for becomes a ?
            stream.reconfigure(errors="replace")
    app.meta()
