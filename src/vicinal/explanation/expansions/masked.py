"""The expansion of any mixing that is one draw of masks and shares: CutMix, FMix, mixup itself."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.explanation.derivatives.choice import Engine
from vicinal.explanation.derivatives.second_order import examined, in_single_too, passes
from vicinal.explanation.terms import Terms, along
from vicinal.maths.arguments import check_rng, check_whole
from vicinal.maths.losses import Family
from vicinal.maths.small_samples import of_parts
from vicinal.mixing.apply import mix
from vicinal.mixing.draw import Draw, Strategy
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.noisy import NoisyDraw
from vicinal.models.forward import Model, finite

NAMES = ("loss", "r1", "r2", "r3", "total", "risk", "remainder")


@dataclass(frozen=True)
class StrategyExpansion:
    """The loss under a strategy, sampled, and its second-order expansion on the same draws.

    Attributes:
        loss: the loss of the unmixed examples, each with the share it has in mixed labels.
        r1, r2, r3: the first-order term, the curvature of the loss, that of the model.
        total: loss + r1 + r2 + r3.
        risk: the loss of the mixed examples.
        remainder: risk - total, what the expansion misses.
        standard_errors: of each of these over draws, by name; widened, as there are few draws, so
            that 1.96 of them cover 95 %.
        engine: how the derivatives were taken.
    """

    loss: float
    r1: float
    r2: float
    r3: float
    total: float
    risk: float
    remainder: float
    standard_errors: dict[str, float]
    engine: str


def expand_strategy(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    strategy: Strategy,
    family: Family,
    *,
    draws: int = 8,
    rng: np.random.Generator,
) -> StrategyExpansion:
    r"""Expand the loss under masks M in place of one weight λ, along draws of the strategy.

    A mixed input is expanded about both of the examples it is made of, each weighted by its
    share s of the label: about $x_i$ along $(1-M) \odot (x_j - x_i)$ with weight s, about $x_j$
    along $M \odot (x_i - x_j)$ with weight 1-s. On average over pairs

    $$R_1 = \mathrm{mean}_i\, (p_i - y_i)' J_i\, (E[1-M] \odot (\bar x - x_i)), \qquad
      R_2, R_3 \text{ with } E[(1-M_j)(1-M_k)]\, C_{i,jk} \text{ in place of } \kappa\, C_i,$$

    expectations in which a mask counts by its share; the moments of the mask are those of the
    draws. For `Mixup` these are the terms of `expand`. Noise of `NoisyFeatureMixup` on the inputs
    is part of the way to the mixed input, and adds what `expand_noise` computes.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        x: inputs, in the units the model was trained on.
        y: targets of the family.
        strategy: whose calls return a `Draw`; or `NoisyFeatureMixup` on the inputs alone.
        family: the loss.
        draws: draws of the whole data set, at least 2; one costs 7 forward passes.
        rng: where they come from.

    Returns:
        StrategyExpansion; its standard errors are over draws, for this data set.

    Raises:
        ValueError: for targets out of range, fewer than 2 draws.
        TypeError: for a loss that is not affine in the label, or a strategy with other draws.

    Source:
        Park, Yun, Chun (2022), arXiv:2208.09913, Theorem 1; there with moments in closed form.
    """
    check_whole("draws", draws, 0)
    check_rng(rng)
    x = in_single_too(model, x)
    if not draws >= 2:
        raise ValueError(f"draws must be at least 2 to have a standard error, got {draws}.")
    found = []
    with examined(model, x, y, family) as (f, engine):
        for _ in range(draws):
            draw = strategy(x, y, rng)
            mixed, plain = _inputs(x, draw, strategy)
            terms = _one_draw(engine, x, y, mixed, plain)
            outputs = torch.cat([f(part) for part in torch.split(mixed, 1024)])
            risk = float(mixed_loss(family, outputs, y, plain).double().mean())
            found.append([*terms, sum(terms), risk, risk - sum(terms)])
    means = [finite(float(mean), "the expansion") for mean in np.mean(found, 0)]
    errors = [of_parts(np.array(values)) for values in zip(*found, strict=True)]
    loss, r1, r2, r3, total, risk, remainder = means
    named = dict(zip(NAMES, errors, strict=True))
    return StrategyExpansion(loss, r1, r2, r3, total, risk, remainder, named, engine.report)


def _inputs(x: Tensor, draw: object, strategy: Strategy) -> tuple[Tensor, Draw]:
    """The mixed inputs, noise included, and whom each is made of with which share.

    Raises:
        TypeError: for draws that do more than mix inputs.
    """
    if isinstance(draw, Draw):
        return mix(x, draw), draw
    if isinstance(draw, NoisyDraw) and draw.hidden.layers == ("",):
        return draw.noisy(mix(x, draw.draw)), draw.draw
    raise TypeError(
        f"{type(strategy).__name__} draws more than masks and shares, so its loss has no such "
        "expansion. Pass a strategy whose calls return a Draw, such as CutMix, or "
        'NoisyFeatureMixup(layers=("",)).'
    )


def _one_draw(engine: Engine, x: Tensor, y: Tensor, mixed: Tensor, draw: Draw) -> list[float]:
    """Means of loss, R1, R2 and R3 over the pairs of one draw, about both of their ends."""
    sums = torch.zeros(4, dtype=torch.float64)
    for rows in passes(x, 1):
        own = draw.share[rows].double()
        for base, weight in ((rows, own), (draw.partner[rows], 1 - own)):
            terms: Terms = along(engine, x[base], y[base], mixed[rows] - x[base])
            stacked = torch.stack([term.double() for term in terms])
            sums += (stacked * weight).sum(1).cpu()
    return [float(s) for s in sums / len(x)]
