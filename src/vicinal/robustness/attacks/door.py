"""The door of every attack: checks once, and the model as a function with slopes."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.arguments import check_inputs, check_tensors
from vicinal.maths.losses import Family
from vicinal.maths.randomness import generator
from vicinal.models.forward import (
    PROBED,
    Model,
    check_counts,
    check_family,
    check_targets,
    first_outputs,
    unchanged,
)
from vicinal.models.numbers import narrow_weights, warn_of_probable

DRAWS = 16  # of a model that draws at random, averaged
# The C library of Linux hands freed memory back to the system, and fetches it again page by page
# in the next pass, which doubles the time of small models. It stops at twice the largest block
# that was freed, up to 32 MiB; a block that nobody touches costs nothing.
KEPT = 31 * 2**20

Function = Callable[[Tensor], Tensor]


@contextmanager
def opened(model: Model) -> Iterator[Function]:
    """The model in eval mode as a function, without graphs; afterwards it is as it was.

    Weights of 16 bits get their inputs in 16 bits: the search moves in the dtype of x, and slopes
    come back in it.
    """
    torch.empty(KEPT, dtype=torch.uint8)
    narrow = narrow_weights(model)
    with torch.no_grad(), unchanged(model, inputs=True) as f:
        yield f if narrow is None else lambda x: f(x.to(narrow))


@contextmanager
def entered(model: Model, x: Tensor, y: Tensor, family: Family) -> Iterator[Function]:
    """The checked model in eval mode, averaged over its own draws if it draws at random.

    Raises:
        ValueError, TypeError: for targets that do not fit, outputs that are not finite, losses
            that are no family.
    """
    with opened(model) as raw:
        f, random = fit(raw, x, y, family)
        if random:
            warnings.warn(
                "the model draws at random: the same inputs gave other outputs. The attack follows "
                f"the mean of {DRAWS} draws (expectation over transformation, arXiv:1707.07397), "
                "and broken means broken on that mean.",
                stacklevel=4,
            )
        yield f


def fit(raw: Function, x: Tensor, y: Tensor, family: Family) -> tuple[Function, bool]:
    """The function to attack, once it proved fit to be attacked, and whether it draws at random.

    Its outputs are in the dtype of x.

    Raises:
        ValueError, TypeError: for targets that do not fit, outputs that are not finite, losses
            that are no family.
    """
    check_family(family)
    check_inputs(x)
    check_tensors(y=y)
    check_counts(x, y)
    if not torch.isfinite(x).all():
        raise ValueError("the inputs are not finite: x holds NaN or infinity.")
    first, again = first_outputs(raw, x), raw(x[:PROBED])
    # beyond rounding; undefined outputs are refused below
    scale = float(first.abs().max())
    if float((first - again).abs().max()) > 1e-5 * scale:
        family.check_labels(first[:1].expand(len(y), *first.shape[1:]), y)
        return averaged(lambda x: raw(x).to(x.dtype), DRAWS), True
    check_targets(raw, x, y, family, first)
    warn_of_probable(first, family)
    return (lambda x: raw(x).to(x.dtype)) if first.dtype != x.dtype else raw, False


def averaged(f: Function, draws: int) -> Function:
    """The mean of the outputs over draws: its gradient is the expectation over transformation."""

    def mean(x: Tensor) -> Tensor:
        total = f(x)
        for _ in range(draws - 1):
            total = total + f(x)
        return total / draws

    return mean


def draw_anew(device: torch.device, seed: int, *key: int | str) -> None:
    """Let a model that draws at random draw the same wherever, and after whatever, it is asked.

    Within `opened`, which restores the random state.
    """
    number = int(generator(seed, "model", *key).integers(2**62))
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(number)


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
