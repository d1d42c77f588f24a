"""Whether an argument is the number, or the generator of numbers, that is asked for."""

from numbers import Integral, Real

LARGEST = 10**308  # of integers that become floats
MOST_NODES = 10_000


def check_real(name: str, value: object) -> None:
    """Refuse what is no real number, and integers beyond those of 64 bits.

    Raises:
        TypeError, ValueError: then.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {repr(value)[:60]}.")
    if isinstance(value, Integral) and not abs(int(value)) < LARGEST:
        raise ValueError(f"{name} must be positive and finite, got one beyond 64 bits.")


def check_count(count: int) -> None:
    """Refuse what is no number of nodes.

    Raises:
        TypeError, ValueError: then.
    """
    if not isinstance(count, Integral) or isinstance(count, bool):
        raise TypeError(f"count must be a whole number of nodes, got {repr(count)[:60]}.")
    if not count >= 1:
        raise ValueError(f"count must be at least 1 node, got {count}.")
    if not count <= MOST_NODES:
        raise ValueError(f"count must be at most {MOST_NODES} nodes; more are of no use.")
