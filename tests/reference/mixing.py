"""Mixing, slow and obvious: one sample, one pixel at a time."""

import math

import numpy as np
import torch


def mix(x, draw):
    """Own and partner's values, weighed coordinate by coordinate, in float64."""
    keep = draw.keep.double().expand_as(x) if draw.keep.ndim == x.ndim else None
    mixed = torch.empty_like(x, dtype=torch.float64)
    for index in np.ndindex(*x.shape):
        i, rest = index[0], index[1:]
        own = float(x[(i, *_at(draw.own_place, i, rest))])
        other = float(x[(int(draw.partner[i]), *_at(draw.place, i, rest))])
        weight = float(draw.share[i]) if keep is None else float(keep[index])
        mixed[index] = weight * own + (1 - weight) * other
    return mixed


def _at(place, i, index):
    """Where the value at an index is read."""
    if place is None:
        return index
    sides = place.shape[1:]
    pixel = int(place[(i, *index[-len(sides) :])])
    return (*index[: -len(sides)], *np.unravel_index(pixel, sides))


def _cut(rng, size, length):
    """How much of an interval, centred at a uniform pixel, lies within the image."""
    centre = int(rng.integers(length))
    first = centre - size // 2
    return sum(0 <= pixel < length for pixel in range(first, first + size))


def cutmix_share(rng, height, width, alpha):
    side = math.sqrt(1 - rng.beta(alpha, alpha))
    cut = _cut(rng, int(side * height), height) * _cut(rng, int(side * width), width)
    return 1 - cut / (height * width)


def resizemix_share(rng, height, width, smallest, largest):
    side = rng.uniform(smallest, largest)
    return 1 - int(side * height) * int(side * width) / (height * width)


def gridmix_share(rng, height, width, alpha, cells):
    lam = rng.beta(alpha, alpha)
    kept = {(i, j): rng.random() < lam for i in range(cells) for j in range(cells)}
    pixels = [
        kept[r * cells // height, c * cells // width] for r in range(height) for c in range(width)
    ]
    return sum(pixels) / len(pixels)


def fmix_mask(rng, kept, height, width, decay):
    """White complex noise, each frequency f divided by f^decay; its largest pixels are kept."""
    spectrum = np.zeros((height, width // 2 + 1), dtype=complex)
    for row in range(height):
        for column in range(width // 2 + 1):
            f = math.hypot(min(row, height - row) / height, column / width)
            noise = complex(rng.normal(), rng.normal())
            spectrum[row, column] = noise / max(f, 1 / max(height, width)) ** decay
    order = np.argsort(np.fft.irfft2(spectrum, s=(height, width)), axis=None)
    mask = np.zeros(height * width)
    mask[order[height * width - kept :]] = 1
    return mask.reshape(height, width)


def borders(mask):
    """How many pairs of neighbouring pixels are on different sides."""
    height, width = mask.shape
    down = sum(mask[i, j] != mask[i + 1, j] for i in range(height - 1) for j in range(width))
    return down + sum(mask[i, j] != mask[i, j + 1] for i in range(height) for j in range(width - 1))


def _bump_mean(rng, height, width, scale):
    row, column = rng.integers(height), rng.integers(width)
    return np.mean(
        [
            math.exp(-scale * ((r - row) ** 2 + (c - column) ** 2))
            for r in range(height)
            for c in range(width)
        ]
    )


def gmix_share(rng, height, width, alpha):
    lam = max(rng.beta(alpha, alpha), 1e-12)
    return _bump_mean(rng, height, width, math.pi / (lam * height * width))


def smoothmix_share(rng, height, width, smallest, largest):
    sigma = rng.uniform(smallest, largest) * math.sqrt(height * width)
    return 1 - _bump_mean(rng, height, width, 1 / (2 * sigma**2))


def mit_weights(rng, alpha, margin):
    while True:
        first, second = rng.beta(alpha, alpha), rng.beta(alpha, alpha)
        first, second = max(first, 1 - first), min(second, 1 - second)
        if first - second >= margin:
            return first, second


def blend(x, draw):
    """The weighted sum of k samples, in float64."""
    mixed = torch.zeros_like(x, dtype=torch.float64)
    for i, shares in enumerate(draw.shares.tolist()):
        for j, share in zip([i, *draw.partners[i].tolist()], shares, strict=True):
            mixed[i] += share * x[j].double()
    return mixed
