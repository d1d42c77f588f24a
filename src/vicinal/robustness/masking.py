"""Signs of masked gradients: attacks fail because slopes mislead, not for robustness."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.attacks import apgd, noise, pgd, square, transfer
from vicinal.attacks.ball import Ball, Bounds, Norm, Size, ball, lengths
from vicinal.attacks.door import Function, check, is_random, slope
from vicinal.attacks.fab import check_steps
from vicinal.attacks.goal import Goal, goal
from vicinal.forward import Model, check_family, check_targets, unchanged
from vicinal.losses import Family, categorical

SLACK = 0.02  # share of examples that may differ by luck
GAIN = 0.1  # from more steps and restarts that is much
SURE = 0.95  # success at a huge ε
QUERIES, NOISES, RESTARTS = 1000, 50, 3


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
class Masking:
    """The checks, by name, on the examples that the model gets right."""

    signs: dict[str, Sign]
    examples: int

    @property
    def masked(self) -> bool:
        """Whether any check failed."""
        return not all(sign.passed for sign in self.signs.values())

    @property
    def verdict(self) -> str:
        """What follows, in words."""
        failed = [name.replace("_", " ") for name, sign in self.signs.items() if not sign.passed]
        if not failed:
            return (
                f"No sign of masked gradients in {len(self.signs)} checks on {self.examples} "
                "examples. That is no proof of their absence."
            )
        return (
            f"Signs of masked gradients: {', '.join(failed)}. Do not believe accuracy under "
            "gradient attacks; it may be far below. Look at attacks without gradients, and attack "
            "the part of the model that hides them."
        )

    def __str__(self) -> str:
        lines = [f"{'pass' if s.passed else 'FAIL'}  {s.words}" for s in self.signs.values()]
        return "\n".join([*lines, self.verdict])


def masking(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    eps: Size,
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    family: Family = categorical,
    tolerance: float | None = None,
    twin: Model | None = None,
    rng: np.random.Generator,
) -> Masking:
    """Run the checks that a claim of robustness must pass, and say what they show.

    A sign counts where one step beats many; more steps and restarts gain more than 10 points;
    Square or transfer from the twin, or noise, breaks what gradients do not; success falls as ε
    grows, or stays below 95 % at a huge ε; gradients are 0 at the start; dividing the logits by
    their own scale helps the attack; or the model draws at random. A difference of 2 points, or
    of one example, is put down to luck.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds; some hundred are enough.
        y: targets of the family.
        eps: radius of the ball, in the units of x, or one per feature; positive.
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, or None.
        family: the loss.
        tolerance: deviation that breaks an example; needed for families without classes.
        twin: the same model trained without the defence, for transfer.
        rng: where random starts, patches and noise come from.

    Returns:
        Masking; print it.

    Raises:
        ValueError: for eps, x, bounds and targets that do not fit, or if the model gets no example
            right.

    Source:
        Athalye, Carlini, Wagner (2018), arXiv:1802.00420, section 3.1; Carlini et al. (2019),
        arXiv:1902.06705.
    """
    check_family(family)
    check_steps(1, family, tolerance)
    within, aim = ball(x, eps, norm, bounds), goal(family, y, tolerance)
    if not within.eps > 0:
        raise ValueError("eps must be positive: in a ball of one point there is nothing to mask.")
    second = model if twin is None else twin
    with torch.no_grad(), unchanged(model) as raw, unchanged(second) as other:
        if not len(x) == len(y) >= 1:
            check_targets(raw, x, y, family)
        random = is_random(raw, x)
        f = check(raw, x, y, family, random=random)
        right = (~aim.broken(f(x))).nonzero()[:, 0]
        if not len(right):
            raise ValueError("the model gets none of the examples right: nothing can be masked.")
        case = Case(f, within[right], aim[right], rng)
        signs = _signs(case, None if twin is None else other)
        if random:
            signs["random"] = _randomness(case, raw)
    aim.warn()
    return Masking(signs, len(right))


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


def _signs(case: Case, twin: Function | None) -> dict[str, Sign]:
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
    """Half the box or more, at which a grey image is in reach of every image."""
    within = case.within
    width = (within.high - within.low).expand(within.x.shape[1:])
    if not torch.isfinite(width).all():
        width = (within.x.amax(0) - within.x.amin(0)).clamp(min=4 * within.eps)
    unit = torch.where(within.scale > 0, width / within.scale.clamp(min=1e-30), 0).double()
    far = float(lengths(unit.reshape(1, -1), within.norm))
    part = replace(within, eps=far)
    broken = pgd.ascend(case.f, part, part.x, case.aim, 100).wrong
    left = (~broken).nonzero()[:, 0]
    if len(left):
        broken[left] = pgd.ascend(
            case.f, part[left], part[left].random(case.rng), case.aim[left], 100
        ).wrong
    share = _share(broken)
    words = f"nothing withstands a huge ε: at {far:.3g}, {share:.1%} break (at least {SURE:.0%})"
    return Sign(share >= min(SURE, 1 - 1.5 / len(broken)), {"eps": far, "broken": share}, words)


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


def _randomness(case: Case, raw: Callable[[Tensor], Tensor]) -> Sign:
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
