"""The families of losses l(f, y) = A(f) - <y, f>, per example and never averaged.

A is the convex log-partition function, A'(f) the mean, A''(f) its derivative:

    categorical   A = logsumexp(f)   A' = softmax(f)   A'' = diag(p) - pp'   f: (n, K)
    bernoulli     A = log(1 + e^f)   A' = sigmoid(f)   A'' = p(1-p)          f: (n,) or (n, 1)
    gaussian      A = f²/2           A' = f            A'' = 1               f: (n,) or (n, 1)
    poisson       A = e^f            A' = e^f          A'' = e^f             f: (n,) or (n, 1)
    bernoullis    sum over outputs of bernoulli: K labels, each on or off    f: (n, K)
    gaussians     sum over outputs of gaussian: K values                     f: (n, K)

Because l is affine in y, the loss of a mixed label is the mixed loss of the labels: the
identity on which everything exact in this package rests.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

Outputs = Float[Tensor, "n *k"]
Targets = Shaped[Tensor, "..."]


@dataclass(frozen=True)
class Family:
    """One family of losses; use the six instances of this module.

    Calling it gives the loss of each example in nats, l = A(f) - <y, f>. Against common
    losses only terms that are free of the model are missing: y²/2 for half the squared
    error, log(y!) for the Poisson likelihood; the categorical and Bernoulli losses are the
    cross-entropies themselves. Losses of outputs of 16 bits are in float32.

    Args of the call:
        outputs: f, the raw outputs (logits, log-rates) of the model.
        y: integer class ids (n,) for classification, or floating soft labels: (n, K) for the
            categorical family, (n,) or (n, 1) in [0, 1] for the Bernoulli family; floating
            values (n,) or (n, 1) for the Gaussian and Poisson families. For the families of
            several labels or values (n, K), in [0, 1] or floating values.

    Raises:
        ValueError, TypeError: if shapes or kinds do not fit. Nothing is cast or broadcast.

    Source:
        McCullagh and Nelder (1989), chapter 2; h in arXiv:2010.04819 is A here.

    Example:
        >>> bernoulli(torch.zeros(2), torch.tensor([0, 1])).exp()
        tensor([2., 2.])
    """

    name: str
    classifies: bool
    scalar: bool
    _log_partition: Callable[[Tensor], Tensor]
    _mean: Callable[[Tensor], Tensor]
    _quadratic: Callable[[Tensor, Tensor], Tensor]
    each: "Family | None" = None  # of each output, where the loss is a sum over outputs

    def __call__(self, outputs: Outputs, y: Targets) -> Float[Tensor, " n"]:
        """The loss of each example, in nats."""
        f, y = self._aligned(outputs, y)
        if y.is_floating_point():
            linear = y * f if self.scalar else (y * f).sum(-1)
        else:
            linear = f.gather(-1, y.unsqueeze(-1)).squeeze(-1)
        return self._log_partition(f) - linear

    def mean(self, outputs: Outputs) -> Outputs:
        """A'(f): probabilities, values or rates, in the shape of the outputs."""
        return self._mean(outputs)

    def residual(self, outputs: Outputs, y: Targets) -> Outputs:
        """A'(f) - y, the derivative of the loss by the outputs, in their shape."""
        f, y = self._aligned(outputs, y)
        if not y.is_floating_point():
            y = torch.nn.functional.one_hot(y, f.shape[-1]).to(f.dtype)
        return (self._mean(f) - y).reshape(outputs.shape)

    def quadratic(self, outputs: Outputs, v: Outputs) -> Float[Tensor, " n"]:
        """V' A''(f) v of each example, for v in the shape of the outputs."""
        return self._quadratic(self._flat(outputs), self._flat(v))

    def correct(self, outputs: Outputs, y: Targets) -> Bool[Tensor, " n"]:
        """Whether each example is classified as its (most likely) label; of several, all of them.

        Raises:
            TypeError: for the Gaussian and Poisson families, which do not classify.
        """
        if not self.classifies:
            raise TypeError(f"the {self.name} family predicts values; it has no correct class.")
        f, y = self._aligned(outputs, y)
        if self.scalar:
            return (f > 0) == (y > 0.5)
        if self.each is not None:
            return ((f > 0) == (y > 0.5)).all(-1)
        return f.argmax(-1) == (y.argmax(-1) if y.is_floating_point() else y)

    def check_labels(self, outputs: Outputs, y: Targets) -> None:
        """Refuse targets out of range; apart from the call, because it waits for the device.

        Raises:
            ValueError: if a class id or a probability is out of range, soft labels of classes do
                not sum to 1, a value is not finite, or a count negative.
        """
        if y.is_complex():
            raise TypeError(f"targets must be real numbers, got {y.dtype}.")
        f, y = self._aligned(outputs, y)
        low, high = (float(y.min()), float(y.max())) if y.numel() else (0.0, 0.0)
        if self.classifies and y.is_floating_point():
            if not (low >= 0 and high <= 1):
                raise ValueError(f"soft labels must lie in [0, 1], got {low:g} to {high:g}.")
            if not self.scalar and self.each is None:
                check_distributions(y)
        elif self.classifies:
            if not (low >= 0 and high < f.shape[-1]):
                raise ValueError(
                    f"class ids must lie in 0..{f.shape[-1] - 1}, as many as the model has "
                    f"outputs, got {low:g} to {high:g}."
                )
        elif not torch.isfinite(y).all():
            raise ValueError("targets must be finite, got NaN or infinity.")
        elif self.name == "poisson" and low < 0:
            raise ValueError(f"counts must be 0 or more for the family poisson, got {low:g}.")

    def _flat(self, outputs: Tensor) -> Tensor:
        # a loss of 16 bits is rounded to two or three digits, and so is a mean of such losses
        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        if self.scalar and outputs.ndim == 2 and outputs.shape[1] == 1:
            return outputs[:, 0]
        if outputs.ndim != (1 if self.scalar else 2):
            several = "(n, classes)" if self.each is None else "(n, labels)"
            wanted = "(n,) or (n, 1)" if self.scalar else several
            raise ValueError(
                f"the {self.name} family takes outputs of shape {wanted}, got "
                f"{tuple(outputs.shape)}." + self._hint(outputs)
            )
        if self.each is None and not self.scalar and outputs.shape[1] == 1:
            raise ValueError(
                "the categorical family needs two or more logits per example, got one. "
                "For a model with a single logit use vicinal.bernoulli."
            )
        return outputs

    def _hint(self, outputs: Tensor) -> str:
        if self.name == "categorical" and outputs.ndim == 1:
            return " For a model with a single logit use vicinal.bernoulli."
        if self.name == "bernoulli" and outputs.ndim == 2:
            return (
                " For one logit per class use vicinal.categorical, for several labels, each on or "
                "off, vicinal.bernoullis."
            )
        if self.name == "gaussian" and outputs.ndim == 2:
            return " For several values use vicinal.gaussians."
        return ""

    def _aligned(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and targets of matching shapes: a silent broadcast would be (n, n)."""
        f = self._flat(outputs)
        if len(y) != len(f):
            raise ValueError(f"outputs hold {len(f)} examples, y holds {len(y)}.")
        if self.scalar:
            if y.ndim == 2 and y.shape[1] == 1:
                y = y[:, 0]
            if y.ndim != 1:
                raise ValueError(
                    f"the {self.name} family takes y of shape (n,) or (n, 1), got {tuple(y.shape)}."
                )
            return f, self._floating(f, y)
        if self.each is not None:
            if y.shape != f.shape:
                raise ValueError(
                    f"the {self.name} family takes y of the shape of the outputs, "
                    f"{tuple(f.shape)}, got {tuple(y.shape)}."
                )
            return f, self._floating(f, y)
        if y.is_floating_point() and y.shape != f.shape:
            raise ValueError(
                f"floating y is taken for soft labels of shape {tuple(f.shape)}, got "
                f"{tuple(y.shape)}. If they are class ids, pass y.long()."
            )
        if not y.is_floating_point():
            if y.ndim != 1:
                raise ValueError(f"class ids must have shape (n,), got {tuple(y.shape)}.")
            y = y.long()
        return f, y

    def _floating(self, f: Tensor, y: Tensor) -> Tensor:
        """Labels that are 0 or 1 as numbers; integers are no values."""
        if y.is_floating_point():
            return y
        if not self.classifies:
            raise TypeError(
                f"the {self.name} family takes floating targets, got {y.dtype}: integers "
                "are class ids here. If they are values, pass y.float()."
            )
        return y.to(f.dtype)


def check_distributions(y: Float[Tensor, "n classes"]) -> None:
    """Refuse soft labels of classes that do not sum to 1; it waits for the device.

    Raises:
        ValueError: then.
    """
    sums = y.sum(1, dtype=torch.float64)
    if not (sums - 1).abs().le(max(1e-3, 4 * torch.finfo(y.dtype).eps)).all():
        worst = float(sums[(sums - 1).abs().argmax()])
        raise ValueError(
            f"soft labels must sum to 1 in every row, got a row that sums to {worst:g}. Labels "
            "that are each on or off have the loss vicinal.bernoullis, and mixed_values mixes them."
        )


def _variance(f: Tensor, v: Tensor) -> Tensor:
    """v'(diag(p) - pp')v, the variance of v under p; centred first, to lose no digits."""
    p = f.softmax(-1)
    centred = v - (p * v).sum(-1, keepdim=True)
    return (p * centred.square()).sum(-1)


categorical = Family(
    "categorical",
    classifies=True,
    scalar=False,
    _log_partition=lambda f: f.logsumexp(-1),
    _mean=lambda f: f.softmax(-1),
    _quadratic=_variance,
)
bernoulli = Family(
    "bernoulli",
    classifies=True,
    scalar=True,
    # not F.softplus, which is cut off at 20 and so off by 2e-9
    _log_partition=lambda f: torch.logaddexp(f, torch.zeros_like(f)),
    _mean=torch.sigmoid,
    _quadratic=lambda f, v: torch.sigmoid(f) * torch.sigmoid(-f) * v.square(),
)
gaussian = Family(
    "gaussian",
    classifies=False,
    scalar=True,
    _log_partition=lambda f: f.square() / 2,
    _mean=lambda f: f,
    _quadratic=lambda f, v: v.square(),
)
poisson = Family(
    "poisson",
    classifies=False,
    scalar=True,
    _log_partition=torch.exp,
    _mean=torch.exp,
    _quadratic=lambda f, v: f.exp() * v.square(),
)


def _several(name: str, each: Family) -> Family:
    """The sum of the losses of the outputs, each with a target of its own."""
    return Family(
        name,
        classifies=each.classifies,
        scalar=False,
        _log_partition=lambda f: each._log_partition(f).sum(-1),
        _mean=each._mean,
        _quadratic=lambda f, v: each._quadratic(f, v).sum(-1),
        each=each,
    )


bernoullis = _several("bernoullis", bernoulli)
gaussians = _several("gaussians", gaussian)
