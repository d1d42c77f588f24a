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


def draw_generator(
    seed: int, *, epoch: int, step: int, rank: int = 0, worker: int = 0
) -> np.random.Generator:
    """The generator of the draw of one batch: the same wherever that batch is mixed.

    The same arguments give the same draw in the loop and in a worker, on every device, and
    after a run was resumed; batches that differ in any of them share no λ.

    Args:
        seed: of the run.
        epoch: from 0.
        step: which batch of the epoch, from 0.
        rank: of the process, where each process numbers its own steps; leave 0 where steps are
            numbered over all processes.
        worker: of the loader, where each worker numbers its own steps (an IterableDataset);
            leave 0 where the step comes from the sampler, so that the number of workers does
            not matter.

    Example:
        >>> loop = draw_generator(0, epoch=1, step=2).random()
        >>> loop == draw_generator(0, epoch=1, step=2).random()
        True
        >>> loop == draw_generator(0, epoch=1, step=2, rank=1).random()
        False
    """
    return generator(seed, "draw", epoch, step, rank, worker)


def checked(rng: np.random.Generator) -> np.random.Generator:
    """The generator itself.

    Raises:
        TypeError: if it is anything else.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}. Pass "
            "numpy.random.default_rng(seed)."
        )
    return rng
