"""The layers of someone's model at which hidden features can be mixed, whatever wraps the model."""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from vicinal.machine.names import near
from vicinal.mixing.draw import Model
from vicinal.mixing.watch import Runs, Unit, check_once, runs_of

INPUT = ""
"""The layer that stands for the input of the model."""
SHAPES = (nn.Flatten, nn.Unflatten, nn.Identity)
STRAIGHT = (nn.Linear, _ConvNd, _BatchNorm, _DropoutNd, *SHAPES)
"""Layers that are affine in what they take: mixing what they give is mixing what they take."""


Known = tuple[tuple[str, ...], dict[tuple[str, ...] | None, tuple[str, ...]]]
_known: WeakKeyDictionary[nn.Module, Known] = WeakKeyDictionary()
"""For each model its modules, and the layers found for each choice of names."""


def hidden_layers(model: Model, x: Any = None) -> tuple[str, ...]:
    """The input and the hidden layers of a model at which features are mixed by default.

    What wraps the model is looked through: `torch.compile`, parallel training, a layer that
    standardises. Then the layers are

    * the stages or blocks, where the model has several of one kind, as a ResNet or a transformer;
    * else its children, nested nn.Sequential opened,

    without the last that has parameters, which gives the outputs, and what follows it; and without
    what comes before the first that has parameters, and that one too where it is affine: there
    mixing would be that of the input.

    Args:
        model: an nn.Module.
        x: a batch that it takes. The model is run once with it, and left as it was: layers that
            do not run exactly once, or give anything but features of each example, are left
            out. What was found is remembered for as long as the model has the same modules.

    Raises:
        TypeError: if the model is not an nn.Module.
        ValueError: if nothing is left but the input.
    """
    module = submodule(model, INPUT)
    return _remembered(module, None, x, lambda: _default(module, x))


def named_layers(model: Model, layers: tuple[str, ...], x: Any = None) -> tuple[str, ...]:
    """The full names of layers that the user named.

    Raises:
        ValueError: if there is no such layer; or, with a batch x, if it does not run exactly once
            or gives no features of each example.
    """
    module = submodule(model, INPUT)

    def found() -> tuple[str, ...]:
        units = [Unit(full_name(module, layer), submodule(module, layer)) for layer in layers]
        inner = [unit for unit in units if unit.name != INPUT]
        seen = runs_of(module, inner, x) if inner else None
        for unit, runs in zip(inner, seen or (), strict=False):
            check_once(unit.name, runs.times)
            if not runs.mixable:
                raise ValueError(
                    f"the layer {unit.name!r} gives no floating tensor with a row for each "
                    "example, so its features cannot be mixed. Name another in layers=(...)."
                )
        return tuple(unit.name for unit in units)

    return _remembered(module, layers, x, found)


def _remembered(
    model: nn.Module, key: Any, x: Any, find: Callable[[], tuple[str, ...]]
) -> tuple[str, ...]:
    modules = tuple(name for name, _ in model.named_modules())
    if model not in _known or _known[model][0] != modules:
        _known[model] = modules, {}
    if key in _known[model][1]:
        return _known[model][1][key]
    layers = find()
    if x is not None:  # without a batch it is not known which layers run
        _known[model][1][key] = layers
    return layers


def _default(model: nn.Module, x: Any) -> tuple[str, ...]:
    units = _parts(model, "")
    while True:
        units = _opened(units)
        runs = runs_of(model, units, x)
        closed = [unit for unit in _unmixable(units, runs) if _holds_blocks(unit.module)]
        if closed:  # stages that give more than features: their blocks may not
            units = _replaced(units, closed[0])
            continue
        layers = _hidden(units, runs)
        if layers:
            return (INPUT, *layers)
        inside = [unit for unit in units if _learns(unit) and _is_composed(unit.module)]
        if not inside:
            raise ValueError(
                f"{type(model).__name__} has no hidden layer at which features could be mixed: "
                "only its input is left, and what is affine in it. Use Mixup; or name modules of "
                'model.named_modules() in layers=(...), "" for the input. Activations that '
                "are called as functions have no name: make them modules, such as nn.ReLU()."
            )
        units = _replaced(units, max(inside, key=lambda unit: _size(unit.module)))


def _unmixable(units: list[Unit], runs: list[Runs] | None) -> list[Unit]:
    return [unit for unit, run in zip(units, runs or (), strict=False) if not run.mixable]


def _parts(module: nn.Module, prefix: str) -> list[Unit]:
    """The children, with those of mere lists in their place."""
    units = []
    for name, child in module.named_children():
        opened = _neverruns_of(child) or _is_plain(child)
        units += _parts(child, f"{prefix}{name}.") if opened else [Unit(prefix + name, child)]
    return units


def _replaced(units: list[Unit], one: Unit) -> list[Unit]:
    at = units.index(one)
    return [*units[:at], *_parts(one.module, one.name + "."), *units[at + 1 :]]


def _opened(units: list[Unit]) -> list[Unit]:
    """Units, with the parts of the one that is the whole model, or alone holds the blocks of it."""
    while True:
        learning = [unit for unit in units if _learns(unit)]
        holding = [unit for unit in learning if _holds_blocks(unit.module)]
        alone = learning if len(learning) == 1 else holding
        if len(alone) != 1 or not _is_composed(alone[0].module):
            return units
        units = _replaced(units, alone[0])


def _hidden(units: list[Unit], runs: list[Runs] | None) -> list[str]:
    """The names of those between the input and the outputs, in their order."""
    learning = [place for place, unit in enumerate(units) if _learns(unit)]
    if not learning:
        return []
    first, last = learning[0], learning[-1]
    if not _is_composed(units[first].module) and _is_straight(units[first].module):
        first += 1
        while first < last and isinstance(units[first].module, (_BatchNorm, _DropoutNd, *SHAPES)):
            first += 1
    places = [
        place
        for place in range(first, last)
        if not isinstance(units[place].module, SHAPES)
        and (runs is None or runs[place] == Runs(1, True))
    ]
    kinds: dict[type, list[int]] = {}
    for place in places:
        if _learns(units[place]) and _is_composed(units[place].module):
            kinds.setdefault(type(units[place].module), []).append(place)
    several = [found for found in kinds.values() if len(found) > 1]
    if several:  # stages or blocks; of two kinds, those that hold more
        places = max(several, key=lambda found: sum(_size(units[place].module) for place in found))
    if len(places) > 1 and places[0] == first and _is_straight(units[first].module):
        places = places[1:]
    return [units[place].name for place in places]


def _learns(unit: Unit) -> bool:
    return any(True for _ in unit.module.parameters())


def _size(module: nn.Module) -> int:
    return len(list(module.modules()))


def _is_composed(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _neverruns_of(module: nn.Module) -> bool:
    """Whether it only holds others, as nn.ModuleList."""
    return type(module).forward is nn.Module.forward


def _is_plain(module: nn.Module) -> bool:
    """Whether it is a sequence of single layers, or of such sequences."""
    return (
        isinstance(module, nn.Sequential)
        and type(module).forward is nn.Sequential.forward
        and all(_is_plain(child) or not _is_composed(child) for child in module.children())
    )


def _is_straight(module: nn.Module) -> bool:
    leaves = [part for part in module.modules() if not _is_composed(part)]
    learning = [leaf for leaf in leaves if isinstance(leaf, nn.Linear | _ConvNd)]
    return len(learning) <= 1 and all(isinstance(leaf, STRAIGHT) for leaf in leaves)


def _holds_blocks(module: nn.Module) -> bool:
    """Whether there is a list of blocks in it."""
    for part in module.modules():
        if _neverruns_of(part) or isinstance(part, nn.Sequential):
            blocks = [c for c in part.children() if _is_composed(c) and not _is_plain(c)]
            if len(blocks) >= (1 if _neverruns_of(part) else 2):
                return True
    return False


def submodule(model: Model, layer: str) -> nn.Module:
    """The module of this name, in the model or in the model that it wraps.

    Raises:
        TypeError: if the model is not an nn.Module.
        ValueError: if there is none, with near names.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"mixing at a layer needs the model as an nn.Module, got {type(model).__name__}. Pass "
            "the module itself, not a function that calls it."
        )
    modules: dict[str, nn.Module] = dict(model.named_modules())
    return modules[full_name(model, layer)]


def full_name(model: nn.Module, layer: str) -> str:
    """The name of a module as the outermost model has it.

    Raises:
        ValueError: if there is none, with near names.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    prefix, body = "", model
    while f"{prefix}{layer}" not in modules:
        learning = [unit for unit in map(Unit._make, body.named_children()) if _learns(unit)]
        if len(learning) != 1:
            names = [name for name in modules if name]
            found = near(str(layer), names, 3) or names[:6]
            raise ValueError(
                f"the model has no module {layer!r}. Near: {', '.join(found) or 'none'}. Names are "
                'those of model.named_modules(); "" is the input.'
            )
        prefix, body = f"{prefix}{learning[0].name}.", learning[0].module
    return f"{prefix}{layer}"
