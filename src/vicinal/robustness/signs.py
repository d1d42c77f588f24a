"""The checks for masked gradients, each executed on the examples that a model gets right."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from vicinal.robustness.attacks import apgd, noise, pgd, square, transfer
from vicinal.robustness.attacks.ball import Ball, lengths
from vicinal.robustness.attacks.door import Function, slope
from vicinal.robustness.attacks.goal import Goal

SLACK = 0.02  # share of examples that may differ by luck
GAIN = 0.1  # from more steps and restarts that is much
SURE = 0.95  # success at a huge ε
QUERIES, NOISES, RESTARTS = 1000, 50, 3
SCATTERED = 10  # points of the whole box for each example, at which predictions are compared


@dataclass(frozen=True)
class Sign:
    """One check.

    Attributes:
        passed: True where it shows no sign of masking.
        measured: its numbers by name.
        words: what was compared, with the numbers.
    """

    passed: bool
    measured: dict[str, float]
    words: str


@dataclass(frozen=True)
class Case:
    """A model, and the examples that it gets right."""

    f: Function
    within: Ball
    aim: Goal
    rng: np.random.Generator

    @property
    def slack(self) -> float:
        """The share of examples that luck may explain."""
        return max(SLACK, 1.5 / len(self.within.x))

    @property
    def far(self) -> Ball:
        """Half the box or more, where a grey image is in reach of every image."""
        within = self.within
        width = (within.high - within.low).expand(within.x.shape[1:])
        if not torch.isfinite(width).all():
            width = (within.x.amax(0) - within.x.amin(0)).clamp(min=4 * within.eps)
        unit = torch.where(within.scale > 0, width / within.scale.clamp(min=1e-30), 0).double()
        return replace(within, eps=float(lengths(unit.reshape(1, -1), within.norm)))

    def pgd(self, steps: int, *, size: float = 1.0) -> Bool[Tensor, " n"]:
        """Whether PGD from x breaks each example, in a ball `size` times as large."""
        part = replace(self.within, eps=self.within.eps * size)
        return pgd.ascend(self.f, part, part.x, self.aim, steps).wrong

    def restarted(self) -> Bool[Tensor, " n"]:
        """The same from random starts, with 100 steps."""
        broken = self.pgd(100)
        for _ in range(RESTARTS):
            start = self.within.random(self.rng)
            broken = broken | pgd.ascend(self.f, self.within, start, self.aim, 100).wrong
        return broken

    def apgd(self, f: Function, loss: apgd.Ascent) -> Bool[Tensor, " n"]:
        """Whether APGD on another function breaks each example of this one."""
        z, _ = apgd.attack(f, self.within, self.aim, apgd.STEPS, loss, None)
        return self.aim.broken(self.f(z))


def signs_of(case: Case, twin: Function | None) -> dict[str, Sign]:
    """All checks, by name."""
    many, more = case.pgd(20), case.restarted()
    gradients = more | many | case.apgd(case.f, "family")
    one = _one_step(case)
    signs = {
        "one_step": _compared(
            "one step must not beat 20", many, one, case.slack, ("20 steps break", "one step")
        ),
        "more_steps": _compared(
            f"more steps must not gain {GAIN:.0%}", many, more, GAIN,
            ("20 steps break", f"100 steps with {RESTARTS} restarts"),
        ),
        "noise": _beyond(case, "noise", gradients, _noise(case)),
        "black_box": _beyond(case, "Square", gradients, _square(case)),
        "rising": _rising(case),
        "huge": _huge(case),
        "zero_gradients": _zero_gradients(case),
    }  # fmt: skip
    if twin is not None:
        moved = transfer.attack(case.f, twin, case.within, case.aim, case.rng)[1]
        signs["transfer"] = _beyond(case, "transfer from the twin", gradients, moved)
    if case.aim.family.classifies:
        signs["scale_of_logits"] = _scale(case)
    return signs


def is_constant(case: Case, outputs: Tensor) -> bool:
    """Whether all predictions are alike: of the examples, all over the box, where PGD ends."""
    family, far = case.aim.family, case.far

    def predicted(outputs: Tensor) -> Tensor:
        values = outputs.reshape(-1) if family.scalar else outputs.argmax(1)
        return values > 0 if family.scalar and family.classifies else values

    first = predicted(outputs[:1])

    def alike(outputs: Tensor) -> bool:
        return bool((predicted(outputs) == first).all())

    return (
        alike(outputs)
        and all(alike(case.f(far.random(case.rng))) for _ in range(SCATTERED))
        and alike(case.f(pgd.ascend(case.f, far, far.x, case.aim, 20).z))
    )


def _compared(rule: str, base: Tensor, other: Tensor, slack: float, names: tuple[str, str]) -> Sign:
    first, second = _share(base), _share(other)
    words = f"{rule}: {names[0]} {first:.1%}, {names[1]} {second:.1%}"
    return Sign(second - first <= slack, {names[0]: first, names[1]: second}, words)


def _beyond(case: Case, name: str, gradients: Tensor, other: Tensor) -> Sign:
    alone = _share(other & ~gradients)
    measured = {"gradients": _share(gradients), name: _share(other), f"{name} alone": alone}
    words = (
        f"{name} must not break what gradients do not: it breaks {_share(other):.1%}, gradients "
        f"{_share(gradients):.1%}, it alone {alone:.1%}"
    )
    return Sign(alone <= case.slack, measured, words)


def _one_step(case: Case) -> Bool[Tensor, " n"]:
    _, _, gradient = slope(case.f, case.within.x, case.aim.loss("family"))
    return case.aim.broken(case.f(case.within.step(case.within.x, gradient, case.within.eps)))


def _noise(case: Case) -> Bool[Tensor, " n"]:
    return noise.attack(case.f, case.within, case.aim, NOISES, case.rng)[1]


def _square(case: Case) -> Bool[Tensor, " n"]:
    return square.attack(case.f, case.within, case.aim, QUERIES, case.rng)[1]


def _rising(case: Case) -> Sign:
    sizes = (0.25, 0.5, 1.0)
    shares = [_share(case.pgd(20, size=size)) for size in sizes]
    falls = max(max(a - b for a, b in pairwise(shares)), 0.0)
    written = ", ".join(f"{s:.1%} at {k:g} ε" for k, s in zip(sizes, shares, strict=True))
    measured = {f"{k:g} eps": s for k, s in zip(sizes, shares, strict=True)}
    return Sign(falls <= case.slack, measured, f"success must not fall as ε grows: {written}")


def _huge(case: Case) -> Sign:
    """Of what half the box and more must break."""
    part = case.far
    broken = pgd.ascend(case.f, part, part.x, case.aim, 100).wrong
    left = (~broken).nonzero()[:, 0]
    if len(left):
        broken[left] = pgd.ascend(
            case.f, part[left], part[left].random(case.rng), case.aim[left], 100
        ).wrong
    share = _share(broken)
    words = (
        f"nothing withstands a huge ε: at {part.eps:.3g}, {share:.1%} break (at least {SURE:.0%})"
    )
    return Sign(
        share >= min(SURE, 1 - 1.5 / len(broken)), {"eps": part.eps, "broken": share}, words
    )


def _zero_gradients(case: Case) -> Sign:
    _, value, gradient = slope(case.f, case.within.x, case.aim.loss("family"))
    zero = (gradient == 0).flatten(1).all(1) | ~torch.isfinite(value)
    share = _share(zero)
    words = f"gradients must not be 0 at the start: they are for {share:.1%} of the examples"
    return Sign(share <= case.slack, {"zero": share}, words)


def _scale(case: Case) -> Sign:
    """The family's loss saturates where logits are large, and with it the attack."""
    plain = case.apgd(case.f, "family")
    margins = case.aim.margin(case.f(case.within.x)).abs()
    temperature = float(margins.median())
    if not 0 < temperature < np.inf:
        temperature = 1.0
    matched = case.apgd(lambda x: case.f(x) / temperature, "family")
    gain = _share(matched & ~plain) - _share(plain & ~matched)
    words = (
        f"the scale of the logits must not matter: APGD breaks {_share(plain):.1%}, "
        f"{_share(matched):.1%} with logits divided by {temperature:.3g}, their median margin"
    )
    measured = {"plain": _share(plain), "matched": _share(matched), "temperature": temperature}
    return Sign(gain <= case.slack, measured, words)


def randomness(case: Case, raw: Function) -> Sign:
    """What following one draw of the model does, and what following their mean."""
    single = replace(case, f=raw)
    z = pgd.ascend(single.f, case.within, case.within.x, case.aim, 20).z
    one, mean = case.aim.broken(case.f(z)), case.pgd(20)
    words = (
        "the model must not draw at random: it does; following one draw breaks "
        f"{_share(one):.1%}, following the mean of draws {_share(mean):.1%}"
    )
    return Sign(False, {"one draw": _share(one), "mean of draws": _share(mean)}, words)


def _share(broken: Tensor) -> float:
    return float(broken.double().mean())
