"""How numbers are written: three digits, percentages with one decimal, signs that show."""

import math
import statistics
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"  # stands where there is no number


def finite(value: object) -> float | None:
    """The value as a float, or None where there is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def number(value: float | None, *, digits: int = 3) -> str:
    """Significant digits, without an exponent where a person would write none."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e5:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    return fixed(value, max(0, digits - 1 - _magnitude(value)))


def fixed(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """A fixed number of decimals, with a true minus sign; a plus only where asked for."""
    if value is None:
        return NONE
    shown = round(value, decimals) or 0.0  # no sign on what is written as zero
    text = f"{shown:+.{decimals}f}" if sign and shown else f"{shown:.{decimals}f}"
    return text.replace("-", MINUS)


def level(value: float | None, unit: str) -> str:
    """A measured value in its unit; `percent` is written per hundred, without the sign."""
    return fixed(100 * value, 1) if value is not None and unit == "percent" else number(value)


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None below two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def plus_minus(mean: float | None, sd: float | None, unit: str) -> str:
    """Mean ± sd with the same decimals on both sides."""
    if mean is None or sd is None:
        return level(mean, unit)
    if unit == "percent":
        return f"{fixed(100 * mean, 1)} ± {fixed(100 * sd, 1)}"
    decimals = _decimals((mean, sd))
    return f"{fixed(mean, decimals)} ± {fixed(sd, decimals)}"


"""The name under which `vicinal tune` knows it."""


def differences(values: Sequence[float | None], unit: str) -> tuple[str, ...]:
    """A signed difference and the ends of its interval, with equal decimals.

    Differences of percentages are percentage points. There are at least two decimals for these
    and three digits for the rest, and more where an end of the interval would be written as
    zero: on which side of zero it lies is what the words follow from.
    """
    scaled = [None if v is None else 100 * v if unit == "percent" else v for v in values]
    decimals = 2 if unit == "percent" else _decimals(scaled)
    ends = [v for v in scaled[1:] if v]
    while decimals < 6 and any(round(v, decimals) == 0 for v in ends):
        decimals += 1
    return tuple(fixed(v, decimals, sign=True) for v in scaled)


def _decimals(values: Sequence[float | None]) -> int:
    """Decimals that give the largest of the values three significant digits, at most six."""
    largest = max((abs(v) for v in values if v is not None), default=0.0)
    return min(6, max(0, 2 - _magnitude(largest))) if largest > 0 else 2


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value)))
