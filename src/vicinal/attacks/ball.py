"""The set an attack may search: a ball around each example, cut by the box of valid inputs."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Norm = Literal["linf", "l2"]
Bounds = tuple[float | Tensor, float | Tensor] | None


@dataclass(frozen=True)
class Ball:
    """All z with ‖z - x_i‖ ≤ eps for each example and low ≤ z ≤ high."""

    x: Float[Tensor, "n *rest"]
    eps: float
    norm: Norm
    low: Tensor
    high: Tensor

    def project(self, z: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *rest"]:
        """A point of the set near z: onto the ball, then clipped, which never leaves the ball.

        (x lies in the box, so clipping brings every coordinate closer to it.)
        """
        if self.norm == "linf":
            z = torch.maximum(torch.minimum(z, self.x + self.eps), self.x - self.eps)
        else:
            delta = z - self.x
            longest = max(self.eps, torch.finfo(z.dtype).tiny)
            z = self.x + delta * (self.eps / _length(delta).clamp(min=longest))
        return torch.maximum(torch.minimum(z, self.high), self.low)

    def step(
        self, z: Float[Tensor, "n *rest"], gradient: Float[Tensor, "n *rest"], size: float
    ) -> Float[Tensor, "n *rest"]:
        """One steepest-ascent step of length `size` in the norm of the ball, projected."""
        if self.norm == "linf":
            direction = gradient.sign()
        else:
            # scaled first, so that gradients near the smallest float keep their direction
            peak = gradient.abs().flatten(1).amax(1).reshape(-1, *[1] * (gradient.ndim - 1))
            scaled = gradient / peak.clamp(min=torch.finfo(gradient.dtype).tiny)
            direction = scaled / _length(scaled).clamp(min=torch.finfo(gradient.dtype).tiny)
        return self.project(z + size * direction)

    def random(self, rng: np.random.Generator) -> Float[Tensor, "n *rest"]:
        """A uniform draw from each ball, clipped to the box."""
        if self.norm == "linf":
            offset = rng.uniform(-1, 1, self.x.shape)
        else:
            offset = rng.standard_normal(self.x.shape).reshape(len(self.x), -1)
            offset /= np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-300)
            offset *= rng.random((len(offset), 1)) ** (1 / offset.shape[1])
            offset = offset.reshape(self.x.shape)
        return self.project(self.x + self.eps * torch.from_numpy(offset).to(self.x))


def ball(x: Float[Tensor, "n *rest"], eps: float, norm: Norm, bounds: Bounds) -> Ball:
    """The checked ball.

    Raises:
        ValueError: for an unknown norm, inputs outside the bounds, low not below high, or eps
            negative, NaN or larger than the width of the box.
        TypeError: if x does not hold floating values.
    """
    if norm not in get_args(Norm):
        raise ValueError(f"norm must be one of {', '.join(get_args(Norm))}, got {norm!r}.")
    if not x.is_floating_point():
        raise TypeError(f"attacks need floating inputs, got {x.dtype}. Pass x.float(), scaled.")
    low, high = (torch.as_tensor(b).to(x) for b in bounds or (-torch.inf, torch.inf))
    if not bool((low < high).all()):
        raise ValueError("bounds must be (low, high) with low below high everywhere.")
    outside = int(((x < low) | (x > high) | x.isnan()).flatten(1).any(1).sum()) if len(x) else 0
    if outside:
        raise ValueError(
            f"{outside} of {len(x)} examples leave the bounds (or hold NaN). bounds are in the "
            "units of x; pass the valid range of your inputs, or bounds=None if there is none."
        )
    # the widest coordinate in linf, the diagonal of the box in l2
    width = (high - low).expand(x.shape[1:])
    limit = float(width.max() if norm == "linf" else width.double().square().sum().sqrt())
    if not 0 <= eps <= limit or eps == torch.inf:
        raise ValueError(
            f"eps={eps} is not in [0, {limit:g}], the {norm} width of the input range. eps is in "
            "the units of x. For 8 of 255 grey levels pass eps=8/255."
        )
    return Ball(x, float(eps), norm, low, high)


def _length(delta: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *ones"]:
    norms: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
    return norms.reshape(-1, *[1] * (delta.ndim - 1))
