"""Signs of masked gradients: attacks fail because slopes mislead, not for robustness."""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_rng
from vicinal.maths.losses import Family, categorical
from vicinal.models.forward import Model, check_family
from vicinal.robustness.attacks.ball import Bounds, Norm, Size, ball
from vicinal.robustness.attacks.door import fit, opened
from vicinal.robustness.attacks.fab import check_steps
from vicinal.robustness.attacks.goal import goal
from vicinal.robustness.attacks.gradients import ZERO
from vicinal.robustness.attacks.worst import climbable
from vicinal.robustness.signs import Case, Sign, is_constant, randomness, signs_of


@dataclass(frozen=True)
class Masking:
    """The checks, by name, on the examples that the model gets right.

    Of a model that predicts the same everywhere there is one only, "constant": it withstands every
    attack, and nothing is masked.
    """

    signs: dict[str, Sign]
    examples: int

    @property
    def constant(self) -> bool:
        """Whether the model predicts the same for all inputs that were tried."""
        return "constant" in self.signs

    @property
    def masked(self) -> bool:
        """Whether any check of masking failed."""
        return not self.constant and not all(sign.passed for sign in self.signs.values())

    @property
    def verdict(self) -> str:
        """What follows, in words."""
        if self.constant:
            return (
                "The model predicts the same for all inputs that were tried, in the whole box: its "
                "robustness is meaningless, and says nothing of masked gradients."
            )
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
    of one example, is put down to luck. A model that predicts one class (or value) for all
    examples, for points all over the box and where PGD ends there is told apart: it masks nothing.

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

    Warns:
        UserWarning: if no example that is right has a gradient at the start.

    Raises:
        ValueError: for eps, x, bounds and targets that do not fit, or if the model gets no example
            right.

    Source:
        Athalye, Carlini, Wagner (2018), arXiv:1802.00420, section 3.1; Carlini et al. (2019),
        arXiv:1902.06705.
    """
    check_rng(rng)
    check_family(family)
    check_steps(1, family, tolerance)
    within, aim = ball(x, eps, norm, bounds), goal(family, y, tolerance)
    if not within.eps > 0:
        raise ValueError("eps must be positive: in a ball of one point there is nothing to mask.")
    second = model if twin is None else twin
    with opened(model) as raw, opened(second) as other:
        f, random = fit(raw, x, y, family)
        f, climbs = climbable(f, within, aim)
        outputs = f(x)
        right = (~aim.broken(outputs)).nonzero()[:, 0]
        if not len(right):
            raise ValueError("the model gets none of the examples right: nothing can be masked.")
        case = Case(f, within[right], aim[right], rng)
        if is_constant(case, outputs):
            signs = {"constant": Sign(False, {}, "the model must not predict the same everywhere")}
        else:
            if not climbs:
                warnings.warn(ZERO.format(name="every attack by gradients"), stacklevel=2)
            signs = signs_of(case, None if twin is None else other)
        if random:
            signs["random"] = randomness(case, raw)
    aim.warn()
    return Masking(signs, len(right))
