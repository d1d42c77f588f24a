"""Names: the nearest one that is known, and names that cannot be printed as they are."""

from collections.abc import Iterable
from difflib import get_close_matches
from unicodedata import category


def near(name: str, names: Iterable[str], most: int = 1) -> list[str]:
    """The names most like this one, the likeliest first; none where nothing is like it."""
    return get_close_matches(name, list(names), n=most, cutoff=0.5)


def guess(name: str, names: Iterable[str]) -> str:
    """The question whether the nearest name was meant, with a blank behind; or nothing."""
    return "".join(f"Did you mean {found}? " for found in near(name, names))


def unknown(what: str, name: str, names: Iterable[str]) -> str:
    """What to say about an unknown name."""
    names = sorted(names)
    return f"unknown {what} {name!r}. {guess(name, names)}Known: {', '.join(names)}."


def known(what: str, name: str, names: Iterable[str]) -> None:
    """Raise a ValueError, with the nearest right name, unless the name is one of these."""
    if name not in (names := sorted(names)):
        raise ValueError(unknown(what, name, names))


def printable(text: str) -> str:
    """A text without what would steer a terminal: control characters are written out."""
    return "".join(repr(c)[1:-1] if category(c)[0] == "C" and c != "\n" else c for c in text)
