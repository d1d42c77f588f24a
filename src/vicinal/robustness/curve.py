"""Robust accuracy against the size of the perturbation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.attacks.ball import Bounds, Norm
from vicinal.attacks.door import opened
from vicinal.attacks.fgsm import fgsm
from vicinal.attacks.pgd import pgd
from vicinal.forward import Model, check_targets
from vicinal.losses import Family, categorical
from vicinal.statistics import proportion


@dataclass(frozen=True)
class Point:
    """Robust accuracy at one eps, with Wilson's 95 % interval over examples."""

    eps: float
    accuracy: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy under one attack, against eps; an upper bound on robust accuracy."""

    attack: str
    norm: str
    steps: int
    examples: int
    points: tuple[Point, ...]


def accuracy_curve(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    epsilons: Sequence[float],
    *,
    attack: Literal["fgsm", "pgd"] = "pgd",
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    steps: int = 20,
    family: Family = categorical,
    rng: np.random.Generator | None = None,
) -> AccuracyCurve:
    """Accuracy of a classifier within balls of growing radius.

    An example counts as robust at eps if it was classified correctly at this and every
    smaller eps, clean included: what breaks it in a small ball lies in every larger one. So the
    curve never rises, and only examples not yet broken are attacked again.

    Args:
        model: maps x to logits; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: class ids.
        epsilons: radii in the units of x; taken in increasing order, 0 is the clean accuracy.
        attack: "pgd", with `steps`, or "fgsm", one step.
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, or None.
        steps: of PGD.
        family: categorical or bernoulli.
        rng: random starts of PGD; None starts at x.

    Returns:
        AccuracyCurve with Wilson intervals over examples. Neither attack is strong enough for
        a claim of robustness: the numbers are upper bounds.

    Raises:
        ValueError: for no epsilons, an unknown attack, and what the attacks refuse.
        TypeError: for families that do not classify.

    Source:
        Madry et al. (2018), arXiv:1706.06083; Wilson (1927) for the intervals.
    """
    if not len(epsilons):
        raise ValueError("epsilons must hold one radius or more.")
    if attack not in ("fgsm", "pgd"):
        raise ValueError(f"attack must be 'fgsm' or 'pgd', got {attack!r}.")
    perturb: Callable[..., Tensor] = (
        fgsm if attack == "fgsm" else partial(pgd, steps=steps, rng=rng)
    )
    with opened(model) as f:
        check_targets(f, x, y, family)
        robust = family.correct(f(x), y)
        points = []
        for eps in sorted(epsilons):
            alive = robust.nonzero()[:, 0]
            if eps != 0 and len(alive):
                z = perturb(model, x[alive], y[alive], eps, norm=norm, bounds=bounds, family=family)
                robust[alive] = family.correct(f(z), y[alive])
            share = proportion(int(robust.sum()), len(x))
            points.append(Point(float(eps), share.value, share.low, share.high))
    return AccuracyCurve(attack, norm, 1 if attack == "fgsm" else steps, len(x), tuple(points))
