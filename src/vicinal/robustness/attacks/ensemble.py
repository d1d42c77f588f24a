"""The ensemble behind the worst case: its attacks in order, their accounts, their verification."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from vicinal.machine.processes import Place, deal
from vicinal.maths.randomness import generator
from vicinal.robustness.attacks import apgd, fab, noise, square, transfer
from vicinal.robustness.attacks.ball import Ball, Norm, spread_out
from vicinal.robustness.attacks.door import Function, draw_anew
from vicinal.robustness.attacks.goal import Goal
from vicinal.robustness.attacks.meter import Exhausted, Meter
from vicinal.robustness.attacks.progress import State, remember

BATCH = 128  # examples attacked at once, which bounds the memory; what is dealt to processes
STARTS: dict[Norm, int] = {"linf": 1, "l2": 1, "l1": 5}  # as in the standard AutoAttack
HOLDS, CLEAN, FIRST = -1, 1, 2  # in State.by: not broken, wrong without attack, the first stage

Attack = Callable[[Function, Ball, Goal, np.random.Generator], tuple[Tensor, Tensor]]
Progress = Callable[[float, float], None]
"""Told the share of the expected work that is done, and the seconds that seem left."""


@dataclass(frozen=True)
class Stage:
    """One attack of the ensemble.

    Attributes:
        name: of the attack.
        passes: for an example that holds out, forward and backward one apiece.
        run: the attack.
    """

    name: str
    passes: int
    run: Attack


def stages(norm: Norm, twin: Function | None) -> tuple[Stage, ...]:
    """The ensemble in the order of what an example broken costs, the cheapest first."""
    starts, targets = STARTS[norm], apgd.TARGETS[norm]
    found = [
        Stage("noise", noise.DRAWS, lambda f, b, a, rng: noise.attack(f, b, a, noise.DRAWS, rng)),
        Stage("apgd", 2 * apgd.STEPS, _apgd("family", from_x=True)),
        Stage("apgd restarted", 2 * apgd.STEPS * starts, _apgd("family", starts=starts)),
        Stage("apgd targeted", 2 * apgd.STEPS * targets, _apgd("targeted")),
        Stage("fab", 2 * fab.STEPS * fab.TARGETS, _fab),
        Stage("square", square.QUERIES, _square),
    ]
    if twin is not None:
        moved = lambda f, b, a, rng: transfer.attack(f, twin, b, a, rng)  # noqa: E731
        found.insert(1, Stage("transfer", 1, moved))
    return tuple(found)


def _apgd(loss: apgd.Ascent, *, from_x: bool = False, starts: int = 1) -> Attack:
    def attack(f: Function, b: Ball, a: Goal, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        found, broken = b.x.clone(), torch.zeros(len(b.x), dtype=torch.bool, device=b.x.device)
        for _ in range(starts):
            left = (~broken).nonzero()[:, 0]
            if not len(left):
                break
            start = None if from_x else rng
            found[left], broken[left] = apgd.attack(f, b[left], a[left], apgd.STEPS, loss, start)
        return found, broken

    return attack


def _fab(f: Function, b: Ball, a: Goal, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    whole = dataclasses.replace(b, eps=torch.inf)
    if b.eps == 0:
        return b.x, a.broken(f(b.x))
    near = fab.attack(f, whole, a, fab.STEPS, enough=b.eps)
    return near.x, near.distance <= b.eps


def _square(f: Function, b: Ball, a: Goal, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    return square.attack(f, b, a, square.QUERIES, rng)


@dataclass(frozen=True)
class Tried:
    """What an attack did to one batch.

    Attributes:
        won: which examples it broke, verified.
        z: the points that broke them.
        refused: claims that were not confirmed.
        undefined: examples with outputs that were not finite.
        spent: what it cost.
        seconds: and how long it took.
        ended: whether the budget ended before it did; then nothing counts but `undefined`.
    """

    won: np.ndarray
    z: Tensor
    refused: int
    undefined: np.ndarray
    spent: Meter
    seconds: float
    ended: bool


@dataclass(frozen=True)
class Run:
    """One call of `worst_case`; its batches are dealt to the processes of `where`."""

    f: Function
    within: Ball
    aim: Goal
    meter: Meter
    stages: tuple[Stage, ...]
    where: Place

    def name(self) -> str:
        """What decides the result but for the model and the random numbers."""
        b, a = self.within, self.aim
        described = (b.norm, b.eps, a.family.name, a.tolerance, *(s.name for s in self.stages))
        arrays = (b.x, a.y, b.low, b.high, b.scale)
        return repr((*described, *(digest(array) for array in arrays)))

    def probe(self, random: bool) -> np.ndarray:
        """Outputs by which the model is known again; nothing for one that draws at random."""
        outputs = self.f(self.within.x[:16]).cpu().numpy()
        return np.zeros(0) if random else outputs

    def through(self, state: State, resume: Path | None, progress: Progress) -> bool:
        """All stages, from where the state stands; False if the budget ended before them."""
        if not state.by.any():
            self._clean(state)
        try:
            for place in range(state.stage, len(self.stages)):
                self._stage(place, state, resume, progress)
        except Exhausted:
            return False
        return True

    def _clean(self, state: State) -> None:
        """Mistakes without any attack."""
        draw_anew(self.within.x.device, state.seed, "clean")
        for rows in _chunks(np.arange(len(state.by))):
            broken = self.aim[rows].broken(self.f(self.within.x[rows])).cpu().numpy()
            state.by[rows.numpy()] = np.where(broken, CLEAN, HOLDS)
        state.undefined |= self.aim.undefined.cpu().numpy()

    def _stage(self, place: int, state: State, resume: Path | None, progress: Progress) -> None:
        if state.stage < place or len(state.accounts) <= place:
            state.begin(place)
        batches = list(_chunks(np.flatnonzero((state.by < 0) & ~state.done)))
        for k in range(0, len(batches), self.where.processes):
            some = batches[k : k + self.where.processes]
            tries = deal(partial(self._try, self.stages[place], state.seed), some, self.where)
            for rows, tried in zip(some, tries, strict=True):
                self._take(place, state, rows, tried)
            if self.where.rank == 0:
                remember(resume, state)
            progress(*self._left(place, state))
        state.stage = place + 1

    def _try(self, stage: Stage, seed: int, rows: Tensor) -> Tried:
        """One attack on one batch: the same in whatever process, and after whatever others."""
        rows = rows.to(self.within.x.device)
        part, aim, meter = self.within[rows], self.aim[rows], self.meter.left
        key = stage.name, int(rows[0])
        draw_anew(rows.device, seed, *key)
        try:
            z, claimed = stage.run(meter.metered(self.f), part, aim, generator(seed, *key))
            broken = claimed & self._confirmed(z, part, aim)
            ended = False
        except Exhausted:
            z, claimed, ended = part.x, torch.zeros(len(rows), dtype=torch.bool), True
            broken = claimed
        return Tried(
            broken.cpu().numpy(),
            z[broken].cpu(),
            int((claimed & ~broken).sum()),
            aim.undefined[rows].cpu().numpy(),
            meter,
            meter.elapsed,
            ended,
        )

    def _take(self, place: int, state: State, rows: Tensor, tried: Tried) -> None:
        """Write down what an attack did.

        Raises:
            Exhausted: if the budget ended before it did.
        """
        state.undefined[rows.numpy()] |= tried.undefined
        if tried.ended:
            raise Exhausted
        self.meter.add(tried.spent)
        state.by[rows.numpy()[tried.won]] = place + FIRST
        state.x[rows[torch.from_numpy(tried.won)]] = tried.z
        state.refused += tried.refused
        state.account(len(rows), int(tried.won.sum()), tried.spent.passes, tried.seconds)
        state.done[rows.numpy()] = True

    def _confirmed(self, z: Tensor, part: Ball, aim: Goal) -> Bool[Tensor, " n"]:
        """A fresh evaluation in another order of the batch: in ball and box, finite, broken."""
        holds = part.holds(z)
        z = torch.where(spread_out(holds, z), z, part.x)
        turned = torch.arange(len(z) - 1, -1, -1, device=z.device)
        return holds & aim[turned].broken(self.f(z[turned]))[turned]

    def _left(self, place: int, state: State) -> tuple[float, float]:
        """Share done and seconds left, if all that stand now hold out."""
        alive = int((state.by < 0).sum())
        waiting = int(((state.by < 0) & ~state.done).sum()) * self.stages[place].passes
        later = alive * sum(stage.passes for stage in self.stages[place + 1 :])
        spent = max(sum(a[2] for a in state.accounts), 1)
        share = spent / (spent + waiting + later)
        seconds = sum(a[3] for a in state.accounts) / spent * (waiting + later)
        seconds /= self.where.processes
        return share, min(seconds, self.meter.seconds - self.meter.elapsed)


def digest(array: Tensor) -> str:
    """A short name of the numbers in a tensor."""
    return sha256(array.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def _chunks(rows: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(rows), BATCH):
        yield torch.from_numpy(rows[start : start + BATCH])
