"""What tells one object in Python from another of its name, so that no numbers are mixed up."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from hashlib import sha256
from inspect import getmodule
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

DEEP = 12  # objects within objects that are looked into


def identity(value: Any) -> str:
    """16 hex digits that are the same for the same object in another process, and change with it.

    Functions and classes are told by their code and by what they hold on to, modules of torch by
    their layers and tensors, dataclasses by their fields.
    """
    digest = sha256()
    for part in _parts(value, 0):
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _parts(value: Any, depth: int) -> Iterator[str | bytes]:
    """All that tells a value, as texts and bytes."""
    yield f"{type(value).__module__}.{type(value).__qualname__}"
    if depth > DEEP or value is None:
        return
    if isinstance(value, str | bytes | bool | int | float | complex):
        yield repr(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield repr(key)
            yield from _parts(item, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in sorted(value, key=repr) if isinstance(value, set | frozenset) else value:
            yield from _parts(item, depth + 1)
    elif isinstance(value, partial):
        yield from _parts((value.func, value.args, value.keywords), depth + 1)
    elif isinstance(value, MethodType):
        yield from _parts((value.__func__, value.__self__), depth + 1)
    elif isinstance(value, FunctionType):
        yield from _of_function(value, depth)
    elif isinstance(value, CodeType):
        yield from _of_code(value, depth)
    elif isinstance(value, ModuleType):
        yield from _of_module(value)
    elif isinstance(value, type):
        yield from _of_class(value, depth)
    elif hasattr(value, "state_dict"):
        yield repr(value)
        for name, tensor in value.state_dict().items():
            yield name
            yield from _of_array(tensor)
        yield from _parts(type(value), depth + 1)
    elif hasattr(value, "__array__"):
        yield from _of_array(value)
    elif is_dataclass(value):
        for field in fields(value):
            yield field.name
            yield from _parts(getattr(value, field.name), depth + 1)
        yield from _parts(type(value), depth + 1)
    else:
        yield from _parts(getattr(value, "__dict__", {}), depth + 1)
        yield from _parts(type(value), depth + 1)


def _of_array(value: Any) -> Iterator[str | bytes]:
    import numpy as np

    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    yield f"{array.dtype} {array.shape}"
    yield array.tobytes()


def _of_function(function: FunctionType, depth: int) -> Iterator[str | bytes]:
    """Its code, what it holds on to, and what it calls of its own module."""
    yield function.__qualname__
    yield from _of_code(function.__code__, depth, function.__doc__)
    yield from _parts((function.__defaults__, function.__kwdefaults__), depth + 1)
    for cell in function.__closure__ or ():
        yield from _parts(cell.cell_contents, depth + 1)
    if _foreign(function):
        for name in function.__code__.co_names:
            held = function.__globals__.get(name)
            if held is not function:
                yield from _parts(held, depth + 3)


def _of_code(code: CodeType, depth: int, doc: str | None = None) -> Iterator[str | bytes]:
    """What the code does, with its constants; what a function says of itself is none of them."""
    yield code.co_code
    yield " ".join(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _of_code(constant, depth + 1)
        elif doc is None or constant != doc:
            yield from _parts(constant, depth + 1)  # sets in one order, whatever the process


def _of_module(module: ModuleType) -> Iterator[str | bytes]:
    """Its name; of a module of someone's own its text as well."""
    yield module.__name__
    file = getattr(module, "__file__", None)
    if file and _foreign(module) and file.endswith(".py"):
        yield Path(file).read_bytes()


def _of_class(kind: type, depth: int) -> Iterator[str | bytes]:
    """Its name; of a class of someone's own its methods and bases as well."""
    yield f"{kind.__module__}.{kind.__qualname__}"
    if _foreign(kind):
        for base in kind.__bases__:
            yield from _parts(base, depth + 1)
        for name, value in sorted(vars(kind).items()):
            if isinstance(value, FunctionType | str | int | float | tuple) and name not in UNTOLD:
                yield name
                yield from _parts(value, depth + 1)


UNTOLD = ("__doc__", "__module__", "__firstlineno__", "__static_attributes__", "__qualname__")
"""What a class says of itself that changes no number."""


def _foreign(value: Any) -> bool:
    """Whether something is someone's own code, and not of an installed package."""
    file = getattr(getmodule(value), "__file__", None) or ""
    return "site-packages" not in file and "/lib/python" not in file
