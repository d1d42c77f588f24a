r"""The mixup loss itself: the exact vicinal risk over all pairs, and its estimate.

$$L_{mix} = \frac1{n^2} \sum_{i,j} E_\lambda\big[\lambda\, l(f(x_{ij}), y_i)
            + (1-\lambda)\, l(f(x_{ij}), y_j)\big],
  \qquad x_{ij} = \lambda x_i + (1-\lambda) x_j$$
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.explanation.derivatives.second_order import check_drawn, examined, in_single_too
from vicinal.explanation.pairs.every import BATCH, Progress, converged, over_all_pairs
from vicinal.explanation.pairs.linear import is_affine, over_all_logits
from vicinal.explanation.pairs.sampled import Problem, sampled
from vicinal.machine.processes import ALONE, Place
from vicinal.maths.arguments import check_law, check_number
from vicinal.maths.laws import Law
from vicinal.maths.losses import Family
from vicinal.models.forward import Model, finite


@dataclass(frozen=True)
class Estimate:
    """A number and how far it may be off.

    Attributes:
        value: the number, in nats.
        standard_error: of sampling pairs and λ; 0 where all pairs were summed. It is estimated from
            rounds of pairs, often 16, and widened so that 1.96 of it cover 95 %.
        quadrature_error: change of the value when the nodes in λ were last doubled; 0 where the
            law has finitely many values.
        nodes: points of λ in use.
        method: how the pairs were summed, in words.
    """

    value: float
    standard_error: float
    quadrature_error: float = 0.0
    nodes: int = 0
    method: str = ""


def vicinal_risk(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    law: Law,
    family: Family,
    *,
    pairs: int | None = None,
    rng: np.random.Generator | None = None,
    target_error: float | None = None,
    progress: Progress | None = None,
    where: Place = ALONE,
) -> Estimate:
    """The mixup loss of a model on data, over all n² pairs or a sample of them.

    All pairs, i = j included, are summed with Gauss quadrature in λ whose nodes are doubled
    until the value is stable to 1e-7 or 64 nodes are used (256 for affine models); the last
    change is returned, because for nets with kinks (ReLU) quadrature converges slowly. Each
    unordered pair is evaluated once, which is n(n-1)/2 forward passes per node: for more than
    a few hundred examples sample `pairs`.

    A model that proves affine in its input on random lines, to rounding, such as logistic
    regression or the last layer on given features, needs no pass per pair: its logits are mixed,
    and ten thousand examples take seconds.

    A sample of pairs meets the nodes in proportion to their weights. Where it pays, judged on
    a few pilot pairs, the second-order expansion is the control variate.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        x: inputs, in the units the model was trained on.
        y: targets of the family.
        law: the law of λ.
        family: the loss, affine in y. The identity behind the tilted law needs that; losses
            that are not (focal, squared error on probabilities) are no families.
        pairs: None sums all pairs; a number samples so many mixed examples at most.
        rng: where the pairs come from; needed if `pairs` or `target_error` is given.
        target_error: sample until the standard error is at most this, in nats (and at least 16
            rounds); `pairs` is then the limit.
        progress: told the share of the work that is done, 0 to 1.
        where: this process, among those to which rounds or batches of pairs are dealt, as in
            `expand`.

    Returns:
        Estimate in nats, accumulated in float64.

    Raises:
        ValueError: for targets out of range, fewer than 2 pairs, a missing `rng`, outputs that
            are not finite.
        TypeError: for a loss that is not affine in the label.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, section 2.

    Example:
        >>> from vicinal.maths.laws import Fixed
        >>> from vicinal.maths.losses import gaussian
        >>> x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
        >>> vicinal_risk(lambda x: x, x, x[:, 0], Fixed(0.5), gaussian).value  # -x²/2 at 0, 1, 1, 2
        -0.75
    """
    check_law(law)
    x = in_single_too(model, x)
    check_drawn("pairs", pairs, rng)
    if target_error is not None:
        check_number("target_error", target_error)
        check_drawn("pairs", 2, rng)  # or as many more as it takes
    if target_error is not None and not target_error > 0:
        raise ValueError(f"target_error must be positive, in nats, got {target_error}.")
    tell = progress or (lambda share: None)
    with examined(model, x, y, family) as (f, engine):
        if rng is not None and (pairs is not None or target_error is not None):
            problem = Problem(f, engine, x, y, law, family, where)
            value, error, plan, _ = sampled(problem, pairs, target_error, rng, tell)
            how = "sampled pairs" + (", expansion as control variate" if plan.slope else "")
            nodes, change = len(plan.nodes.lam), plan.nodes.change
        elif is_affine(f, x):
            value, change, nodes = _by_logits(f, x, y, law, family)
            error, how = 0.0, "all pairs by their logits: the model is affine on random lines"
        else:
            value, change, nodes = converged(
                lambda lam, weight: over_all_pairs(
                    f, x, y, family, lam, weight, _of_doublings(tell, len(lam)), where
                ),
                law,
                64,
            )
            tell(1.0)
            error, how = 0.0, "all pairs"
    return Estimate(finite(value, "the mixup loss"), error, change, nodes, how)


def _of_doublings(tell: Progress, nodes: int) -> Progress:
    """Progress over doublings of the nodes, of which two are certain; more wait at the end."""
    if nodes <= 8:
        return lambda share: tell(share / 3)
    return (lambda share: tell((1 + 2 * share) / 3)) if nodes <= 16 else (lambda share: tell(1.0))


def _by_logits(
    f: Callable[[Tensor], Tensor],
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    law: Law,
    family: Family,
) -> tuple[float, float, int]:
    z = torch.cat([f(part) for part in torch.split(x, BATCH)])
    return converged(lambda lam, weight: over_all_logits(z, y, family, lam, weight), law, 256)
