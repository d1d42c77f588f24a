r"""What mixing adds to the loss, to second order: the regularisers R1, R2 and R3.

$$L_{mix} \approx L_{std} + R_1 + R_2 + R_3$$

expanded at the unmixed examples along the directions to their partners. Only one number of
the law enters, its spread κ = E[λ(1-λ)].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from vicinal.explanation.derivatives.choice import Engine
from vicinal.explanation.derivatives.second_order import (
    Parts,
    centred,
    check_drawn,
    drawn,
    engine_of,
    examined,
    in_single_of,
    in_single_too,
    parts,
    passes,
    principal,
)
from vicinal.machine.processes import ALONE, Place
from vicinal.maths.arguments import check_law, check_number, check_tensors
from vicinal.maths.laws import Beta, Law
from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import (
    Model,
    check_counts,
    check_family,
    finite,
    first_outputs,
    refuse_batch_statistics,
    unchanged,
)
from vicinal.models.numbers import warn_of_rounding


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
        standard_errors: of each of these, by name; 0 for what is exact. Estimated from few
            partners or examples they are widened, so that 1.96 of them cover 95 %.
        spread: κ = E[λ(1-λ)] of the law; r1, r2 and r3 are proportional to it.
        engine: how the derivatives were taken, and why not by a faster way.
    """

    loss: float
    r1: float
    r2: float
    r3: float
    total: float
    standard_errors: dict[str, float]
    spread: float
    engine: str

    def at(self, law: Law) -> "Expansion":
        """The expansion under another law, without another look at the model.

        Raises:
            ValueError: if this expansion was made for a law that never mixes.
        """
        if not self.spread > 0:
            raise ValueError(
                "this expansion was made for a law of spread 0, which never mixes, so its terms "
                "are 0 and tell nothing of other laws. Expand under Uniform() first."
            )
        scale = law.spread / self.spread
        r1, r2, r3 = (scale * term for term in (self.r1, self.r2, self.r3))
        regularisers = self.loss + r1 + r2 + r3
        errors = {k: v * (1 if k == "loss" else scale) for k, v in self.standard_errors.items()}
        return Expansion(self.loss, r1, r2, r3, regularisers, errors, law.spread, self.engine)

    def curve(self, alphas: Sequence[float]) -> list["Expansion"]:
        """The expansion under Beta(α, α) for each α: the whole curve for one computation."""
        return [self.at(Beta(alpha)) for alpha in alphas]


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
        model: maps x to outputs of the family, for each example alone. Measured in eval mode,
            so without dropout, and left as it was; to train on the expansion use `Expanded`,
            which runs the model in its own mode.
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
            BatchNorm in train mode, whose statistics a graph of eval mode would never change;
            for targets that do not fit the family.
        TypeError: for a loss that is not affine in the label.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, Lemma 3.1; stated there
        for one output with loss h(f) - y f, here for all families and many outputs.

    Example:
        >>> from vicinal.maths.losses import gaussian
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> terms = taylor_terms(lambda x: x, x, x[:, 0], torch.tensor([1, 0]), 0.25, gaussian)
        >>> terms.curvature  # κ/2 · δ², with δ = ±2
        tensor([0.5000, 0.5000])
    """
    check_number("spread", spread)
    if not 0 <= spread <= 0.25:
        raise ValueError(f"spread = E[λ(1-λ)] lies in [0, 1/4] for any λ in [0, 1], got {spread}.")
    check_family(family)
    if isinstance(model, nn.Module):
        refuse_batch_statistics(list(model.modules()), eval_mode=False)
    x = in_single_too(model, x)
    check_tensors(y=y, partner=partner)
    check_counts(x, y)
    if partner.is_floating_point() or partner.shape != (len(x),):
        raise ValueError(
            f"partner must hold one index per example ({len(x)}), got {partner.dtype} of shape "
            f"{tuple(partner.shape)}."
        )
    low, high = (int(v) for v in partner.long().aminmax())
    if not 0 <= low <= high < len(x):
        raise ValueError(f"partner must lie in 0..{len(x) - 1}, got {low} to {high}.")
    partner = partner.long()
    with unchanged(model) as narrow:
        f = in_single_of(model, narrow)
        with torch.no_grad():
            outputs = first_outputs(f, x)
            family.check_labels(outputs[:1].expand(len(y), *outputs.shape[1:]), y)
        warn_of_rounding(outputs)
        engine = engine_of(model, family, f)
        if torch.is_grad_enabled():
            return terms_along(engine, x, y, x[partner] - x, spread)
        found = [
            terms_along(engine, x[rows], y[rows], x[partner[rows]] - x[rows], spread)
            for rows in passes(x, 1)
        ]
    return Terms(*(torch.cat(term) for term in zip(*found, strict=True)))


def expand(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    law: Law,
    family: Family,
    *,
    partners: int | None = None,
    rng: np.random.Generator | None = None,
    where: Place = ALONE,
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
        where: this process, among those to which the passes are dealt. With
            ``vicinal.machine.processes.place()`` all that torch.distributed runs must make the same
            call; each gets the whole, equal to what one alone computes.

    Returns:
        Expansion, accumulated in float64. The errors are those of drawing the directions, for
        this data set.

    Raises:
        ValueError: for targets out of range, fewer than 2 partners, a missing `rng`.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, Lemma 3.1, whose centred
        data make C_i = Σ̂ + x_i x_i'; here for any data, family and number of outputs.
    """
    check_law(law)
    x = in_single_too(model, x)
    check_drawn("partners", partners, rng)
    with examined(model, x, y, family) as (_, engine):
        found = contributions(engine, x, y, partners, rng, where)
    return _averaged(found, law.spread, engine.report)


def contributions(
    engine: Engine,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    partners: int | None,
    rng: np.random.Generator | None,
    where: Place = ALONE,
) -> Parts:
    """The parts of each example's expansion: towards the mean, and about it."""
    cloud = principal(x) if partners is None or rng is None else drawn(x, partners, rng)
    return parts(engine, x, y, -centred(x), None, cloud, where)


def terms_of(found: Parts, spread: float) -> Terms:
    """Loss, R1, R2 and R3 of each example, in float64."""
    slope, curvature, residual, _ = found.own
    return Terms(
        found.loss,
        2 * spread * slope,
        spread / 2 * (curvature + found.cloud[0]),
        spread / 2 * (residual + found.cloud[1]),
    )


def along(engine: Engine, x: Tensor, y: Tensor, v: Tensor) -> Terms:
    """The Taylor polynomial of each example's loss in t at x + t v: its terms at t = 1."""
    loss, slope, curvature, residual = terms_along(engine, x, y, v, 1.0)
    return Terms(loss, slope / 2, curvature, residual)


def _averaged(found: Parts, spread: float, engine: str) -> Expansion:
    terms = terms_of(found, spread)
    loss, r1, r2, r3 = (finite(float(term.mean()), "the expansion") for term in terms)
    weights = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0]], dtype=torch.float64)
    errors = [spread / 2 * found.error(weight) for weight in weights]
    names = dict(zip(("r2", "r3", "total"), errors, strict=True))
    return Expansion(
        loss, r1, r2, r3, loss + r1 + r2 + r3, {"loss": 0.0, "r1": 0.0} | names, spread, engine
    )


def terms_along(engine: Engine, x: Tensor, y: Tensor, v: Tensor, spread: float) -> Terms:
    """Loss, R1, R2 and R3 of each example for a given direction; nothing is checked."""
    outputs, first, residual = engine(x, y, v[None])
    slope = engine.family.residual(outputs, y) * first[0]
    return Terms(
        loss=engine.family(outputs, y),
        slope=2 * spread * slope.reshape(len(x), -1).sum(-1),
        curvature=spread / 2 * engine.family.quadratic(outputs, first[0]),
        residual=spread / 2 * residual,
    )
