r"""The mixup loss itself: the exact vicinal risk over all pairs, and its estimate.

$$L_{mix} = \frac1{n^2} \sum_{i,j} E_\lambda\big[\lambda\, l(f(x_{ij}), y_i)
            + (1-\lambda)\, l(f(x_{ij}), y_j)\big],
  \qquad x_{ij} = \lambda x_i + (1-\lambda) x_j$$
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.forward import Model, check_targets, unchanged
from vicinal.laws import Law
from vicinal.losses import Family

BATCH = 1024  # mixed examples per forward pass


@dataclass(frozen=True)
class Estimate:
    """A number and how far it may be off.

    Attributes:
        value: the number, in nats.
        standard_error: of sampling pairs and λ; 0 where all pairs were summed.
        quadrature_error: change of the value when the nodes in λ were last doubled; 0 where λ
            was sampled or the law has finitely many values.
    """

    value: float
    standard_error: float
    quadrature_error: float = 0.0


def vicinal_risk(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    law: Law,
    family: Family,
    *,
    pairs: int | None = None,
    rng: np.random.Generator | None = None,
) -> Estimate:
    """The mixup loss of a model on data, over all n² pairs or a sample of them.

    All pairs, i = j included, are summed with Gauss quadrature in λ whose nodes are doubled
    until the value is stable to 1e-7 or 64 nodes are used; the last change is returned, because
    for nets with kinks (ReLU) quadrature converges slowly. Each unordered pair is evaluated
    once. That is n(n-1)/2 forward passes per node: for more than a few hundred examples
    sample `pairs`.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        x: inputs, in the units the model was trained on.
        y: targets of the family.
        law: the law of λ.
        family: the loss, affine in y. The identity behind the tilted law needs that; losses
            that are not (focal, squared error on probabilities) are no families.
        pairs: None sums all pairs; a number draws that many pairs and λ independently.
        rng: where the pairs come from; needed if, and only if, `pairs` is given.

    Returns:
        Estimate in nats, accumulated in float64.

    Raises:
        ValueError: for targets out of range, fewer than 2 pairs, a missing `rng`.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, section 2.

    Example:
        >>> from vicinal.laws import Fixed
        >>> from vicinal.losses import gaussian
        >>> x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
        >>> vicinal_risk(lambda x: x, x, x[:, 0], Fixed(0.5), gaussian).value  # -x²/2 at 0, 1, 1, 2
        -0.75
    """
    if pairs is not None:
        if rng is None:
            raise ValueError("pairs are drawn at random: pass rng=numpy.random.default_rng(seed).")
        if not pairs >= 2:
            raise ValueError(f"pairs must be at least 2 to have a standard error, got {pairs}.")
    with torch.no_grad(), unchanged(model) as f:
        check_targets(f, x, y, family)
        if pairs is None:
            return _exact(f, x, y, law, family)
        return _sampled(f, x, y, law, family, pairs, rng or np.random.default_rng())


def _pair_losses(
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


def _exact(
    f: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, law: Law, family: Family
) -> Estimate:
    count, value, error = 8, np.nan, np.inf
    while True:
        lam, weight = law.nodes(count)
        last, value = value, _sum_all_pairs(f, x, y, family, *_symmetric(lam, weight))
        if len(lam) < count:  # finitely many values of λ, all of them used
            return Estimate(value, 0.0)
        error = abs(value - last)
        if error <= 1e-7 * (1 + abs(value)) or count >= 64:
            return Estimate(value, 0.0, error)
        count *= 2


def _symmetric(lam: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of the law averaged over λ and 1-λ, on which alone a sum over all pairs depends."""
    if np.allclose(lam, 1 - lam[::-1], atol=1e-12) and np.allclose(weight, weight[::-1]):
        return lam, weight
    return np.concatenate([lam, 1 - lam]), np.concatenate([weight, weight]) / 2


def _sum_all_pairs(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    family: Family,
    lam: np.ndarray,
    weight: np.ndarray,
) -> float:
    n, total = len(x), 0.0
    for rows in torch.split(torch.arange(n, device=x.device), BATCH):
        total += float(family(f(x[rows]), y[rows]).double().sum())  # i = j: nothing is mixed
    # Unordered pairs times nodes, enumerated without ever being held at once.
    pairs = n * (n - 1) // 2
    nodes = torch.as_tensor(lam, device=x.device)
    weights = torch.as_tensor(weight, device=x.device)
    for start in range(0, pairs * len(lam), BATCH):
        k = torch.arange(start, min(start + BATCH, pairs * len(lam)), device=x.device)
        i, j = _unordered(k // len(lam), n)
        node = k % len(lam)
        losses = _pair_losses(f, x, y, family, i, j, nodes[node])
        total += 2 * float((weights[node] * losses).sum())
    return total / n**2


def _unordered(k: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The k-th pair i < j in row order, found from the triangular numbers."""
    left = n * (n - 1) // 2 - 1 - k  # counted from the end, rows grow as 1, 2, 3, ...
    row = ((torch.sqrt(8.0 * left.double() + 1) - 1) / 2).floor().long()
    row = torch.where(row * (row + 1) // 2 > left, row - 1, row)  # the root may round up
    i = n - 2 - row
    return i, n - 1 - (left - row * (row + 1) // 2)


def _sampled(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    law: Law,
    family: Family,
    pairs: int,
    rng: np.random.Generator,
) -> Estimate:
    i, j = (torch.from_numpy(rng.integers(len(x), size=pairs)).to(x.device) for _ in range(2))
    lam = torch.from_numpy(law.sample(pairs, rng)).to(x.device)
    losses = torch.cat(
        [
            _pair_losses(f, x, y, family, i[part], j[part], lam[part])
            for part in torch.split(torch.arange(pairs, device=x.device), BATCH)
        ]
    )
    return Estimate(float(losses.mean()), float(losses.std() / pairs**0.5))
