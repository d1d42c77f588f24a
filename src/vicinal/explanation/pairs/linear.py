r"""The mixup loss of models that are affine in their input: logits are mixed, not inputs.

With z = f(x), f(λ x_i + (1-λ) x_j) = λ z_i + (1-λ) z_j, so no pair needs a forward pass. What is
left of a loss A(f) - <y, f> is a mean of A over pairs; for the categorical family

$$A(\lambda z_i + (1-\lambda) z_j) = \log \sum_k e^{\lambda z_{ik}}\, e^{(1-\lambda) z_{jk}},$$

one matrix product of exponentials for all pairs, and one logarithm each. The linear part needs
means over examples only.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.losses import Family, bernoulli

PROBES = 64  # pairs of inputs on which a model is tested for being affine
TILE = 2**23  # pairs at once: 64 MB in float64
SMALLEST = 1e-280  # sums of exponentials below this have lost digits


def is_affine(f: Callable[[Tensor], Tensor], x: Float[Tensor, "n *rest"]) -> bool:
    """Whether f(a + t (b-a)) = f(a) + t (f(b)-f(a)) to rounding, on random lines.

    Half of the lines join examples, with t between 0 and 1; half join random points three
    deviations wide and are followed beyond their ends. The rounding of 16 bits hides any bend, so
    in them nothing proves affine.
    """
    if torch.finfo(x.dtype).bits < 32:
        return False
    rng = np.random.default_rng(0)
    chosen = torch.from_numpy(rng.integers(len(x), size=(2, PROBES))).to(x.device)
    noise = torch.from_numpy(rng.standard_normal((2, PROBES, *x.shape[1:]))).to(x)
    wide = x.mean(0) + 3 * (x.std(0, correction=0) + x.std(correction=0)) * noise
    a, b = torch.cat((x[chosen], wide), 1)
    t = np.concatenate([rng.random(PROBES), 2 * rng.standard_normal(PROBES)])
    steps = torch.from_numpy(t).to(x)
    between = torch.lerp(a, b, steps.reshape(-1, *[1] * (x.ndim - 1)))
    ends, inner = f(torch.cat((a, b))).double(), f(between).double()
    first, last = ends.reshape(2, 2 * PROBES, -1)
    predicted = torch.lerp(first, last, steps.double()[:, None])
    deviation = (inner.reshape(2 * PROBES, -1) - predicted).abs().amax()
    scale = ends.abs().amax() * float(1 + 2 * np.abs(t).max())
    return bool(deviation <= 50 * torch.finfo(x.dtype).eps * scale)


def over_all_logits(
    z: Float[Tensor, "n *k"], y: Tensor, family: Family, lam: np.ndarray, weight: np.ndarray
) -> float:
    """The mean over all n² ordered pairs for the logits z of the examples, in float64."""
    z = z.double()
    y = y.double() if y.is_floating_point() else y
    flat = z.reshape(len(z), -1)
    value = family.mean(z) - family.residual(z, y)  # the labels as values
    labels = value.reshape(len(z), -1)
    own, across = float((labels * flat).sum(-1).mean()), float(labels.mean(0) @ flat.mean(0))
    folded: dict[float, float] = {}
    for point, share in zip(lam, weight, strict=True):  # λ and 1-λ give the same mean
        key = round(float(max(point, 1 - point)), 14)
        folded[key] = folded.get(key, 0.0) + float(share)
    total = 0.0
    for point, share in folded.items():
        linear = (point**2 + (1 - point) ** 2) * own + 2 * point * (1 - point) * across
        total += share * (_mean_partition(flat, family, point) - linear)
    return total


def _mean_partition(z: Float[Tensor, "n k"], family: Family, lam: float) -> float:
    """The mean of A(λ z_i + (1-λ) z_j) over all ordered pairs."""
    if family.each is not None:
        columns = torch.split(z, 1, dim=1)
        return sum((_mean_partition(column, family.each, lam) for column in columns), 0.0)
    if family.scalar and family is not bernoulli:
        return _mean_by_numbers(z[:, 0], family, lam)
    if family is bernoulli:
        z = torch.cat((torch.zeros_like(z), z), 1)  # log(1 + e^f) = logsumexp(0, f)
    top = z.amax(1, keepdim=True)
    left, right = torch.exp(lam * (z - top)), torch.exp((1 - lam) * (z - top)).T.contiguous()
    total = 0.0
    for start in range(0, len(z), max(1, TILE // len(z))):
        rows = slice(start, start + max(1, TILE // len(z)))
        sums = left[rows] @ right
        if float(sums.amin()) < SMALLEST:
            sums = sums.log_()
            i, j = torch.nonzero(sums < np.log(SMALLEST), as_tuple=True)
            shifted = z - top
            for part_i, part_j in zip(
                torch.split(i, TILE // 8), torch.split(j, TILE // 8), strict=True
            ):
                mixed = torch.lerp(shifted[part_j], shifted[rows][part_i], lam)
                sums[part_i, part_j] = mixed.logsumexp(-1)
            total += float(sums.sum())
        else:
            total += float(sums.log_().sum())
    return total / len(z) ** 2 + float(top.mean())


def _mean_by_numbers(z: Float[Tensor, " n"], family: Family, lam: float) -> float:
    """The same, number by number."""
    total, rows = 0.0, max(1, TILE // len(z))
    for part in torch.split(z, rows):
        mixed = (lam * part[:, None] + (1 - lam) * z).flatten()
        total += float(family(mixed, torch.zeros_like(mixed)).sum())
    return total / len(z) ** 2
