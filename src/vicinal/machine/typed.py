"""Options as frozen dataclasses: what a field takes is said once, wherever values come from.

A field's annotation says its type and its range (`Annotated[int, Ge(1)]`). Fields that are
dataclasses themselves are groups, whose fields are named as if they stood in the whole.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from operator import index
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vicinal.machine.names import guess, unknown

Options = TypeVar("Options")


@dataclass(frozen=True)
class Ge:
    """At least so much; a class of our own, as command lines take those of libraries for theirs."""

    ge: float


@dataclass(frozen=True)
class Gt:
    """More than so much."""

    gt: float


@dataclass(frozen=True)
class Le:
    """At most so much."""

    le: float


@dataclass(frozen=True)
class Lt:
    """Less than so much."""

    lt: float


class Wrong(ValueError):
    """A value that a field does not take."""


class WrongType(Wrong, TypeError):
    """A value of a type that a field does not take."""


def check(options: object) -> None:
    """Bring the values of a dataclass into the types of its fields; called in `__post_init__`.

    Raises:
        WrongType: if values are of other types.
        Wrong: if values are out of range, too; all that is wrong stands in one message.
    """
    wrong: list[Wrong] = []
    for name, hint in hints(type(options)).items():
        try:
            object.__setattr__(options, name, taken(name, hint, getattr(options, name)))
        except Wrong as error:
            wrong.append(error)
    raise_all(wrong)


def raise_all(wrong: list[Wrong]) -> None:
    """Raise what is wrong as one error, if anything is."""
    if wrong:
        kind = WrongType if all(isinstance(error, WrongType) for error in wrong) else Wrong
        raise kind(" ".join(map(str, wrong)))


def build(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """A dataclass of options from values by name; those of its groups stand beside its own.

    Raises:
        Wrong: for unknown names and values that are not taken, all in one message.
    """
    known = dict(flat_hints(kind))
    groups = groups_of(kind)
    wrong: list[Wrong] = [
        WrongType(unknown("option", name, known))
        for name in values
        if name not in known and name not in groups
    ]
    for name, value in values.items():
        try:
            if name in known:
                taken(name, known[name], value)
        except Wrong as error:
            wrong.append(error)
    raise_all(wrong)
    return _built(kind, values)


def _built(kind: type[Options], values: Mapping[str, Any]) -> Options:
    chosen = {}
    for name, hint in hints(kind).items():
        group = _group(hint)
        if group is None:
            if name in values:
                chosen[name] = taken(name, hint, values[name])
        elif name not in values:
            chosen[name] = _built(group, values)
        elif own := sorted(values.keys() & dict(flat_hints(group)).keys()):
            raise Wrong(f"{name} holds {own[0]} already: pass one of them.")
        else:
            chosen[name] = values[name]
    return kind(**chosen)


def flat(options: Any) -> dict[str, Any]:
    """The values by name, those of groups beside the others, in the order of the fields."""
    found: dict[str, Any] = {}
    for field in fields(options):
        value = getattr(options, field.name)
        found |= flat(value) if is_dataclass(value) else {field.name: value}
    return found


def changed(options: Any) -> dict[str, Any]:
    """The values that are not what they are if nothing is said."""
    usual = dict(defaults(type(options)))
    missing = object()
    return {k: value for k, value in flat(options).items() if value != usual.get(k, missing)}


def defaults(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """What fields hold if nothing is said, by name."""
    for field in fields(kind):
        default = field.default
        if is_dataclass(default) and not isinstance(default, type):
            yield from flat(default).items()
        elif default is not MISSING:
            yield field.name, default


def hints(kind: type[Any]) -> dict[str, Any]:
    """The annotations of the fields, with their ranges."""
    found = get_type_hints(kind, include_extras=True)
    return {field.name: found[field.name] for field in fields(kind)}


def flat_hints(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """The annotations of the fields and of those of groups."""
    for name, hint in hints(kind).items():
        group = _group(hint)
        if group is None:
            yield name, hint
        else:
            yield from flat_hints(group)


def groups_of(kind: type[Any]) -> dict[str, Any]:
    """The groups, by the names of their fields, those within groups too."""
    found: dict[str, Any] = {}
    for name, hint in hints(kind).items():
        group = _group(hint)
        if group is not None:
            found |= {name: group} | groups_of(group)
    return found


def _group(hint: Any) -> type[Any] | None:
    """The dataclass of a field that is a group."""
    plain: Any = _plain(hint)
    return plain if isinstance(plain, type) and is_dataclass(plain) else None


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def taken(name: str, hint: Any, value: Any) -> Any:
    """A value as a field takes it: a whole number for an int, a path for a text, and so on.

    Raises:
        WrongType: if it is of another type.
        Wrong: if it is out of range.
    """
    plain = _plain(hint)
    if get_origin(plain) in (Union, UnionType):
        kinds = get_args(plain)
        if value is None and NoneType in kinds:
            return None
        (plain,) = (kind for kind in kinds if kind is not NoneType)
        hint, plain = plain, _plain(plain)
    value = _of_type(name, plain, value)
    for rule in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        _within(name, rule, value)
    return value


def _of_type(name: str, kind: Any, value: Any) -> Any:
    """A value of a type that is not optional."""
    if get_origin(kind) is Literal:
        known = get_args(kind)
        if value not in known:
            likely = f" {guess(value, known)}".rstrip() if isinstance(value, str) else ""
            raise Wrong(f"{name} must be one of {', '.join(known)}, got {_shown(value)}.{likely}")
        return value
    if get_origin(kind) is tuple:
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise WrongType(f"{name} must be a list, got {_shown(value)}.")
        return tuple(taken(name, get_args(kind)[0], item) for item in value)
    if kind is int:
        return _whole(name, value)
    if kind is float:
        return _number(name, value)
    if kind is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    if kind in (bool, str, Path) and not (isinstance(value, kind) and value != ""):
        what = {bool: "true or false", str: "a text that is not empty", Path: "a path"}[kind]
        raise WrongType(f"{name} must be {what}, got {_shown(value)}.")
    if (group := _group(kind)) is not None and not isinstance(value, group):
        raise WrongType(f"{name} must be a {group.__name__}, got {_shown(value)}.")
    return value


def _whole(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return index(value)
    except TypeError:
        raise WrongType(f"{name} must be a whole number, got {_shown(value)}.") from None


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise WrongType(f"{name} must be a number, got {_shown(value)}.") from None


def _within(name: str, rule: object, value: Any) -> None:
    """Refuse a value out of range, NaN among them."""
    told, fits = "", True
    if isinstance(rule, Ge):
        fits, told = value >= rule.ge, f"at least {rule.ge}" if rule.ge else "0 or more"
    elif isinstance(rule, Gt):
        fits, told = value > rule.gt, f"more than {rule.gt}" if rule.gt else "positive"
    elif isinstance(rule, Le):
        fits, told = value <= rule.le, f"at most {rule.le}"
    elif isinstance(rule, Lt):
        fits, told = value < rule.lt, "finite" if rule.lt == math.inf else f"less than {rule.lt}"
    if not fits:
        raise Wrong(f"{name} must be {told}, got {_shown(value)}.")


def _shown(value: object) -> str:
    """A value in an error: as it is, but not without end."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}…"
