"""The set an attack may search: a ball around each example, cut by the box of valid inputs."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_inputs, check_number
from vicinal.maths.kinds import Norm as Norm
from vicinal.robustness.attacks.simplex import filled, shortened

DUAL: dict[Norm, Norm] = {"linf": "l1", "l2": "l2", "l1": "linf"}
Bounds = tuple[float | Tensor, float | Tensor] | None
Size = float | Tensor
"""A radius in the units of x, or one per feature: then ‖(z - x)/eps‖ ≤ 1."""


@dataclass(frozen=True)
class Ball:
    """All z with ‖(z - x_i)/scale‖ ≤ eps for each example and low ≤ z ≤ high."""

    x: Float[Tensor, "n *rest"]
    eps: float
    norm: Norm
    low: Tensor
    high: Tensor
    scale: Tensor  # of each feature; 1 for a plain ball, 0 for a feature that is fixed

    def __getitem__(self, rows: Tensor) -> "Ball":
        """The balls of some examples."""
        return replace(self, x=self.x[rows])

    def of_radius(self, eps: float) -> "Ball":
        """The same, with another radius."""
        return replace(self, eps=eps)

    def project(self, z: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *rest"]:
        """A point of the set near z: onto the ball, then clipped, which never leaves the ball.

        (x lies in the box, so clipping brings every coordinate closer to it.) In linf and l1 it is
        the nearest one.
        """
        if self.norm == "linf":
            return torch.clamp(z, *self.ends)
        if self.norm == "l1":
            return self.onto(z, torch.full_like(z.flatten(1)[:, 0], self.eps))
        delta = z - self.x if self.plain else torch.where(self.scale > 0, z - self.x, 0)
        longest = max(self.eps, torch.finfo(z.dtype).tiny)
        z = self.x + delta * (self.eps / self._length(delta).clamp(min=longest))
        return torch.clamp(z, self.low, self.high)

    def onto(
        self, z: Float[Tensor, "n *rest"], radius: Float[Tensor, " n"]
    ) -> Float[Tensor, "n *rest"]:
        """In l1: the nearest point of the box within a radius of its own for each example."""
        delta = self.scaled(z - self.x)
        length = shortened(delta.abs().flatten(1), self.room(self.x, delta), radius)
        moved = self.x + delta.sign() * length.reshape(z.shape) * self.scale
        return torch.clamp(moved, self.low, self.high)

    def room(
        self, z: Float[Tensor, "n *rest"], way: Float[Tensor, "n *rest"]
    ) -> Float[Tensor, "n d"]:
        """How far each coordinate of z can go that way in the box, in the unit of the feature."""
        left = torch.where(way > 0, self.high - z, z - self.low).clamp(min=0)
        if self.plain:
            return left.flatten(1)
        return torch.where(self.scale > 0, left / self.scale.clamp(min=1e-30), 0).flatten(1)

    def step(
        self, z: Float[Tensor, "n *rest"], gradient: Float[Tensor, "n *rest"], size: Size
    ) -> Float[Tensor, "n *rest"]:
        """One steepest-ascent step of length `size` in the norm of the ball, projected.

        In l1 the steepest coordinates go first, each as far as the box lets it.
        """
        if self.norm == "l1":
            return self.project(z + self._sparse(z, gradient, size))
        moved, linf = self.uphill(gradient), self.norm == "linf"
        # in the same memory, as fresh memory is dear
        if isinstance(size, float):
            torch.add(z, moved, alpha=size, out=moved)
        else:
            torch.addcmul(z, moved, size, out=moved)
        return torch.clamp(moved, *self.ends, out=moved) if linf else self.project(moved)

    def uphill(self, gradient: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *rest"]:
        """The direction of length 1 in the norm of the ball along which the slope is largest."""
        if self.norm == "linf":
            return gradient.sign() if self.plain else gradient.sign() * self.scale
        # scaled first, so that gradients near the smallest float keep their direction
        gradient = gradient if self.plain else gradient * self.scale
        peak = spread_out(gradient.abs().flatten(1).amax(1), gradient)
        scaled = gradient / peak.clamp(min=torch.finfo(gradient.dtype).tiny)
        unit = scaled / _norm(scaled).clamp(min=torch.finfo(gradient.dtype).tiny)
        return unit if self.plain else unit * self.scale

    def _sparse(self, z: Tensor, gradient: Tensor, size: Size) -> Tensor:
        gain, way = (gradient * self.scale).abs().flatten(1), gradient.sign()
        length = torch.as_tensor(size, dtype=z.dtype, device=z.device).flatten().expand(len(z))
        moved = filled(gain, torch.ones_like(gain), self.room(z, way), length)
        return way * moved.reshape(z.shape) * self.scale

    def random(self, rng: np.random.Generator) -> Float[Tensor, "n *rest"]:
        """A uniform draw from each ball, clipped to the box."""
        if self.norm == "linf":
            offset = rng.uniform(-1, 1, self.x.shape)
        else:
            # normal numbers have no direction in l2, Laplace's none among the faces of l1
            draw, order = (rng.laplace, 1) if self.norm == "l1" else (rng.normal, 2)
            offset = draw(size=self.x.shape).reshape(len(self.x), -1)
            offset /= np.maximum(np.linalg.norm(offset, order, 1, keepdims=True), 1e-300)
            offset *= rng.random((len(offset), 1)) ** (1 / offset.shape[1])
            offset = offset.reshape(self.x.shape)
        drawn = torch.from_numpy(offset).to(self.x)
        return self.project(self.x + self.eps * self.scale * drawn)

    def distance(self, z: Float[Tensor, "n *rest"]) -> Float[Tensor, " n"]:
        """‖(z - x)/scale‖; infinite where a fixed feature moved."""
        delta = z - self.x
        fixed = ((self.scale == 0) & (delta != 0)).flatten(1).any(1)
        flat = self.scaled(delta).flatten(1)
        return torch.where(fixed, torch.inf, lengths(flat, self.norm))

    def holds(self, z: Float[Tensor, "n *rest"]) -> Tensor:
        """Whether each point is finite and lies in the set, but for rounding."""
        slack = 8 * torch.finfo(z.dtype).eps
        largest = self.x.abs().flatten(1).amax(1).clamp(min=1)
        if self.norm == "l1":  # the rounding of all features adds up
            largest = largest * self.x[0].numel() ** 0.5
        near = self.distance(z) <= self.eps * (1 + 64 * slack) + slack * largest
        inside = ((z >= self.low) & (z <= self.high)).flatten(1).all(1)
        return near & inside & torch.isfinite(z).flatten(1).all(1)

    @cached_property
    def plain(self) -> bool:
        """Whether all features have the unit 1."""
        return self.scale.ndim == 0 and float(self.scale) == 1

    @cached_property
    def ends(self) -> tuple[Float[Tensor, "n *rest"], Float[Tensor, "n *rest"]]:
        """The lowest and the highest point in linf."""
        reach = self.eps * self.scale
        return torch.maximum(self.x - reach, self.low), torch.minimum(self.x + reach, self.high)

    def scaled(self, delta: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *rest"]:
        """A difference of points in the units of the features; a fixed feature as it is."""
        return delta if self.plain else delta / torch.where(self.scale > 0, self.scale, 1)

    def _length(self, delta: Tensor) -> Tensor:
        return _norm(self.scaled(delta))


def ball(x: Float[Tensor, "n *rest"], eps: Size, norm: Norm, bounds: Bounds) -> Ball:
    """The checked ball.

    Raises:
        ValueError: for an unknown norm, inputs outside the bounds, low not below high, eps
            negative, NaN or larger than the width of the box, or shapes that do not fit.
        TypeError: if x does not hold numbers of 32 or 64 bits.
    """
    whole = space(x, norm, bounds)
    if not isinstance(eps, Tensor):
        check_number("eps", eps)
    elif not eps.is_floating_point():
        raise TypeError(f"eps must hold floating numbers, got {eps.dtype}.")
    # the widest coordinate in linf, the diagonal of the box in l2, all its sides in l1
    width = (whole.high - whole.low).expand(x.shape[1:])
    if isinstance(eps, Tensor) and eps.ndim:
        eps = _fitting("eps", eps.to(x), x)
        if not bool(((eps >= 0) & (eps <= width) & torch.isfinite(eps)).all()):
            raise ValueError(
                "eps must lie between 0 and the width of the bounds for every feature, got "
                f"{float(eps.min()):g} to {float(eps.max()):g}. eps is in the units of x."
            )
        largest = float(eps.max())
        scale = eps / largest if largest > 0 else torch.ones_like(eps)
        return replace(whole, eps=largest, scale=scale)
    eps = float(eps)
    limit = float(lengths(width.double().reshape(1, -1), norm))
    if not 0 <= eps <= limit or eps == torch.inf:
        raise ValueError(
            f"eps={eps} is not in [0, {limit:g}], the {norm} width of the input range. eps is in "
            "the units of x. For 8 of 255 grey levels pass eps=8/255."
        )
    return replace(whole, eps=eps)


def space(
    x: Float[Tensor, "n *rest"], norm: Norm, bounds: Bounds, scale: Tensor | None = None
) -> Ball:
    """The whole box, as a ball of infinite radius; `scale` is the unit of each feature."""
    if not isinstance(norm, str) or norm not in get_args(Norm):
        raise ValueError(f"norm must be one of {', '.join(get_args(Norm))}, got {norm!r}.")
    check_inputs(x)
    check_box(bounds)
    if scale is not None:
        check_unit(scale)
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"attacks need inputs of 32 or 64 bits, got {x.dtype}: rounding to 16 bits would leave "
            "the ball. Pass x.float() and lambda x: model(x.half()).float() for the model."
        )
    low, high = (
        _fitting("bounds", torch.as_tensor(b).to(x), x) for b in bounds or (-torch.inf, torch.inf)
    )
    if not bool((low < high).all()):
        raise ValueError("bounds must be (low, high) with low below high everywhere.")
    inside = (x >= low) & (x <= high)
    if not bool(inside.all()):
        outside = int((~inside).flatten(1).any(1).sum())
        raise ValueError(
            f"{outside} of {len(x)} examples leave the bounds (or hold NaN). bounds are in the "
            "units of x; pass the valid range of your inputs, or bounds=None if there is none."
        )
    unit = torch.ones((), dtype=x.dtype, device=x.device)
    if scale is not None:
        unit = _fitting("scale", scale.to(x), x)
        if not bool(((unit >= 0) & torch.isfinite(unit)).all() and unit.max() > 0):
            raise ValueError("scale must be 0 or positive for every feature, and not 0 for all.")
    return Ball(x, torch.inf, norm, low, high, unit)


def check_box(bounds: object) -> None:
    """Refuse bounds that are no pair of numbers or tensors.

    Raises:
        TypeError: then.
    """
    if bounds is None:
        return
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise TypeError(f"bounds must be (low, high) or None, got {repr(bounds)[:60]}.")
    for end in bounds:
        if not isinstance(end, Tensor) or end.is_complex():
            check_number("bounds", end)


def check_unit(scale: object) -> None:
    """Refuse units of features that are no tensor of numbers.

    Raises:
        TypeError: then.
    """
    if not isinstance(scale, Tensor) or scale.is_complex():
        raise TypeError(f"scale must be a torch.Tensor of units, got {type(scale).__name__}.")


def spread_out(each: Shaped[Tensor, " n"], like: Tensor) -> Tensor:
    """One number per example, in a shape that broadcasts against the examples."""
    return each.reshape(-1, *[1] * (like.ndim - 1))


def _fitting(name: str, value: Tensor, x: Tensor) -> Tensor:
    shape = tuple(x.shape[1:])
    try:
        fits = np.broadcast_shapes(tuple(value.shape), shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} of shape {tuple(value.shape)} do not broadcast against one example of shape "
            f"{shape}. Pass a number, or one value per feature."
        )
    return value


def lengths(flat: Float[Tensor, "n d"], norm: Norm) -> Float[Tensor, " n"]:
    """The norm of each row."""
    if norm == "linf":
        return flat.abs().amax(1)
    found: Tensor = torch.linalg.vector_norm(flat, ord={"l1": 1, "l2": 2}[norm], dim=1)
    return found


def _norm(delta: Tensor) -> Tensor:
    return spread_out(lengths(delta.flatten(1), "l2"), delta)
