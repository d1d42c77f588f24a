"""Whether there is a slope to climb: an attack along gradients that are 0 did nothing."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vicinal.machine.devices import forked
from vicinal.models.forward import PROBED
from vicinal.robustness.attacks.ball import Ball
from vicinal.robustness.attacks.door import Function
from vicinal.robustness.attacks.goal import Goal, Loss

GROWTH = 8  # how many times as many examples are looked at next, where those before had no slope
MOST = 1024  # of them in one pass

WITHOUT = (
    "the model's outputs have no gradient by its inputs: they are detached, computed under no_grad "
    "or outside of torch{why}. {name} follows gradients, so it would do nothing, and nothing would "
    "be learned of robustness. Pass the model itself, or use attacks without gradients: "
    "vicinal.square and vicinal.noise."
)
ZERO = (
    "{name} did nothing: at its start the gradient is exactly 0 for every example that the model "
    "gets right, because its outputs are saturated, rounded or cut. That these examples hold is no "
    "evidence of robustness. See vicinal.masking, attacks without gradients (vicinal.square), and "
    "for saturated losses vicinal.apgd(loss='dlr')."
)


class NoGradient(ValueError):
    """The outputs of a model have no gradient by its inputs, where an attack needs one."""

    def __init__(self, name: str, why: str = "") -> None:
        super().__init__(WITHOUT.format(name=name, why=f" ({why})" if why else ""))


def check_slopes(
    f: Function,
    within: Ball,
    aim: Goal,
    losses: Sequence[Loss],
    name: str,
    rng: np.random.Generator | None = None,
    *,
    stacklevel: int = 3,
) -> bool:
    """Refuse or warn where an attack has nothing to climb; whether it has.

    Args:
        f: the model.
        within: where the attack searches.
        aim: what it wants.
        losses: that it climbs.
        name: of the attack.
        rng: whether it starts from random points; no number is taken from it.
        stacklevel: of the warning, from here.

    Raises:
        NoGradient: if the outputs have no graph.
    """
    if not within.eps > 0:
        return True
    if (why := refusal(f, within.x)) is not None:
        raise NoGradient(name, why)
    if slopes(f, within, aim, losses, random=rng is not None):
        return True
    warnings.warn(ZERO.format(name=name), stacklevel=stacklevel)
    return False


def refusal(f: Function, x: Tensor) -> str | None:
    """None if outputs have a gradient by the inputs; else why not, as far as the model said."""
    with forked(), torch.enable_grad():
        leaf = x[:PROBED].detach().clone().requires_grad_()
        try:
            outputs = f(leaf)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # it passed without gradients
            return " ".join(str(error).split())[:120]
        if not outputs.requires_grad:
            return ""
        (found,) = torch.autograd.grad(outputs.sum(), leaf, allow_unused=True)
    return "" if found is None else None


def slopes(
    f: Function, within: Ball, aim: Goal, losses: Sequence[Loss], *, random: bool = False
) -> bool:
    """Whether any example that is right has a gradient of any of the losses where attacks start.

    A few examples are looked at first, and more only while none has one. True where none is right:
    there is nothing to attack.
    """
    starts = [within.x]
    if random and within.eps < torch.inf:
        starts.append(within.random(np.random.default_rng(0)))
    with forked():
        return any(_climbable(f, z, within, aim, losses) for z in starts)


def still(f: Function) -> Function:
    """The function for gradients that it does not have: its outputs are constants."""

    def constant(x: Tensor) -> Tensor:
        with torch.no_grad():
            return f(x.detach())

    return constant


def _climbable(
    f: Function, points: Tensor, within: Ball, aim: Goal, losses: Sequence[Loss]
) -> bool:
    some_right = False
    for rows in _growing(len(points), points.device):
        part = aim[rows]
        with torch.enable_grad():
            leaf = points[rows].detach().requires_grad_()
            outputs = f(leaf)
            right = ~part.broken(outputs.detach())
            if not bool(right.any()):
                continue
            some_right = True
            for name in losses:
                if _moves(leaf, part.loss(name)(outputs)[right], within.scale):
                    return True
    return not some_right


def _moves(leaf: Tensor, value: Tensor, scale: Tensor) -> bool:
    """Whether a loss has a slope by any feature that may change."""
    if not value.requires_grad:
        return False
    (found,) = torch.autograd.grad(value.sum(), leaf, retain_graph=True, allow_unused=True)
    return found is not None and bool(((found * scale).nan_to_num(0.0, 0.0, 0.0) != 0).any())


def _growing(n: int, device: torch.device) -> Iterator[Tensor]:
    start, size = 0, PROBED
    while start < n:
        yield torch.arange(start, min(start + size, n), device=device)
        start, size = start + size, min(GROWTH * size, MOST)


def gradient_of_inputs(f: Function, x: Tensor, name: str) -> None:
    """Refuse models without a gradient by their inputs.

    Raises:
        NoGradient: then.
    """
    if (why := refusal(f, x)) is not None:
        raise NoGradient(name, why)
