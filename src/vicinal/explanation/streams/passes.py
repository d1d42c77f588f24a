"""The second pass: sums over all batches, shared by the processes and saved as they grow."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vicinal.explanation.streams.batches import Batches, Walk
from vicinal.explanation.streams.reservoir import check_same_order
from vicinal.machine.processes import Place, gathered, place, together
from vicinal.maths.losses import Family
from vicinal.models.forward import check_targets, first_outputs
from vicinal.models.numbers import warn_of_probable, warn_of_rounding

Progress = Callable[[int], None]
"""Told how many examples of the stream lie behind."""


@dataclass
class Sums:
    """Sums over the batches that were done.

    Attributes:
        done: number of the batch that comes next.
        order: which batches came before it, as a hash.
        count: examples of this process.
        values: float64, on the CPU.
    """

    done: int
    order: str
    count: int
    values: Tensor


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds sums, and what they are sums of.

    Attributes:
        path: of the file, one for each process.
        what: on what the sums depend, but for the model.
        probe: some of the model's outputs, to know it by.
    """

    path: Path
    what: str
    probe: Tensor

    def save(self, sums: Sums) -> None:
        """Replace the file in one step."""
        partial = self.path.with_name(f".{self.path.name}.partial")
        torch.save({"what": self.what, "probe": self.probe, **vars(sums)}, partial)
        os.replace(partial, self.path)

    def read(self) -> Sums | None:
        """The sums of a call that was stopped.

        Raises:
            ValueError: if they are those of another call.
        """
        if not self.path.exists():
            return None
        saved = torch.load(self.path, weights_only=True)
        what, probe = saved.pop("what"), saved.pop("probe")
        if what != self.what or not _close(probe, self.probe):
            raise ValueError(
                f"the checkpoint {self.path} was made by another call: another model, other data, "
                "another law, seed, number of partners or of processes. Remove it, or name another "
                "file."
            )
        return Sums(**saved)


def swept(
    batches: Batches,
    of_batch: Callable[[int, Tensor, Tensor], Tensor],
    start: Tensor,
    checkpoint: Checkpoint | None,
    *,
    device: torch.device | str | None,
    progress: Progress | None,
) -> tuple[Tensor, int]:
    """The sum over all batches, of all processes, and the number of examples.

    Args:
        batches: the stream.
        of_batch: gives the summand for the number of a batch, x and y.
        start: zeros of the shape of a summand, float64.
        checkpoint: where sums are kept; None for nowhere.
        device: where batches are moved; None leaves them where they are.
        progress: told after each batch of this process.

    Raises:
        ValueError: for a checkpoint of another call or of another order of batches, or streams
            that differ between the processes.
    """
    where = place()
    with together():
        sums = (checkpoint and checkpoint.read()) or Sums(0, "", 0, start)
        skips = where.processes > 1 or checkpoint is not None
        walk = Walk(batches, where, sums.done, skips=skips)
        for mark, x, y in walk:
            _check_resumed(walk, sums)
            moved = (x, y) if device is None else (x.to(device), y.to(device))
            values = sums.values + of_batch(mark.number, *moved)
            sums = Sums(mark.number + 1, mark.order, sums.count + len(x), values)
            if checkpoint is not None:
                checkpoint.save(sums)
            if progress is not None:
                progress(mark.seen)
    check_same_order(walk, where)
    count = int(gathered(torch.tensor(sums.count)).sum())
    values = gathered(sums.values).sum(0)  # in order of ranks, so that all get the same
    if checkpoint is not None:
        checkpoint.path.unlink(missing_ok=True)
    return values, count


def checkpoint_at(path: Path | None, where: Place, what: str, probe: Tensor) -> Checkpoint | None:
    """The checkpoint of this process, which adds its rank to the name."""
    if path is None:
        return None
    named = path.with_name(f"{path.name}.{where.rank}")
    return Checkpoint(named, f"{what} {where}", probe.double().cpu())


def probed(f: Callable[[Tensor], Tensor], kept: Tensor, family: Family) -> Tensor:
    """The model's outputs for a few examples, pointed out where they look like probabilities."""
    outputs = first_outputs(f, kept)
    warn_of_probable(outputs, family)
    warn_of_rounding(outputs)
    return outputs


def check_batch(
    f: Callable[[Tensor], Tensor],
    number: int,
    x: Tensor,
    y: Tensor,
    family: Family,
    outputs: Tensor,
) -> None:
    """Check the targets of every batch, and the model on the first of this process.

    Raises:
        ValueError, TypeError: if counts, kinds or ranges do not fit.
    """
    if number == place().rank:
        check_targets(f, x, y, family)
    check_labels(family, outputs, y)


def check_labels(family: Family, outputs: Tensor, y: Tensor) -> None:
    """Check targets against the shape of some outputs of the model.

    Raises:
        ValueError, TypeError: if kinds or ranges do not fit.
    """
    family.check_labels(outputs[:1].expand(len(y), *outputs.shape[1:]), y)


def _check_resumed(walk: Walk, sums: Sums) -> None:
    if sums.done == walk.start and walk.before.order != sums.order:
        raise ValueError(
            "the stream gives other batches than before it was stopped, or the same in another "
            "order, so its sums cannot be continued. Pass a DataLoader without shuffle, or with a "
            "generator of the same seed; or remove the checkpoint."
        )


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6)
