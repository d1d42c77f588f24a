"""The mixup loss from a sample of pairs, with λ stratified over the nodes of its law.

Pairs come in rounds. In a round no example is first twice, or second twice, so with as many
pairs as examples all that an example contributes on its own averages out. Rounds are
independent, and their spread is the standard error.

Where the second-order expansion explains a pair well it serves as control variate: its mean
over all pairs is known exactly, and only what it misses is sampled.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.explanation.derivatives.choice import Engine
from vicinal.explanation.derivatives.second_order import passes
from vicinal.explanation.pairs.every import BATCH, Progress, pair_losses
from vicinal.explanation.pairs.nodes import Quadrature, chosen_nodes
from vicinal.explanation.terms import along, contributions, terms_of
from vicinal.machine.processes import ALONE, Place, deal
from vicinal.maths.laws import Law
from vicinal.maths.losses import Family
from vicinal.maths.small_samples import of_parts

PILOT = 48  # pairs that choose the nodes and between the two ways to sample
ROUNDS = 16  # at least, for a standard error that can be trusted
JETS = 6  # forward passes that the expansion of a pair costs, from both ends


@dataclass(frozen=True)
class Problem:
    """What is averaged over pairs, by which processes."""

    f: Callable[[Tensor], Tensor]
    engine: Engine
    x: Tensor
    y: Tensor
    law: Law
    family: Family
    where: Place = ALONE


@dataclass(frozen=True)
class Plan:
    """How pairs are sampled.

    Attributes:
        nodes: the values of λ, and the pilot's losses at them.
        slope: of the control variate; 0 for none.
        known: mean of the control variate over all pairs.
    """

    nodes: Quadrature
    slope: float
    known: float


def sampled(
    problem: Problem,
    pairs: int | None,
    target_error: float | None,
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[float, float, Plan, int]:
    """Value, standard error, plan and number of mixed examples evaluated after the pilot."""
    plan = _plan(problem, pairs, target_error, rng)
    each = len(plan.nodes.lam) + JETS if plan.slope else 1
    n = len(problem.x)
    size = min(n, max(1, (pairs or n * ROUNDS * each) // (ROUNDS * each)))
    most = None if pairs is None else max(2, pairs // (size * each))
    together = max(1, BATCH // (size * each))
    means: list[float] = []
    error = np.inf

    def groups() -> Iterator[Rounds]:
        """What is drawn does not depend on who evaluates it."""
        left = most or np.inf
        while left:
            count = int(min(together, left))
            yield _drawn(problem, plan, size, count, rng)
            left -= count

    for found in _evaluated(problem, plan, groups()):
        means += found
        if len(means) > 1:
            error = of_parts(np.array(means))
        if target_error is not None:
            progress(min(1.0, (target_error / max(error, 1e-300)) ** 2))
            if len(means) >= ROUNDS and error <= target_error:
                break
        elif most is not None:
            progress(len(means) / most)
    return float(np.mean(means)), error, plan, len(means) * size * each


def _plan(
    problem: Problem, pairs: int | None, target_error: float | None, rng: np.random.Generator
) -> Plan:
    i, j = _pairs(problem, min(PILOT, len(problem.x)), rng)
    nodes = chosen_nodes(
        lambda lam: _at_all_nodes(problem, i, j, lam), problem.law, pairs or 10_000, target_error
    )
    return _with_expansion(problem, Plan(nodes, 0.0, 0.0), pairs, i, j)


def _with_expansion(problem: Problem, plain: Plan, pairs: int | None, i: Tensor, j: Tensor) -> Plan:
    """The plan with the expansion as control variate, if that makes better use of the time."""
    n, budget = len(problem.x), pairs or np.inf
    lam, weight, values = plain.nodes.lam, plain.nodes.weight, plain.nodes.values
    # the exact mean costs so many streams; carried together they are cheaper than passes
    if len(i) < 8 or n * (min(n, problem.x[0].numel()) + 3) > 4 * budget:
        return plain
    explained = _expanded(problem, plain, i, j)
    means = values @ weight
    alone = float(((values - means.mean()) ** 2 @ weight).mean())  # of one node per pair
    variance = float(np.var(explained))
    if not variance > 1e-24 or not np.isfinite(variance):
        return plain
    slope = float(np.cov(means, explained)[0, 1] / np.var(explained, ddof=1))
    left = float(np.var(means - slope * explained)) * (len(lam) + JETS)
    if not left < alone / 2:
        return plain
    known = contributions(problem.engine, problem.x, problem.y, None, None, problem.where)
    mean = sum(float(term.mean()) for term in terms_of(known, problem.law.spread))
    return Plan(plain.nodes, slope, mean)


class Rounds(NamedTuple):
    """Some rounds that are evaluated in one go: the pairs, and λ where each has one of its own."""

    size: int  # pairs in each
    i: Tensor
    j: Tensor
    lam: Tensor | None


def _drawn(problem: Problem, plan: Plan, size: int, count: int, rng: np.random.Generator) -> Rounds:
    drawn = [_pairs(problem, size, rng) for _ in range(count)]
    i, j = (torch.cat(side) for side in zip(*drawn, strict=True))
    if plan.slope:
        return Rounds(size, i, j, None)
    lam = torch.from_numpy(plan.nodes.evenly(size, count, rng).ravel()).to(problem.x.device)
    return Rounds(size, i, j, lam)


def _evaluated(problem: Problem, plan: Plan, groups: Iterator[Rounds]) -> Iterator[list[float]]:
    """The means of the rounds of each group, one group for each process at a time."""
    while some := list(islice(groups, problem.where.processes)):
        yield from deal(partial(_means, problem, plan), some, problem.where)


def _means(problem: Problem, plan: Plan, rounds: Rounds) -> list[float]:
    """The means of some rounds."""
    size, i, j, lam = rounds
    if lam is None:
        found = _at_all_nodes(problem, i, j, plan.nodes.lam) @ plan.nodes.weight
        found = found - plan.slope * (_expanded(problem, plan, i, j) - plan.known)
        return [float(mean) for mean in found.reshape(-1, size).mean(1)]
    losses = [
        pair_losses(problem.f, problem.x, problem.y, problem.family, *part)
        for part in zip(*(torch.split(v, BATCH) for v in (i, j, lam)), strict=True)
    ]
    return torch.cat(losses).reshape(-1, size).mean(1).tolist()


def _pairs(problem: Problem, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    i, j = (torch.from_numpy(rng.permutation(len(problem.x))[:size]) for _ in range(2))
    return i.to(problem.x.device), j.to(problem.x.device)


def _at_all_nodes(
    problem: Problem, i: Tensor, j: Tensor, lam: np.ndarray
) -> Float[np.ndarray, "pairs nodes"]:
    """The loss of each pair at each node."""
    nodes = torch.from_numpy(lam).to(problem.x.device)
    k = torch.arange(len(i) * len(lam), device=problem.x.device)
    losses = [
        pair_losses(
            problem.f,
            problem.x,
            problem.y,
            problem.family,
            i[part // len(lam)],
            j[part // len(lam)],
            nodes[part % len(lam)],
        )
        for part in torch.split(k, BATCH)
    ]
    return torch.cat(losses).reshape(len(i), len(lam)).cpu().numpy()


def _expanded(problem: Problem, plan: Plan, i: Tensor, j: Tensor) -> Float[np.ndarray, " pairs"]:
    """The second-order expansion of each pair's mean loss, from both of its ends."""
    lam, weight = plan.nodes.lam, plan.nodes.weight
    total = np.zeros(len(i))
    for a, b, kept in ((i, j, lam), (j, i, 1 - lam)):
        moments = [float(weight @ (kept * (1 - kept) ** k)) for k in range(3)]
        for rows in passes(problem.x[a], 1):
            base, end = a[rows], b[rows]
            v = problem.x[end] - problem.x[base]
            terms = along(problem.engine, problem.x[base], problem.y[base], v)
            loss, slope, curvature, residual = (term.double().cpu().numpy() for term in terms)
            bend = moments[2] * (curvature + residual)
            total[rows.cpu().numpy()] += moments[0] * loss + moments[1] * slope + bend
    return total
