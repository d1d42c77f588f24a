"""The mixup loss over a stream of batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vicinal.explanation.derivatives.second_order import in_single_of, in_single_too
from vicinal.explanation.pairs.nodes import Quadrature, chosen_nodes
from vicinal.explanation.risk import Estimate
from vicinal.explanation.streams.batches import Batches
from vicinal.explanation.streams.passes import (
    Progress,
    check_batch,
    check_labels,
    checkpoint_at,
    probed,
    swept,
)
from vicinal.explanation.streams.reservoir import Summary, check_partners, summary
from vicinal.machine.processes import place
from vicinal.maths.arguments import check_law
from vicinal.maths.laws import Law
from vicinal.maths.losses import Family
from vicinal.maths.randomness import generator
from vicinal.maths.small_samples import of_parts
from vicinal.models.forward import Model, check_family, finite, local, unchanged

PILOT = 48  # pairs that choose the nodes


def risk_stream(
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
) -> Estimate:
    r"""The mixup loss over a stream, with memory for one batch and a reservoir of partners.

    In the form that keeps each example's own label,

    $$L_{mix} = \mathrm{mean}_i\, E_{\lambda \sim \tilde D}\, E_r\,
        l(f(\lambda x_i + (1-\lambda) r),\, y_i)$$

    every example of the stream is mixed with `partners` examples r, the k-th of them from the k-th
    of as many separate parts of a uniform sample of the stream; λ meets the nodes of the tilted
    law D̃ in proportion to their weights, evenly within each batch. The parts are independent, and
    their spread is the standard error.

    It is shared by processes, stopped and continued as `expand_stream` is.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        batches: (x, y) batches, the same examples each time; with a checkpoint or several
            processes in the same order, too.
        law: the law of λ.
        family: the loss, affine in y.
        partners: mixed examples per example, at least 2.
        reservoir: examples to keep, at least one per partner.
        others: where partners come from instead: a second stream of (x, y) batches, gone through
            once. Examples keep their own label, so this is the mixup loss where both streams are
            drawn alike, and otherwise the loss of labelled examples that are pushed towards others.
        device: where batches are moved; None leaves them where they are.
        seed: of reservoir, partners and λ.
        checkpoint: a file that holds the sums after each batch and is removed at the end; a call
            that was killed goes on from it with the same numbers. Processes add their rank to
            its name.
        progress: told after each batch of the second pass how many examples lie behind.

    Returns:
        Estimate in nats, accumulated in float64.

    Raises:
        ValueError: as `expand_stream`.
        TypeError: for a loss that is not affine in the label.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, proof of Lemma 3.1.

    Example:
        >>> from vicinal.maths.laws import Fixed
        >>> from vicinal.maths.losses import gaussian
        >>> x = torch.ones(4, 1)  # all alike: mixing changes nothing
        >>> risk_stream(lambda x: x, [(x, x[:, 0])], Fixed(0.3), gaussian, partners=2).value
        -0.5
    """
    check_partners(partners, reservoir)
    check_family(family)
    check_law(law)
    found = summary(batches if others is None else others, place(), reservoir, seed)
    found.check(partners)
    inner, zeros = local(model), torch.zeros(partners, dtype=torch.float64)
    with torch.no_grad(), unchanged(inner) as narrow:
        f = in_single_of(inner, narrow)
        probe = probed(f, found.kept.to(device or found.device), family)
        check_labels(family, probe, found.labels)
        nodes = _nodes(f, found, law, family, partners, device)

        def of_batch(number: int, x: Tensor, y: Tensor) -> Tensor:
            check_batch(f, number, x, y, family, probe)
            x = in_single_too(inner, x)
            rng = generator(seed, "mixed", number)
            return _sums_of_batch(f, found, nodes, family, partners, rng, x, y)

        what = f"risk {law} {seed} {partners} {reservoir} {found.examples}"
        kept = checkpoint_at(checkpoint, place(), what, probe)
        sums, seen = swept(batches, of_batch, zeros, kept, device=device, progress=progress)
    found.check(partners, seen if others is None else None)
    means = sums / seen
    return Estimate(
        finite(float(means.mean()), "the mixup loss"),
        of_parts(means.numpy()),
        nodes.change,
        len(nodes.lam),
        f"every example of the stream with {partners} partners",
    )


def _nodes(
    f: Callable[[Tensor], Tensor],
    found: Summary,
    law: Law,
    family: Family,
    partners: int,
    device: torch.device | str | None,
) -> Quadrature:
    """Nodes of the tilted law, enough for a few pairs of the reservoir."""
    half = min(PILOT, len(found.kept) // 2)
    x, y = (v.to(device or found.device) for v in (found.kept, found.labels))
    own, other, labels = x[:half], x[half : 2 * half], y[:half]

    def values(lam: np.ndarray) -> np.ndarray:
        mixed = [family(f(torch.lerp(other, own, float(t))), labels) for t in lam]
        return torch.stack(mixed, 1).double().cpu().numpy()

    return chosen_nodes(values, law.tilted(), found.examples * partners, None)


def _sums_of_batch(
    f: Callable[[Tensor], Tensor],
    found: Summary,
    nodes: Quadrature,
    family: Family,
    partners: int,
    rng: np.random.Generator,
    x: Tensor,
    y: Tensor,
) -> Tensor:
    """The loss of the batch, summed, mixed with a partner from each part of the reservoir."""
    sums = []
    for part in found.parts(partners):
        other = part[torch.from_numpy(rng.integers(len(part), size=len(x)))].to(x)
        lam = torch.from_numpy(rng.permutation(nodes.evenly(len(x), 1, rng)[0])).to(x)
        mixed = torch.lerp(other, x, lam.reshape(-1, *[1] * (x.ndim - 1)))
        sums.append(family(f(mixed), y).double().sum().cpu())
    return torch.stack(sums)
