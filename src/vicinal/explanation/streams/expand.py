"""The expansion over a stream of batches."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vicinal.explanation.derivatives.choice import Engine
from vicinal.explanation.derivatives.second_order import (
    engine_of,
    in_single_of,
    in_single_too,
    passes,
)
from vicinal.explanation.streams.batches import Batches
from vicinal.explanation.streams.passes import Progress, check_batch, checkpoint_at, probed, swept
from vicinal.explanation.streams.reservoir import Summary, check_partners, summary
from vicinal.explanation.terms import Expansion, along
from vicinal.machine.processes import place
from vicinal.maths.arguments import check_law
from vicinal.maths.laws import Law
from vicinal.maths.losses import Family
from vicinal.maths.randomness import generator
from vicinal.maths.small_samples import of_parts
from vicinal.models.forward import Model, check_family, finite, local, unchanged


def expand_stream(
    model: Model,
    batches: Batches,
    law: Law,
    family: Family,
    *,
    partners: int = 8,
    reservoir: int = 2048,
    others: Batches | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Expansion:
    r"""R1, R2 and R3 over a stream, with memory for one batch and a reservoir of partners.

    The stream is gone through twice. The first time gives the mean x̄ and fills a reservoir with
    a uniform sample of all examples; the second time gives R1 along x̄ - x_i, exact, and R2 and
    R3 along that and along r - x̄ for partners r from the reservoir. The k-th partners of all
    examples come from the k-th of as many separate parts of the reservoir, so the standard error
    between the parts tells both of drawing partners and of the reservoir being a sample.

    With torch.distributed running, as under Accelerate, each process computes every n-th batch
    and all get the same sums, in which each example counts once, however uneven the batches. Give
    every process the same whole stream. Of a DataLoader only the batches of the process are
    loaded, also of one that accelerator.prepare has shared out before. What is drawn depends on
    the seed and the number of the batch, never on the number of processes.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        batches: (x, y) batches, the same examples each time; with a checkpoint or several
            processes in the same order, too.
        law: the law of λ, of which only ``law.spread`` enters.
        family: the loss.
        partners: directions per example, at least 2.
        reservoir: examples to keep, at least one per partner.
        others: where partners come from instead: a second stream, gone through once, whose mean
            takes the place of x̄.
        device: where batches are moved; None leaves them where they are.
        seed: of reservoir and partners.
        checkpoint: a file that holds the sums after each batch and is removed at the end; a call
            that was killed goes on from it with the same numbers. Processes add their rank to
            its name.
        progress: told after each batch of the second pass how many examples lie behind.

    Returns:
        Expansion, accumulated in float64. Its errors are those of drawing partners, for these
        data.

    Raises:
        ValueError: for an empty stream, targets out of range, fewer than 2 partners, a reservoir
            smaller than that, a stream that gives other examples the second time (an exhausted
            iterator gives none), processes with different streams, or a checkpoint of another
            call.
        TypeError: for a loss that is not affine in the label.

    Source:
        Vitter (1985), ACM TOMS 11, for sampling a stream; here by random keys, whose smallest are
        kept, so that processes can share it. For the terms see `expand`.
    """
    check_partners(partners, reservoir)
    check_family(family)
    check_law(law)
    found = summary(batches if others is None else others, place(), reservoir, seed)
    found.check(partners)
    inner, zeros = local(model), torch.zeros(partners + 1, 4, dtype=torch.float64)
    with torch.no_grad(), unchanged(inner) as narrow:
        f = in_single_of(inner, narrow)
        engine = engine_of(inner, family, f)
        probe = probed(f, found.kept.to(device or found.device), family)

        def of_batch(number: int, x: Tensor, y: Tensor) -> Tensor:
            check_batch(f, number, x, y, family, probe)
            x = in_single_too(inner, x)
            return _sums_of_batch(engine, found, partners, generator(seed, "partner", number), x, y)

        what = f"expand {seed} {partners} {reservoir} {found.examples}"
        kept = checkpoint_at(checkpoint, place(), what, probe)
        sums, seen = swept(batches, of_batch, zeros, kept, device=device, progress=progress)
    found.check(partners, seen if others is None else None)
    return _expansion(sums / seen, law.spread, engine.report)


def _sums_of_batch(
    engine: Engine, found: Summary, partners: int, rng: np.random.Generator, x: Tensor, y: Tensor
) -> Tensor:
    """Sums towards the mean, then towards a partner from each part of the reservoir."""
    mean = found.centre.to(x.device)
    sums = [_sums(engine, x, y, (mean - x.double()).to(x.dtype))]
    for part in found.parts(partners):
        chosen = part[torch.from_numpy(rng.integers(len(part), size=len(x)))]
        v = (chosen.to(x.device).double() - mean).to(x.dtype)
        sums.append(_sums(engine, x, y, v))
    return torch.stack(sums)


def _sums(engine: Engine, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Sums over examples of loss, slope, and half of curvature and residual, in float64."""
    total = torch.zeros(4, dtype=torch.float64)
    for rows in passes(x, 1):
        terms = along(engine, x[rows], y[rows], v[rows])
        total += torch.stack([term.double().sum() for term in terms]).cpu()
    return total


def _expansion(means: Tensor, spread: float, engine: str) -> Expansion:
    loss, slope, curvature, residual = means[0].tolist()
    cloud = means[1:, 2:]
    r1 = 2 * spread * slope
    r2, r3 = (
        spread * (own + float(m))
        for own, m in zip((curvature, residual), cloud.mean(0), strict=True)
    )
    both = torch.cat((cloud, cloud.sum(1, keepdim=True)), 1)
    errors = [spread * of_parts(part) for part in both.T.numpy()]
    for value in (loss, r1, r2, r3):
        finite(value, "the expansion")
    return Expansion(
        loss,
        r1,
        r2,
        r3,
        loss + r1 + r2 + r3,
        {"loss": 0.0, "r1": 0.0} | dict(zip(("r2", "r3", "total"), errors, strict=True)),
        spread,
        engine,
    )
