"""Data, methods and a model that are given as objects: their names, and what tells them apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from vicinal.data.objects import given as given_data
from vicinal.data.raw import Raw
from vicinal.machine.identity import identity
from vicinal.machine.typed import WrongType
from vicinal.mixing.choice import During
from vicinal.mixing.draw import Strategy
from vicinal.study.configuration import Objects
from vicinal.study.methods import methods_by_name, numbers, parse_methods
from vicinal.study.options import USUAL, Search


def objects_of(
    data: Any, methods: Any, model: Any, options: Mapping[str, Any], kind: Any
) -> tuple[dict[str, Any], Objects]:
    """Options by name, and the objects that their names stand for.

    Args:
        data: a name or an object.
        methods: names or strategies, in a sequence or by names of the user's own; None as usual.
        model: a name, a factory or a module; None as usual.
        options: all others, by name.
        kind: the options' class.

    Raises:
        TypeError: for what is none of these.
        ValueError: for data that are not fit to learn from, or a method that is named twice.
    """
    names = dict(options)
    raw: Raw | None = None
    if isinstance(data, str):
        names["data"] = data
    else:
        raw = given_data(_called(data), data, names.get("task"), names.get("group"))
        names["data"] = _called(data)
    if methods is not None:
        strategies, told = _strategies(methods)
    else:
        strategies, told = ({}, {}) if kind is Search else (parse_methods(USUAL), {})
    if methods is not None:
        names["methods"] = tuple(strategies)
    if kind is Search and methods is not None:
        strategies = {name: s for name, s in strategies.items() if not _is_name(methods, name)}
    code = ""
    if model is not None and not isinstance(model, str):
        if not callable(model):
            raise WrongType(
                "model must be a name, a torch module or a function that makes one, got "
                f"{type(model).__name__}."
            )
        names["model"], code = _called(model), identity(model)
    elif model is not None:
        names["model"], model = model, None
    return names, Objects(strategies, raw, model, told, code)


def _called(value: Any) -> str:
    """What an object is called in reports."""
    if isinstance(value, tuple | list | Mapping):
        return "arrays"
    if isinstance(value, nn.Module) or not callable(value):
        return type(value).__name__
    return str(getattr(value, "__qualname__", type(value).__name__)).split(".")[-1]


def _is_name(methods: Any, name: str) -> bool:
    return not isinstance(methods, Mapping) and name in methods


def _strategies(methods: Any) -> tuple[dict[str, Strategy | During | None], dict[str, str]]:
    """Strategies by name, and what tells those that their names do not tell."""
    if isinstance(methods, str) or not isinstance(methods, Mapping | Sequence):
        raise WrongType(
            "methods must be a list of names and strategies, or a mapping from names to "
            f"strategies, got {methods!r}."
        )
    found: dict[str, Strategy | During | None] = {}
    told: dict[str, str] = {}
    pairs = methods.items() if isinstance(methods, Mapping) else ((None, m) for m in methods)
    for name, method in pairs:
        if isinstance(method, str):
            ((canonical, strategy),) = parse_methods([method]).items()
            canonical = canonical if name is None else str(name)
        elif method is None or callable(method):
            strategy, canonical = method, _name(method) if name is None else str(name)
        else:
            raise WrongType(
                f"a method must be a name, a strategy or None, got {type(method).__name__}."
            )
        if canonical in found:
            raise ValueError(f"the method {canonical} is named twice.")
        found[canonical] = strategy
        if _saying(canonical, strategy) != canonical:
            told[canonical] = identity(strategy)
    return found, told


def _name(strategy: Strategy | During | None) -> str:
    """The name of a strategy on the command line where it has one, else how it shows itself."""
    if strategy is None:
        return "erm"
    for name, kind in methods_by_name().items():
        if kind is type(strategy):
            law = getattr(strategy, "law", None)
            held = {k: getattr(strategy, k, getattr(law, k, None)) for k in numbers(kind)}
            plain = f"{name}({', '.join(f'{k}={v!r}' for k, v in held.items())})"
            if canonical := _saying(plain, strategy):
                return canonical
    shown = repr(strategy)
    return shown if " at 0x" not in shown else _called(strategy)


def _saying(text: str, strategy: Strategy | During | None) -> str:
    """The canonical name that a text says, if that says all of a strategy; else nothing."""
    try:
        ((name, parsed),) = parse_methods([text]).items()
    except ValueError:
        return ""
    return name if parsed == strategy else ""
