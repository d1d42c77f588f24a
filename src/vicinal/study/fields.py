"""Dataclasses from JSON objects and back, by what their fields are annotated with.

A field without a default stands in every object. One whose default is None may be left out, and
None says that it was: so the same object comes back. JSON has no word for a number that is not
finite and writes null; where None is not what null means, it is read as nan. A field with the
metadata `stored: False` is no part of the object.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

Path = tuple[str | int, ...]
"""Where something stands in an object: keys, and places in lists."""
Extra = dict[Path, Any]
"""What stands in an object and no field was made for, by where it stands."""
T = TypeVar("T")
Reader = Callable[[Any, Path, Extra], Any]

_SCALARS: dict[Any, tuple[type | tuple[type, ...], str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "a text"),
}


def read(kind: type[T], found: object, path: Path, extra: Extra) -> T:
    """An object as a dataclass.

    Args:
        kind: the dataclass. Its fields are numbers, texts, truths, Literal, Any, mappings from
            texts, tuples of one kind, other such dataclasses, or one of these or None.
        found: the object, as `json` reads it.
        path: where it stands, for messages.
        extra: is given what no field was made for.

    Raises:
        ValueError: if a field is missing or of another type, with its path.
    """
    annotation: Any = kind
    made: T = _reader(annotation)(found, path, extra)
    return made


def write(value: Any) -> Any:
    """The object from which `read` makes this, as `json` writes it."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((field, getattr(value, field.name)) for field in _stored(value))
        return {f.name: write(v) for f, v in pairs if not (v is None and f.default is None)}
    if isinstance(value, Mapping):
        return {key: write(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [write(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def put_back(whole: Any, extra: Mapping[Path, Any]) -> None:
    """Put what `read` had no field for into an object that `write` made."""
    for (*above, key), value in extra.items():
        holder = whole
        try:
            for part in above:
                holder = holder[part]
            holder[key] = value
        except (KeyError, IndexError, TypeError):
            continue  # the part that held it was replaced


def _stored(kind: Any) -> list[Field[Any]]:
    return [f for f in fields(kind) if f.metadata.get("stored", True)]


def refuse(path: Path, rule: str, found: object) -> ValueError:
    """What to raise for a value that breaks a rule."""
    shown = "null" if found is None else repr(found)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return ValueError(f"{_written(path)} must be {rule}, got {shown}.")


def _written(path: Path) -> str:
    """`measured.robustness[0].eps`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).lstrip(".") or "a record"


@cache
def _reader(kind: Any) -> Reader:
    """What reads values of an annotation."""
    origin, within = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda found, path, extra: found
    if is_dataclass(kind):
        return _of_object(kind)
    if kind in _SCALARS:
        return _of_scalar(kind)
    if origin is UnionType:
        (inner,) = (_reader(part) for part in within if part is not NoneType)
        return lambda found, path, extra: None if found is None else inner(found, path, extra)
    if origin is Literal:
        return _of_choice(within)
    if origin is tuple:
        return _of_list(_reader(within[0]))
    return _of_mapping(_reader(within[1]))


def _of_scalar(kind: type) -> Reader:
    known, rule = _SCALARS[kind]

    def reader(found: Any, path: Path, extra: Extra) -> Any:
        if found is None and kind is float:
            return math.nan
        if not isinstance(found, known) or (isinstance(found, bool) and kind is not bool):
            raise refuse(path, rule, found)
        return found

    return reader


def _of_choice(choices: tuple[Any, ...]) -> Reader:
    def reader(found: Any, path: Path, extra: Extra) -> Any:
        if found not in choices:
            raise refuse(path, " or ".join(map(str, choices)), found)
        return found

    return reader


def _of_list(inner: Reader) -> Reader:
    def reader(found: Any, path: Path, extra: Extra) -> Any:
        if not isinstance(found, list | tuple):
            raise refuse(path, "a list", found)
        return tuple(inner(value, (*path, k), extra) for k, value in enumerate(found))

    return reader


def _of_mapping(inner: Reader) -> Reader:
    def reader(found: Any, path: Path, extra: Extra) -> Any:
        if not isinstance(found, Mapping):
            raise refuse(path, "an object", found)
        return {key: inner(value, (*path, key), extra) for key, value in found.items()}

    return reader


def _of_object(kind: Any) -> Reader:
    parts = {f.name: (_reader(_given(f.type, f.default)), f.default) for f in _stored(kind)}
    needed = [name for name, (_, default) in parts.items() if default is not None]

    def reader(found: Any, path: Path, extra: Extra) -> Any:
        if not isinstance(found, Mapping):
            raise refuse(path, "an object", found)
        for name in needed:
            if name not in found:
                raise ValueError(f"{_written((*path, name))} is missing.")
        made = {}
        for key, value in found.items():
            if key in parts:
                made[key] = parts[key][0](value, (*path, key), extra)
            else:
                extra[*path, key] = value
        return kind(**made)

    return reader


def _given(annotation: Any, default: Any) -> Any:
    """The annotation of a field that is there: where its default is None, None is not meant."""
    if default is None and get_origin(annotation) is UnionType:
        (annotation,) = (part for part in get_args(annotation) if part is not NoneType)
    return annotation
