"""Pairing: who is mixed with whom, as functions of (x, y, rng) to one partner per sample.

Pairings without options are functions, those with options frozen records to be called. All
run on the CPU, whatever the device of the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

from vicinal.maths.randomness import checked
from vicinal.mixing.draw import one_tensor, tensors
from vicinal.mixing.label_kernel import blocks, near_values, near_vectors

Partners = Int[np.ndarray, " n"]
Pairing = Callable[[Tensor, Tensor, np.random.Generator], Partners]
"""A function of (x, y, rng) to partners, integers in 0..n-1."""


def partners(pairing: Pairing, x: Tensor, y: Tensor, rng: np.random.Generator) -> Tensor:
    """The partners that a pairing draws, checked, as int64 on the device of x.

    Raises:
        ValueError: if there is not one partner in 0..n-1 per sample.
        TypeError: if x is not a tensor.
    """
    one_tensor(x)
    if not callable(pairing):
        raise TypeError(
            f"pairing must be a function of (x, y, rng) to partners, got {pairing!r}. Pass one of "
            "vicinal.pairing, as in pairing=vicinal.pairing.derangement."
        )
    if not x.ndim:
        raise ValueError("a strategy draws for a batch, got a single number.")
    rows = np.asarray(pairing(x, y, checked(rng)))
    if not np.issubdtype(rows.dtype, np.integer):
        raise TypeError(f"a pairing must give whole numbers, got {rows.dtype}.")
    if rows.shape != (len(x),) or not (len(x) == 0 or 0 <= rows.min() <= rows.max() < len(x)):
        held = f", {rows.min()} to {rows.max()}" if rows.size else ""
        rule = f"a pairing must give one partner in 0..{len(x) - 1} for each of {len(x)} samples"
        raise ValueError(f"{rule}, got shape {rows.shape}{held}.")
    return torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64)).to(x.device)


def shuffle(x: Tensor, y: Tensor, rng: np.random.Generator) -> Partners:
    """A uniformly random permutation; on average one sample per batch meets itself.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412, section 2.
    """
    return rng.permutation(len(x))


def derangement(x: Tensor, y: Tensor, rng: np.random.Generator) -> Partners:
    """A uniformly random permutation in which nobody meets itself.

    Raises:
        ValueError: for a batch of one, which has none.
    """
    n = len(x)
    if n == 1:
        raise ValueError(
            "derangement needs two samples or more, got a batch of 1. Use shuffle, or drop the "
            "last batch (drop_last=True)."
        )
    while True:  # a permutation is a derangement with probability 1/e, or a little less
        rows = rng.permutation(n)
        if not (rows == np.arange(n)).any():
            return rows


@dataclass(frozen=True)
class Roll:
    """Sample i meets sample i + shift, counted around; nothing is drawn.

    It is the cheapest pairing: with ``mix(x, draw, out=...)`` no sample is gathered. Batches
    must come in random order.

    Args:
        shift: how far away the partner is.
    """

    shift: int = 1

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Partners:
        """The partners of this batch; `rng` is not used."""
        return (np.arange(len(x)) + self.shift) % max(len(x), 1)


def same_class(x: Tensor, y: Tensor, rng: np.random.Generator) -> Partners:
    """A uniformly random permutation within each class.

    Raises:
        TypeError: if y does not hold class ids.
    """
    ids = _ids(y)
    noise = rng.random((2, len(ids)))
    rows = np.empty(len(ids), dtype=np.int64)
    # in both orders the samples of a class stand in the same places
    rows[np.lexsort((noise[0], ids))] = np.lexsort((noise[1], ids))
    return rows


def other_class(x: Tensor, y: Tensor, rng: np.random.Generator) -> Partners:
    """A uniformly random sample of any other class, for each sample on its own.

    Raises:
        TypeError: if y does not hold class ids.
        ValueError: if all samples of the batch are of one class.
    """
    ids = _ids(y)
    n = len(ids)
    order = np.argsort(ids, kind="stable")
    first = np.searchsorted(ids[order], ids, side="left")
    size = np.searchsorted(ids[order], ids, side="right") - first
    if (size == n).any():
        raise ValueError(
            f"other_class needs two classes or more, got a batch of {n} samples of class "
            f"{ids[0]}. Use shuffle, or larger batches."
        )
    place = rng.integers(n - size)
    return order[np.where(place < first, place, place + size)]


@dataclass(frozen=True)
class LabelKernel:
    r"""C-Mixup: partners with similar labels, $P(j|i) \propto e^{-\|y_i-y_j\|^2 / 2\sigma^2}$.

    The sample itself counts among the candidates, as in the source, with the largest weight of
    all. So some samples are not mixed: of 64 with standard normal labels 10 % at σ = 0.3, 25 % at
    σ = 0.1 (of 16: 30 % and 58 %), where a shuffle leaves 1.6 % alone.

    Labels of one number are
    drawn by rejection from an envelope of steps, exactly, in O(n log n) time and O(n) memory;
    labels of several numbers by inverting each row of the kernel, in O(n²) time and O(n) memory.

    Args:
        bandwidth: σ, positive, in the units of y.

    Raises:
        ValueError: if the bandwidth is not positive, or y is not finite.
        TypeError: if y is not floating.

    Source:
        Yao, Wang, Zhang, Zou, Finn (2022), arXiv:2210.05775, equation 6; the n×n table of
        probabilities is never built.
    """

    bandwidth: float

    def __post_init__(self) -> None:
        if not 0 < self.bandwidth < np.inf:
            raise ValueError(
                f"bandwidth must be positive and finite, got {self.bandwidth}. It is the "
                "distance, in the units of y, at which labels count as similar."
            )

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Partners:
        """Draw partners for this batch."""
        tensors(y=y)
        if not y.ndim:
            raise ValueError("LabelKernel needs a target for each sample, got a single number.")
        if not y.is_floating_point():
            raise TypeError(
                f"LabelKernel compares values, got targets of {y.dtype}. If they are values, "
                "pass y.float(); for class ids use same_class."
            )
        labels = y.detach().cpu().double().reshape(-1, y[:1].numel() or 1).numpy() / self.bandwidth
        if not np.isfinite(labels).all():
            raise ValueError("LabelKernel needs finite labels, got NaN or infinity.")
        if labels.shape[1] == 1:
            return near_values(labels[:, 0], rng)
        return near_vectors(labels, rng)


@dataclass(frozen=True)
class Assignment:
    """k-mixup: blocks of k random samples meet k others by optimal assignment.

    Among all ways to pair two blocks, the one with the least sum of squared distances
    between inputs is taken (SciPy). The two blocks share no sample, so nobody meets itself; all
    blocks together pair by a permutation. In a batch of n a block has at most n/2 samples, the last
    one may be smaller; in a batch of 1 the sample meets itself, as with `shuffle`.

    Args:
        k: size of the blocks; 1 pairs along one random cycle through the batch.

    Raises:
        ValueError: if k is not a whole number, at least 1.

    Source:
        Greenewald, Gu, Yurochkin, Solomon, Chien (2023), arXiv:2106.02933, section 2; there both
        blocks are drawn from all the data, for each mixture anew, so that they share samples only
        by rare chance. Here they are disjoint parts of one batch. In batches of fewer than 2k
        samples the blocks are smaller than asked for, so partners lie further away.
    """

    k: int = 16

    def __post_init__(self) -> None:
        if not (self.k >= 1 and self.k % 1 == 0):
            raise ValueError(f"k must be at least 1 sample per block, and whole, got {self.k}.")

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Partners:
        """Draw blocks and assign partners."""
        n = len(x)
        order = rng.permutation(n)
        if n < 2:
            return order
        flat = _flat(x, x.dtype == torch.float64)
        flat = flat - flat.mean(0)
        size = min(int(self.k), n // 2)
        across = np.roll(order, -size)  # so far on that no block meets one of its own samples
        rows = np.empty(n, dtype=np.int64)
        for first in range(0, n, size):
            here, there = order[first : first + size], across[first : first + size]
            # least squared distance is largest inner product: the squares are paired anyhow
            product = flat[here] @ flat[there].T
            rows[here] = there[linear_sum_assignment(product, maximize=True)[1]]
        return rows


@dataclass(frozen=True)
class Nearest:
    """One of the k nearest other samples of the batch, by Euclidean distance of inputs.

    Args:
        k: how many neighbours to choose from, uniformly.

    Raises:
        ValueError: if k is not at least 1, or the batch has not more than k samples.
    """

    k: int = 5

    def __post_init__(self) -> None:
        if not self.k >= 1:
            raise ValueError(f"k must be at least 1 neighbour, got {self.k}.")

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Partners:
        """Draw a neighbour of each sample."""
        n = len(x)
        if not n > self.k:
            raise ValueError(
                f"Nearest(k={self.k}) needs more than {self.k} samples, got a batch of {n}. Take "
                "a smaller k, or drop the last batch (drop_last=True)."
            )
        flat = _flat(x, exact=True)
        rows = np.empty(n, dtype=np.int64)
        choice = rng.integers(self.k, size=n)
        for block in blocks(n):
            distance = cdist(flat[block], flat, "sqeuclidean")
            here = np.arange(len(distance))
            distance[here, here + block.start] = np.inf  # nobody is its own neighbour
            nearest = np.argpartition(distance, self.k - 1, axis=1)[:, : self.k]
            rows[block] = nearest[here, choice[block]]
        return rows


@dataclass(frozen=True, eq=False)
class Given:
    """Partners that are known beforehand.

    Args:
        rows: one partner in 0..n-1 for each sample of the batch.
    """

    rows: Shaped[np.ndarray, " n"]

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> Partners:
        """The given partners; `rng` is not used."""
        return self.rows


def _ids(y: Tensor) -> Int[np.ndarray, " n"]:
    tensors(y=y)
    if y.is_floating_point() or y.ndim != 1:
        raise TypeError(
            f"pairing by class needs class ids (n,), got {y.dtype} of shape {tuple(y.shape)}. If "
            "y holds class ids as floats, pass y.long(); for one-hot labels y.argmax(1)."
        )
    return y.cpu().numpy()


def _flat(x: Tensor, exact: bool) -> Float[np.ndarray, "n d"]:
    """Inputs as rows of numbers, in float64 or in float32."""
    one_tensor(x)
    if x.is_complex():
        raise TypeError("pairing by distance needs real inputs. Pass torch.view_as_real(x).")
    values = x.detach().cpu().to(torch.float64 if exact else torch.float32)
    values = values.reshape(len(x), x[:1].numel())
    if not torch.isfinite(values).all():
        raise ValueError("pairing by distance needs finite inputs, got NaN or infinity.")
    return values.numpy()
