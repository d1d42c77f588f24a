"""Many models trained as one: a stack of models is itself a model, of the union of their batches.

Shapes: M members, b rows of each; a model may be given k such unions one after another, k·M·b rows.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from vicinal.maths.losses import Family
from vicinal.mixing.draw import AnyDraw, Blend, Draw, per_sample
from vicinal.mixing.labels import vicinal_losses
from vicinal.models.forward import unwrapped
from vicinal.study.training.layers import MemberByMember

State = dict[str, Tensor]
"""Parameters and buffers by name, with a first axis for the members."""


class Unlike(Exception):
    """Draws that cannot be joined, because they ask for different things."""


class _Objective(nn.Module):
    """The loss of a batch as a module, so that all that it runs of the model is functional."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor, draw: AnyDraw, family: Family) -> Tensor:
        return vicinal_losses(self.model, x, y, draw, family).mean()


def objective(
    model: nn.Module,
    state: dict[str, Tensor],
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    draw: AnyDraw,
    family: Family,
) -> Float[Tensor, ""]:
    """The mean loss of one mixed batch as a function of the model's parameters and buffers."""
    named = {f"model.{name}": value for name, value in state.items()}
    loss: Tensor = functional_call(_Objective(model), named, (x, y, draw, family))
    return loss


def stacked(models: Sequence[nn.Module]) -> State:
    """The states of models of one build, side by side; the models then look into it.

    What changes the state in place changes the models: member k of every tensor is the parameter
    or buffer of model k. The parameters that are returned are leaves.
    """
    _keep_memory()
    parameters, buffers = stack_module_state(list(models))
    state: State = parameters | buffers
    for k, model in enumerate(models):
        own = dict(model.named_parameters()) | dict(model.named_buffers())
        for name, value in own.items():
            value.data = state[name].data[k]
    return state


def _keep_memory() -> None:
    """Have the C library keep memory that a step has freed for the next one.

    glibc returns what is free beyond twice the largest block that was ever freed, and the system
    then clears every page anew: a third of the time of a stack of CNNs. It learns from blocks of
    up to 32 MiB; this one is never touched.
    """
    torch.empty(2**25 - 2**13, dtype=torch.uint8)


def objectives(
    model: nn.Module,
    state: State,
    xs: Sequence[Float[Tensor, "n *rest"]],
    ys: Sequence[Shaped[Tensor, "n *k"]],
    draws: Sequence[AnyDraw],
    family: Family,
) -> Float[Tensor, " members"]:
    """The mean loss of each member on its mixed batch, differentiable in the state.

    Args:
        model: any of the models, for its structure.
        state: of all members.
        xs: inputs of each member.
        ys: targets of each member.
        draws: what mixes them.
        family: the loss.
    """
    if len(xs) > 1:
        try:
            draw = joined(draws, xs)
        except Unlike:
            pass
        else:
            run = _union(model, state, len(xs), len(xs[0]))
            each = vicinal_losses(run, torch.cat(list(xs)), torch.cat(list(ys)), draw, family)
            return each.reshape(len(xs), -1).mean(1)
    alone = [
        objective(model, {name: value[k] for name, value in state.items()}, x, y, draw, family)
        for k, (x, y, draw) in enumerate(zip(xs, ys, draws, strict=True))
    ]
    return torch.stack(alone)


def _union(model: nn.Module, state: State, members: int, rows: int) -> Callable[[Tensor], Tensor]:
    """The stack as a model of the union of the members' batches, one after another."""

    def one(own: State, x: Tensor) -> Any:
        return unwrapped(functional_call(model, own, (x,)))

    def run(x: Tensor) -> Tensor:
        blocks = x.reshape(-1, members, rows, *x.shape[1:])
        # an accelerator is kept busy better by one call for all members
        with MemberByMember() if x.device.type == "cpu" else nullcontext():
            outputs: Tensor = vmap(one)(state, blocks.transpose(0, 1).flatten(1, 2))
        of_member = outputs.reshape(members, -1, rows, *outputs.shape[2:])
        return of_member.transpose(0, 1).flatten(0, 2)

    return run


def joined(draws: Sequence[AnyDraw], xs: Sequence[Tensor]) -> AnyDraw:
    """The draws of several batches of one size, as the draw of their union.

    Raises:
        Unlike: if they are of different kinds, or hold different numbers besides tensors.
    """
    if all(draw is None for draw in draws):
        return None
    full = [_nothing(x) if d is None else d for d, x in zip(draws, xs, strict=True)]
    draw: AnyDraw = _joined(full, len(xs[0]))
    return draw


def _nothing(x: Tensor) -> Draw:
    """No mixing, as a draw: everything is kept."""
    own = torch.arange(len(x), device=x.device)
    share = torch.ones(len(x), dtype=x.dtype, device=x.device)
    return Draw(own, per_sample(share, x.ndim), share)


def _joined(values: Sequence[Any], rows: int) -> Any:
    first = values[0]
    if any(type(value) is not type(first) for value in values):
        raise Unlike(" or ".join(sorted({type(value).__name__ for value in values})))
    if isinstance(first, Tensor):
        return _concatenated(values)
    if is_dataclass(first) and not isinstance(first, type):
        parts = {
            field.name: _joined([getattr(value, field.name) for value in values], rows)
            for field in fields(first)
        }
        for name in ("partner", "partners"):
            if isinstance(first, Draw | Blend) and name in parts:
                start = rows * torch.arange(len(values), device=parts[name].device)
                start = start.repeat_interleave(rows)
                parts[name] = parts[name] + per_sample(start, parts[name].ndim)
        return replace(first, **parts)
    if any(value != first for value in values):
        raise Unlike(" or ".join(sorted({str(value)[:20] for value in values})))
    return first


def _concatenated(values: Sequence[Tensor]) -> Tensor:
    """Rows one after another; masks of boxes and weights per sample take a common shape."""
    shapes = [tuple(value.shape[1:]) for value in values]
    if len(set(shapes)) > 1:
        try:
            common = np.broadcast_shapes(*shapes)
        except ValueError as error:
            raise Unlike("shapes do not fit one another") from error
        values = [value.expand(len(value), *common) for value in values]
    return torch.cat(list(values))
