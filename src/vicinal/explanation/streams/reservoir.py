"""The first pass through a stream: its mean, its number of examples, and a uniform sample."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vicinal.explanation.streams.batches import Batches, Walk
from vicinal.machine.processes import Place, gathered, together
from vicinal.maths.arguments import check_whole
from vicinal.maths.randomness import generator


class Summary(NamedTuple):
    """What the first pass finds, the same in all processes."""

    kept: Tensor  # a uniform sample of the inputs, in random order
    labels: Tensor  # their targets
    centre: Tensor  # the mean of all inputs, float64
    examples: int
    device: torch.device  # of the batches

    def parts(self, partners: int) -> tuple[Tensor, ...]:
        """Parts of the sample, of nearly equal size, that share no example: one per partner."""
        return self.kept.tensor_split(partners)

    def check(self, partners: int, seen: int | None = None) -> None:
        """Refuse streams with too few partners, or that gave other examples the second time.

        Raises:
            ValueError: if so.
        """
        if len(self.kept) < partners:
            raise ValueError(
                f"the stream of partners holds {len(self.kept)} examples, need {partners}."
            )
        if seen is not None and seen != self.examples:
            raise ValueError(
                f"the stream gave {self.examples} examples the first time and {seen} the second. "
                "Pass what can be gone through twice, as a DataLoader or a list, not an iterator."
            )


def check_partners(partners: int, reservoir: int) -> None:
    """Refuse numbers of partners and of examples kept that give no standard error.

    Raises:
        ValueError: if so.
    """
    check_whole("partners", partners, 0)
    check_whole("reservoir", reservoir, 0)
    if not partners >= 2:
        raise ValueError(f"partners must be at least 2 to have a standard error, got {partners}.")
    if not reservoir >= partners:
        raise ValueError(f"reservoir must hold at least {partners} partners, got {reservoir}.")


class Pool:
    """The examples with the smallest keys among those that were offered.

    Where keys are random this is a uniform sample, and so are the smallest of several pools'.
    """

    def __init__(self, size: int) -> None:
        self.keys = np.full(size, np.inf)
        self.x = self.y = torch.zeros(0)

    def offer(self, x: Tensor, y: Tensor, keys: np.ndarray) -> None:
        """Take those examples whose keys are smaller than the largest here, in its place."""
        if len(self.x) == 0 and len(x):
            self.x = x.new_zeros(len(self.keys), *x.shape[1:])
            self.y = y.new_zeros(len(self.keys), *y.shape[1:])
        for k in np.flatnonzero(keys < self.keys.max()):
            place = int(self.keys.argmax())
            if keys[k] < self.keys[place]:
                self.keys[place], self.x[place], self.y[place] = keys[k], x[k], y[k]

    def merged(self) -> tuple[Tensor, Tensor]:
        """The examples of the smallest keys of all processes, in the order of their keys."""
        keys = gathered(torch.from_numpy(self.keys))
        smallest = keys.flatten().sort().values[: len(self.keys)]
        chosen = (keys <= smallest[-1]) & keys.isfinite()
        most = int(chosen.sum(1).max())
        own = torch.from_numpy((self.keys <= float(smallest[-1])) & np.isfinite(self.keys))
        parts = []
        for values in (self.x, self.y):
            padded = values.new_zeros(most, *values.shape[1:])
            padded[: int(own.sum())] = values[own]
            everyone = zip(gathered(padded), chosen.sum(1).tolist(), strict=True)
            parts.append(torch.cat([found[:count] for found, count in everyone]))
        order = keys[chosen].argsort()
        return parts[0][order], parts[1][order]


def summary(batches: Batches, where: Place, size: int, seed: int) -> Summary:
    """Go through a stream once; each example has a random key, and the smallest keys are kept.

    The keys depend on the seed and the number of the batch, so the sample is the same however
    many processes draw it.

    Raises:
        ValueError: for a stream of fewer batches than processes, or if the processes were given
            different streams.
    """
    pool, device = Pool(size), torch.device("cpu")
    total, count = torch.zeros((), dtype=torch.float64), 0
    walk = Walk(batches, where, skips=where.processes > 1)
    with torch.random.fork_rng(devices=[]), together():
        for mark, x, y in walk:
            keys = generator(seed, "reservoir", mark.number).random(len(x))
            pool.offer(x.cpu(), y.cpu(), keys)
            total = total + x.double().sum(0).cpu()
            count, device = count + len(x), x.device
        if not count:
            raise ValueError(
                f"the stream holds {walk.last.seen} examples in {walk.last.number + 1} batches; "
                f"each of {where.processes} processes needs a batch."
            )
    check_same_order(walk, where)
    counts = gathered(torch.tensor(count)).sum()
    centre = gathered(total).sum(0) / float(counts)
    return Summary(*pool.merged(), centre, int(counts), device)


def check_same_order(walk: Walk, where: Place) -> None:
    """Refuse streams that differ between the processes, each of which takes its batches by number.

    Raises:
        ValueError: if they differ.
    """
    if where.processes == 1:
        return
    own = torch.tensor(list(bytes.fromhex(walk.last.order)), dtype=torch.uint8)
    if not (gathered(own) == own).all():
        raise ValueError(
            "the processes were given different streams, or the same in different order. Give all "
            "of them the same whole stream: a DataLoader without shuffle, or with a generator of "
            "the same seed."
        )
