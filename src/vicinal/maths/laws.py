"""Laws of the mixing weight λ on [0, 1], and their expectations.

Every second-order statement about mixup needs one number of the law, its spread
κ = E[λ(1-λ)]; every exact statement needs the tilted law D̃, under which the mixup loss
keeps each example's own label:

    E_λ [λ l(f, y_i) + (1-λ) l(f, y_j)], summed over pairs,
        = E_{λ~D̃} l(f, y_i), summed over the same pairs.

A draw of D̃ is a draw λ of the law, kept with probability λ and turned into 1-λ otherwise.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import betainc

from vicinal.maths.numbers import check_count, check_real
from vicinal.maths.quadrature import Nodes, gauss, lanczos, recurrence
from vicinal.maths.randomness import checked

FOLDED = 200  # nodes for a mean with a kink at 1/2, which they give to about 1e-5


@runtime_checkable
class Law(Protocol):
    """What a law of λ must offer; `Beta`, `Uniform` and `Fixed` do, and so may yours."""

    @property
    def spread(self) -> float:
        """κ = E[λ(1-λ)], between 0 and 1/4."""

    def sample(
        self, size: int | tuple[int, ...], rng: np.random.Generator
    ) -> Float[np.ndarray, "..."]:
        """Independent draws, float64."""

    def tilted(self) -> "Law":
        """The law D̃ under which each example keeps its own label."""

    def nodes(self, count: int) -> Nodes:
        """Points and weights whose sums are exact for polynomials of degree 2*count-1."""


@dataclass(frozen=True, init=False)
class Beta:
    """λ ~ Beta(alpha, beta), defined for alpha > 0 and beta > 0; beta defaults to alpha.

    Args:
        alpha: first shape. With beta = alpha, 1 draws λ uniformly, values near 0 put λ near
            0 and 1 (hardly any mixing), large values put it near 1/2.
        beta: second shape; None means alpha.

    Raises:
        ValueError: if a shape is not positive and finite (NaN included).

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412, section 2.

    Example:
        >>> Beta(1.0).spread == 1 / 6
        True
    """

    alpha: float
    beta: float

    def __init__(self, alpha: float, beta: float | None = None) -> None:
        for name, value in (("alpha", alpha), ("beta", alpha if beta is None else beta)):
            check_real(name, value)
            if not 0 < value < np.inf:
                raise ValueError(
                    f"{name} must be positive and finite, got {value}. It shapes "
                    "λ ~ Beta(alpha, beta): 1.0 and 1.0 draw λ uniformly, values near 0 hardly mix."
                )
            object.__setattr__(self, name, float(value))
        if not self.alpha + self.beta < np.inf:
            raise ValueError(f"alpha + beta must be finite, got {self.alpha:g} + {self.beta:g}.")

    @property
    def spread(self) -> float:
        """κ = αβ / ((α+β)(α+β+1))."""
        total = self.alpha + self.beta
        return (self.alpha / total) * (self.beta / (total + 1))

    def sample(
        self, size: int | tuple[int, ...], rng: np.random.Generator
    ) -> Float[np.ndarray, "..."]:
        """Independent draws, float64."""
        return np.asarray(checked(rng).beta(self.alpha, self.beta, size))

    def tilted(self) -> Law:
        """D̃ = α/(α+β) Beta(α+1, β) + β/(α+β) Beta(β+1, α), one Beta when α = β."""
        if self.alpha == self.beta:
            return Beta(self.alpha + 1, self.alpha)
        return Tilted(self)

    def nodes(self, count: int) -> Nodes:
        """Gauss-Jacobi quadrature of `count` nodes, exact up to degree 2*count-1."""
        check_count(count)
        return gauss(*recurrence(self.alpha, self.beta, count))


@dataclass(frozen=True)
class Uniform:
    """λ uniform on [0, 1], which is Beta(1, 1): the strongest mixing in common use.

    Drawn directly, so sooner than by `Beta`, and other numbers from the same seed.
    """

    @property
    def spread(self) -> float:
        """κ = 1/6."""
        return 1 / 6

    def sample(
        self, size: int | tuple[int, ...], rng: np.random.Generator
    ) -> Float[np.ndarray, "..."]:
        """Independent draws, float64."""
        return np.asarray(checked(rng).random(size))

    def tilted(self) -> Law:
        """D̃ = Beta(2, 1)."""
        return Beta(2, 1)

    def nodes(self, count: int) -> Nodes:
        """Gauss-Legendre quadrature of `count` nodes."""
        return Beta(1).nodes(count)


@dataclass(frozen=True)
class Fixed:
    """λ = lam always, for a lam in [0, 1]: expectations over λ become single terms.

    Raises:
        ValueError: if lam is outside [0, 1] (NaN included).
    """

    lam: float

    def __post_init__(self) -> None:
        check_real("lam", self.lam)
        if not 0 <= self.lam <= 1:
            raise ValueError(f"lam must lie in [0, 1], got {self.lam}. It is the weight λ itself.")

    @property
    def spread(self) -> float:
        """κ = λ(1-λ)."""
        return self.lam * (1 - self.lam)

    def sample(
        self, size: int | tuple[int, ...], rng: np.random.Generator
    ) -> Float[np.ndarray, "..."]:
        """Copies of lam, float64; `rng` is not used."""
        return np.full(size, float(self.lam))

    def tilted(self) -> Law:
        """D̃: λ with probability λ, 1-λ with probability 1-λ."""
        return Tilted(self)

    def nodes(self, count: int) -> Nodes:
        """One node of weight 1, exact for every function."""
        check_count(count)
        return np.array([float(self.lam)]), np.ones(1)


@dataclass(frozen=True)
class Tilted:
    """The law D̃ of any law: draw λ; keep it with probability λ, else take 1-λ.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, proof of Lemma 3.1,
        which states it for Beta; the talk once prints the weight α/(α+β) twice.
    """

    law: Law

    @property
    def spread(self) -> float:
        """κ of the law itself: λ(1-λ) is the same for λ and 1-λ."""
        return self.law.spread

    def sample(
        self, size: int | tuple[int, ...], rng: np.random.Generator
    ) -> Float[np.ndarray, "..."]:
        """Independent draws, float64."""
        lam = self.law.sample(size, rng)
        return np.where(rng.random(size) < lam, lam, 1 - lam)

    def tilted(self) -> Law:
        """The tilted law of this law."""
        return Tilted(self)

    def nodes(self, count: int) -> Nodes:
        """Gauss quadrature of at most `count` nodes, exact up to degree 2*count-1."""
        check_count(count)
        # Tilting multiplies by λ, so one more node of the law keeps the degree.
        points, weights = self.law.nodes(count + 1)
        return gauss(
            *lanczos(
                np.concatenate([points, 1 - points]),
                np.concatenate([weights * points, weights * (1 - points)]),
                count,
            )
        )


def glm_coefficient(law: Law) -> float:
    r"""The coefficient of θ'Σ̂θ in the mixup regulariser of generalised linear models.

    $$E_{\tilde D}\left[\frac{(1-\lambda)^2}{\lambda^2}\right]
      = \frac{\beta(\beta+1)}{(\alpha+\beta)(\alpha-1)}
      + \frac{\alpha(\alpha+1)}{(\alpha+\beta)(\beta-1)}$$

    for Beta(α, β), defined for α > 1 and β > 1; it is (α+1)/(α-1) when α = β. For a fixed λ it
    is (1-λ)²/λ + λ²/(1-λ). Whether what it is the coefficient of is the expansion of anything
    finite depends on the family too: see `glm_regulariser`.

    Args:
        law: `Beta`, `Uniform` or `Fixed`.

    Returns:
        The coefficient, without unit.

    Raises:
        ValueError: where the expectation is infinite: α ≤ 1 or β ≤ 1, uniform λ, λ of 0 or 1.
        TypeError: for other laws, whose inverse moments are not known in closed form.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, Lemma 3.3, which does
        not state the domain.

    Example:
        >>> glm_coefficient(Beta(3.0))
        2.0
    """
    value = np.inf
    match law:
        case Beta(alpha=a, beta=b) if a > 1 and b > 1:
            # ratios of numbers of one size, so that nothing overflows
            value = b / (a + b) * ((b + 1) / (a - 1)) + a / (a + b) * ((a + 1) / (b - 1))
        case Fixed(lam=lam) if 0 < lam < 1:
            value = (1 - lam) / lam * (1 - lam) + lam / (1 - lam) * lam
    if value < np.inf:
        return value
    match law:
        case Beta() | Uniform() | Fixed():
            raise ValueError(
                f"E[(1-λ)²/λ²] is infinite for {law}: it needs Beta(alpha, beta) with alpha > 1 "
                "and beta > 1. The regulariser divides each mixed input by its own λ; dividing "
                "by the fixed mean 1 - 2*law.spread instead is finite for every law."
            )
        case _:
            raise TypeError(f"glm_coefficient knows Beta, Uniform and Fixed, got {law!r}.")


def mean_larger_share(law: Law) -> float:
    r"""θ̄ = E[max(λ, 1-λ)], the mean weight of the example that weighs more, in [1/2, 1].

    For Beta(α, β) it is $\frac\alpha{\alpha+\beta}(1 - I_{1/2}(\alpha+1, \beta))
    + \frac\beta{\alpha+\beta} I_{1/2}(\alpha, \beta+1)$.

    Source:
        Carratino, Cissé, Jenatton, Vert (2022), JMLR 23, section 3, for α = β.

    Example:
        >>> mean_larger_share(Uniform())
        0.75
    """
    match law:
        case Beta(alpha=a, beta=b):
            # I(a+1, b) at 1/2 is 1 - I(b, a+1), which keeps its digits where it is near 1
            mean = float(a * betainc(b, a + 1, 0.5) + b * betainc(a, b + 1, 0.5)) / (a + b)
            if np.isfinite(mean):  # the function gives up on the largest shapes
                return mean
        case Uniform():
            return 0.75
        case Tilted(law=inner):  # λ and 1-λ have the same maximum
            return mean_larger_share(inner)
    lam, weight = law.nodes(FOLDED)
    return float(weight @ np.maximum(lam, 1 - lam))
