"""One training loop: functions of (parameters, batch, draw), with nothing random left in them."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate.utils import convert_to_fp32
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from vicinal.machine.devices import forked
from vicinal.machine.processes import add_up, deal, place
from vicinal.maths.losses import Family
from vicinal.maths.randomness import draw_generator, generator
from vicinal.mixing.choice import During, strategy_at
from vicinal.mixing.draw import Strategy
from vicinal.study.options import Precision, Recipe
from vicinal.study.training.resume import Position, Row, Trained, resume, save
from vicinal.study.training.stack import State, objectives, stacked


@dataclass(frozen=True)
class Member:
    """A model to train, and how it differs from those that are trained along with it.

    Attributes:
        name: of the run.
        model: trained in place.
        strategy: how batches are mixed; None trains without mixing. Of a schedule, time is the
            fraction of the epochs done.
        x: training inputs, where the model is.
        y: their targets.
        seed: of batch order and draws.
        evaluate: called with the epoch, from 1, after it; what it returns joins its row.
    """

    name: str
    model: nn.Module
    strategy: Strategy | During | None
    x: Float[Tensor, "n *rest"]
    y: Shaped[Tensor, "n *k"]
    seed: int
    evaluate: Callable[[int], Row]


def train(
    members: Sequence[Member],
    family: Family,
    recipe: Recipe,
    *,
    parts: int = 1,
    checkpoint: Path,
    progress: Callable[[], None],
    every: float = 10.0,
) -> list[Trained]:
    """Train models in place, side by side; a training that was killed goes on from its checkpoint.

    Batch order, draws and torch's random state are keyed by (seed, epoch, step, part), so a
    resumed training meets the same batches and ends with the same numbers, bit for bit, on the
    same machine. Members do not touch one another: one whose loss is not finite is left aside.

    Args:
        members: of one build, with as many examples each; more than one must be `stackable`.
        family: the loss.
        recipe: how to train.
        parts: batches are cut into so many parts, at most the batch size. Partners are drawn within
            a part, and BatchNorm sees a part. Processes share the parts of a step; a process that
            has several adds up their gradients. So it is the number of parts that decides the
            numbers, not the number of processes.
        checkpoint: file that holds the state every so often and at the end, replaced atomically;
            the caller removes it. Of several processes the first one reads and writes it.
        progress: called after each epoch, those found in the checkpoint included.
        every: seconds between checkpoints.

    Warns:
        UserWarning: if the checkpoint cannot be read; it is set aside, and training starts anew.
            If it cannot be written; training goes on.

    Returns:
        What became of each member.
    """
    state = stacked([member.model for member in members])
    optimiser = torch.optim.AdamW(
        [value for value in state.values() if value.requires_grad],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    names = [member.name for member in members]
    steps = math.ceil(len(members[0].x) / recipe.batch_size)
    at = resume(checkpoint, names, state, optimiser, epochs=recipe.epochs, steps=steps)
    for _ in range(at.epoch):
        progress()
    saved = time.monotonic()  # which no change of the clock touches
    with forked(), _passes_in(recipe.precision, members[0].model):
        while at.epoch < recipe.epochs and any(t.failed is None for t in at.trained):
            orders = [_order(member, at.epoch) for member in members]
            for member in members:
                member.model.train()
            for step in range(at.step, steps):
                start = step * recipe.batch_size
                rows = [order[start : start + recipe.batch_size] for order in orders]
                done = at.epoch * steps + step
                for group in optimiser.param_groups:
                    group["lr"] = recipe.learning_rate * _rate(done, recipe.epochs * steps)
                optimiser.zero_grad()
                at.totals += _gradients(members, state, rows, at, family, recipe, parts) * len(
                    rows[0]
                )
                optimiser.step()
                at.step = step + 1
                if time.monotonic() - saved >= every:
                    save(checkpoint, names, state, optimiser, at)
                    saved = time.monotonic()
            _end_epoch(members, at)
            progress()
    save(checkpoint, names, state, optimiser, at)
    return at.trained


def _gradients(
    members: Sequence[Member],
    state: State,
    rows: Sequence[Int[Tensor, " n"]],
    at: Position,
    family: Family,
    recipe: Recipe,
    parts: int,
) -> Float[Tensor, " members"]:
    """Give the parameters their gradients over one batch; returns the mean loss of each member."""
    where = place()
    total = torch.zeros_like(at.totals)
    buffers = _Buffers(state) if parts > 1 else None
    for part in range(where.rank, parts, where.processes):
        own = [chosen.tensor_split(parts)[part] for chosen in rows]
        if len(own[0]) == 0:
            continue  # the last batch of an epoch may be smaller than the number of parts
        weight = len(own[0]) / len(rows[0])
        losses = _losses(members, state, own, at, part, family, recipe, parts)
        (weight * losses.sum()).backward()  # type: ignore[no-untyped-call]
        total += weight * losses.detach().double()
        if buffers is not None:
            buffers.take(weight)
    if buffers is not None:
        grads = [_gradient(value) for value in state.values() if value.requires_grad]
        add_up([*grads, total, *buffers.sums])
        buffers.put()
    return total


def _gradient(value: Tensor) -> Tensor:
    """The gradient of a parameter, 0 where a process had no part of the batch."""
    if value.grad is None:
        value.grad = torch.zeros_like(value)
    return value.grad


def _losses(
    members: Sequence[Member],
    state: State,
    rows: Sequence[Int[Tensor, " n"]],
    at: Position,
    part: int,
    family: Family,
    recipe: Recipe,
    parts: int,
) -> Float[Tensor, " members"]:
    """The mean losses of one part of a batch."""
    xs = [member.x[own] for member, own in zip(members, rows, strict=True)]
    ys = [member.y[own] for member, own in zip(members, rows, strict=True)]
    draws = []
    for member, x, y in zip(members, xs, ys, strict=True):
        mixing = strategy_at(member.strategy, at.epoch / recipe.epochs)
        rng = draw_generator(member.seed, epoch=at.epoch, step=at.step, rank=part)
        draws.append(None if mixing is None else mixing(x, y, rng))
    # for dropout in someone's model, which is not trained along with others
    key = generator(members[0].seed, "torch", at.epoch, at.step, part)
    _seed(int(key.integers(2**62)), xs[0].device)
    return objectives(members[0].model, state, xs, ys, draws, family)


def _seed(seed: int, device: torch.device) -> None:
    """Seed what a model draws from; `torch.manual_seed` would also note this for absent devices."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed_all(seed)  # not only the current one


class _Buffers:
    """Buffers, such as the running statistics of BatchNorm, over the parts of a batch.

    Every part starts from the same, and afterwards they are the mean over the parts, weighted by
    their examples: so they do not depend on which process had which part.
    """

    def __init__(self, state: State) -> None:
        self.now = [value for value in state.values() if not value.requires_grad]
        self.before = [value.clone() for value in self.now]
        self.sums = [torch.zeros_like(value, dtype=torch.float64) for value in self.now]

    def take(self, weight: float) -> None:
        """Add what a part has left, and start again from before."""
        for total, value, old in zip(self.sums, self.now, self.before, strict=True):
            total.add_(value, alpha=weight)
            value.copy_(old)

    def put(self) -> None:
        """Leave the mean over the parts; counters, which all parts raise alike, stay whole."""
        for total, value in zip(self.sums, self.now, strict=True):
            value.copy_(total if value.is_floating_point() else total.round())


def _end_epoch(members: Sequence[Member], at: Position) -> None:
    """Evaluate the members whose loss is a number, and start the next epoch."""
    at.epoch, at.step = at.epoch + 1, 0
    going: list[tuple[Member, Trained, float]] = []
    for member, trained, total in zip(members, at.trained, at.totals.tolist(), strict=True):
        if trained.failed is None and math.isfinite(total):
            going.append((member, trained, total / len(member.x)))
        elif trained.failed is None:
            trained.failed = at.epoch
    rows = deal(lambda one: one[0].evaluate(at.epoch), going)
    for (_, trained, mean), row in zip(going, rows, strict=True):
        trained.history.append({"epoch": at.epoch, "objective": mean} | row)
    at.totals = torch.zeros_like(at.totals)


def _order(member: Member, epoch: int) -> Int[Tensor, " n"]:
    order = generator(member.seed, "order", epoch).permutation(len(member.x))
    return torch.from_numpy(order).to(member.x.device)


def _rate(step: int, steps: int) -> float:
    return min(1.0, 10 * (step + 1) / steps) * (1 + math.cos(math.pi * step / steps)) / 2


@contextmanager
def _passes_in(precision: Precision, model: nn.Module) -> Iterator[None]:
    """Autocast, with what comes out of the model in float32 again, for the loss."""
    if precision == "float32":
        yield
        return
    handle = model.register_forward_hook(lambda module, inputs, output: convert_to_fp32(output))
    device = next(model.parameters()).device.type
    try:
        with torch.autocast(device, torch.bfloat16):
            yield
    finally:
        handle.remove()
