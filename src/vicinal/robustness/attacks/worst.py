"""The worst case over strong attacks: the number that a claim of robustness may rest on."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.machine.processes import ALONE, Place, agreed, together
from vicinal.maths.arguments import check_number, check_rng
from vicinal.maths.losses import Family, categorical
from vicinal.maths.statistics import Interval, proportion
from vicinal.models.forward import Model, check_family
from vicinal.robustness.attacks import fab
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, Size, ball
from vicinal.robustness.attacks.door import DRAWS, Function, fit, opened
from vicinal.robustness.attacks.ensemble import CLEAN, FIRST, HOLDS, Progress, Run, stages
from vicinal.robustness.attacks.goal import Goal, goal, warn_of_undefined
from vicinal.robustness.attacks.gradients import check_slopes, refusal, slopes, still
from vicinal.robustness.attacks.meter import Meter
from vicinal.robustness.attacks.progress import State, recall


@dataclass(frozen=True)
class Account:
    """What one attack did and cost.

    Attributes:
        attack: its name.
        tried: examples that it met, not broken by those before it.
        broken: examples that it broke, verified.
        passes: of one example each, forward and backward one apiece.
        seconds: spent.
    """

    attack: str
    tried: int
    broken: int
    passes: int
    seconds: float


@dataclass(frozen=True)
class Attacked:
    """The outcome of an ensemble of attacks.

    Attributes:
        x: an adversarial input where `success`, else the example itself.
        success: broken, clean mistakes included, each verified in a fresh evaluation: within the
            ball and the box, finite, misclassified.
        by: which attack broke each example, "clean" for mistakes without any, "" for none.
        accounts: what each attack did and cost, in the order in which they ran.
        refused: points that an attack claimed and the fresh evaluation did not confirm.
        undefined: examples for which the model's outputs were not finite at some point and that
            nothing broke; they count as not attacked.
        complete: False if the budget ended before the last attack did.
        draws: of a model that draws at random, averaged (16); 0 for other models.
        gradients: False if no example that is right had a gradient at the start: then APGD and FAB
            did nothing, and only noise, transfer and Square searched.
    """

    x: Float[Tensor, "n *rest"]
    success: Bool[Tensor, " n"]
    by: tuple[str, ...]
    accounts: tuple[Account, ...]
    refused: int
    undefined: tuple[int, ...]
    complete: bool
    draws: int
    gradients: bool = True

    @property
    def accuracy(self) -> Interval:
        """Robust accuracy over the attacked examples, with Wilson's 95 % interval.

        An upper bound in any case: stronger attacks may come.
        """
        attacked = len(self.success) - len(self.undefined)
        if not attacked:
            return Interval(float("nan"), None, None)
        return proportion(attacked - int(self.success.sum()), attacked)


def worst_case(
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
    rng: np.random.Generator | None = None,
    seconds: float | None = None,
    passes: float | None = None,
    resume: Path | None = None,
    progress: Progress | None = None,
    where: Place = ALONE,
) -> Attacked:
    """The union of strong attacks, each on what those before it left, the cheapest first.

    Noise, transfer from a twin if there is one, APGD on the family's loss from x and from a
    random start, APGD on the targeted difference of logits ratio, targeted FAB, Square with 5000
    queries: the standard AutoAttack and more. Where there are fewer than four classes, one logit
    or values the ratio is the margin, or the deviation, and FAB and Square work on it.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was. One
            that draws at random is recognised, and attacked and judged by the mean of 16 draws.
        x: inputs within bounds.
        y: targets of the family.
        eps: radius of the ball, in the units of x, or one per feature.
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, numbers or tensors that broadcast against one
            example; None for no bounds.
        family: the loss.
        tolerance: deviation of the prediction from y that counts as broken; needed, and allowed,
            for families without classes only.
        twin: a model from which adversarial inputs may transfer.
        rng: where random starts and patches come from; None is a fixed seed.
        seconds: budget; when it is spent the result so far is returned.
        passes: budget, in forward and backward passes for each example on average.
        resume: file that keeps the state after every batch; an interrupted call that is repeated
            with the same arguments goes on from there.
        progress: told the share that is done and the seconds left.
        where: this process, among those to which batches of 128 examples are dealt. With
            ``vicinal.machine.processes.place()`` all that torch.distributed runs must make the same
            call; each gets the whole, equal to the last bit to what one alone finds. The first one
            reads and writes the file; another number of processes may go on from it.

    Returns:
        Attacked. The seconds of its accounts are those of all processes, added up.

    Warns:
        UserWarning: if no example that is right has a gradient at the start, so that only attacks
            without gradients took place.

    Raises:
        ValueError: for eps, x, bounds and targets that do not fit, a missing tolerance, a budget
            that is not positive, or a file that belongs to another call.

    Source:
        Croce and Hein (2020), arXiv:2003.01690, whose standard version is APGD on cross-entropy,
        targeted APGD on the ratio with 9 targets, targeted FAB and Square.

    Example:
        >>> from vicinal.maths.losses import bernoulli
        >>> x, y = torch.tensor([[0.5, 0.5], [0.9, 0.9]]), torch.tensor([1, 1])
        >>> attacked = worst_case(lambda x: x.sum(1) - 0.8, x, y, 0.2, family=bernoulli)
        >>> attacked.success, attacked.by[0]
        (tensor([ True, False]), 'noise')
    """
    for name, budget in (("seconds", seconds), ("passes", passes)):
        if budget is not None:
            check_number(name, budget)
        if budget is not None and not budget > 0:
            raise ValueError(f"{name} must be positive, got {budget}. None sets no limit.")
    check_rng(rng, needed=False)
    check_family(family)
    fab.check_steps(fab.STEPS, family, tolerance)
    within, aim = ball(x, eps, norm, bounds), goal(family, y, tolerance)
    meter = Meter((passes or np.inf) * len(x), seconds or np.inf)
    second = model if twin is None else twin
    with opened(model) as raw, opened(second) as other:
        f, random = fit(raw, x, y, family)
        f, climbs = climbable(f, within, aim)
        if twin is not None:
            own = goal(family, y, tolerance)
            check_slopes(other, within, own, ("family",), "transfer from the twin", rng)
        run = Run(f, within, aim, meter, stages(norm, None if twin is None else other), where)
        seed = 0 if rng is None else int(rng.integers(2**62))
        with together(where):
            state = recall(resume, run.name(), run.probe(random), x, seed)
        state = agreed(state, where)
        complete = run.through(state, resume, progress or (lambda share, left: None))
    return _outcome(x, run, state, complete, DRAWS if random else 0, climbs)


def climbable(f: Function, within: Ball, aim: Goal) -> tuple[Function, bool]:
    """The function, as constants if it takes no gradients, and whether any attack has a slope."""
    blind = refusal(f, within.x) is not None
    f = still(f) if blind else f
    return f, not blind and slopes(f, within, aim, ("family", "margin"), random=True)


def _outcome(
    x: Tensor, run: Run, state: State, complete: bool, draws: int, gradients: bool
) -> Attacked:
    if not gradients and run.within.eps > 0:
        warnings.warn(
            "the attacks that follow gradients did nothing: at the start the gradient is exactly 0 "
            "for every example that the model gets right, or the outputs have none (detached, "
            "rounded, saturated). Only attacks without gradients, such as Square, took place; what "
            "they leave is weak evidence of robustness. See vicinal.masking.",
            stacklevel=3,
        )
    lost = np.flatnonzero(state.undefined & (state.by == HOLDS)).tolist()
    warn_of_undefined(lost)
    broken = torch.from_numpy(state.by > 0).to(x.device)
    found = x.detach().clone()
    found[broken] = state.x.to(x)[broken]
    names = {HOLDS: "", 0: "", CLEAN: "clean"}
    names |= {place + FIRST: stage.name for place, stage in enumerate(run.stages)}
    accounts = tuple(
        Account(stage.name, int(tried), int(won), int(passes), seconds)
        for stage, (tried, won, passes, seconds) in zip(run.stages, state.accounts, strict=False)
    )
    by = tuple(names[int(k)] for k in state.by)
    return Attacked(
        found, broken, by, accounts, state.refused, tuple(lost), complete, draws, gradients
    )
