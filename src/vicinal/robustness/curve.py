"""Robust accuracy against the size of the perturbation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.machine.processes import ALONE, Place, deal
from vicinal.maths.arguments import check_rng, check_sizes, check_whole
from vicinal.maths.losses import Family, categorical
from vicinal.maths.statistics import proportion
from vicinal.models.forward import Model, check_family, check_targets
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, ball
from vicinal.robustness.attacks.door import Function, draw_anew, entered, opened, slope
from vicinal.robustness.attacks.goal import goal, warn_of_undefined
from vicinal.robustness.attacks.gradients import check_slopes
from vicinal.robustness.attacks.pgd import ascend

BATCH = 256  # examples attacked at once, which bounds the memory; what is dealt to processes


@dataclass(frozen=True)
class Point:
    """Robust accuracy at one eps, with Wilson's 95 % interval over examples."""

    eps: float
    accuracy: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy under one attack, against eps; an upper bound on robust accuracy.

    Attributes:
        attack: its name.
        norm: of the balls.
        steps: of the attack.
        examples: how many were attacked.
        points: one for each eps.
        gradients: False if no example that is right had a gradient at the start: then nothing was
            attacked, and the accuracies say nothing of robustness.
    """

    attack: str
    norm: str
    steps: int
    examples: int
    points: tuple[Point, ...]
    gradients: bool = True


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
    where: Place = ALONE,
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
        where: this process, among those to which batches are dealt, as in `worst_case`.

    Returns:
        AccuracyCurve with Wilson intervals over examples. Neither attack is strong enough for
        a claim of robustness: the numbers are upper bounds.

    Warns:
        UserWarning: if no example that is right has a gradient at the start, so that nothing was
            attacked; `gradients` of the result is then False.

    Raises:
        ValueError: for no epsilons, no steps, an unknown attack, and what the attacks refuse, such
            as outputs without gradient.
        TypeError: for families that do not classify.

    Source:
        Madry et al. (2018), arXiv:1706.06083; Wilson (1927) for the intervals.
    """
    check_rng(rng, needed=False)
    check_whole("steps", steps, 1)
    check_sizes("epsilons", epsilons)
    epsilons = [float(eps) for eps in epsilons]
    if not len(epsilons):
        raise ValueError("epsilons must hold one radius or more.")
    if attack not in ("fgsm", "pgd"):
        raise ValueError(f"attack must be 'fgsm' or 'pgd', got {attack!r}.")
    check_family(family)
    with opened(model) as f:
        check_targets(f, x, y, family)
        draw_anew(x.device, 0, "curve")
        robust = family.correct(f(x), y)
        points, gradients = [], None
        for eps in sorted(epsilons):
            alive = robust.nonzero()[:, 0]
            if eps != 0 and len(alive):
                within, start = ball(x[alive], eps, norm, bounds), None
                if attack == "pgd":
                    start = within.x if rng is None else within.random(rng)
                if gradients is None:
                    gradients = _climbs(model, within, y[alive], family, attack, rng)
                robust[alive] = _withstood(model, f, within, y[alive], family, start, steps, where)
            share = proportion(int(robust.sum()), len(x))
            points.append(Point(float(eps), share.value, share.low, share.high))
    steps = 1 if attack == "fgsm" else steps
    return AccuracyCurve(attack, norm, steps, len(x), tuple(points), gradients is not False)


def _climbs(
    model: Model,
    within: Ball,
    y: Tensor,
    family: Family,
    attack: str,
    rng: np.random.Generator | None,
) -> bool:
    """Whether the examples that are right have gradients where the attack starts."""
    random = rng if attack == "pgd" else None
    with entered(model, within.x, y, family) as f:
        draw_anew(within.x.device, 0, "curve", "gradients")
        own = goal(family, y)
        return check_slopes(f, within, own, ("family",), attack, random, stacklevel=4)


def _withstood(
    model: Model,
    judge: Function,
    within: Ball,
    y: Tensor,
    family: Family,
    start: Tensor | None,
    steps: int,
    where: Place,
) -> Bool[Tensor, " n"]:
    """Which examples are right still, after PGD from these starts or, without any, after FGSM."""
    aim = goal(family, y)
    with entered(model, within.x, y, family) as f:

        def of_batch(rows: Tensor) -> tuple[Tensor, Tensor]:
            draw_anew(rows.device, 0, "curve", f"{within.eps:g}", int(rows[0]))
            part, own = within[rows], aim[rows]
            if start is None:
                outputs, _, gradient = slope(f, part.x, own.loss("family"))
                own.broken(outputs)  # notes what is not finite
                z = part.step(part.x, gradient, part.eps)
            else:
                z = ascend(f, part, start[rows], own, steps).z
            return family.correct(judge(z), y[rows]).cpu(), own.undefined[rows].cpu()

        batches = torch.split(torch.arange(len(y), device=y.device), BATCH)
        right, undefined = zip(*deal(of_batch, batches, where), strict=True)
    warn_of_undefined(torch.cat(undefined).nonzero()[:, 0].tolist())
    return torch.cat(right).to(y.device)
