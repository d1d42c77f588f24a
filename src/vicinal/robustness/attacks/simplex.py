r"""The two sums that the l1 ball asks for, in a box: what to take off, and what to fill first.

Lengths are of each coordinate along the way it goes, never negative; u is the room that the box
leaves it.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def shortened(
    length: Float[Tensor, "n d"], room: Float[Tensor, "n d"], total: Float[Tensor, " n"]
) -> Float[Tensor, "n d"]:
    r"""The nearest lengths within the room that sum to `total` at most.

    The projection onto the l1 ball and the box is $\min(\max(a_j - t, 0), u_j)$ with the smallest
    t ≥ 0 for which it sums to no more than the radius. The sum falls with slope of whole numbers
    between the points $a_j - u_j$ and $a_j$, so t is read off after sorting them.

    Source:
        Croce and Hein (2021), arXiv:2103.01208, proposition 2.1; Duchi et al. (2008) without box.
    """
    begins = (length - room).clamp(min=0)
    kept = torch.minimum(length, room).sum(1)
    events = torch.cat([begins, length], 1)
    order = events.argsort(1)
    at = events.gather(1, order)
    # how many coordinates are being shortened after each event
    falling = torch.where(order < length.shape[1], 1, -1).cumsum(1)
    falls = falling[:, :-1] * at.diff(dim=1)
    sums = kept[:, None] - torch.cat([torch.zeros_like(falls[:, :1]), falls.cumsum(1)], 1)
    last = (sums > total[:, None]).sum(1, keepdim=True).clamp(min=1) - 1
    over = (sums.gather(1, last)[:, 0] - total).clamp(min=0)
    t = at.gather(1, last)[:, 0] + over / falling.gather(1, last)[:, 0].clamp(min=1)
    t = torch.where(kept > total, t, 0)
    return torch.minimum((length - t[:, None]).clamp(min=0), room)


def filled(
    gain: Float[Tensor, "n d"],
    rate: Float[Tensor, "n d"],
    room: Float[Tensor, "n d"],
    amount: Float[Tensor, " n"],
) -> Float[Tensor, "n d"]:
    r"""Lengths c with $\sum_j r_j c_j$ = amount, the coordinates of largest gain filled first.

    With r the gain itself, the shortest way to gain so much; with r = 1, the most that is gained
    by so long a way. Where the room is not enough everything is full; what gains nothing stays 0.
    """
    order = gain.argsort(1, descending=True)
    useful = gain.gather(1, order) > 0
    rate, space = rate.gather(1, order), room.gather(1, order)
    whole = torch.where(useful, rate * space, 0).cumsum(1)
    before = torch.cat([torch.zeros_like(whole[:, :1]), whole[:, :-1]], 1)
    left = (amount[:, None] - before).clamp(min=0)
    taken = torch.minimum(left / rate.clamp(min=torch.finfo(rate.dtype).tiny), space)
    return torch.zeros_like(room).scatter(1, order, torch.where(useful, taken, 0))
