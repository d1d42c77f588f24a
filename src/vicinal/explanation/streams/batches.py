"""Who computes which batch: the n-th of so many processes takes every n-th."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data.distributed import DistributedSampler

from vicinal.machine.processes import Place
from vicinal.maths.arguments import check_inputs, check_tensors

Batches = Iterable[Sequence[Tensor]]
"""Anything that gives (x, y) batches and can be gone through twice, such as a DataLoader."""


class Mark(NamedTuple):
    """What is known of a stream after one of its batches."""

    number: int  # of the batch, from 0
    seen: int  # examples up to its end
    order: str  # which batches came up to here, as a hash


class Turn(NamedTuple):
    """A batch that is this process's to compute."""

    mark: Mark
    x: Tensor
    y: Tensor


class Walk:
    """Goes through a stream once, giving the batches of one process; `last` is where it stands.

    Where some are `skipped`, batches of other processes and those before `start`, and the stream
    is a DataLoader that picks examples by number, they are not even loaded.
    """

    def __init__(self, batches: Batches, where: Place, start: int = 0, *, skips: bool) -> None:
        self.batches, self.where, self.start, self.skips = batches, where, start, skips
        self.last = Mark(-1, 0, "")
        self.before = self.last  # the mark of the batch before `start`

    def __iter__(self) -> Iterator[Turn]:
        sampler = _index_sampler(self.batches, self.where) if self.skips else None
        yield from self._all() if sampler is None else self._own(sampler)

    def _all(self) -> Iterator[Turn]:
        """All batches are looked at; others' are only counted."""
        marked = self._marked(self.batches, _contents, lambda batch: len(batch[0]))
        for mark, (x, y) in marked:
            if self._mine(mark):
                yield Turn(mark, x, y)

    def _own(self, sampler: Iterable[Sequence[int]]) -> Iterator[Turn]:
        """Only own batches are loaded, through a copy of the loader."""
        loader, waiting = self.batches, deque[Mark]()
        assert isinstance(loader, DataLoader)

        def own() -> Iterator[Sequence[int]]:
            for mark, rows in self._marked(sampler, repr, len):
                if self._mine(mark):
                    waiting.append(mark)
                    yield rows

        for x, y in _copied(loader, own()):
            yield Turn(waiting.popleft(), x, y)

    def _marked(
        self, batches: Iterable[Any], contents: Callable[[Any], str], size: Callable[[Any], int]
    ) -> Iterator[tuple[Mark, Any]]:
        hashed, seen = sha256(), 0
        for number, batch in enumerate(batches):
            hashed.update(contents(batch).encode())
            seen += size(batch)
            self.last = Mark(number, seen, hashed.hexdigest())
            if number == self.start - 1:
                self.before = self.last
            yield self.last, batch

    def _mine(self, mark: Mark) -> bool:
        return mark.number >= self.start and mark.number % self.where.processes == self.where.rank


def check_pair(batch: object) -> None:
    """Refuse batches that are no pair of inputs and targets.

    Raises:
        TypeError: then.
        ValueError: for inputs without numbers.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise TypeError(f"batches must be pairs (x, y) of tensors, got {type(batch).__name__}.")
    check_inputs(batch[0])
    check_tensors(y=batch[1])


def _contents(batch: Sequence[Tensor]) -> str:
    """What tells this batch from others, cheaply: the number of its examples and their sum.

    Raises:
        TypeError: for a batch that is no pair of tensors.
    """
    check_pair(batch)
    return f"{len(batch[0])} {float(batch[0].double().sum())!r}"


def _index_sampler(loader: Batches, where: Place) -> Iterable[Sequence[int]] | None:
    """The rows of each batch, over all processes; None where a stream has no such numbers.

    Raises:
        ValueError: for a loader that gives each process its own part of the data.
    """
    if not isinstance(loader, DataLoader):
        return None
    sampler, shared = loader.batch_sampler, False
    if where.processes > 1:
        from accelerate import data_loader as prepared  # slow to import

        shared = isinstance(loader.dataset, prepared.IterableDatasetShard)
        shared = shared or issubclass(type(loader), prepared.DataLoaderDispatcher)
        while isinstance(sampler, prepared.BatchSamplerShard):
            sampler = sampler.batch_sampler
    if shared or isinstance(getattr(sampler, "sampler", None), DistributedSampler):
        raise ValueError(
            "the loader gives each process its own part of the data, and may repeat examples to "
            "make parts equal. Pass the loader as it was before accelerator.prepare, and without "
            "DistributedSampler: the work is shared here."
        )
    plain = type(loader) is DataLoader or sampler is not loader.batch_sampler
    return sampler if plain and not isinstance(loader.dataset, IterableDataset) else None


def _copied(loader: DataLoader[Any], rows: Iterable[Sequence[int]]) -> DataLoader[Any]:
    """The loader with other batches."""
    return DataLoader(
        loader.dataset,
        batch_sampler=rows,  # type: ignore[arg-type]  # any iterable of rows will do
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=torch.Generator(),
        prefetch_factor=loader.prefetch_factor,
    )
