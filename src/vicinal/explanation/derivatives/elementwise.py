"""Functions of one number with their first two derivatives, for whole tensors at once.

Each takes the values and the arguments of the operation, and returns (φ, φ', φ''), with None
for a second derivative that is 0 almost everywhere. At a kink the derivatives are those that
torch's autograd takes.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

aten = torch.ops.aten

Bent = tuple[Tensor, Tensor, Tensor | None]
"""φ, φ' and φ''."""


def _leaky_relu(a: Tensor, slope: float = 0.01) -> Bent:
    above = (a > 0).to(a.dtype)
    return F.leaky_relu(a, slope), slope + (1 - slope) * above, None


def _prelu(a: Tensor, weight: Tensor) -> Bent:
    gain = torch.where(a > 0, torch.ones_like(weight), weight)
    return gain * a, gain, None


def _clamp(a: Tensor, low: float | None = None, high: float | None = None) -> Bent:
    inside = torch.ones_like(a, dtype=torch.bool)
    if low is not None:
        inside = inside & (a >= low)
    if high is not None:
        inside = inside & (a <= high)
    return a.clamp(low, high), inside.to(a.dtype), None


def _hardtanh(a: Tensor, low: float = -1.0, high: float = 1.0) -> Bent:
    return F.hardtanh(a, low, high), ((a > low) & (a < high)).to(a.dtype), None


def _hardsigmoid(a: Tensor) -> Bent:
    return F.hardsigmoid(a), ((a > -3) & (a < 3)).to(a.dtype) / 6, None


def _hardswish(a: Tensor) -> Bent:
    inside = ((a > -3) & (a < 3)).to(a.dtype)
    slope = torch.where(a >= 3, torch.ones_like(a), inside * (2 * a + 3) / 6)
    return F.hardswish(a), slope, inside / 3


def _abs(a: Tensor) -> Bent:
    return a.abs(), a.sign(), None


def _elu(a: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Bent:
    below = (a <= 0).to(a.dtype)
    grown = alpha * scale * torch.exp(input_scale * a.clamp(max=0)) * below
    slope = scale * (1 - below) + input_scale * grown
    value = torch.where(a > 0, scale * a, alpha * scale * torch.expm1(input_scale * a.clamp(max=0)))
    return value, slope, input_scale**2 * grown


def _celu(a: Tensor, alpha: float = 1.0) -> Bent:
    return _elu(a, alpha, 1.0, 1 / alpha)


def _gelu(a: Tensor, *, approximate: str = "none") -> Bent:
    if approximate == "tanh":
        return _gelu_by_tanh(a)
    share = torch.erf(a * math.sqrt(0.5)).add_(1).mul_(0.5)
    density = torch.exp(a.square().mul_(-0.5)) * (1 / math.sqrt(2 * math.pi))
    return a * share, torch.addcmul(share, a, density), density * (2 - a.square())


def _gelu_by_tanh(a: Tensor) -> Bent:
    c, k = math.sqrt(2 / math.pi), 0.044715
    t = torch.tanh(c * (a + k * a**3))
    du, d2u = c * (1 + 3 * k * a.square()), 6 * c * k * a
    rise = 1 - t.square()
    first = 0.5 * (1 + t) + 0.5 * a * rise * du
    return 0.5 * a * (1 + t), first, rise * du + 0.5 * a * rise * (d2u - 2 * t * du.square())


def _silu(a: Tensor) -> Bent:
    s = torch.sigmoid(a)
    rise = s * (1 - s)
    return a * s, torch.addcmul(s, a, rise), rise * (2 + a * (1 - 2 * s))


def _sigmoid(a: Tensor) -> Bent:
    s = torch.sigmoid(a)
    rise = s * (1 - s)
    return s, rise, rise * (1 - 2 * s)


def _tanh(a: Tensor) -> Bent:
    t = torch.tanh(a)
    rise = 1 - t.square()
    return t, rise, -2 * t * rise


def _softplus(a: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Bent:
    s = torch.sigmoid(beta * a)
    straight = beta * a > threshold  # where torch, too, takes the identity
    first = torch.where(straight, torch.ones_like(s), s)
    second = torch.where(straight, torch.zeros_like(s), beta * s * (1 - s))
    return F.softplus(a, beta, threshold), first, second


def _mish(a: Tensor) -> Bent:
    s, t = torch.sigmoid(a), torch.tanh(F.softplus(a))
    rise = (1 - t.square()) * s  # of t
    bend = rise * (1 - s) - 2 * t * s * rise
    return a * t, t + a * rise, 2 * rise + a * bend


def _log_sigmoid(a: Tensor) -> Bent:
    s = torch.sigmoid(-a)
    return F.logsigmoid(a), s, -s * (1 - s)


def _exp(a: Tensor) -> Bent:
    e = a.exp()
    return e, e, e


def _expm1(a: Tensor) -> Bent:
    e = a.exp()
    return a.expm1(), e, e


def _log(a: Tensor) -> Bent:
    r = a.reciprocal()
    return a.log(), r, -r.square()


def _log1p(a: Tensor) -> Bent:
    r = (1 + a).reciprocal()
    return a.log1p(), r, -r.square()


def _sqrt(a: Tensor) -> Bent:
    root = a.sqrt()
    first = 0.5 / root
    return root, first, -0.5 * first / a


def rsqrt(a: Tensor) -> Bent:
    """The function 1 / √a."""
    root = a.rsqrt()
    first = -0.5 * root / a
    return root, first, -1.5 * first / a


def reciprocal(a: Tensor) -> Bent:
    """The function 1 / a."""
    r = a.reciprocal()
    first = -r.square()
    return r, first, -2 * first * r


def _pow(a: Tensor, exponent: float | Tensor) -> Bent:
    if not isinstance(exponent, Tensor) and exponent == 2:
        return a.square(), 2 * a, torch.full_like(a, 2.0)
    if not isinstance(exponent, Tensor) and exponent == 1:  # 0 · 0⁻¹ would be undefined
        return a.clone(), torch.ones_like(a), None
    return (
        a**exponent,
        exponent * a ** (exponent - 1),
        exponent * (exponent - 1) * a ** (exponent - 2),
    )


def _sin(a: Tensor) -> Bent:
    s = a.sin()
    return s, a.cos(), -s


def _cos(a: Tensor) -> Bent:
    c = a.cos()
    return c, -a.sin(), -c


def _erf(a: Tensor) -> Bent:
    first = 2 / math.sqrt(math.pi) * torch.exp(-a.square())
    return a.erf(), first, -2 * a * first


FUNCTIONS: dict[Any, Callable[..., Bent]] = {
    aten._prelu_kernel: _prelu,
    aten.abs: _abs,
    aten.celu: _celu,
    aten.clamp: _clamp,
    aten.clamp_min: _clamp,
    aten.cos: _cos,
    aten.elu: _elu,
    aten.erf: _erf,
    aten.exp: _exp,
    aten.expm1: _expm1,
    aten.gelu: _gelu,
    aten.hardsigmoid: _hardsigmoid,
    aten.hardswish: _hardswish,
    aten.hardtanh: _hardtanh,
    aten.leaky_relu: _leaky_relu,
    aten.log: _log,
    aten.log1p: _log1p,
    aten.log_sigmoid_forward: _log_sigmoid,
    aten.mish: _mish,
    aten.pow: _pow,
    aten.reciprocal: reciprocal,
    aten.rsqrt: rsqrt,
    aten.sigmoid: _sigmoid,
    aten.silu: _silu,
    aten.sin: _sin,
    aten.softplus: _softplus,
    aten.sqrt: _sqrt,
    aten.tanh: _tanh,
}
"""By operation of ATen."""
