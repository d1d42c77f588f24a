"""Randomness that does not depend on history: one generator per purpose, named by its key."""

from hashlib import sha256

import numpy as np


def generator(seed: int, *key: int | str) -> np.random.Generator:
    """The generator of one purpose, such as ``generator(seed, "draw", epoch, step)``.

    Generators of different keys are independent, whatever was drawn before; so a resumed run
    needs no saved random state, and a change in one part moves no other draw.

    Args:
        seed: of the run.
        key: what is drawn, and where in the run.

    Example:
        >>> a, b = (generator(0, "draw", 3).random() for _ in range(2))
        >>> a == b
        True
    """
    digest = sha256(repr((seed, *key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))
