"""As many nodes of a law as an average over pairs needs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vicinal.maths.laws import Law

MOST = 64


@dataclass(frozen=True)
class Quadrature:
    """Nodes of a law, with what the choice of their number was based on.

    Attributes:
        lam, weight: the nodes.
        change: of the pilot pairs' mean when the nodes were last doubled.
        values: of the pilot pairs at the nodes.
    """

    lam: Float[np.ndarray, " nodes"]
    weight: Float[np.ndarray, " nodes"]
    change: float
    values: Float[np.ndarray, "pairs nodes"]

    def evenly(
        self, size: int, rounds: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "rounds size"]:
        """λ for rounds of evaluations, each node as often in a round as its weight says.

        Sorted within a round; rounds are independent of each other.
        """
        places = (np.arange(size) + rng.random((rounds, 1))) / size
        node = np.searchsorted(np.cumsum(self.weight)[:-1], places, side="right")
        return np.asarray(self.lam[node])


def chosen_nodes(
    values_at: Callable[[np.ndarray], np.ndarray],
    law: Law,
    evaluations: int,
    target: float | None,
) -> Quadrature:
    """Double the nodes from 8 until the pilot's mean moves by less than a quarter of the error.

    Args:
        values_at: the pilot pairs at some nodes, (pairs, nodes).
        law: whose nodes.
        evaluations: how many there will be; their standard error is the error to compare with.
        target: the error that is asked for, in its place.
    """
    count, last = 8, np.nan
    while True:
        lam, weight = law.nodes(count)
        values = values_at(lam)
        means = values @ weight
        error = float(means.std(ddof=1)) / evaluations**0.5 if len(means) > 1 else 0.0
        change, last = abs(float(means.mean()) - last), float(means.mean())
        if len(lam) < count:  # finitely many values of λ, all of them used
            change = 0.0
        if change <= max(1e-7, (target or error) / 4) or count >= MOST:
            return Quadrature(lam, weight, change, values)
        count *= 2
