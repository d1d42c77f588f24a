"""The door of every attack: checks once, and the model as a function with slopes."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.forward import (
    PROBED,
    Model,
    check_family,
    check_targets,
    unchanged,
    warn_of_probabilities,
)
from vicinal.losses import Family

DRAWS = 16  # of a model that draws at random, averaged

Function = Callable[[Tensor], Tensor]


@contextmanager
def entered(model: Model, x: Tensor, y: Tensor, family: Family) -> Iterator[Function]:
    """The checked model in eval mode, averaged over its own draws if it draws at random.

    Raises:
        ValueError, TypeError: for targets that do not fit, outputs that are not finite, losses
            that are no family.
    """
    check_family(family)
    with torch.no_grad(), unchanged(model) as f:
        if not len(x) == len(y) >= 1:
            check_targets(f, x, y, family)
        random = is_random(f, x)
        if random:
            warnings.warn(
                "the model draws at random: the same inputs gave other outputs. The attack follows "
                f"the mean of {DRAWS} draws (expectation over transformation, arXiv:1707.07397), "
                "and broken means broken on that mean.",
                stacklevel=4,
            )
        yield check(f, x, y, family, random=random)


def check(f: Function, x: Tensor, y: Tensor, family: Family, *, random: bool) -> Function:
    """The function to attack, once it proved fit to be attacked."""
    if random:
        outputs = f(x[:1])
        family.check_labels(outputs.expand(len(y), *outputs.shape[1:]), y)
        return averaged(f, DRAWS)
    check_targets(f, x, y, family)
    warn_of_probabilities(f, x, family)
    return f


def is_random(f: Function, x: Tensor) -> bool:
    """Whether the same inputs give different outputs, beyond rounding."""
    with torch.no_grad():
        first, second = f(x[:PROBED]), f(x[:PROBED])
    scale = float(first.abs().max()) if torch.isfinite(first).all() else torch.nan
    return bool(float((first - second).abs().max()) > 1e-5 * scale)


def averaged(f: Function, draws: int) -> Function:
    """The mean of the outputs over draws: its gradient is the expectation over transformation."""

    def mean(x: Tensor) -> Tensor:
        total = f(x)
        for _ in range(draws - 1):
            total = total + f(x)
        return total / draws

    return mean


def slope(
    f: Function, z: Float[Tensor, "n *rest"], loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Float[Tensor, " n"], Float[Tensor, "n *rest"]]:
    """Outputs, loss of each example and its gradient by the inputs; 0 where undefined."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        outputs = f(leaf)
        value = loss(outputs)
        if not value.requires_grad:  # the model cuts its own gradients
            return outputs, value, torch.zeros_like(z)
        (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    if gradient is None:
        gradient = torch.zeros_like(z)
    elif not torch.isfinite(gradient.sum()):
        gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
    return outputs.detach(), value.detach(), gradient
