"""Robust accuracy at every ε from one search for the nearest broken point of each example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy.special import ndtri
from torch import Tensor

from vicinal.machine.processes import ALONE, Place, deal
from vicinal.maths.arguments import check_rng, check_sizes, check_tensors
from vicinal.maths.losses import Family, categorical
from vicinal.maths.randomness import generator
from vicinal.maths.statistics import proportion
from vicinal.models.forward import Model
from vicinal.robustness.attacks import apgd, fab, fmn
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, space
from vicinal.robustness.attacks.door import Function, draw_anew, entered
from vicinal.robustness.attacks.goal import Goal, goal, warn_of_undefined
from vicinal.robustness.attacks.gradients import check_slopes
from vicinal.robustness.attacks.nearest import Nearest
from vicinal.robustness.curve import AccuracyCurve, Point

BATCH = 128  # examples searched at once, which bounds the memory; what is dealt to processes


@dataclass(frozen=True)
class Check:
    """APGD at one ε, on the examples whose minimal distortion was thought to be larger.

    Attributes:
        eps: the radius.
        tried: such examples.
        broken: how many of them APGD broke all the same; their distances were corrected.
    """

    eps: float
    tried: int
    broken: int


@dataclass(frozen=True)
class Distances:
    """The smallest distortion found that breaks each example.

    Attributes:
        values: of each example, in the units of x (of `scale`): 0 where it is broken as it is,
            infinite where nothing broke it. Upper bounds of the true minima.
        x: the points.
        norm: of the distances.
        steps: of the search.
        checks: what APGD found beyond it.
        gradients: False if no example that is right had a gradient at the start: then nothing was
            searched, and the distances say nothing of robustness.
    """

    values: Float[Tensor, " n"]
    x: Float[Tensor, "n *rest"]
    norm: Norm
    steps: int
    checks: tuple[Check, ...]
    gradients: bool = True

    @property
    def reached(self) -> float:
        """Share of the examples that something broke."""
        return float(torch.isfinite(self.values).double().mean())

    @property
    def mean(self) -> float:
        """Mean distortion over all examples; infinite if one was not broken."""
        return float(self.values.double().mean())

    def quantiles(self, levels: Sequence[float] = (0.25, 0.5, 0.75)) -> dict[float, float]:
        """The distortion below which this share of the examples is broken.

        Raises:
            ValueError: if a level is not in [0, 1].
        """
        for level in levels:
            if not 0 <= level <= 1:
                raise ValueError(f"levels of quantiles lie in [0, 1], got {level}.")
        values = np.sort(self.values.double().cpu().numpy())
        return {q: float(values[max(0, int(np.ceil(q * len(values))) - 1)]) for q in levels}

    def curve(self, epsilons: Sequence[float]) -> AccuracyCurve:
        """Accuracy at each ε, with Wilson intervals; it never rises.

        Raises:
            ValueError: for no epsilons, or negative ones.
        """
        if not len(epsilons) or not min(epsilons) >= 0:
            raise ValueError(f"epsilons must hold radii of 0 or more, got {list(epsilons)}.")
        points = []
        for eps in sorted(epsilons):
            share = proportion(int((self.values > eps).sum()), len(self.values))
            points.append(Point(float(eps), share.value, share.low, share.high))
        count = len(self.values)
        found = tuple(points)
        return AccuracyCurve("minimum norm", self.norm, self.steps, count, found, self.gradients)


def minimal_distances(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    scale: Tensor | None = None,
    family: Family = categorical,
    tolerance: float | None = None,
    check_at: Sequence[float] = (),
    rng: np.random.Generator | None = None,
    where: Place = ALONE,
) -> Distances:
    """The nearest broken point of each example, by FMN and targeted FAB, checked by APGD.

    One run gives the whole curve of robust accuracy, monotone by construction. Where APGD at one
    of `check_at` breaks an example thought to be further away, the curve takes that over, and
    `checks` says how often it happened.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, or None.
        scale: unit of each feature, in which distances are measured; 0 fixes a feature.
        family: decides what is broken.
        tolerance: deviation that breaks an example; needed for families without classes.
        check_at: radii at which APGD checks, with its family loss and targeted.
        rng: random starts of the checks; None starts at x.
        where: this process, among those to which batches are dealt, as in `worst_case`.

    Returns:
        Distances.

    Warns:
        UserWarning: if no example that is right has a gradient at the start, so that nothing was
            attacked; `gradients` of the result is then False.

    Raises:
        ValueError: for x, bounds, scale and targets that do not fit, a missing tolerance, radii to
            check at that are not positive, or outputs without gradient.

    Source:
        Pintor et al. (2021), arXiv:2102.12827; Croce and Hein (2020), arXiv:1907.02044 and
        arXiv:2003.01690.
    """
    check_rng(rng, needed=False)
    check_sizes("check_at", check_at)
    fab.check_steps(fab.STEPS, family, tolerance)
    if not all(0 < eps < np.inf for eps in check_at):
        raise ValueError(f"check_at must hold positive radii in the units of x, got {check_at}.")
    whole, aim = space(x, norm, bounds, scale), goal(family, y, tolerance)
    seed = None if rng is None else int(rng.integers(2**62))
    with entered(model, x, y, family) as f:
        gradients = check_slopes(f, whole, aim, ("margin",), "the search for nearest points")

        def of_batch(rows: Tensor) -> _Found:
            draw_anew(rows.device, seed or 0, "distances", int(rows[0]))
            part, own = whole[rows], aim[rows]
            best, counts = _search(f, part, own), {eps: [0, 0] for eps in sorted(check_at)}
            starts = None if seed is None else generator(seed, "check", int(rows[0]))
            for eps, count in counts.items():
                _check(f, part, own, eps, best, count, starts)
            return _Found(best.x.cpu(), best.distance.cpu(), aim.undefined[rows].cpu(), counts)

        rows = torch.arange(len(x), device=x.device)
        found = deal(of_batch, torch.split(rows, BATCH), where)
    points, values, undefined = (
        torch.cat([getattr(one, name) for one in found]).to(x.device)
        for name in ("x", "distance", "undefined")
    )
    warn_of_undefined(undefined.nonzero()[:, 0].tolist())
    checks = tuple(
        Check(eps, *(sum(one.counts[eps][k] for one in found) for k in (0, 1)))
        for eps in sorted(check_at)
    )
    return Distances(values, points, norm, fmn.STEPS, checks, gradients)


@dataclass(frozen=True)
class _Found:
    """The nearest points of one batch, where outputs were not finite, and what checks found."""

    x: Tensor
    distance: Tensor
    undefined: Tensor
    counts: Mapping[float, Sequence[int]]


def _search(f: Function, part: Ball, aim: Goal) -> Nearest:
    first, second = fmn.attack(f, part, aim, fmn.STEPS), fab.attack(f, part, aim, fab.STEPS)
    nearer = second.distance < first.distance
    first.x[nearer], first.distance[nearer] = second.x[nearer], second.distance[nearer]
    return first


def _check(
    f: Function,
    part: Ball,
    aim: Goal,
    eps: float,
    best: Nearest,
    count: list[int],
    rng: np.random.Generator | None,
) -> None:
    for loss in apgd.LOSSES:
        left = (best.distance > eps).nonzero()[:, 0]
        if loss == apgd.LOSSES[0]:
            count[0] += len(left)
        if len(left):
            within = part[left].of_radius(eps)
            z, broken = apgd.attack(f, within, aim[left], apgd.STEPS, loss, rng)
            rows = left[broken]
            best.x[rows] = z[broken]
            best.distance[rows] = within.distance(z)[broken].clamp(max=eps)
            count[1] += len(rows)


@dataclass(frozen=True)
class PairedAccuracy:
    """Robust accuracy of one model minus that of another, on the same examples.

    Attributes:
        difference: first minus second.
        low, high: 95 % interval over examples.
        only_first, only_second: examples on which one alone is robust.
        count: examples.
    """

    difference: float
    low: float
    high: float
    only_first: int
    only_second: int
    count: int

    @property
    def words(self) -> str:
        """What follows from the interval, and no more."""
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "no difference shown"


def paired_accuracy(first: Shaped[Tensor, " n"], second: Shaped[Tensor, " n"]) -> PairedAccuracy:
    """The paired difference of two models from which examples each is robust on.

    Args:
        first: booleans, True where the first model is robust: ``~worst_case(...).success``, or
            ``minimal_distances(...).values > eps``.
        second: the same for the other model.

    Returns:
        PairedAccuracy with the interval of Agresti and Min: Wald's, with half a count added to
        each cell of the two-by-two table, which keeps its coverage for few examples.

    Raises:
        ValueError: if they are not booleans of as many examples, at least one.

    Source:
        Agresti and Min (2005), Statistics in Medicine 24.

    Example:
        >>> paired_accuracy(torch.tensor([True, True]), torch.tensor([True, False])).difference
        0.5
    """
    check_tensors(first=first, second=second)
    if first.dtype != torch.bool or second.dtype != torch.bool or len(first) != len(second):
        raise ValueError("pass two boolean tensors over the same examples, True where robust.")
    if not len(first):
        raise ValueError("pass at least one example.")
    count = len(first)
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    total, up, down = count + 2, b + 0.5, c + 0.5
    centre = (up - down) / total
    half = float(ndtri(0.975)) * ((up + down) - (up - down) ** 2 / total) ** 0.5 / total
    return PairedAccuracy(
        (b - c) / count, max(-1.0, centre - half), min(1.0, centre + half), b, c, count
    )
