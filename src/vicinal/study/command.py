"""The command, or the Python code, that does again what was asked."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vicinal.machine.typed import changed


def typed(name: str, asked: Any) -> str:
    """The command of a name with everything in it that is not as usual.

    Args:
        name: of the command, such as compare.
        asked: its options.
    """
    words = ["vicinal", name]
    for option, value in changed(asked).items():
        flag = f"--{option.replace('_', '-')}"
        if option == _first(asked):
            words.append(_word(value))
        elif isinstance(value, bool):
            words.append(flag)
        elif isinstance(value, tuple):
            words += [flag, *map(_word, value)]
        else:
            words += [flag, _word(value)]
    return shlex.join(words)


def code(name: str, asked: Any, objects: Iterable[str] = ()) -> str:
    """The call in Python of a function of the package with everything that is not as usual.

    Args:
        name: of the function, such as compare.
        asked: its options.
        objects: names of options whose values were given as objects, which are shown by name.
    """
    given, shown = set(objects), []
    for option, value in changed(asked).items() | dict.fromkeys(objects).items():
        text = "…" if option in given else repr(str(value) if isinstance(value, Path) else value)
        shown.append(text if option == _first(asked) else f"{option}={text}")
    return f"import vicinal as vc\n\nvc.{name}({', '.join(shown)})"


def _first(asked: Any) -> str:
    """The option that needs no name: the model of a subject, else the data."""
    return "model" if hasattr(asked, "subject") else "data"


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
