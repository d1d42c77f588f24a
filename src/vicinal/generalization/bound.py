r"""The bound on the loss of generalised linear models in W_γ, every factor of it computed.

$$L(\theta) \le L_{std}(\theta) + 2\, L L_A \max\{(\gamma/\rho)^{1/4}, (\gamma/\rho)^{1/2}\}
  \sqrt{rank/n} + B \sqrt{\log(1/\delta) / 2n}$$

with probability 1-δ, for all θ in W_γ with ‖θ‖ at most its declared bound.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_number, check_sizes, check_tensors, check_whole
from vicinal.maths.losses import Family, bernoulli, gaussian
from vicinal.models.forward import check_family


@dataclass(frozen=True)
class Bound:
    """The bound and its factors.

    Attributes:
        value: of the bound on the expected loss, in nats.
        train_loss: L_std.
        complexity: its second term.
        deviation: its third.
        vacuous: whether the value is not below the loss of the best constant predictor on the
            training data, which needs no bound.
        constant_loss: that loss.
        factors: all numbers that enter, by name.
        caveat: why it is indicative only, such as that θ in W_γ is measured on the training inputs
            and not proved from held-out ones; empty where it is proved.
    """

    value: float
    train_loss: float
    complexity: float
    deviation: float
    vacuous: bool
    constant_loss: float
    factors: dict[str, float]
    caveat: str

    @property
    def proved(self) -> bool:
        """Whether everything that it rests on is proved or was declared."""
        return not self.caveat

    @property
    def words(self) -> str:
        """The bound with every factor, and the word vacuous where it is."""
        factors = ", ".join(f"{name} = {value:.4g}" for name, value in self.factors.items())
        verdict = "vacuous: not below" if self.vacuous else "below"
        caveat = f" Indicative only: {self.caveat}." if self.caveat else ""
        return (
            f"L <= {self.value:.4g} = {self.train_loss:.4g} + {self.complexity:.4g} + "
            f"{self.deviation:.4g} ({factors}); {verdict} the {self.constant_loss:.4g} of a "
            f"constant prediction.{caveat}"
        )


def glm_bound(
    theta: Float[Tensor, " d"],
    x: Float[Tensor, "n d"],
    y: Shaped[Tensor, " n"],
    family: Family,
    *,
    x_bound: float,
    theta_bound: float,
    y_bounds: tuple[float, float] = (0.0, 1.0),
    gammas: float | Sequence[float],
    delta: float = 0.05,
    rank: int | None = None,
    held_out: Float[Tensor, "m d"] | None = None,
) -> Bound:
    r"""Bound the expected loss of f = θ'x from its loss on n independent examples.

    With M = x_bound · theta_bound, which |f| cannot exceed:
    $L_A = \sup |A'|$ and $L = \sup |A' - y| / L_A$ over |f| ≤ M and y, B = sup l - inf l likewise,
    and ρ = inf A'' over |f| ≤ M, which makes $E A''(v'x) \ge \rho \min\{1, E(v'x)^2\}$ hold for
    every law of x. For the logistic family ρ falls as e^{-M}: wide declared bounds make the bound
    vacuous, and it then says so.

    The derivation takes Σ = E xx' and needs no centred inputs; it is γ and ρ that are of the
    law of x. A grid of γ is paid by a union bound: each gets δ divided by their number, and
    the smallest one that holds θ is used. Whether it does is proved from `held_out` inputs, by
    Hoeffding's inequality for both means at half of δ, or else measured on x.

    Args:
        theta: coefficients; no intercept: give x a column of ones for one.
        x: training inputs.
        y: training targets of the family, values within y_bounds.
        family: Bernoulli, Gaussian or Poisson.
        x_bound: largest ‖x‖ that can occur, known beforehand.
        theta_bound: largest ‖θ‖ that training could have returned.
        y_bounds: smallest and largest y that can occur.
        gammas: γ, or a grid of them, fixed before the data were seen.
        delta: the bound fails with at most this probability.
        rank: of Σ, if it is known to be less than d.
        held_out: inputs that played no part in training.

    Raises:
        ValueError: where the data are outside of the declared bounds, no γ holds θ, or a number is
            out of range; where the bound overflows.
        TypeError: for what is no tensor, number or family.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, Theorem 3.4 and the talk;
        L and B are not given there.
    """
    grid = grid_of(gammas)
    check_declared(theta, x, y, family, x_bound, theta_bound, y_bounds, grid, delta)
    if rank is not None:
        check_whole("rank", rank, 0)
    n, top = len(x), x_bound * theta_bound
    factors = of_family(family, top, y_bounds)
    spent = delta / (2 if held_out is not None else 1)
    reached = _membership(theta, x, family, None, top, factors["sup A''"])
    if held_out is not None:
        check_held_out(held_out, x)
        reached = _membership(theta, held_out, family, spent, top, factors["sup A''"])
    gamma, d = smallest(grid, reached), x.shape[1] if rank is None else rank
    if not 0 < factors["rho"] < math.inf or not all(math.isfinite(v) for v in factors.values()):
        raise ValueError(
            f"the bound overflows for outputs up to x_bound*theta_bound = {top:g}: A'' runs from "
            f"{factors['rho']:g} up there, so it is vacuous. Declare narrower bounds."
        )
    ratio = gamma / factors["rho"]
    reach = max(ratio**0.25, ratio**0.5)
    complexity = 2 * factors["L"] * factors["L_A"] * reach * math.sqrt(d / n)
    more = {"gamma": gamma, "needed gamma": reached, "grid": float(len(grid)), "rank": float(d),
            "n": float(n), "delta": delta, "M": top}  # fmt: skip
    f = x.detach().double() @ theta.detach().double()
    caveat = "" if held_out is not None else "θ in W_γ is measured, not proved"
    return assembled(f, y, family, complexity, spent / len(grid), factors | more, caveat)


def grid_of(gammas: float | Sequence[float]) -> list[float]:
    """The values of γ in order.

    Raises:
        TypeError: for what are no numbers.
    """
    if not isinstance(gammas, Sequence | np.ndarray | Tensor):
        gammas = [gammas]
    check_sizes("gammas", gammas)
    return sorted(float(gamma) for gamma in gammas)


def check_held_out(held_out: Tensor, x: Tensor) -> None:
    """Refuse held-out inputs that are not like those of training.

    Raises:
        ValueError, TypeError: then.
    """
    check_tensors(held_out=held_out)
    if held_out.shape[1:] != x.shape[1:] or not len(held_out):
        raise ValueError(
            f"held_out must hold inputs of {x.shape[1]} numbers, got {tuple(held_out.shape)}."
        )


def assembled(
    f: Float[Tensor, " n"],
    y: Shaped[Tensor, " n"],
    family: Family,
    complexity: float,
    spent: float,
    factors: dict[str, float],
    caveat: str,
) -> Bound:
    """The bound from its complexity term, the deviation paid with `spent` of δ."""
    train = float(family(f, y.double() if y.is_floating_point() else y).mean())
    deviation = factors["B"] * math.sqrt(math.log(1 / spent) / (2 * len(f)))
    value, constant = train + complexity + deviation, _constant(y.double(), family)
    vacuous = not value < constant
    return Bound(value, train, complexity, deviation, vacuous, constant, factors, caveat)


def smallest(grid: list[float], reached: float) -> float:
    """The smallest γ that holds θ.

    Raises:
        ValueError: if none does.
    """
    fitting = [gamma for gamma in grid if gamma >= reached]
    if not fitting:
        raise ValueError(
            f"theta needs γ of at least {reached:.4g}, and gammas end at {grid[-1]:.4g}: it is not "
            "in the class. Declare a wider grid beforehand; a grid costs log(size) only."
        )
    return fitting[0]


def of_family(family: Family, top: float, y_bounds: tuple[float, float]) -> dict[str, float]:
    """L, L_A, B, ρ and sup A'' over |f| ≤ top; l is convex in f and affine in y."""
    ends = torch.tensor([-top, top], dtype=torch.float64)
    low, high = (float(v) for v in family.mean(ends))
    largest = max(abs(low), abs(high))
    slope = max(abs(a - y) for a in (low, high) for y in y_bounds)
    losses = []
    for y in y_bounds:
        best = _inverse(min(max(y, low), high), family, top)
        points = torch.tensor([-top, top, best], dtype=torch.float64)
        losses += family(points, torch.full_like(points, y)).tolist()
    inner = torch.tensor([-top, 0.0, top], dtype=torch.float64)
    bends = family.quadratic(inner, torch.ones_like(inner))
    return {
        "L": slope / largest,
        "L_A": largest,
        "B": max(losses) - min(losses),
        "rho": float(bends.min()),
        "sup A''": float(bends.max()),
    }


def _inverse(mean: float, family: Family, top: float) -> float:
    """The f of a mean, within ±top."""
    if family is gaussian:
        return mean
    if family is bernoulli:
        return min(max(math.log(max(mean, 1e-300) / max(1 - mean, 1e-300)), -top), top)
    return min(max(math.log(max(mean, 1e-300)), -top), top)


def _membership(
    theta: Tensor, x: Tensor, family: Family, delta: float | None, top: float, bend: float
) -> float:
    """The γ that θ needs: measured, or an upper limit that fails with probability δ."""
    f = x.detach().double() @ theta.detach().double()
    curvature = float(family.quadratic(f, torch.ones_like(f)).mean())
    square = float(f.square().mean())
    if delta is not None:
        margin = math.sqrt(math.log(2 / delta) / (2 * len(x)))  # δ/2 for each mean
        curvature = min(curvature + bend * margin, bend)
        square = min(square + top**2 * margin, top**2)
    return curvature * square


def _constant(y: Tensor, family: Family) -> float:
    """The least mean loss of a constant prediction, A(f) - ȳ f at A'(f) = ȳ."""
    mean = float(y.mean())
    f = torch.tensor([_inverse(mean, family, 700.0)], dtype=torch.float64)
    return float(family(f, torch.tensor([mean], dtype=torch.float64)))


def check_declared(
    theta: Tensor,
    x: Tensor,
    y: Tensor,
    family: Family,
    x_bound: float,
    theta_bound: float,
    y_bounds: tuple[float, float],
    grid: list[float],
    delta: float,
    called: str = "x_bound",
) -> None:
    """Refuse numbers out of range, and data outside of what was declared."""
    check_tensors(theta=theta, y=y, **{"x" if called == "x_bound" else "features": x})
    check_family(family)
    for name, value in ((called, x_bound), ("theta_bound", theta_bound), ("delta", delta)):
        check_number(name, value)
    if not isinstance(y_bounds, tuple | list) or len(y_bounds) != 2:
        raise TypeError(f"y_bounds must be the pair (smallest, largest), got {y_bounds!r}.")
    for value in y_bounds:
        check_number("y_bounds", value)
    if x.ndim != 2 or not len(x) or theta.shape != x.shape[1:] or y.shape != (len(x),):
        raise ValueError(
            f"inputs must have shape (n, d), n at least 1, theta (d,) and y (n,), got "
            f"{tuple(x.shape)}, {tuple(theta.shape)} and {tuple(y.shape)}."
        )
    if not family.scalar:
        raise ValueError(f"the bound is for families of one output, got {family.name}.")
    if not grid or not all(0 < gamma < math.inf for gamma in grid):
        raise ValueError(f"gammas must be positive and finite, at least one, got {grid}.")
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1), got {delta}.")
    for name, value in ((called, x_bound), ("theta_bound", theta_bound)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}.")
    rounding = 1 + 1e-6
    longest, steepest = float(x.double().norm(dim=1).max()), float(theta.double().norm())
    if not longest <= x_bound * rounding:
        raise ValueError(
            f"an input has norm {longest:.4g}, beyond {called}={x_bound}. The "
            "bound must be known beforehand, not read off the data."
        )
    if not steepest <= theta_bound * rounding:
        raise ValueError(f"theta has norm {steepest:.4g}, beyond {theta_bound=}.")
    if not y_bounds[0] <= float(y.min()) <= float(y.max()) <= y_bounds[1]:
        raise ValueError(
            f"y runs from {float(y.min()):g} to {float(y.max()):g}, outside of y_bounds={y_bounds}."
        )
