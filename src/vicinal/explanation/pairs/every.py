"""The mixup loss over all pairs, one forward pass for each pair and node."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.machine.processes import ALONE, Place, deal
from vicinal.maths.laws import Law
from vicinal.maths.losses import Family

BATCH = 1024  # mixed examples per forward pass
TOLERANCE = 1e-7

Progress = Callable[[float], None]
"""Told from time to time which share of the known work is done."""


def converged(
    at_nodes: Callable[[np.ndarray, np.ndarray], float], law: Law, most: int
) -> tuple[float, float, int]:
    """An integral over λ with as many nodes as it needs.

    Nodes are doubled from 8 until the value moves by less than 1e-7 or `most` are used.

    Returns:
        The value, the last change (0 where the law has no more nodes) and the number of nodes.
    """
    count, value = 8, np.nan
    while True:
        lam, weight = law.nodes(count)
        last, value = value, at_nodes(lam, weight)
        if len(lam) < count:  # finitely many values of λ, all of them used
            return value, 0.0, len(lam)
        error = abs(value - last)
        if error <= TOLERANCE * (1 + abs(value)) or count >= most:
            return value, error, count
        count *= 2


def pair_losses(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    family: Family,
    i: Tensor,
    j: Tensor,
    lam: Tensor,
) -> Float[Tensor, " m"]:
    """Loss of each mixed example against both labels, in float64."""
    weight = lam.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    outputs = f(torch.lerp(x[j], x[i], weight))
    own, other = family(outputs, y[i]).double(), family(outputs, y[j]).double()
    return lam * own + (1 - lam) * other


def over_all_pairs(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    family: Family,
    lam: np.ndarray,
    weight: np.ndarray,
    progress: Progress,
    where: Place = ALONE,
) -> float:
    """The mean over all n² ordered pairs, each unordered pair evaluated once.

    Batches of pairs are dealt to the processes of `where`.
    """
    lam, weight = symmetric(lam, weight)
    n, total = len(x), 0.0
    for start in range(0, n, BATCH):
        rows = slice(start, start + BATCH)
        total += float(family(f(x[rows]), y[rows]).double().sum())  # i = j: nothing is mixed
    # Unordered pairs times nodes, enumerated without ever being held at once.
    count = n * (n - 1) // 2 * len(lam)
    nodes = torch.as_tensor(lam, device=x.device)
    weights = torch.as_tensor(weight, device=x.device)

    def of_batch(start: int) -> float:
        k = torch.arange(start, min(start + BATCH, count), device=x.device)
        i, j = unordered(k // len(lam), n)
        node = k % len(lam)
        losses = pair_losses(f, x, y, family, i, j, nodes[node])
        progress(min(1.0, (start + BATCH) / count))
        return 2 * float((weights[node] * losses).sum())

    for summand in deal(of_batch, range(0, count, BATCH), where):
        total += summand
    return total / n**2


def symmetric(lam: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of the law averaged over λ and 1-λ, on which alone a sum over all pairs depends."""
    if np.allclose(lam, 1 - lam[::-1], atol=1e-12) and np.allclose(weight, weight[::-1]):
        return lam, weight
    return np.concatenate([lam, 1 - lam]), np.concatenate([weight, weight]) / 2


def unordered(k: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The k-th pair i < j in row order, found from the triangular numbers."""
    left = n * (n - 1) // 2 - 1 - k  # counted from the end, rows grow as 1, 2, 3, ...
    row = ((torch.sqrt(8.0 * left.double() + 1) - 1) / 2).floor().long()
    row = torch.where(row * (row + 1) // 2 > left, row - 1, row)  # the root may round up
    i = n - 2 - row
    return i, n - 1 - (left - row * (row + 1) // 2)
