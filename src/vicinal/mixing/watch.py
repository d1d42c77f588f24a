"""Which modules of a model run in a pass, and what they give; the model is left as it was."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vicinal.models.forward import as_before


class Unit(NamedTuple):
    """A module by its name in the model."""

    name: str
    module: nn.Module


class Runs(NamedTuple):
    """How often a module ran in one pass, and whether all that it gave can be mixed."""

    times: int
    mixable: bool


def runs_of(model: nn.Module, units: list[Unit], x: Any) -> list[Runs] | None:
    """What each unit does in one pass over a batch; None without a batch."""
    rows = _rows(x)
    if rows is None:
        return None
    seen = [Runs(0, True)] * len(units)

    def watch(place: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            before, mixable = seen[place]
            seen[place] = Runs(before + 1, mixable and _is_mixable(output, rows))

        return units[place].module.register_forward_hook(hook)

    handles = [watch(place) for place in range(len(units))]
    try:
        with torch.no_grad(), as_before(list(model.modules())), uncompiled(model):
            bare(model)(x)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _rows(x: Any) -> int | None:
    """The number of examples in a tensor, or in the first tensor of several."""
    if isinstance(x, Tensor):
        return len(x)
    parts = x.values() if isinstance(x, Mapping) else x if isinstance(x, tuple) else ()
    return next((rows for part in parts if (rows := _rows(part)) is not None), None)


def _is_mixable(output: Any, rows: int) -> bool:
    if isinstance(output, Tensor):
        return output.is_floating_point() and output.ndim > 0 and len(output) == rows
    if isinstance(output, tuple | Mapping):
        parts = output.values() if isinstance(output, Mapping) else output
        return len(output) > 0 and all(_is_mixable(part, rows) for part in parts)
    return False


def bare(model: nn.Module) -> nn.Module:
    """The model out of what trains it in parallel."""
    while isinstance(model, nn.DataParallel | DistributedDataParallel):
        inner: nn.Module = model.module
        model = inner
    return model


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """A context in which compiled parts run as they were written, so that hooks are seen."""
    compiled = any(
        "_orig_mod" in part._modules or part._compiled_call_impl is not None
        for part in model.modules()
    )
    with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
        yield


def check_once(layer: str, count: int) -> None:
    """Refuse a layer that did not run exactly once in a pass.

    Raises:
        ValueError: then.
    """
    if count != 1:
        raise ValueError(
            f"the layer {layer!r} ran {count} times in one pass of the model, so mixing there has "
            "no meaning. Name a module that runs once: pass layers=(...)."
        )
