"""Central differences in float64, for models that no other engine can follow."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

STEP = 1e-4  # in units of the direction: errors near 1e-8 of truncation and of rounding


def outputs_along(
    f: Callable[[Tensor], Tensor], x: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """f(x), its first derivatives along directions (D, *x.shape), the sum of the second.

    Next to a kink the second difference is large instead of 0, for the few examples that lie
    within a step of one.
    """
    base, v = x.double(), directions.double()
    centre = f(base)
    first, second = [], torch.zeros_like(centre)
    for along in v:
        ahead, behind = f(base + STEP * along), f(base - STEP * along)
        first.append((ahead - behind) / (2 * STEP))
        second = second + (ahead - 2 * centre + behind) / STEP**2
    return centre.to(x.dtype), torch.stack(first).to(x.dtype), second.to(x.dtype)


def in_double(model: Callable[[Tensor], object]) -> Callable[[Tensor], object]:
    """The model in float64; its own parameters and buffers are left alone."""
    if not isinstance(model, nn.Module):
        return model
    state = dict(model.named_parameters()) | dict(model.named_buffers())
    wide = {k: v.double() if v.is_floating_point() else v.clone() for k, v in state.items()}
    return lambda x: functional_call(model, wide, (x,))
