"""One training loop: functions of (parameters, batch, draw), with nothing random left in them."""

import copy
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call

from vicinal.losses import Family
from vicinal.mixing.choice import During, strategy_at
from vicinal.mixing.draw import AnyDraw, Strategy
from vicinal.mixing.labels import vicinal_losses
from vicinal.randomness import draw_generator, generator
from vicinal.store import set_aside

Row = dict[str, float]
"""What is known after one epoch, by name."""


class Diverged(Exception):
    """The training loss stopped being a number."""

    def __init__(self, epoch: int, history: list[Row]) -> None:
        super().__init__(f"the training loss was not finite in epoch {epoch}")
        self.epoch = epoch
        self.history = history


@dataclass(frozen=True)
class Schedule:
    """How to train: AdamW, the rate rising over the first tenth of the steps, then falling.

    The rate falls to 0 along a cosine (Loshchilov and Hutter 2017 and 2019, arXiv:1608.03983 and
    arXiv:1711.05101).

    Attributes:
        epochs: passes over the training data, at least 1.
        batch_size: examples per step; the last batch of an epoch may be smaller.
        learning_rate: what the rate would be without rising and falling.
        weight_decay: decoupled, on all parameters.
        seed: of batch order and draws.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int


class _Objective(nn.Module):
    """The loss of a batch as a module, so that all that it runs of the model is functional."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor, draw: AnyDraw, family: Family) -> Tensor:
        return vicinal_losses(self.model, x, y, draw, family).mean()


def objective(
    model: nn.Module,
    state: dict[str, Tensor],
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    draw: AnyDraw,
    family: Family,
) -> Float[Tensor, ""]:
    """The mean loss of one mixed batch as a function of the model's parameters and buffers."""
    named = {f"model.{name}": value for name, value in state.items()}
    loss: Tensor = functional_call(_Objective(model), named, (x, y, draw, family))
    return loss


def train(
    model: nn.Module,
    strategy: Strategy | During | None,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    family: Family,
    schedule: Schedule,
    *,
    evaluate: Callable[[int], Row],
    checkpoint: Path,
    progress: Callable[[], None],
) -> list[Row]:
    """Train a model in place; a run that was killed goes on from its last whole epoch.

    Batch order and draws are keyed by (seed, epoch, step), so a resumed run meets the same
    batches and ends with the same numbers, bit for bit, on the same machine.

    Args:
        model: trained in place.
        strategy: how batches are mixed; None trains without mixing. Of a schedule, time is the
            fraction of the epochs done.
        x: training inputs.
        y: their targets.
        family: the loss.
        schedule: how to train.
        evaluate: called with the epoch, from 1, after it; what it returns joins its row.
        checkpoint: file that holds the state after each epoch, replaced atomically.
        progress: called after each epoch, those found in the checkpoint included.

    Warns:
        UserWarning: if the checkpoint cannot be read; it is set aside, and training starts anew.

    Returns:
        One row per epoch: "epoch" from 1, "objective" (mean loss as trained), and what
        `evaluate` gave.

    Raises:
        Diverged: if the loss of a step is not finite; it carries the rows so far.
    """
    state = dict(model.named_parameters()) | dict(model.named_buffers())
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    history = _resume(checkpoint, model, optimiser)
    for _ in history:
        progress()
    starts = range(0, len(x), schedule.batch_size)
    for epoch in range(len(history), schedule.epochs):
        order = torch.from_numpy(generator(schedule.seed, "order", epoch).permutation(len(x)))
        total = torch.zeros((), dtype=torch.float64)
        model.train()
        mixing = strategy_at(strategy, epoch / schedule.epochs)
        with torch.random.fork_rng():  # for dropout in someone's model
            torch.manual_seed(int(generator(schedule.seed, "torch", epoch).integers(2**62)))
            for step, start in enumerate(starts):
                rows = order[start : start + schedule.batch_size]
                rate = _rate(epoch * len(starts) + step, schedule.epochs * len(starts))
                for group in optimiser.param_groups:
                    group["lr"] = schedule.learning_rate * rate
                rng = draw_generator(schedule.seed, epoch=epoch, step=step)
                draw = None if mixing is None else mixing(x[rows], y[rows], rng)
                loss = objective(model, state, x[rows], y[rows], draw, family)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                total += loss.detach().double() * len(rows)
        mean = float(total / len(x))
        if not math.isfinite(mean):
            raise Diverged(epoch + 1, history)
        history.append({"epoch": epoch + 1, "objective": mean} | evaluate(epoch + 1))
        _save(checkpoint, model, optimiser, history)
        progress()
    return history


def _rate(step: int, steps: int) -> float:
    return min(1.0, 10 * (step + 1) / steps) * (1 + math.cos(math.pi * step / steps)) / 2


def _save(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, history: list[Row]
) -> None:
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "history": history,
    }
    partial = path.with_name(f"{path.name}.partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _resume(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> list[Row]:
    """Load the last whole epoch; a checkpoint that cannot be read is set aside."""
    if not path.exists():
        return []
    content = BytesIO(path.read_bytes())  # apart, because torch raises OSError for damage too
    initial = copy.deepcopy(model.state_dict())
    try:
        state: dict[str, Any] = torch.load(content, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        return list(state["history"])
    except Exception as error:  # a damaged file makes torch raise anything
        model.load_state_dict(initial)  # half of a checkpoint must not be trained on
        aside = set_aside(path)
        warnings.warn(
            f"the checkpoint {path.name} could not be read ({type(error).__name__}); set aside as "
            f"{aside.name}, training from the start.",
            stacklevel=3,
        )
        return []
