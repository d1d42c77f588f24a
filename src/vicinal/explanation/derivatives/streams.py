r"""The algebra of stacked streams: a tensor and its derivatives along D directions.

    streams    (1 + D + 1, *shape)    value, first derivatives, sum of second derivatives
               (1 + D, *shape)        the same where the second derivative is 0

Everything linear acts on all streams at once. A product and a function of one number follow
Leibniz and Faà di Bruno,

    (ab)''  = a''b + 2 a'b' + ab''         φ(a)''  = φ'(a) a'' + φ''(a) a'²

summed over the directions, so that a whole trace of second derivatives costs one stream.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Streams:
    """Stacked streams of one tensor; see the head of this file."""

    stack: Tensor
    directions: int

    @property
    def value(self) -> Tensor:
        """The tensor itself."""
        return self.stack[0]

    @property
    def first(self) -> Tensor:
        """First derivatives, (D, *shape)."""
        return self.stack[1 : 1 + self.directions]

    @property
    def second(self) -> Tensor | None:
        """The sum of second derivatives, None where it is 0 and not carried."""
        return self.stack[-1] if self.bent else None

    @property
    def bent(self) -> bool:
        """Whether a second derivative is carried."""
        return len(self.stack) > 1 + self.directions

    def like(self, stack: Tensor) -> "Streams":
        """Other stacked streams along the same directions."""
        return Streams(stack, self.directions)

    def of_rank(self, ndim: int) -> "Streams":
        """With axes of length 1 in front of the shape, as broadcasting would add them."""
        missing = ndim - (self.stack.ndim - 1)
        if missing <= 0:
            return self
        shape = (len(self.stack), *[1] * missing, *self.stack.shape[1:])
        return self.like(self.stack.reshape(shape))


def joined(value: Tensor, first: Tensor, second: Tensor | None) -> Streams:
    """Streams of parts, each broadcast to the shape of the value."""
    parts = [value[None], first.expand(-1, *value.shape)]
    if second is not None:
        parts.append(second.expand(value.shape)[None])
    return Streams(torch.cat(parts), len(first))


def shifted(a: Streams, constant: Tensor | float) -> Streams:
    """Add a constant: only the value moves."""
    if isinstance(constant, Tensor):
        a = a.of_rank(constant.ndim)
    value = a.value + constant
    return a.like(torch.cat((value[None], a.stack[1:].expand(-1, *value.shape))))


def summed(a: Streams, b: Streams, weight: float = 1.0) -> Streams:
    """Add weight times b."""
    rank = max(a.stack.ndim, b.stack.ndim) - 1
    a, b = a.of_rank(rank), b.of_rank(rank)
    if a.bent == b.bent:
        return a.like(torch.add(a.stack, b.stack, alpha=weight))
    carried = 1 + a.directions
    both = torch.add(a.stack[:carried], b.stack[:carried], alpha=weight)
    rest = a.stack[-1:] if a.bent else weight * b.stack[-1:]
    return a.like(torch.cat((both, rest.expand(-1, *both.shape[1:]))))


def product(a: Streams, b: Streams, multiply: Callable[[Tensor, Tensor], Tensor]) -> Streams:
    """A bilinear operation that broadcasts over leading axes."""
    first = multiply(a.first, b.value) + multiply(a.value, b.first)
    second = 2 * multiply(a.first, b.first).sum(0)
    if a.second is not None:
        second = second + multiply(a.second, b.value)
    if b.second is not None:
        second = second + multiply(a.value, b.second)
    return joined(multiply(a.value, b.value), first, second)


def square(a: Streams) -> Streams:
    """The product of a with itself, number by number."""
    second = 2 * a.first.square().sum(0)
    if a.second is not None:
        second = second + 2 * a.value * a.second
    return joined(a.value.square(), 2 * a.value * a.first, second)


def rectified(a: Streams) -> Streams:
    """max(a, 0), which switches all streams on and off together; NaN stays NaN."""
    gates = a.value.expand_as(a.stack)
    return a.like(torch.ops.aten.threshold_backward(a.stack, gates, 0))


def through(a: Streams, value: Tensor, slope: Tensor, bend: Tensor | None) -> Streams:
    """φ(a) for a function of one number with φ, φ' and φ'' at the value of a."""
    if torch.is_grad_enabled():
        return _through(a, value, slope, bend)
    out = value.new_empty(len(a.stack) + (bend is not None and not a.bent), *value.shape)
    out[0] = value
    if bend is None:
        torch.mul(a.stack[1:], slope, out=out[1:])
        return a.like(out)
    torch.mul(a.first, slope, out=out[1:-1])
    torch.mul(bend, _squares(a), out=out[-1])
    if a.second is not None:
        out[-1].addcmul_(slope, a.second)
    return a.like(out)


def _through(a: Streams, value: Tensor, slope: Tensor, bend: Tensor | None) -> Streams:
    """The same, as autograd can follow it."""
    if bend is None:
        return a.like(torch.cat((value[None], a.stack[1:] * slope)))
    second = bend * _squares(a)
    if a.second is not None:
        second = torch.addcmul(second, slope, a.second)
    return joined(value, a.first * slope, second)


def _squares(a: Streams) -> Tensor:
    """The sum of squared first derivatives."""
    return a.first[0].square() if a.directions == 1 else a.first.square().sum(0)
