"""The expansion about examples that are shrunk towards the mean, inputs and labels alike."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.explanation.derivatives.choice import Engine
from vicinal.explanation.derivatives.second_order import (
    Cloud,
    Parts,
    centred,
    check_drawn,
    drawn,
    examined,
    in_single_too,
    parts,
    principal,
)
from vicinal.machine.processes import ALONE, Place
from vicinal.maths.arguments import check_law
from vicinal.maths.laws import Law, mean_larger_share
from vicinal.maths.losses import Family
from vicinal.models.forward import Model, finite


@dataclass(frozen=True)
class ShrunkExpansion:
    """The mixup loss to second order about the shrunk examples, in nats.

    Attributes:
        loss: of the shrunk inputs against the shrunk labels.
        curvature: what the curvature of the loss adds.
        residual: what the curvature of the model adds.
        covariance: what inputs and labels that move together add; negative where they agree.
        total: the sum of these.
        share: θ̄ = E[max(λ, 1-λ)], how much of each example is kept.
        standard_errors: of each of these, by name, as those of `Expansion`; 0 for what is exact.
        engine: how the derivatives were taken.
    """

    loss: float
    curvature: float
    residual: float
    covariance: float
    total: float
    share: float
    standard_errors: dict[str, float]
    engine: str


def expand_shrunk(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    law: Law,
    family: Family,
    *,
    partners: int | None = None,
    rng: np.random.Generator | None = None,
    where: Place = ALONE,
) -> ShrunkExpansion:
    r"""Expand the mixup loss about $\tilde x_i = \bar x + \bar\theta (x_i - \bar x)$.

    With θ = max(λ, 1-λ), $\tilde y_i$ shrunk likewise, and δ, ε the deviations of the mixed
    input and label from them,

    $$L_{mix} \approx \mathrm{mean}_i \big[ l(\tilde x_i, \tilde y_i)
        + \tfrac12 \langle E\delta\delta', \nabla^2_{xx} l \rangle
        + \langle E\varepsilon\delta', \nabla^2_{yx} l \rangle \big]$$

    $$E\delta\delta' = \mathrm{Var}(\theta)(x_i - \bar x)(x_i - \bar x)'
        + E(1-\theta)^2 \hat\Sigma$$

    The deviations have mean 0, so no first-order term is left, and they are smaller than those
    from the unmixed example: on trained models this is often the better of the two expansions.
    The point depends on the law, so each law needs its own computation.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        x: inputs, in the units the model was trained on.
        y: targets of the family.
        law: the law of λ.
        family: the loss.
        partners: None for the exact terms; otherwise directions drawn per example, at least 2.
        rng: where they come from; needed if, and only if, `partners` is given.
        where: this process, among those to which the passes are dealt, as in `expand`.

    Returns:
        ShrunkExpansion, accumulated in float64.

    Raises:
        ValueError: for targets out of range, fewer than 2 partners, a missing `rng`.
        TypeError: for a loss that is not affine in the label.

    Source:
        Carratino, Cissé, Jenatton, Vert (2022), arXiv:2006.06049, Theorem 2; there for α = β.
    """
    check_law(law)
    x = in_single_too(model, x)
    check_drawn("partners", partners, rng)
    share = mean_larger_share(law)
    with examined(model, x, y, family) as (f, engine):
        labels = label_values(f(x[:1]), y, family).to(x.dtype)
        if partners is None or rng is None:
            cloud = principal(x, labels)
        else:
            cloud = drawn(x, partners, rng, labels)
        found = _about_shrunk(engine, x, labels, cloud, share, law.spread, where)
    return _summed(found, share, engine.report)


def _about_shrunk(
    engine: Engine,
    x: Tensor,
    labels: Tensor,
    cloud: Cloud,
    share: float,
    spread: float,
    where: Place,
) -> Parts:
    """The parts of each example at its shrunk self, along its own way from there and the cloud."""
    assert cloud.labels is not None
    # θ(1-θ) = λ(1-λ), so E θ² = θ̄ - κ and E(1-θ)² = 1 - θ̄ - κ
    varied, other = max(0.0, share - spread - share**2), max(0.0, 1 - share - spread)
    own, own_labels = centred(x), centred(labels)
    return parts(
        engine,
        x - (1 - share) * own,
        labels - (1 - share) * own_labels,
        varied**0.5 * own,
        varied**0.5 * own_labels,
        Cloud(other**0.5 * cloud.directions, cloud.which, other**0.5 * cloud.labels),
        where,
    )


def _summed(found: Parts, share: float, engine: str) -> ShrunkExpansion:
    weights = torch.tensor([0.5, 0.5, -1.0], dtype=torch.float64)
    terms = weights[:, None] * (found.own[1:] + found.cloud)
    loss = finite(float(found.loss.mean()), "the loss of the shrunk examples")
    curvature, residual, covariance = (
        finite(float(term.mean()), "the expansion") for term in terms
    )
    errors = [found.error(weight) for weight in (*torch.diag(weights), weights)]
    names = ("curvature", "residual", "covariance", "total")
    named = {"loss": 0.0} | dict(zip(names, errors, strict=True))
    total = loss + curvature + residual + covariance
    return ShrunkExpansion(loss, curvature, residual, covariance, total, share, named, engine)


def label_values(outputs: Tensor, y: Tensor, family: Family) -> Tensor:
    """Targets as values that can be averaged, in the shape of the outputs and in float64."""
    flat = torch.zeros(len(y), *outputs.shape[1:], dtype=torch.float64, device=outputs.device)
    targets = y.double() if y.is_floating_point() else y
    return family.mean(flat) - family.residual(flat, targets)
