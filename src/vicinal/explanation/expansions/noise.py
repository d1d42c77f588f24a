"""What noise on the inputs adds to the loss, to second order."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.explanation.derivatives.second_order import (
    Cloud,
    check_drawn,
    examined,
    in_single_too,
    parts,
)
from vicinal.maths.arguments import check_number
from vicinal.maths.losses import Family
from vicinal.models.forward import Model, finite


@dataclass(frozen=True)
class NoiseTerms:
    """What additive noise adds, in nats.

    Attributes:
        curvature: through the curvature of the loss, never negative.
        residual: through the curvature of the model.
        total: their sum.
        standard_errors: of each of these, by name, as those of `Expansion`; 0 for what is exact.
        engine: how the derivatives were taken.
    """

    curvature: float
    residual: float
    total: float
    standard_errors: dict[str, float]
    engine: str


def expand_noise(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    deviation: float,
    family: Family,
    *,
    directions: int | None = None,
    rng: np.random.Generator | None = None,
) -> NoiseTerms:
    r"""Expand the loss under independent noise of mean 0 and variance σ² on each input.

    $$\tfrac{\sigma^2}{2}\, \mathrm{mean}_i\, \Big[ \mathrm{tr}(A''_i J_i J_i')
        + \sum_k (p_{ik} - y_{ik})\, \mathrm{tr}\, \nabla^2 f_k(x_i) \Big]$$

    It joins R1 to R3 under mixing with noise, as in `NoisyFeatureMixup` on the inputs; there the
    deviation is itself random, and σ² its mean square.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        x: inputs, in the units the model was trained on.
        y: targets of the family.
        deviation: σ, in the units of x, 0 or more.
        family: the loss.
        directions: None for the exact trace, one direction per input number; otherwise random
            signs drawn per example, at least 2 times. Inputs of few numbers have few signs, and
            errors that mislead: take the exact trace there, which is as cheap.
        rng: where they come from; needed if, and only if, `directions` is given.

    Returns:
        NoiseTerms, accumulated in float64.

    Raises:
        ValueError: for a negative deviation, targets out of range, fewer than 2 directions, a
            missing `rng`.
        TypeError: for a loss that is not affine in the label.

    Source:
        Lim, Erichson, Utrera, Xu, Mahoney (2022), arXiv:2110.02180, section 4; the estimate by
        random signs is Hutchinson's (1990).
    """
    check_number("deviation", deviation)
    x = in_single_too(model, x)
    if not 0 <= deviation < np.inf:
        raise ValueError(f"deviation must be 0 or more, in the units of x, got {deviation}.")
    check_drawn("directions", directions, rng)
    with examined(model, x, y, family) as (_, engine):
        if directions is None or rng is None:
            axes = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device)
            v, which = axes.reshape(-1, *x.shape[1:]), None
        else:
            signs = rng.integers(2, size=(directions, *x.shape), dtype=np.int8)
            v = (2 * torch.from_numpy(signs) - 1).to(x).flatten(0, 1)
            which = torch.arange(len(v), device=x.device).reshape(directions, len(x))
        cloud = Cloud(deviation * v, which)
        found = parts(engine, x, y, torch.zeros_like(x), None, cloud)
    curvature, residual = (
        finite(float(term.mean()) / 2, "the expansion") for term in found.cloud[:2]
    )
    weights = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0]], dtype=torch.float64)
    errors = [found.error(weight) / 2 for weight in weights]
    names = dict(zip(("curvature", "residual", "total"), errors, strict=True))
    return NoiseTerms(curvature, residual, curvature + residual, names, engine.report)
