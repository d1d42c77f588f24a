"""Some rows of a mixed batch, for batches whose mixed copy is not to be held whole."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.mixing.apply import at_place, between, fitted
from vicinal.mixing.draw import Draw, check_draw

NUMBERS = 2**24  # coordinates of inputs that are mixed at once: 64 MB


def mix_rows(x: Float[Tensor, "n *rest"], draw: Draw, rows: slice) -> Float[Tensor, "m *rest"]:
    """The rows of ``mix(x, draw)``, without the others; partners may lie anywhere in x.

    Args:
        x: floating values of any shape, first axis the batch.
        draw: of the whole batch.
        rows: which of the mixed examples.

    Raises:
        TypeError, ValueError: if the draw does not fit x.
    """
    check_draw(x, draw)
    keep = fitted(draw.keep, x)
    other, own = x[draw.partner[rows]], x[rows]
    if draw.place is not None:
        other = at_place(other, draw.place[rows])
    if draw.own_place is not None:
        own = at_place(own, draw.own_place[rows])
    return between(other, own, keep[rows] if len(keep) > 1 else keep)


def outputs_for(
    f: Callable[[Tensor], Tensor], x: Float[Tensor, "n *rest"], draw: Draw | None
) -> Float[Tensor, "n *k"]:
    """``f(mix(x, draw))``, mixed a few rows at a time; f takes each example for itself."""
    if draw is None:
        return f(x)
    size = max(1, NUMBERS // max(1, x[:1].numel()))
    starts = range(0, len(x), size)
    return torch.cat([f(mix_rows(x, draw, slice(k, k + size))) for k in starts])
