"""The patches of the Square attack: squares in images, random subsets of features elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vicinal.robustness.attacks.ball import Ball, Norm, lengths, spread_out

TILES, TILE = 25, 0.05  # patterns at the start in l2 and l1, and their share of the features


@dataclass(frozen=True)
class Patch:
    """One patch per row.

    Attributes:
        inside: which features are in it.
        signs: draws signs, one per channel of an image or per feature.
        pattern: draws a signed pattern of length 1 within.
    """

    inside: Bool[Tensor, "n *rest"]
    signs: Callable[[], Tensor]
    pattern: Callable[[], Tensor]


Patches = Callable[[np.ndarray], Patch]
"""Draws patches that hold these shares of the features, one for each row."""


def squares(x: Float[Tensor, "n c h w"], norm: Norm, rng: np.random.Generator) -> Patches:
    """Squares anywhere in an image, the same in every channel."""
    _, channels, height, width = x.shape
    rows, columns = (torch.arange(size, device=x.device) for size in (height, width))

    def draw(shares: np.ndarray) -> Patch:
        count = len(shares)
        sides = np.round((shares * height * width) ** 0.5).astype(np.int64)
        sides = sides.clip(1, min(height, width))
        corner = rng.random((2, count)) * (np.array([[height], [width]]) - sides + 1)
        top, left, side = torch.from_numpy(np.stack([*corner.astype(np.int64), sides])).to(x.device)
        row, column = rows - top[:, None], columns - left[:, None]
        tall = (row >= 0) & (row < side[:, None])
        inside = tall[:, None, :, None] & ((column >= 0) & (column < side[:, None]))[:, None, None]
        signs = partial(signed, (count, channels, 1, 1), rng, x)

        def pattern() -> Tensor:
            turned = torch.from_numpy(rng.random(count) < 0.5).to(x.device)
            along, across = side.where(~turned, 1), side.where(turned, 1)
            spot = (row * along[:, None])[:, :, None] + (column * across[:, None])[:, None]
            bumps, sizes = _bumps(tuple(np.unique(sides).tolist()), 4 if norm == "l1" else 2)
            # outside it is some place of the table, and 0 afterwards
            spot = spot.where(inside[:, 0], 0) + sizes.to(x.device)[side][:, None, None]
            bump: Tensor = bumps.to(x)[spot][:, None] * inside
            length: float = channels if norm == "l1" else channels**0.5
            return bump * signs() / length

        return Patch(inside, signs, pattern)

    return draw


def subsets(x: Float[Tensor, "n *rest"], norm: Norm, rng: np.random.Generator) -> Patches:
    """Any features, each with a sign of its own."""
    features = x[0].numel()

    def draw(shares: np.ndarray) -> Patch:
        size = np.round(shares * features).clip(1, features)
        order = rng.random((len(shares), features)).argsort(1)
        inside = torch.from_numpy(order < size[:, None]).to(x.device).reshape(-1, *x.shape[1:])
        signs = partial(signed, tuple(inside.shape), rng, x)
        return Patch(inside, signs, lambda: unit(signs() * inside, norm))

    return draw


def stripes(within: Ball, rng: np.random.Generator) -> Float[Tensor, "n *rest"]:
    """The start in linf: vertical stripes at the ends; single features for what is no image."""
    shape = list(within.x.shape)
    if within.x.ndim == 4:
        shape[2] = 1
    low, high = within.ends
    return torch.where(signed(tuple(shape), rng, within.x) > 0, high, low)


def tiles(within: Ball, draw: Patches) -> Float[Tensor, "n *rest"]:
    """The start in l2 and l1: a sum of patterns at random places, scaled to the sphere."""
    shares = np.full(len(within.x), TILE)
    delta = torch.stack([draw(shares).pattern() for _ in range(TILES)]).sum(0)
    return within.project(within.x + unit(delta, within.norm) * (within.eps * within.scale))


def exchanged(
    within: Ball, z: Float[Tensor, "n *rest"], patch: Patch, other: Tensor
) -> Float[Tensor, "n *rest"]:
    """Empty the other patch and give its length, and what the ball has to spare, to this one."""
    norm, power = within.norm, 1 if within.norm == "l1" else 2
    delta = within.scaled(z - within.x)
    spare = (within.eps**power - _length(delta, norm) ** power).clamp(min=0)
    taken = _length(delta * (patch.inside | other), norm) ** power
    own = patch.pattern() + unit(delta * patch.inside, norm)
    new = unit(own * patch.inside, norm) * (spare + taken) ** (1 / power)
    delta = torch.where(patch.inside, new, torch.where(other, 0, delta))
    # clipping to the box has left the sphere; what lies within is stretched to it again
    return within.project(within.x + unit(delta, norm) * (within.eps * within.scale))


def signed(shape: tuple[int, ...], rng: np.random.Generator, like: Tensor) -> Tensor:
    """Random signs."""
    return torch.from_numpy(rng.integers(2, size=shape, dtype=np.int8)).to(like).mul_(2).sub_(1)


def unit(delta: Float[Tensor, "n *rest"], norm: Norm) -> Float[Tensor, "n *rest"]:
    """Of length 1; what is 0 stays 0."""
    return delta / _length(delta, norm).clamp(min=1e-12)


def _length(delta: Tensor, norm: Norm) -> Tensor:
    return spread_out(lengths(delta.flatten(1), norm), delta)


@cache
def _bumps(sides: tuple[int, ...], power: int) -> tuple[Tensor, Tensor]:
    """The patterns of squares of these sides, one after the other, and where each begins."""
    begins = torch.zeros(sides[-1] + 1, dtype=torch.int64)
    begins[list(sides)] = torch.tensor([0, *np.cumsum([s * s for s in sides[:-1]])])
    return torch.from_numpy(np.concatenate([_bump(s, power).ravel() for s in sides])), begins


def _bump(side: int, power: int) -> np.ndarray:
    """Two bumps of opposite sign, one above the other, of length 1 together.

    They are what changes a convolution most; heights fall with the distance from the middle of
    each half.
    """
    along, across = np.arange(side)[:, None], np.arange(side)
    half = max(side // 2, 1)
    second = along >= half
    depth = np.where(second, along - half, along)
    length = np.where(second, max(side - half, 1), half)
    ring = np.maximum(
        np.abs(depth - (length - 1) / 2) / length, np.abs(across - (side - 1) / 2) / side
    )
    height = np.where(second & (side > 1), -1.0, 1.0) / (1 + side * ring) ** power
    return np.asarray(height / np.linalg.norm(height.ravel(), 1 if power == 4 else 2))
