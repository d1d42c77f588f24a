"""The Square attack: random search with square patches, without any gradient."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vicinal.attacks.ball import Ball, Bounds, Norm, Size, ball, lengths, spread_out
from vicinal.attacks.door import Function, entered
from vicinal.attacks.goal import Goal, goal
from vicinal.forward import Model
from vicinal.losses import Family, categorical

QUERIES, SHARE = 5000, 0.8
# the share of features in a patch is halved after these parts of the queries
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)

Patch = Callable[[int, float], tuple[Tensor, Callable[[], Tensor]]]
"""(examples, share of the features) -> which features are in the patch; a signed pattern in it."""


def square(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    eps: Size,
    *,
    norm: Norm = "linf",
    bounds: Bounds = (0.0, 1.0),
    queries: int = QUERIES,
    family: Family = categorical,
    tolerance: float | None = None,
    rng: np.random.Generator,
) -> Float[Tensor, "n *rest"]:
    """Random search: change a patch to the edge of the ball, keep it if the margin grew.

    Images (n, c, h, w) get square patches that shrink as the search goes on; anything else gets
    random subsets of features of the same size. In l2 and l1 the length that one patch gives up
    goes to another. It needs outputs only, so masked gradients do not hinder it. An example that is
    broken leaves the batch at once.

    Args:
        model: maps x to outputs of the family; attacked in eval mode and left as it was.
        x: inputs within bounds.
        y: targets of the family.
        eps: radius of the ball, in the units of x, or one per feature; 0 gives x back.
        norm: "linf", "l2" or "l1".
        bounds: (low, high) of valid inputs, or None.
        queries: forward passes for each example, at least 1.
        family: decides what is broken and the margin.
        tolerance: deviation that breaks an example of a family without classes.
        rng: where the patches come from.

    Returns:
        Inputs of the shape of x, within eps of x and within bounds: broken, or of the largest
        margin seen.

    Raises:
        ValueError: for eps, x, bounds and targets that do not fit, or no queries.

    Source:
        Andriushchenko, Croce, Flammarion, Hein (2020), arXiv:1912.00049, algorithms 1 to 3, with
        p = 0.8; there for images only. In l1 as in Croce and Hein (2021), arXiv:2103.01208.
    """
    if not queries >= 1:
        raise ValueError(f"queries must be at least 1, got {queries}.")
    within, aim = ball(x, eps, norm, bounds), goal(family, y, tolerance)
    with entered(model, x, y, family) as f:
        z, _ = attack(f, within, aim, queries, rng)
    aim.warn()
    return z


def attack(
    f: Function, within: Ball, aim: Goal, queries: int, rng: np.random.Generator
) -> tuple[Float[Tensor, "n *rest"], Bool[Tensor, " n"]]:
    """Points, and whether they are broken."""
    found = within.x.clone()
    outputs = f(found)
    won, margin = aim.broken(outputs), aim.margin(outputs)
    alive = (~won).nonzero()[:, 0]
    part, left, margin, z = within[alive], aim[alive], margin[alive], within.x[alive]
    draw = _squares if within.x.ndim == 4 else _subsets
    patch = draw(within.x, within.norm, rng)
    for query in range(queries):
        if not len(alive):
            break
        if query == 0:
            trial = _stripes(part, rng) if part.norm == "linf" else _tiles(part, patch)
        else:
            trial = _proposal(part, z, _share(query / queries), patch, rng)
        outputs = f(trial)
        reached = left.margin(outputs)
        # before the boundary nothing is broken, and most queries stay there
        broken = won.new_zeros(len(trial)) if (reached < 0).all() else left.broken(outputs)
        better = broken | (reached > margin)
        z = torch.where(spread_out(better, z), trial, z)
        margin = torch.where(better, reached, margin)
        if broken.any():
            won[alive[broken]] = True
            found[alive[broken]] = z[broken]
            rows = (~broken).nonzero()[:, 0]
            alive, part, left, margin, z = (
                alive[rows],
                part[rows],
                left[rows],
                margin[rows],
                z[rows],
            )
    found[alive] = z
    return found, won


def _share(progress: float) -> float:
    """The share of the features in a patch, after this part of the queries."""
    return SHARE / 2.0 ** int(np.searchsorted(HALVINGS, progress, side="left"))


def _proposal(
    within: Ball, z: Tensor, share: float, patch: Patch, rng: np.random.Generator
) -> Tensor:
    if within.norm == "linf":
        where, _ = patch(len(z), share)
        signs = _signs((len(z), _channels(z)), rng, z)
        offset = _by_channel(signs, z) * (within.eps * within.scale)
        return within.project(torch.where(where, within.x + offset, z))
    return _exchange(within, z, share, patch)


def _exchange(within: Ball, z: Tensor, share: float, patch: Patch) -> Tensor:
    """Empty one patch and give its length, and what the ball has to spare, to another."""
    norm, power = within.norm, 1 if within.norm == "l1" else 2
    first, pattern = patch(len(z), share)
    second, _ = patch(len(z), share)
    delta = torch.where(within.scale > 0, (z - within.x) / within.scale.clamp(min=1e-30), 0)
    spare = (within.eps**power - _length(delta, norm) ** power).clamp(min=0)
    budget = (spare + _length(delta * (first | second), norm) ** power) ** (1 / power)
    new = _unit((pattern() + _unit(delta * first, norm)) * first, norm) * budget
    delta = torch.where(first, new, torch.where(second, 0, delta))
    # clipping to the box has left the sphere; what lies within is stretched to it again
    return within.project(within.x + _unit(delta, norm) * (within.eps * within.scale))


def _stripes(within: Ball, rng: np.random.Generator) -> Tensor:
    """The start in linf: vertical stripes of ±eps; single features for what is no image."""
    shape = list(within.x.shape)
    if within.x.ndim == 4:
        shape[2] = 1
    return within.project(within.x + within.eps * within.scale * _signs(shape, rng, within.x))


def _tiles(within: Ball, patch: Patch) -> Tensor:
    """The start in l2 and l1: a sum of patterns at random places, scaled to the sphere."""
    delta = sum(patch(len(within.x), 0.05)[1]() for _ in range(25))
    delta = _unit(torch.as_tensor(delta).to(within.x), within.norm)
    return within.project(within.x + delta * (within.eps * within.scale))


def _squares(x: Tensor, norm: Norm, rng: np.random.Generator) -> Patch:
    _, channels, height, width = x.shape

    def patch(count: int, share: float) -> tuple[Tensor, Callable[[], Tensor]]:
        side = min(max(round((share * height * width) ** 0.5), 1), height, width)
        row = np.arange(height)[:, None] - rng.integers(height - side + 1, size=(count, 1, 1, 1))
        column = np.arange(width) - rng.integers(width - side + 1, size=(count, 1, 1, 1))
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)

        def pattern() -> Tensor:
            # two bumps of opposite sign, side by side: what changes a convolution most
            turned = rng.random((count, 1, 1, 1)) < 0.5
            along, across = np.where(turned, column, row), np.where(turned, row, column)
            signs = rng.choice((-1.0, 1.0), size=(count, channels, 1, 1))
            bump = _bump(along, across, side, 4 if norm == "l1" else 2)
            return _unit(torch.from_numpy(bump * inside * signs).to(x), norm)

        return torch.from_numpy(inside).to(x.device), pattern

    return patch


def _bump(along: np.ndarray, across: np.ndarray, side: int, power: int) -> np.ndarray:
    """Heights that fall with the distance from the middle of each half, the second negative."""
    half = max(side // 2, 1)
    second = along >= half
    depth = np.where(second, along - half, along)
    length = np.where(second, max(side - half, 1), half)
    ring = np.maximum(
        np.abs(depth - (length - 1) / 2) / length, np.abs(across - (side - 1) / 2) / side
    )
    height = 1 / (1 + side * ring) ** power
    return np.asarray(np.where(second & (side > 1), -height, height))


def _subsets(x: Tensor, norm: Norm, rng: np.random.Generator) -> Patch:
    features = x[0].numel()

    def patch(count: int, share: float) -> tuple[Tensor, Callable[[], Tensor]]:
        size = min(max(round(share * features), 1), features)
        order = rng.random((count, features)).argsort(1)
        inside = (order < size).reshape(count, *x.shape[1:])

        def pattern() -> Tensor:
            signs = rng.choice((-1.0, 1.0), size=inside.shape)
            return _unit(torch.from_numpy(signs * inside).to(x), norm)

        return torch.from_numpy(inside).to(x.device), pattern

    return patch


def _channels(z: Tensor) -> int:
    return z.shape[1] if z.ndim == 4 else z[0].numel()


def _by_channel(signs: Float[Tensor, "n c"], like: Tensor) -> Tensor:
    """One sign per channel of an image, or per feature."""
    return signs[:, :, None, None] if like.ndim == 4 else signs.reshape(like.shape)


def _signs(shape: tuple[int, ...] | list[int], rng: np.random.Generator, like: Tensor) -> Tensor:
    return torch.from_numpy(rng.integers(2, size=tuple(shape)) * 2.0 - 1).to(like)


def _length(delta: Tensor, norm: Norm) -> Tensor:
    return spread_out(lengths(delta.flatten(1), norm), delta)


def _unit(delta: Tensor, norm: Norm) -> Tensor:
    """Of length 1; what is 0 stays 0."""
    return delta / _length(delta, norm).clamp(min=1e-12)
