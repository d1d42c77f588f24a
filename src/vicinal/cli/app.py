"""The commands, and the options that all of them read from a file."""

import tomllib
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.config import Toml

import vicinal
from vicinal.cli.audit import audit
from vicinal.cli.compare import compare
from vicinal.cli.errors import misread, reason, refuse
from vicinal.cli.explain import explain
from vicinal.cli.report import report
from vicinal.cli.reproduce import reproduce
from vicinal.cli.tune import tune
from vicinal.machine.names import unknown

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
    default_parameter=Parameter(negative=()),
    error_formatter=misread,
)
for command in (compare, audit, explain, report, reproduce, tune):
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
        config: TOML file with the options of compare; the command line overrides it.
    """
    if config is not None:
        try:
            given = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            refuse(f"the configuration {config} cannot be read: {reason(error)}")
        options = {name.replace("_", "-") for name in signature(compare).parameters}
        for name in given:
            if name.replace("_", "-") not in options:
                refuse(f"{config}: {unknown('option', name, options)}")
    app.config = (Toml(config, use_commands_as_keys=False),) if config is not None else ()
    return app(tokens)


def main() -> None:
    """Entry point of the command `vicinal`."""
    app.meta()
