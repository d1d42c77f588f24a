"""What one seed of one figure gives: curves, and single numbers by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Facts = dict[str, float | None]
"""Single numbers by name; None where one is not defined."""


@dataclass(frozen=True)
class Size:
    """How much of a figure to measure.

    Attributes:
        seeds: how often all of it is repeated, where nobody asks for another number.
        epochs: passes over the training data.
        train: training examples at most.
        test: test examples at most; attacks are run on these too.
        looks: epochs at which curves over training are measured.
        parts: how many of the longer lists (strengths, sizes, strategies) to take; None for all.
    """

    seeds: int
    epochs: int
    train: int
    test: int
    looks: int = 1
    parts: int | None = None


@dataclass(frozen=True)
class Curve:
    """A series of numbers in one panel of one drawing.

    Attributes:
        drawing: which of the drawings of a figure it belongs to.
        panel, series: where it stands in the drawing, and what it is called.
        x, y: the points; a y that is not defined is None.
    """

    drawing: str
    panel: str
    series: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True)
class Measured:
    """All that one seed gives.

    Attributes:
        curves: what is drawn.
        facts: what sentences follow from.
        data: sizes of what was used, in words.
    """

    curves: tuple[Curve, ...]
    facts: Facts
    data: Mapping[str, str] = field(default_factory=dict)


def looked_at(epochs: int, looks: int) -> tuple[int, ...]:
    """Epochs to look at, from 0 (before training) to the last, denser at the beginning.

    Example:
        >>> looked_at(100, 5)
        (0, 6, 25, 56, 100)
    """
    if looks < 2:
        return (epochs,)
    return tuple(sorted({round(epochs * (k / (looks - 1)) ** 2) for k in range(looks)}))


def curves(
    drawing: str, panel: str, x: Sequence[float], series: Mapping[str, Sequence[float | None]]
) -> list[Curve]:
    """Several series over the same x."""
    return [Curve(drawing, panel, name, tuple(x), tuple(y)) for name, y in series.items()]
