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
        objects: names of options whose values were given as objects; the code names them so.
    """
    given, first = list(objects), _first(asked)
    values = {name: name for name in given}
    for option, value in changed(asked).items():
        values.setdefault(option, repr(str(value) if isinstance(value, Path) else value))
    shown = [values.pop(first)] if first in values else []
    shown += [f"{option}={text}" for option, text in values.items()]
    note = f"  # {', '.join(given)}: the objects that were given" if given else ""
    return f"import vicinal as vc\n\nvc.{name}({', '.join(shown)}){note}"


def _first(asked: Any) -> str:
    """The option that needs no name: the model of a subject, else the data."""
    return "model" if hasattr(asked, "subject") else "data"


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
