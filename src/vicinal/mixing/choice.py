"""Which strategy, and when: random choice among strategies, and schedules over training."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vicinal.maths.randomness import checked
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.draw import AnyDraw, Strategy
from vicinal.mixing.mixup import Mixup


@dataclass(frozen=True)
class RandomChoice:
    """One of several strategies for each batch, with given probabilities.

    The draw is that of the strategy chosen; as any draw, it needs no memory of who made it.

    Args:
        strategies: to choose from; None among them is training without mixing.
        probabilities: one per strategy, summing to 1; None for equal ones.

    Returns (when called with x, y, rng):
        The draw of the strategy chosen.

    Raises:
        ValueError: if there is no strategy, or the probabilities are negative, do not sum to 1, or
            are not as many as the strategies.

    Source:
        Common practice; timm draws between Mixup and CutMix for each batch.
    """

    strategies: tuple[Strategy | None, ...]
    probabilities: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.strategies, tuple | list):
            raise TypeError(
                f"strategies must be a tuple, got {self.strategies!r}. Pass "
                "RandomChoice((Mixup(), CutMix()))."
            )
        if not self.strategies:
            raise ValueError("strategies must name at least one strategy, got none.")
        p = self.probabilities
        if p is None:
            return
        if len(p) != len(self.strategies):
            raise ValueError(
                f"{len(self.strategies)} strategies need as many probabilities, got {p}."
            )
        if not (all(value >= 0 for value in p) and abs(sum(p) - 1) < 1e-6):
            raise ValueError(f"probabilities must be 0 or more and sum to 1, got {p}.")

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> AnyDraw:
        """Choose a strategy and let it draw."""
        p = np.ones(len(self.strategies)) if self.probabilities is None else self.probabilities
        chosen = int(np.searchsorted(np.cumsum(p) / np.sum(p), checked(rng).random(), side="right"))
        strategy = self.strategies[chosen]
        return None if strategy is None else strategy(x, y, rng)


def mixup_or_cutmix(mixup: float = 0.8, cutmix: float = 1.0, part: float = 0.5) -> RandomChoice:
    """Mixup for some batches, CutMix for the others, as is common for vision transformers.

    Args:
        mixup: alpha of Mixup, positive.
        cutmix: alpha of CutMix, positive.
        part: probability that a batch is mixed by Mixup, in [0, 1].

    Source:
        Touvron et al. (2021), arXiv:2012.12877, table 9; there one λ per batch.
    """
    return RandomChoice((Mixup(mixup), CutMix(cutmix)), (part, 1 - part))


@dataclass(frozen=True)
class During:
    """Mix only in a part of training, and fade out to training without mixing.

    Time runs in any unit, that of the arguments: epochs, steps, or the fraction of training
    done. Before `start` and from `stop` on nothing is mixed; in the last `fade` before `stop`
    the probability that a batch is mixed falls from 1 to 0 along a line.

    Args:
        strategy: what is done meanwhile.
        start: when mixing starts.
        stop: when it has ended.
        fade: how long it takes to end.

    Raises:
        ValueError: if not start <= stop - fade <= stop.

    Source:
        Liu, Wang, Guo, Mao (2023), arXiv:2303.01475, who stop mixing before the end.

    Example:
        >>> schedule = During(Mixup(1.0), stop=150)
        >>> [schedule.at(epoch) is None for epoch in (0, 149, 150)]
        [False, False, True]
    """

    strategy: Strategy
    start: float = 0.0
    stop: float = np.inf
    fade: float = 0.0

    def __post_init__(self) -> None:
        if not (self.fade >= 0 and self.start <= self.stop - self.fade):
            raise ValueError(
                f"a schedule must satisfy start <= stop - fade and fade >= 0, got start="
                f"{self.start}, stop={self.stop}, fade={self.fade}."
            )

    def at(self, time: float) -> Strategy | None:
        """The strategy at this time; None where nothing is mixed."""
        if not self.start <= time < self.stop:
            return None
        if not time > self.stop - self.fade:
            return self.strategy
        p = (self.stop - time) / self.fade
        return RandomChoice((self.strategy, None), (p, 1 - p))


def strategy_at(strategy: "Strategy | During | None", time: float) -> Strategy | None:
    """The strategy at a time; one without a schedule is the same at all times."""
    return strategy.at(time) if isinstance(strategy, During) else strategy
