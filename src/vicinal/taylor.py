r"""What mixing adds to the loss, to second order: the regularisers R1, R2 and R3.

$$L_{mix} \approx L_{std} + R_1 + R_2 + R_3$$

expanded at the unmixed examples along the directions to their partners. Only one number of
the law enters, its spread κ = E[λ(1-λ)].
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from vicinal.forward import (
    Model,
    check_targets,
    logits_of,
    refuse_batch_statistics,
    unchanged,
)
from vicinal.laws import Law
from vicinal.losses import Family, categorical

BATCH = 512  # examples per pass: three to four times the memory of a forward pass


class Terms(NamedTuple):
    """Per-example terms whose means add up to the mixup loss, up to third order."""

    loss: Float[Tensor, " n"]
    slope: Float[Tensor, " n"]
    curvature: Float[Tensor, " n"]
    residual: Float[Tensor, " n"]


@dataclass(frozen=True)
class Expansion:
    """The standard loss and its three regularisers, averaged over the data, in nats.

    Attributes:
        loss: L_std, the loss without mixing.
        r1: the first-order term; may be negative.
        r2: the curvature of the loss, never negative.
        r3: the curvature of the model, 0 for piecewise-linear nets; may be negative.
        total: loss + r1 + r2 + r3.
        standard_errors: of each of these, by name; 0 for what is exact.
    """

    loss: float
    r1: float
    r2: float
    r3: float
    total: float
    standard_errors: dict[str, float]


def taylor_terms(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    partner: Int[Tensor, " n"],
    spread: float,
    family: Family = categorical,
) -> Terms:
    r"""Expand the mixup loss around the unmixed batch, for given partners.

    With $\delta_i = x_{\pi(i)} - x_i$, $\kappa = E[\lambda(1-\lambda)]$, f the model, p = A'(f)
    the mean of the family, $J_i$ and $H_i$ the first and second derivative of f at $x_i$,

        slope      $2\kappa \,\langle p_i - y_i,\, J_i \delta_i \rangle$        ($R_1$)
        curvature  $\frac\kappa2 \,(J_i \delta_i)' A''(f_i) J_i \delta_i$       ($R_2$)
        residual   $\frac\kappa2 \,\langle p_i - y_i,\, H_i[\delta_i,\delta_i] \rangle$  ($R_3$)

    Averaged over all pairs these are R1, R2, R3 of the source; for one random permutation
    they are unbiased estimates of them.

    Args:
        model: maps x to outputs of the family. Must act on each example alone and is run in
            the mode it is in: BatchNorm must be in eval mode.
        x: inputs, in the units the model was trained on.
        y: targets of the family.
        partner: π, the index of the example that each example is mixed with.
        spread: κ = E[λ(1-λ)], between 0 and 1/4: ``law.spread``.
        family: the loss.

    Returns:
        Four tensors of shape (n,), in nats, not averaged; differentiable in the model's
        parameters when gradients are enabled (that costs one more forward pass).

    Raises:
        ValueError: if spread is outside [0, 1/4], which no law on [0, 1] can give; for
            BatchNorm in train mode; for targets that do not fit the family.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, Lemma 3.1; stated there
        for one output with loss h(f) - y f, here for all families and many outputs.

    Example:
        >>> from vicinal.losses import gaussian
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> terms = taylor_terms(lambda x: x, x, x[:, 0], torch.tensor([1, 0]), 0.25, gaussian)
        >>> terms.curvature  # κ/2 · δ², with δ = ±2
        tensor([0.5000, 0.5000])
    """
    if not 0 <= spread <= 0.25:
        raise ValueError(f"spread = E[λ(1-λ)] lies in [0, 1/4] for any λ in [0, 1], got {spread}.")
    if isinstance(model, nn.Module):
        refuse_batch_statistics(list(model.modules()), eval_mode=False)
    along = _along(lambda x: logits_of(model, x), x, y, x[partner] - x, family)
    return Terms(
        loss=along.loss,
        slope=2 * spread * along.slope,
        curvature=spread / 2 * along.curvature,
        residual=spread / 2 * along.residual,
    )


def expand(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    law: Law,
    family: Family,
    *,
    partners: int | None = None,
    rng: np.random.Generator | None = None,
) -> Expansion:
    r"""R1, R2 and R3 of a model on a data set, exact or with a standard error.

    $$R_1 = 2\kappa \,\mathrm{mean}_i\, (p_i - y_i)' J_i (\bar x - x_i) \qquad
      R_2 = \tfrac\kappa2 \,\mathrm{mean}_i\, \mathrm{tr}(A''_i J_i C_i J_i')$$
    $$R_3 = \tfrac\kappa2 \,\mathrm{mean}_i \sum_k (p_{ik} - y_{ik})\, \mathrm{tr}(\nabla^2 f_k C_i)
      \qquad C_i = \hat\Sigma + (\bar x - x_i)(\bar x - x_i)'$$

    The direction x̄ - x_i is always taken exactly, and with it R1. The trace with Σ̂ is summed
    over its eigenvectors, rank(Σ̂) directions, or estimated from `partners` random examples r
    for each example, along r - x̄.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        x: inputs, in the units the model was trained on.
        y: targets of the family.
        law: the law of λ, of which only ``law.spread`` enters.
        family: the loss.
        partners: None for the exact terms; otherwise directions drawn per example, at least 2.
        rng: where they come from; needed if, and only if, `partners` is given.

    Returns:
        Expansion, accumulated in float64. The errors are those of drawing the directions, for
        this data set.

    Raises:
        ValueError: for targets out of range, fewer than 2 partners, a missing `rng`.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, Lemma 3.1, whose centred
        data make C_i = Σ̂ + x_i x_i'; here for any data, family and number of outputs.
    """
    centre = x.double().mean(0)
    if partners is None:
        eigenvectors = _eigenvectors((x.double() - centre).flatten(1)).to(x.dtype)
        count, share = len(eigenvectors), 1.0
    elif rng is None:
        raise ValueError("partners are drawn at random: pass rng=numpy.random.default_rng(seed).")
    elif not partners >= 2:
        raise ValueError(f"partners must be at least 2 to have a standard error, got {partners}.")
    else:
        drawn = torch.from_numpy(rng.integers(len(x), size=(partners, len(x)))).to(x.device)
        count, share = partners, 1 / partners
    sums = torch.zeros(4, dtype=torch.float64)  # loss, slope, curvature, residual
    variances = torch.zeros(3, dtype=torch.float64)  # of curvature, residual and their sum
    with torch.no_grad(), unchanged(model) as f:
        check_targets(f, x, y, family)
        for rows in torch.split(torch.arange(len(x), device=x.device), BATCH):
            part, labels = x[rows], y[rows]
            to_centre = _along(f, part, labels, (centre - part).to(x.dtype), family)
            sums += torch.stack(to_centre).double().sum(-1).cpu()
            spread_out = torch.zeros(count, 2, len(rows), dtype=torch.float64)
            for k in range(count):
                if partners is None:
                    v = eigenvectors[k].reshape(1, *x.shape[1:]).expand_as(part)
                else:
                    v = (x[drawn[k, rows]] - centre).to(x.dtype)
                along = _along(f, part, labels, v, family)
                spread_out[k] = torch.stack([along.curvature, along.residual])
            sums[2:] += share * spread_out.sum((0, 2))
            if partners is not None:
                both = torch.cat([spread_out, spread_out.sum(1, keepdim=True)], 1)
                variances += both.var(0).sum(-1) / partners
    scale = torch.tensor([1, 2 * law.spread, law.spread / 2, law.spread / 2], dtype=torch.float64)
    loss, r1, r2, r3 = (sums * scale / len(x)).tolist()
    errors = (law.spread / 2 * variances.sqrt() / len(x)).tolist()
    return Expansion(
        loss,
        r1,
        r2,
        r3,
        loss + r1 + r2 + r3,
        {"loss": 0.0, "r1": 0.0} | dict(zip(("r2", "r3", "total"), errors, strict=True)),
    )


class _Along(NamedTuple):
    """Loss and its derivatives along one direction per example, each (n,)."""

    loss: Tensor
    slope: Tensor  # <p - y, Jv>
    curvature: Tensor  # (Jv)' A'' (Jv)
    residual: Tensor  # <p - y, H[v, v]>


def _along(
    f: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, v: Tensor, family: Family
) -> _Along:
    """Differentiate twice backward through one scalar t per example, at x + t v.

    The first pass gives d/dt <c, f> for a cotangent c. Its derivative by c is Jv, by t it is
    <c, H[v, v]>: one second pass gives both. Works wherever reverse mode does twice, which
    nested forward mode does not (SiLU, attention).
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        t = x.new_zeros((len(x), *[1] * (x.ndim - 1)), requires_grad=True)
        out = f(x + t * v)
        # c must not depend on t; to keep its dependence on the parameters f runs once more.
        c = family.residual(f(x) if differentiable else out.detach(), y)
        c = c if c.requires_grad else c.requires_grad_()
        slope = _grad((c * out).sum(), (t,), create_graph=True)[0]
        jv, residual = _grad(slope.sum(), (c, t), create_graph=differentiable)
    if not differentiable:
        out, slope = out.detach(), slope.detach()
    return _Along(
        loss=family(out, y),
        slope=slope.reshape(len(x)),
        curvature=family.quadratic(out, jv),
        residual=residual.reshape(len(x)),
    )


def _grad(value: Tensor, inputs: tuple[Tensor, ...], *, create_graph: bool) -> tuple[Tensor, ...]:
    """Gradients, zero where the value does not depend on an input."""
    if not value.requires_grad:
        return tuple(torch.zeros_like(i) for i in inputs)
    return torch.autograd.grad(
        value, inputs, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )


def _eigenvectors(centred: Float[Tensor, "n d"]) -> Float[Tensor, "rank d"]:
    """Rows v with Σ v v' = Σ̂, the covariance (1/n) of the rows of `centred`."""
    _, scale, vectors = torch.linalg.svd(centred / len(centred) ** 0.5, full_matrices=False)
    kept = scale > scale.max() * max(centred.shape) * torch.finfo(scale.dtype).eps
    directions: Tensor = scale[kept, None] * vectors[kept]
    return directions
