"""Small learners that really train, and what c their shared training examples ask for.

`data_interval` takes the training examples that seeds share to add c times the variance of
seeds. Here that is measured: for each of 25 pools six seeds train on a share r = 0.8 of it, and
their difference is taken on 20,000 new examples. The variance between pools of its mean over
seeds, beyond what the seeds explain, divided by the variance within pools, is c. With 25 pools
it is known to about a third of itself.

    python benchmarks/learners.py
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CASES = ((200, (1.0, 30.0)), (200, (30.0, 100.0)), (400, (1.0, 100.0)))
POOLS, SEEDS = 25, 6


def ridge(x: Array, y: Array, penalty: float, seed: np.random.Generator) -> "Learner":
    """Trains: ridge regression of ±1 on 60 random rectified features, which are the seed."""
    weights, bias = seed.standard_normal((x.shape[1], 60)) / 3, seed.standard_normal(60)
    features = np.maximum(x @ weights + bias, 0)
    square = features.T @ features + penalty * np.eye(60)
    return Learner(weights, bias, np.linalg.solve(square, features.T @ y))


@dataclass(frozen=True)
class Learner:
    """What `ridge` has learnt."""

    weights: Array
    bias: Array
    coefficients: Array

    def __call__(self, x: Array) -> Array:
        """Scores, positive for class 1."""
        return np.maximum(x @ self.weights + self.bias, 0) @ self.coefficients


def examples(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Ten features and a noisy class, ±1."""
    x = rng.standard_normal((n, 10))
    score = 1.5 * x.mean(1) * 10**0.5 + 0.7 * np.sin(2 * x[:, 0]) * x[:, 1]
    return x, np.where(rng.random(n) < 1 / (1 + np.exp(-2 * score)), 1.0, -1.0)


def trained_apart(
    part: tuple[Array, Array],
    test: tuple[Array, Array],
    penalties: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Differences of correctness and loss on test examples, of one seed and training part."""
    seed = int(rng.integers(2**32))
    one, two = (ridge(*part, p, np.random.default_rng(seed))(test[0]) for p in penalties)
    right = (two * test[1] > 0).astype(float) - (one * test[1] > 0)
    return right, np.logaddexp(0, -2 * two * test[1]) - np.logaddexp(0, -2 * one * test[1])


def asked(
    train: int, penalties: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float]:
    """The c of accuracy and loss."""
    new = examples(20_000, rng)
    found = np.empty((POOLS, SEEDS, 2))
    for pool in found:
        x, y = examples(train * 5 // 4, rng)
        for seed in pool:
            part = rng.permutation(len(x))[:train]
            seed[:] = [e.mean() for e in trained_apart((x[part], y[part]), new, penalties, rng)]
    within = found.var(1, ddof=1).mean(0)
    between = found.mean(1).var(0, ddof=1) - within / SEEDS
    accuracy, loss = between / within
    return float(accuracy), float(loss)


def main() -> None:
    rng = np.random.default_rng(0)
    print("training examples, penalties: c of accuracy, c of loss; the interval has 0.80")
    for train, penalties in (*CASES, (800, (1.0, 100.0)), (800, (30.0, 300.0))):
        print(train, penalties, *(f"{c:.2f}" for c in asked(train, penalties, rng)))


if __name__ == "__main__":
    main()
