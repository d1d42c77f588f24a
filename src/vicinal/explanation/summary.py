"""What mixup does to one model, for every strength at once: the record behind `vicinal explain`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.explanation.derivatives.choice import Engine
from vicinal.explanation.derivatives.second_order import engine_of, in_single_of, in_single_too
from vicinal.explanation.expansions.shrunk import ShrunkExpansion, expand_shrunk
from vicinal.explanation.pairs.every import BATCH
from vicinal.explanation.risk import Estimate, vicinal_risk
from vicinal.explanation.terms import Expansion, along, contributions, expand, terms_of
from vicinal.machine.processes import ALONE, Place, deal
from vicinal.maths.arguments import check_rng, check_sizes, check_whole
from vicinal.maths.laws import Beta, Law
from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model, unchanged

ALPHAS = (0.05, 0.1, 0.2, 0.4, 1.0, 2.0, 4.0)
OWN_PARTNERS, OWN_NODES = 8, 8  # for the remainder of each example


@dataclass(frozen=True)
class Point:
    """The mixup loss at one strength, and both of its expansions.

    Attributes:
        alpha: of the law λ ~ Beta(alpha, alpha).
        risk: the mixup loss itself, exact or with its error.
        expansion: about the examples themselves.
        shrunk: about the examples shrunk towards the mean.
    """

    alpha: float
    risk: Estimate
    expansion: Expansion
    shrunk: ShrunkExpansion


@dataclass(frozen=True)
class Example:
    """What mixing adds to the loss of one example under uniform λ, in nats.

    Attributes:
        index: of the example in the data.
        loss: without mixing.
        r1, r2, r3: its own share of the terms.
        remainder: its own mixup loss minus all of these, over a few partners.
    """

    index: int
    loss: float
    r1: float
    r2: float
    r3: float
    remainder: float


@dataclass(frozen=True)
class Explanation:
    """The loss against the strength of mixing, its terms, and which examples carry them.

    Attributes:
        examples: number of examples.
        family: the loss.
        engine: how derivatives were taken, and why not by a faster way.
        method: how pairs were summed.
        curve: one point for each strength.
        carriers: for "r2", "r3" and "remainder", the examples where it is largest in size.
    """

    examples: int
    family: str
    engine: str
    method: str
    curve: tuple[Point, ...]
    carriers: dict[str, tuple[Example, ...]]


def explain(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    *,
    family: Family = categorical,
    alphas: Sequence[float] = ALPHAS,
    pairs: int | None = 20_000,
    partners: int | None = 8,
    shown: int = 8,
    rng: np.random.Generator,
    progress: Callable[[float], None] | None = None,
    where: Place = ALONE,
) -> Explanation:
    """Explain what mixup does to a model's loss on data, at every strength.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        x: inputs, in the units the model was trained on.
        y: targets of the family.
        family: the loss.
        alphas: strengths, λ ~ Beta(α, α), each positive.
        pairs: mixed examples evaluated per strength; None sums all pairs.
        partners: directions per example for the expansions; None takes them exactly.
        shown: examples to name for each of R2, R3 and remainder.
        rng: where pairs and partners come from.
        progress: told the share of the work that is done, 0 to 1.
        where: this process, among those to which passes through the model are dealt, as in
            `expand`.

    Returns:
        Explanation; every number has its error beside it.

    Raises:
        ValueError: for no strength, one that is not positive, or data that do not fit.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819; the second expansion is
        that of Carratino, Cissé, Jenatton, Vert (2022), arXiv:2006.06049.
    """
    check_rng(rng)
    x = in_single_too(model, x)
    check_sizes("alphas", alphas)
    check_whole("shown", shown, -1)
    if not len(alphas) >= 1:
        raise ValueError("alphas must name at least one strength, such as 1.0.")
    if not shown >= 0:
        raise ValueError(f"shown must be 0 or more examples, got {shown}.")
    laws = [Beta(alpha) for alpha in alphas]
    tell = progress or (lambda share: None)
    steps = 2 * len(laws) + 2
    seed = int(rng.integers(2**62))  # the same pairs at every strength, so that curves are smooth
    first = expand(model, x, y, Beta(1), family, partners=partners, rng=_same(seed), where=where)
    tell(1 / steps)
    points = []
    for k, law in enumerate(laws):
        risk = vicinal_risk(
            model,
            x,
            y,
            law,
            family,
            pairs=pairs,
            rng=_same(seed),
            progress=lambda share, k=k: tell((2 * k + 1 + share) / steps),  # type: ignore[misc]
            where=where,
        )
        tell((2 * k + 2) / steps)
        shrunk = expand_shrunk(
            model, x, y, law, family, partners=partners, rng=_same(seed), where=where
        )
        tell((2 * k + 3) / steps)
        points.append(Point(law.alpha, risk, first.at(law), shrunk))
    carriers = _carriers(model, x, y, family, partners, seed, shown, where)
    tell(1.0)
    method = points[0].risk.method
    return Explanation(len(x), family.name, first.engine, method, tuple(points), carriers)


def _same(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _carriers(
    model: Model,
    x: Tensor,
    y: Tensor,
    family: Family,
    partners: int | None,
    seed: int,
    shown: int,
    where: Place,
) -> dict[str, tuple[Example, ...]]:
    """The examples on which R2, R3 and the remainder under uniform λ are largest in size."""
    law = Beta(1)
    with torch.no_grad(), unchanged(model) as narrow:
        f = in_single_of(model, narrow)
        engine = engine_of(model, family, f)
        found = contributions(engine, x, y, partners, _same(seed), where)
        missed = _remainders(engine, f, x, y, law, _same(seed), where)
    loss, r1, r2, r3 = terms_of(found, law.spread)
    carriers = {}
    for name, sizes in (("r2", r2), ("r3", r3), ("remainder", missed)):
        rows = sizes.abs().argsort(descending=True, stable=True)[:shown].tolist()
        carriers[name] = tuple(
            Example(k, *(float(term[k]) for term in (loss, r1, r2, r3, missed))) for k in rows
        )
    return carriers


def _remainders(
    engine: Engine,
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    law: Law,
    rng: np.random.Generator,
    where: Place = ALONE,
) -> Float[Tensor, " n"]:
    """For each example, its mixup loss minus its expansion, along the same few partners."""
    lam, weight = law.tilted().nodes(OWN_NODES)
    distance = 1 - lam
    moments = [1.0, *(float(weight @ distance**k) for k in (1, 2, 2))]

    def of_pairs(pairs: tuple[Tensor, Tensor]) -> Tensor:
        rows, partner = pairs
        v = x[partner] - x[rows]
        terms = [term.double() for term in along(engine, x[rows], y[rows], v)]
        total = -sum(m * term for m, term in zip(moments, terms, strict=True))
        for t, w in zip(distance, weight, strict=True):
            total = total + w * engine.family(f(x[rows] + float(t) * v), y[rows]).double()
        return torch.as_tensor(total).cpu()

    drawn = [torch.from_numpy(rng.permutation(len(x))).to(x.device) for _ in range(OWN_PARTNERS)]
    everyone = torch.arange(len(x), device=x.device)
    pairs = [
        both
        for partner in drawn
        for both in zip(torch.split(everyone, BATCH), torch.split(partner, BATCH), strict=True)
    ]
    found = torch.cat(deal(of_pairs, pairs, where)).reshape(OWN_PARTNERS, len(x))
    return torch.stack([one / OWN_PARTNERS for one in found]).sum(0)
