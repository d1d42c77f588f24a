"""Where a training is, and how it goes on from there after it was stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.machine import checkpoints
from vicinal.machine.processes import agreed, place
from vicinal.study.training.stack import State

Row = dict[str, float]
"""What is known after one epoch, by name."""


@dataclass
class Trained:
    """What became of a member.

    Attributes:
        history: one row per epoch: "epoch" from 1, "objective" (mean loss as trained), and what
            `evaluate` gave.
        failed: the epoch in which its loss stopped being a number, where `history` ends.
    """

    history: list[Row]
    failed: int | None = None


@dataclass
class Position:
    """Where a training is: the epoch and step to come, and the losses of this epoch so far."""

    epoch: int
    step: int
    totals: Float[Tensor, " members"]
    trained: list[Trained]


def save(
    path: Path,
    names: Sequence[str],
    state: State,
    optimiser: torch.optim.Optimizer,
    at: Position,
) -> None:
    """Replace the checkpoint; of several processes, which hold the same, the first does it."""
    if place().rank > 0:
        return
    checkpoints.save(
        path,
        {
            "members": list(names),
            "epoch": at.epoch,
            "step": at.step,
            "totals": at.totals,
            "trained": [asdict(trained) for trained in at.trained],
            "state": {name: value.detach() for name, value in state.items()},
            "optimiser": optimiser.state_dict(),
        },
    )


def resume(
    path: Path,
    names: Sequence[str],
    state: State,
    optimiser: torch.optim.Optimizer,
    *,
    epochs: int,
    steps: int,
) -> Position:
    """Go where the checkpoint is; one that cannot be used is set aside and leaves no trace.

    Nothing random is in it: order, draws and torch's random state follow from seed, epoch, step
    and part.

    Args:
        path: of the checkpoint; of several processes the first one reads it.
        names: of the runs that are trained together.
        state: parameters and buffers, which are changed, on any device.
        optimiser: of the parameters, which is changed.
        epochs: of the whole training.
        steps: of an epoch.

    Warns:
        UserWarning: if it cannot be used.
    """
    found = agreed(checkpoints.load(path) if place().rank == 0 else None)
    device = next(iter(state.values())).device
    totals = torch.zeros(len(names), dtype=torch.float64, device=device)
    start = Position(0, 0, totals, [])
    start.trained = [Trained([]) for _ in names]
    if found is None:
        return start
    try:
        if found["members"] != list(names):
            raise ValueError("it is of other runs")
        _check(found, len(names), epochs, steps)
        trained = [Trained(**each) for each in found["trained"]]
        at = Position(found["epoch"], found["step"], found["totals"].to(device), trained)
        saved = [found["state"][name] for name in state]
        if any(not _alike(a, b) for a, b in zip(saved, state.values(), strict=True)):
            raise ValueError("its parameters have other shapes")
        optimiser.load_state_dict(found["optimiser"])
    except Exception as error:  # anything may be missing, or of another kind
        if place().rank == 0:
            checkpoints.refuse(path, error)
        return start
    with torch.no_grad():
        for old, value in zip(saved, state.values(), strict=True):
            value.copy_(old)
    return at


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype


def _check(found: Mapping[str, Any], members: int, epochs: int, steps: int) -> None:
    """Refuse a position in which no training of this schedule can be.

    Raises:
        ValueError: then.
    """
    epoch, step, totals, trained = (found[k] for k in ("epoch", "step", "totals", "trained"))
    if not (_counts(epoch, epochs) and _counts(step, steps if epoch < epochs else 0)):
        raise ValueError(
            f"it is at epoch {epoch!r}, step {step!r} of {epochs} epochs of {steps} steps"
        )
    if totals.shape != (members,) or totals.dtype != torch.float64:
        raise ValueError("it has no sum of losses for each run")
    if len(trained) != members:
        raise ValueError(f"it has {len(trained)} histories of {members} runs")
    for one in trained:
        failed = one["failed"]
        if failed is not None and not (_counts(failed, epoch) and failed > 0):
            raise ValueError(f"a run failed in epoch {failed!r} of {epoch}")
        rows = epoch if failed is None else failed - 1
        if [row["epoch"] for row in one["history"]] != list(range(1, rows + 1)):
            raise ValueError(f"a history does not end with epoch {rows}")


def _counts(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most
