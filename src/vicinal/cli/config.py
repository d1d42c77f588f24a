"""Options from a TOML file, checked whole against the command that runs."""

import tomllib
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any, get_args

from vicinal.cli.errors import reason, refuse
from vicinal.machine.names import unknown
from vicinal.machine.typed import Wrong, flat_hints, taken


def options_of(command: Callable[..., Any]) -> dict[str, Any]:
    """What a command takes, by name."""
    found: dict[str, Any] = {}
    for name, parameter in signature(command).parameters.items():
        group = next((a for a in get_args(parameter.annotation) if _is_group(a)), None)
        found |= {name: parameter.annotation} if group is None else dict(flat_hints(group))
    return found


def _is_group(hint: Any) -> bool:
    return hasattr(hint, "__dataclass_fields__") and isinstance(hint, type)


def read(path: Path, name: str, commands: dict[str, Callable[..., Any]]) -> dict[str, Any]:
    """The options of a file for a command.

    Exits with all that is wrong with them, one sentence for each.

    Args:
        path: of the file.
        name: of the command that runs.
        commands: all that there are, by name.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        refuse(f"the configuration {path} cannot be read: {reason(error)}")
    wrong = list(_faults(path, given, name, commands))
    if wrong:
        refuse("\n".join(wrong))
    return {key.replace("_", "-"): value for key, value in given.items()}


def _faults(
    path: Path, given: dict[str, Any], name: str, commands: dict[str, Callable[..., Any]]
) -> Iterator[str]:
    """What is wrong, in sentences that name the file and the key."""
    known = options_of(commands[name])
    for key, value in given.items():
        field = key.replace("-", "_")
        if field in known:
            try:
                taken(key, known[field], value)
            except Wrong as error:
                yield f"{path}: {error}"
            continue
        others = [c for c, function in commands.items() if field in options_of(function)]
        told = unknown("option", key, known)
        if others:
            told = f"{key} is an option of {' and '.join(others)}, and not of {name}."
        yield f"{path}: {told}"
