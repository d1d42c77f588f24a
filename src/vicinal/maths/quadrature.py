"""Gauss rules for measures on [0, 1]: few points, exact for polynomials of high degree.

A measure of mass 1 has a Jacobi matrix, the coefficients of the recurrence of its orthogonal
polynomials. Its eigenvalues are the points, the squared first entries of its eigenvectors the
weights.
"""

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal

Nodes = tuple[Float[np.ndarray, " count"], Float[np.ndarray, " count"]]
"""Points and weights."""
Tridiagonal = tuple[Float[np.ndarray, " count"], Float[np.ndarray, " off"]]
"""A Jacobi matrix: its diagonal and the one beside it."""


def recurrence(a: float, b: float, count: int) -> Tridiagonal:
    """The Jacobi matrix of Beta(a, b), by the recurrence of Jacobi polynomials on [0, 1]."""
    total = a + b
    at = 2 * np.arange(count - 1) + total  # so that the smallest shapes keep their digits
    diagonal = np.append(a / total, (1 + (a - b) / at * ((total - 2) / (at + 2))) / 2)
    # ratios of numbers of one size, so that nothing overflows; the first one is the variance
    k, at = np.arange(2, count), at[1:]
    square = k / at * ((k - 1 + b) / at) * ((k - 1 + a) / (at + 1)) * ((k - 2 + total) / (at - 1))
    variance = [(a / total) * (b / total) / (total + 1)][: count - 1]
    return diagonal, np.sqrt(np.concatenate([variance, square]))


def lanczos(
    points: Float[np.ndarray, " m"], weights: Float[np.ndarray, " m"], count: int
) -> Tridiagonal:
    """The Jacobi matrix of a discrete measure: Lanczos on diag(points), started at √weights."""
    q = np.sqrt(weights / weights.sum())
    basis, diagonal, off_diagonal = [q], [], []
    while True:
        v = points * q
        diagonal.append(float(q @ v))
        for _ in range(2):  # a second pass keeps the basis orthogonal to rounding
            v = v - np.transpose(basis) @ (np.asarray(basis) @ v)
        norm = float(np.linalg.norm(v))
        if len(diagonal) == count or norm < 1e-12:  # the measure may have fewer points than that
            break
        off_diagonal.append(norm)
        q = v / norm
        basis.append(q)
    return np.array(diagonal), np.array(off_diagonal)


def gauss(diagonal: Float[np.ndarray, " count"], beside: Float[np.ndarray, " off"]) -> Nodes:
    """The Gauss rule of the measure with this Jacobi matrix.

    Source:
        Golub and Welsch (1969), Mathematics of Computation 23.
    """
    nodes, vectors = eigh_tridiagonal(diagonal, beside)
    return np.clip(nodes, 0, 1), vectors[0] ** 2
