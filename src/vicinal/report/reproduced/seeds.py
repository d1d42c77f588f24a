"""The records of one figure, all seeds together: numbers by name, with intervals over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vicinal.maths.statistics import Paired, paired
from vicinal.report.numbers import differences, finite, fixed, number

OfSeed = Mapping[str, Any]
"""What was measured of one seed, as plain data."""


@dataclass(frozen=True)
class Seeds:
    """The finished records of one figure.

    Attributes:
        records: one for each seed.
    """

    records: tuple[OfSeed, ...]

    def names(self) -> tuple[str, ...]:
        """Names of all facts, in the order in which they were measured."""
        return tuple(dict.fromkeys(key for record in self.records for key in record["facts"]))

    def values(self, key: str) -> list[float]:
        """One fact of every seed.

        Raises:
            ValueError: if a seed has no finite number for it.
        """
        found = [finite(record["facts"].get(key)) for record in self.records]
        if any(value is None for value in found):
            raise ValueError(f"a record has no finite number for {key}.")
        return [value for value in found if value is not None]

    def minus(self, first: str, second: str) -> Paired:
        """First minus second, on the same seeds."""
        pairs = zip(self.values(first), self.values(second), strict=True)
        return paired([a - b for a, b in pairs])

    def total(self, key: str) -> int:
        """The sum of a count over seeds."""
        return round(sum(self.values(key)))


def signed(found: Paired, unit: str = "") -> str:
    """A difference with its interval; `percent` is written in points."""
    mean, low, high = differences((found.mean, found.low, found.high), unit)
    name = {"percent": " points", "nats": " nats"}.get(unit, "")
    return f"{mean}{name}" + ("" if found.low is None else f" [{low},\N{NO-BREAK SPACE}{high}]")


def level(found: Paired, unit: str = "") -> str:
    """A mean with its interval; `percent` is written per hundred."""
    values = (found.mean, found.low, found.high)
    if unit == "percent":
        mean, low, high = (fixed(None if v is None else 100 * v, 1) for v in values)
        mean += "\N{NO-BREAK SPACE}%"
    else:
        mean, low, high = (number(v) for v in values)
        mean += f" {unit}" if unit else ""
    return mean + ("" if found.low is None else f" [{low},\N{NO-BREAK SPACE}{high}]")


def listed(names: Sequence[str]) -> str:
    """Names as in a sentence: a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
