"""Worlds in which two methods are compared and the truth is known, for `coverage.py`.

One world: example i has a difficulty that both methods share; each method adds what it always
does to this example, what its training part and its seed do to all examples and to two groups of
them, and noise of this example at this seed. A positive sum is a correct answer; its softplus is
the loss; its size, with more noise, gives the confidence of which the ECE is made. Each training
example has an effect of its own, so training parts that overlap move a method alike. A training
part moves a method as much as a seed does: half of what varies that way is shared where all seeds
train on the same examples.

Three designs of a study:
    re-drawn: each seed draws 200 test and 800 training examples from a pool of 1,000;
    fixed: all seeds have the same 1,000 test examples and the same training examples;
    fresh: each seed has 200 new test examples and a new training part.
Two methods, equal or 1 point apart, differ in 4 or 33 % of the answers. Seeds are quiet or loud:
they move the difference a quarter as much as the sampling of one test part does, or as much.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]
DESIGNS = {"re-drawn": 200, "fixed": 1000, "fresh": 200}  # and the size of a test part
TRAIN, POOL = 800, 1000
POINTS, WEIGHTS = np.polynomial.hermite_e.hermegauss(201)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclass(frozen=True)
class World:
    """Where two methods are compared; `apart` in accuracy, `disagree` a share of answers."""

    design: str
    apart: float
    disagree: float
    loud: float

    @property
    def accuracy(self) -> float:
        """Of the baseline."""
        return 0.86 if self.disagree < 0.1 else 0.78

    @property
    def difficulty(self) -> float:
        """Standard deviation of what both methods share, where all else has 1."""

        def disagree(log: float) -> float:
            d = math.exp(log)
            right = ndtr(ndtri(self.accuracy) * math.hypot(1, d) + d * POINTS)
            return float(WEIGHTS @ (2 * right * (1 - right)))

        return math.exp(brentq(lambda log: disagree(log) - self.disagree, -9, 4))

    def centre(self, method: int) -> float:
        """Mean of the sum for a method: 0 the baseline."""
        return float(ndtri(self.accuracy + method * self.apart)) * math.hypot(1, self.difficulty)

    @property
    def moved(self) -> float:
        """What a seed, or a training part, does to all examples: a standard deviation."""
        wide = math.hypot(1, self.difficulty)
        slope = math.exp(-(ndtri(self.accuracy) ** 2) / 2) / math.sqrt(2 * math.pi) / wide
        own = math.sqrt(self.disagree / DESIGNS[self.design])
        return min(self.loud * own / slope / math.sqrt(2), 0.45)

    def truth(self) -> tuple[float, float]:
        """Expected differences of accuracy and loss."""
        wide = math.hypot(1, self.difficulty)
        losses = [WEIGHTS @ np.logaddexp(0, -self.centre(m) - wide * POINTS) for m in (0, 1)]
        return self.apart, float(losses[1] - losses[0])


def study(
    world: World, rng: np.random.Generator, seeds: int = 20
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Sums and confidences of two methods, (2, seeds, n), and the rows of the examples."""
    n, moved = DESIGNS[world.design], world.moved
    rows = np.empty((seeds, n), dtype=np.int64)
    effects = moved * rng.standard_normal((2, seeds, 2))  # of seeds, on all and on two groups
    if world.design == "re-drawn":
        own = moved * rng.standard_normal((2, POOL, 2)) / math.sqrt(TRAIN)
        for s in range(seeds):
            order = rng.permutation(POOL)
            rows[s] = order[:n]
            effects[:, s] += own[:, order[n:]].sum(1)
    elif world.design == "fixed":
        rows[:] = np.arange(n)
        effects += moved * rng.standard_normal((2, 1, 2))
    else:
        rows[:] = np.arange(seeds * n).reshape(seeds, n)
        effects += moved * rng.standard_normal((2, seeds, 2))
    every = int(rows.max()) + 1
    half = math.sqrt((1 - 4 * moved**2) / 2)
    always = half * rng.standard_normal((2, every)) + world.difficulty * rng.standard_normal(every)
    group = rng.choice((-1.0, 1.0), every)
    sums = always[:, rows] + half * rng.standard_normal((2, seeds, n))
    sums += effects[..., :1] + effects[..., 1:] * group[rows]
    sums += np.array([world.centre(0), world.centre(1)])[:, None, None]
    noisy = np.abs(sums + 0.5 * rng.standard_normal((2, seeds, n)))
    return sums, 1 / (1 + np.exp(-noisy)), rows
