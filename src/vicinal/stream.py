"""The expansion over a stream of batches: data sets that do not fit into memory."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from vicinal.derivatives.choice import Engine
from vicinal.derivatives.second_order import engine_of, passes
from vicinal.forward import (
    Model,
    check_family,
    check_targets,
    finite,
    unchanged,
    warn_of_probabilities,
)
from vicinal.laws import Law
from vicinal.losses import Family
from vicinal.randomness import generator
from vicinal.taylor import Expansion, along

Batches = Iterable[tuple[Tensor, Tensor]]
"""Anything that gives (x, y) batches and can be gone through twice, such as a DataLoader."""


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
    progress: Callable[[int], None] | None = None,
) -> Expansion:
    r"""R1, R2 and R3 over a stream, with memory for one batch and a reservoir of partners.

    The stream is gone through twice. The first time gives the mean x̄ and fills a reservoir with
    a uniform sample of all examples; the second time gives R1 along x̄ - x_i, exact, and R2 and
    R3 along that and along r - x̄ for partners r from the reservoir. The k-th partners of all
    examples come from the k-th of as many separate parts of the reservoir, so the standard error
    between the parts tells both of drawing partners and of the reservoir being a sample.

    With torch.distributed running, as under Accelerate, each process computes every n-th batch
    and all get the same sums; hand every process the same whole stream. What is drawn depends on
    the seed and the number of the batch, never on the number of processes.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        batches: (x, y) batches, the same examples each time, in any order.
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
        progress: told the number of examples after each batch of the second pass.

    Returns:
        Expansion, accumulated in float64. Its errors are those of drawing partners, for these
        data.

    Raises:
        ValueError: for an empty stream, fewer than 2 partners, a reservoir smaller than that, or
            a stream that gives other examples the second time (an exhausted iterator gives none),
            or a checkpoint of another call.
        TypeError: for a loss that is not affine in the label.

    Source:
        Vitter (1985), ACM TOMS 11, algorithm R, for the reservoir; for the terms see `expand`.
    """
    if not partners >= 2:
        raise ValueError(f"partners must be at least 2 to have a standard error, got {partners}.")
    if not reservoir >= partners:
        raise ValueError(f"reservoir must hold at least {partners} partners, got {reservoir}.")
    check_family(family)
    kept, centre, count = _first_pass(batches if others is None else others, reservoir, seed)
    if len(kept) < partners:
        raise ValueError(f"the stream of partners holds {len(kept)} examples, need {partners}.")
    rank, processes = _place()
    what = [seed, partners, reservoir, rank, processes, count]
    saved = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.{rank}")
    done, sums = _resume(saved, what, torch.zeros(partners + 1, 4, dtype=torch.float64))
    seen = 0
    with torch.no_grad(), unchanged(model) as f:
        engine = engine_of(model, family, f)
        for number, (x, y) in enumerate(batches):
            x, y = (x, y) if device is None else (x.to(device), y.to(device))
            if number == 0:
                check_targets(f, x, y, family)
                warn_of_probabilities(f, x, family)
            seen += len(x)
            if number % processes == rank and number >= done:
                rng = generator(seed, "partner", number)
                mean = centre.to(x.device)
                sums[0] += _sums(engine, x, y, (mean - x.double()).to(x.dtype))
                for k, part in enumerate(_separate(kept, partners)):
                    chosen = part[torch.from_numpy(rng.integers(len(part), size=len(x)))]
                    v = (chosen.to(x.device).double() - mean).to(x.dtype)
                    sums[k + 1] += _sums(engine, x, y, v)
                _save(saved, what, number + 1, sums)
            if progress is not None:
                progress(seen)
    if saved is not None:
        saved.unlink(missing_ok=True)
    if seen == 0 or (others is None and seen != count):
        raise ValueError(
            f"the stream gave {count} examples the first time and {seen} the second. Pass what can "
            "be gone through twice, such as a DataLoader or a list, not an iterator."
        )
    return _expansion(_over_processes(sums) / seen, law.spread, engine.report)


def _first_pass(batches: Batches, size: int, seed: int) -> tuple[Tensor, Tensor, int]:
    """A uniform sample of the inputs, their mean and their number."""
    kept: list[Tensor] = []
    total, count = torch.zeros(()), 0
    for number, (x, _) in enumerate(batches):
        rng = generator(seed, "reservoir", number)
        total = total + x.double().sum(0).cpu()
        places = [int(rng.integers(count + k + 1)) for k in range(len(x))]
        for one, place in zip(x.cpu(), places, strict=True):
            if len(kept) < size:  # the first ones stay until they are replaced
                kept.append(one.clone())
            elif place < size:
                kept[place] = one.clone()
        count += len(x)
    order = generator(seed, "reservoir", "order").permutation(len(kept))
    return torch.stack([kept[k] for k in order]) if kept else torch.zeros(0), total / count, count


def _separate(kept: Tensor, partners: int) -> tuple[Tensor, ...]:
    """Parts of the reservoir, of nearly equal size, that share no example."""
    return kept.tensor_split(partners)


def _sums(engine: Engine, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Sums over examples of loss, slope, and half of curvature and residual, in float64."""
    total = torch.zeros(4, dtype=torch.float64)
    for rows in passes(x, 1):
        terms = along(engine, x[rows], y[rows], v[rows])
        total += torch.stack([term.double().sum() for term in terms]).cpu()
    return total


def _save(path: Path | None, what: list[int], done: int, sums: Tensor) -> None:
    if path is not None:
        partial = path.with_name(f".{path.name}.partial")
        torch.save({"what": what, "done": done, "sums": sums}, partial)
        os.replace(partial, path)


def _resume(path: Path | None, what: list[int], zeros: Tensor) -> tuple[int, Tensor]:
    """Batches that were done and their sums (towards the mean, then to partners)."""
    if path is None or not path.exists():
        return 0, zeros
    saved = torch.load(path, weights_only=True)
    if saved["what"] != what:
        raise ValueError(
            f"the checkpoint {path} was made by another call, with other data, seed, partners, "
            "reservoir or processes. Remove it, or name another file."
        )
    return saved["done"], saved["sums"]


def _place() -> tuple[int, int]:
    """This process among those that share the work."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _over_processes(sums: Tensor) -> Tensor:
    """The sums of all processes, added in order of their ranks so that all get the same."""
    if _place()[1] == 1:
        return sums
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    found = [torch.zeros_like(sums, device=device) for _ in range(_place()[1])]
    torch.distributed.all_gather(found, sums.to(device))
    return torch.stack(found).sum(0).cpu()


def _expansion(means: Tensor, spread: float, engine: str) -> Expansion:
    loss, slope, curvature, residual = means[0].tolist()
    cloud = means[1:, 2:]
    r1 = 2 * spread * slope
    r2, r3 = (
        spread * (own + float(m))
        for own, m in zip((curvature, residual), cloud.mean(0), strict=True)
    )
    both = torch.cat((cloud, cloud.sum(1, keepdim=True)), 1)
    errors = (spread * both.std(0) / len(cloud) ** 0.5).tolist()
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
