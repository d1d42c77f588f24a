"""Costs of masks and moves of PuzzleMix, summed term by term."""

import math


def energy(a, cost, down, across):
    """Costs of labels, and of squared differences of neighbours."""
    height, width = a.shape
    total = 0.0
    for i in range(height):
        for j in range(width):
            total += cost[i, j, a[i, j]]
            if i + 1 < height:
                total += down[i, j] * float(a[i, j] - a[i + 1, j]) ** 2
            if j + 1 < width:
                total += across[i, j] * float(a[i, j] - a[i, j + 1]) ** 2
    return total


def mask_cost(z, salient, values, lam, *, smooth, contrast, prior):
    """Of a mask of 0 and 1: lost saliency, chances, and borders seen by the images shown there."""
    blocks, fine = len(z), salient.shape[-1] // len(z)
    total = 0.0
    for i in range(blocks):
        for j in range(blocks):
            lost = 0 if z[i, j] else 1  # the sample's own, where the partner is shown
            for r in range(fine):
                for c in range(fine):
                    total += salient[lost, i * fine + r, j * fine + c]
            total -= prior / blocks**2 * math.log(lam if z[i, j] else 1 - lam)
            for k, m in ((i + 1, j), (i, j + 1)):
                if k < blocks and m < blocks:
                    total += smooth * (z[i, j] != z[k, m])
                    total += smooth * contrast * _border(z, values, (i, j), (k, m), fine)
    return total


def _border(z, values, first, second, fine):
    """Mean |difference| of values on both sides of the border of two blocks."""
    one, two = values[int(z[first])], values[int(z[second])]
    apart = []
    for channel in range(len(one)):
        for t in range(fine):
            if second[0] > first[0]:
                here = one[channel, second[0] * fine - 1, first[1] * fine + t]
                there = two[channel, second[0] * fine, first[1] * fine + t]
            else:
                here = one[channel, first[0] * fine + t, second[1] * fine - 1]
                there = two[channel, first[0] * fine + t, second[1] * fine]
            apart.append(abs(here - there))
    return sum(apart) / len(apart)


def move_cost(shown, salient, wanted, distance):
    """Of showing cell shown[t] at cell t: how far each goes, less what is seen where wanted."""
    down, across = salient.shape
    total = 0.0
    for t, c in enumerate(shown):
        rows, columns = t // across - c // across, t % across - c % across
        total += distance * ((rows / (down - 1)) ** 2 + (columns / (across - 1)) ** 2)
        total -= salient[c // across, c % across] * wanted[t // across, t % across]
    return total
