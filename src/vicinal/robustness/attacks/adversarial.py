r"""Training against attacks: adversarial training, alone and interpolated.

The inputs of a batch are moved to where the loss is highest, within a ball and the box, and trained
on with their own labels. The ball is around the inputs as they are given, so a model that
standardises does it in its first layer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.laws import Beta
from vicinal.maths.randomness import checked
from vicinal.mixing.apply import mix
from vicinal.mixing.choice import During, RandomChoice
from vicinal.mixing.draw import Draw, Loss, Model, moved, one_tensor
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.mixup import Mixup
from vicinal.models.forward import unchanged, unwrapped
from vicinal.robustness.attacks.ball import Ball, Bounds, Norm, ball
from vicinal.robustness.attacks.door import slope
from vicinal.robustness.attacks.gradients import gradient_of_inputs


@dataclass(frozen=True)
class Adversarial:
    """Adversarial training: each example is trained on where PGD moved it, and nowhere else.

    PGD from a random start, with steps of 2.5·eps/steps and without a last look, on the model in
    eval mode; the training pass is in train mode. It costs 2·steps more passes.

    Args:
        eps: radius of the ball, in the units of the inputs; 0 trains on the inputs themselves.
        steps: of PGD, at least 1; the source uses 7 for natural images.
        norm: of the ball.
        bounds: (low, high) of valid inputs, or None; `vicinal compare` sets those of the data.

    Returns (when called with x, y, rng):
        An AdversarialDraw: apply it with `vicinal_losses`.

    Raises:
        ValueError: if steps is not a whole number of at least 1; when called, if eps exceeds the
            width of the bounds or x leaves them.

    Source:
        Madry, Makelov, Schmidt, Tsipras, Vladu (2018), arXiv:1706.06083, section 5.
    """

    eps: float = 0.05
    steps: int = 7
    norm: Norm = "linf"
    bounds: Bounds = (0.0, 1.0)

    def __post_init__(self) -> None:
        _check_steps(self.steps)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "AdversarialDraw":
        """Draw where the attack begins."""
        one_tensor(x)
        within = ball(x.detach(), self.eps, self.norm, self.bounds)
        return AdversarialDraw(
            within.random(checked(rng)), self.eps, self.steps, self.norm, self.bounds
        )


@dataclass(frozen=True)
class AdversarialDraw:
    """Where PGD begins, and in which ball it climbs how often."""

    start: Float[Tensor, "n *rest"]
    eps: float
    steps: int
    norm: Norm
    bounds: Bounds

    @property
    def draw(self) -> None:
        """Nothing is mixed."""
        return None

    def inputs(self, model: Model, x: Tensor, y: Tensor, loss: Loss) -> Float[Tensor, "n *rest"]:
        """The adversarial inputs, without a graph."""
        within = ball(x.detach(), self.eps, self.norm, self.bounds)
        with torch.no_grad(), unchanged(model) as f:
            return climbed(f, within, self.start, lambda outputs: loss(outputs, y), self.steps)

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """The loss of each example where the attack moved it."""
        return loss(unwrapped(model(self.inputs(model, x, y, loss))), y)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "AdversarialDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


@dataclass(frozen=True)
class InterpolatedAdversarial:
    """Interpolated adversarial training: half mixup, half mixup of the adversarial inputs.

    The attack is that of `Adversarial`, on unmixed inputs; then both batches are mixed, each with
    weights and partners of its own, and pass the model one after the other.

    Args:
        eps, steps, norm, bounds: as for `Adversarial`.
        alpha: shape of the law of λ ~ Beta(alpha, alpha), positive; 1 in the source.

    Returns (when called with x, y, rng):
        An InterpolatedDraw: apply it with `vicinal_losses`.

    Raises:
        ValueError: if alpha is not positive, and as for `Adversarial`.

    Source:
        Lamb, Verma, Kawaguchi, Matyasko, Khosla, Kannala, Bengio (2019), arXiv:1906.06784,
        algorithm 1, with input mixup; a weight per sample.
    """

    eps: float = 0.05
    steps: int = 7
    alpha: float = 1.0
    norm: Norm = "linf"
    bounds: Bounds = (0.0, 1.0)

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        Beta(self.alpha)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "InterpolatedDraw":
        """Draw the start of the attack, and weights and partners for both halves."""
        attack = Adversarial(self.eps, self.steps, self.norm, self.bounds)(x, y, rng)
        clean, adversarial = (Mixup(self.alpha)(x, y, rng) for _ in range(2))
        return InterpolatedDraw(clean, adversarial, attack)


@dataclass(frozen=True)
class InterpolatedDraw:
    """The mixtures of clean and of adversarial inputs, and the attack between them."""

    draw: Draw
    adversarial: Draw
    attack: AdversarialDraw

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """The mean of both mixup losses."""
        z = self.attack.inputs(model, x, y, loss)
        both = ((x, self.draw), (z, self.adversarial))
        first, second = (
            mixed_loss(loss, unwrapped(model(mix(inputs, draw))), y, draw) for inputs, draw in both
        )
        return (first + second) / 2

    def to(
        self, device: torch.device | str | int, non_blocking: bool = False
    ) -> "InterpolatedDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


Method = TypeVar("Method", bound=Any)


def bounded(strategy: Method, bounds: Bounds) -> Method:
    """The strategy with the box of the data, wherever an attack is in it."""
    if isinstance(strategy, Adversarial | InterpolatedAdversarial):
        return replace(strategy, bounds=bounds)
    if isinstance(strategy, During):
        return replace(strategy, strategy=bounded(strategy.strategy, bounds))
    if isinstance(strategy, RandomChoice):
        return replace(strategy, strategies=tuple(bounded(s, bounds) for s in strategy.strategies))
    return strategy


def climbed(
    f: Callable[[Tensor], Tensor],
    within: Ball,
    start: Float[Tensor, "n *rest"],
    loss: Callable[[Tensor], Tensor],
    steps: int,
) -> Float[Tensor, "n *rest"]:
    """Where steepest ascent ends; no point is looked at twice.

    Raises:
        ValueError: if the outputs have no gradient by the inputs.
    """
    z, size = start, 2.5 * within.eps / steps
    for step in range(int(steps)):
        gradient = slope(f, z, loss)[2]
        if not step and within.eps > 0 and not gradient.any():
            gradient_of_inputs(f, z, "adversarial training")
        z = within.step(z, gradient, size)
    return z


def _check_steps(steps: int) -> None:
    if not (steps >= 1 and steps == int(steps)):
        raise ValueError(f"steps must be a whole number of at least 1, got {steps}.")
