"""The draws of the loop, made by the workers of a DataLoader instead.

What a worker does not know, the epoch and the step, travels with the indices that the
sampler hands out. So the draws depend neither on the number of workers nor on which of them
makes them, and are those of a loop that calls ``draw_generator(seed, epoch=..., step=...)``::

    loader = DataLoader(
        Keyed(dataset),
        batch_sampler=KeyedBatches(BatchSampler(RandomSampler(dataset), 64, drop_last=False)),
        collate_fn=Collate(Mixup(0.2), seed=0),
        num_workers=4,
    )
    for x, y, draw in loader:
        vicinal_losses(model, x, y, draw, loss).mean().backward()
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, Sampler, default_collate

from vicinal.maths.randomness import draw_generator
from vicinal.mixing.draw import AnyDraw, Strategy

Key = tuple[int, int, int]
"""Epoch, step within the epoch, index of the sample."""


class KeyedBatches(Sampler[list[Key]]):
    """Batches of indices, each with its epoch and step; every pass is the next epoch.

    Args:
        batches: a batch sampler: an iterable of lists of indices.
    """

    def __init__(self, batches: Iterable[Sequence[int]]) -> None:
        self.batches = batches
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next pass, for instance of a run that is resumed."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        for step, rows in enumerate(self.batches):
            yield [(epoch, step, row) for row in rows]

    def __len__(self) -> int:
        if not isinstance(self.batches, Sized):
            raise TypeError(f"{type(self.batches).__name__} has no length.")
        return len(self.batches)


@dataclass(frozen=True)
class Keyed(Dataset[tuple[int, int, Any]]):
    """A map-style data set whose samples come with the epoch and step they are loaded for.

    Args:
        data: anything with ``data[index]`` and a length, whose samples are (x, y).
    """

    data: Any

    def __getitem__(self, key: Key) -> tuple[int, int, Any]:
        epoch, step, row = key
        return epoch, step, self.data[row]

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class Collate:
    """A collate_fn that adds a draw: samples become (x, y, draw).

    Mixing itself is left to the loop, on the device of the model; move the batch and
    ``draw.to(device)``.

    Args:
        strategy: how batches are mixed.
        seed: of the run.
        rank: of this process, where each process numbers its own steps.
        collate: makes a batch (x, y) of samples (x, y).
    """

    strategy: Strategy | None
    seed: int
    rank: int = 0
    collate: Callable[[list[Any]], tuple[Tensor, Tensor]] = default_collate

    def __call__(self, samples: list[tuple[int, int, Any]]) -> tuple[Tensor, Tensor, AnyDraw]:
        """A batch with its draw."""
        epoch, step, _ = samples[0]
        x, y = self.collate([sample for _, _, sample in samples])
        if self.strategy is None:
            return x, y, None
        rng = draw_generator(self.seed, epoch=epoch, step=step, rank=self.rank)
        return x, y, self.strategy(x, y, rng)
