"""Twice backward: reverse mode applied to reverse mode, through one scalar t per example."""

from collections.abc import Callable

import torch
from torch import Tensor

from vicinal.maths.losses import Family


class Detached(Exception):
    """The outputs do not depend on the inputs in a way that autograd can follow."""


def outputs_and_derivatives(
    f: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, directions: Tensor, family: Family
) -> tuple[Tensor, Tensor, Tensor]:
    """f(x), its first derivatives along directions (D, *x.shape), and <A'(f) - y, Σ f''>.

    The first pass gives d/dt <c, f(x + t v)> for a cotangent c. Its derivative by c is f', by t
    it is <c, f''>: one second pass gives both.

    Raises:
        Detached: if autograd finds no way from the outputs to the inputs.
    """
    differentiable = torch.is_grad_enabled()
    # To keep the dependence of c on the parameters, without one on t, f runs once more.
    clean = f(x) if differentiable else None
    first, residual, out = [], x.new_zeros(len(x)), x
    with torch.enable_grad():
        for v in directions:
            t = x.new_zeros((len(x), *[1] * (x.ndim - 1)), requires_grad=True)
            out = f(x + t * v)
            if not out.requires_grad:
                raise Detached("outputs that autograd cannot follow")
            c = family.residual(out.detach() if clean is None else clean, y)
            c = c if c.requires_grad else c.requires_grad_()
            slope = _grad((c * out).sum(), (t,), create_graph=True)[0]
            jv, bend = _grad(slope.sum(), (c, t), create_graph=differentiable)
            first.append(jv)
            residual = residual + bend.reshape(len(x))
    return out if differentiable else out.detach(), torch.stack(first), residual


def _grad(value: Tensor, inputs: tuple[Tensor, ...], *, create_graph: bool) -> tuple[Tensor, ...]:
    """Gradients, zero where the value does not depend on an input."""
    if not value.requires_grad:
        return tuple(torch.zeros_like(i) for i in inputs)
    return torch.autograd.grad(
        value, inputs, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
