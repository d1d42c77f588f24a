"""Recalibration: maps of logits to logits, fitted on held-out data."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import brentq, minimize
from torch import Tensor

from vicinal.calibration.checks import (
    check_finite,
    check_ids,
    check_logits,
    refuse_probabilities,
    refuse_probability,
)
from vicinal.calibration.entries import calibration_of_positive
from vicinal.calibration.measure import calibration
from vicinal.calibration.record import Calibration
from vicinal.maths.arguments import check_tensors

COLDEST, HOTTEST = 0.05, 20.0  # the range of a fitted temperature
UNSURE = 2.0  # the factor by which one more example may move it


@dataclass(frozen=True)
class Scaling:
    """A map of logits, z → weight * z + bias, that recalibrates a model.

    Attributes:
        weight: one number for all logits (temperature, Platt), or one per class.
        bias: likewise.
    """

    weight: tuple[float, ...]
    bias: tuple[float, ...]

    def __call__(self, logits: Float[Tensor, "n *k"]) -> Float[Tensor, "n *k"]:
        """The recalibrated logits, in the dtype and on the device of the logits."""
        check_tensors(logits=logits)
        weight, bias = (
            torch.tensor(v, dtype=torch.float64).to(logits) for v in (self.weight, self.bias)
        )
        return weight * logits + bias


@dataclass(frozen=True)
class Recalibrated:
    """A model on test data before and after a map that was fitted on validation data."""

    before: Calibration
    after: Calibration
    scaling: Scaling


def fit_temperature(logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> float:
    r"""The temperature T > 0 that minimises the NLL of softmax(logits / T).

    The NLL is convex in b = 1/T; the root of its derivative
    $\mathrm{mean}_i(E_{p_i(b)}[z] - z_{i,y_i})$ is found by bracketing. Fit it on held-out data,
    never on the data you then measure.

    Where (nearly) all examples are classified correctly the NLL falls (nearly) for ever as T goes
    to 0, and its minimum would make the model absurdly sure. So it is asked what one more example
    with a label drawn at random among the classes would change. If it would more than double T,
    the examples do not determine it, and the T fitted with that example is returned.

    Args:
        logits: raw outputs of the model on validation data, (n, classes), finite.
        y: class ids.

    Returns:
        T in [0.05, 20], above 1 if the model was over-confident.

    Warns:
        UserWarning: if the examples do not determine T, or if the logits do no better than a
            constant prediction, so that T is 20.

    Raises:
        ValueError: for logits that are not finite, wrong shapes, class ids out of range, rows that
            are probabilities.

    Source:
        Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599, section 4.2; the further example, as
        in the targets of Platt (1999), is not in it.

    Example:
        >>> z = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
        >>> t = fit_temperature(z, torch.tensor([0, 0, 1]))
        >>> round(float((z / t).softmax(-1)[0, 0]), 6)  # two of three are right
        0.666667
    """
    check_logits(logits, y)
    check_finite(logits, "a temperature")
    refuse_probabilities(logits)
    z = logits.detach().double()
    z = z - z.gather(1, y[:, None].long())  # then the derivative is E_p[z] alone
    fitted, prudent = _least(z, more=0), _least(z, more=1)
    if fitted == HOTTEST:
        warnings.warn(
            f"the NLL has no minimum for a temperature up to {HOTTEST}, which is returned. The "
            "logits do no better than a constant prediction.",
            stacklevel=2,
        )
    elif prudent > UNSURE * fitted:
        wrong = int((z > 0).any(1).sum())
        warnings.warn(
            f"{len(z)} examples, {wrong} of them classified wrongly, do not determine a "
            f"temperature: one more could move it from {fitted:.2g} to {prudent:.2g}, which is "
            "returned. Use more validation data.",
            stacklevel=2,
        )
        return max(prudent, COLDEST)
    return fitted


def _least(z: Float[Tensor, "n classes"], more: int) -> float:
    """The temperature of least NLL up to the hottest, with more examples whose label is any class.

    Args:
        z: logits minus that of the label.
        more: how many, with the logits of all others on average.
    """

    def derivative(inverse: float) -> float:
        mean = ((inverse * z).softmax(-1) * z).sum(-1)
        return float(mean.mean() + more / len(z) * (mean - z.mean(-1)).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    if derivative(low) >= 0:
        return HOTTEST
    if derivative(high) <= 0:
        return 0.0  # if any; below the coldest
    return float(1 / brentq(derivative, low, high, xtol=1e-12, rtol=4 * np.finfo(float).eps))


def fit_vector(logits: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> Scaling:
    r"""Vector scaling: one weight and one bias per class, $\mathrm{softmax}(w \odot z + b)$.

    The NLL is convex in both and minimised by L-BFGS from w = 1, b = 0. With 2·classes numbers it
    needs more data than a temperature; biases sum to 0, because a common one changes nothing.

    Args:
        logits: raw outputs of the model on validation data, (n, classes), finite.
        y: class ids; every class must occur, or its bias would be minus infinity.

    Warns:
        UserWarning: if the examples can be classified without error, so that there is no minimum.

    Raises:
        ValueError: for logits that are not finite, wrong shapes, class ids out of range, a class
            without examples, rows that are probabilities.

    Source:
        Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599, section 4.2.
    """
    check_logits(logits, y)
    check_finite(logits, "vector scaling")
    refuse_probabilities(logits)
    z, k = logits.detach().double(), logits.shape[1]
    missing = int((torch.bincount(y.long(), minlength=k) == 0).sum())
    if missing:
        raise ValueError(
            f"vector scaling needs examples of every class, {missing} of {k} have none. Use "
            "fit_temperature, or more validation data."
        )

    def nll(w: Tensor, b: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(w * z + b, y.long())

    w, b = _minimum(nll, (torch.ones(k), torch.zeros(k)), z.device)
    return Scaling(tuple(w.tolist()), tuple((b - b.mean()).tolist()))


def fit_platt(logit: Float[Tensor, "n *one"], y: Int[Tensor, " n"]) -> Scaling:
    r"""Platt scaling of one logit: $\mathrm{sigmoid}(w z + b)$.

    The targets are Platt's, $\frac{n_1+1}{n_1+2}$ and $\frac{1}{n_0+2}$ in place of 1 and 0, so
    that there always is a minimum.

    Args:
        logit: one per example on validation data, (n,) or (n, 1), finite.
        y: 0 or 1, both of them.

    Raises:
        ValueError: for logits that are not finite, wrong shapes, other labels, one class only.

    Source:
        Platt (1999), Probabilistic outputs for support vector machines, section 2.
    """
    check_tensors(logit=logit, y=y)
    if logit.ndim not in (1, 2) or logit.shape[1:] not in ((), (1,)):
        raise ValueError(f"Platt scaling takes one logit, (n,) or (n, 1), got {logit.shape}.")
    check_ids(y, len(logit), 2)
    check_finite(logit, "Platt scaling")
    ones, n = int(y.sum()), len(y)
    if not 0 < ones < n:
        raise ValueError(f"Platt scaling needs both classes, got {ones} ones among {n} labels.")
    refuse_probability(logit.flatten(), y)
    z = logit.detach().double().flatten()
    targets = torch.where(y == 1, (ones + 1) / (ones + 2), 1 / (n - ones + 2)).double()

    def nll(w: Tensor, b: Tensor) -> Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(w * z + b, targets)

    w, b = _minimum(nll, (torch.ones(1), torch.zeros(1)), z.device)
    return Scaling((float(w),), (float(b),))


def recalibrated(
    validation: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    scaling: Literal["temperature", "vector", "platt"] = "temperature",
    bins: int = 15,
) -> Recalibrated:
    """Fit a map on validation data, and measure test data before and after it.

    Args:
        validation: logits and class ids to fit on.
        test: logits and class ids to measure.
        scaling: "temperature" or "vector" for logits (n, classes); "platt" for one logit per
            example, measured by `calibration_of_positive`.
        bins: of equal width.

    Raises:
        ValueError: if both sets are the same, in whatever order, and as `calibration` and the fits.
    """
    if scaling not in ("temperature", "vector", "platt"):
        raise ValueError(f"scaling must be 'temperature', 'vector' or 'platt', got {scaling!r}.")
    for name, part in (("validation", validation), ("test", test)):
        if not isinstance(part, tuple | list) or len(part) != 2:
            raise TypeError(f"{name} must be the pair (logits, y), got {type(part).__name__}.")
        check_tensors(**{f"{name}[0]": part[0], f"{name}[1]": part[1]})
    if _same_rows(validation[0], test[0]):
        raise ValueError(
            "the validation logits are the test logits. A map fitted on the data that it is then "
            "measured on looks better than it is: hold data out."
        )
    if scaling == "temperature":
        found = Scaling((1 / fit_temperature(*validation),), (0.0,))
    else:
        found = (fit_vector if scaling == "vector" else fit_platt)(*validation)
    measured = calibration_of_positive if scaling == "platt" else calibration
    logits, y = test
    before = measured(logits, y, bins=bins)
    return Recalibrated(before, measured(found(logits.double()), y, bins=bins), found)


def _same_rows(first: Tensor, second: Tensor) -> bool:
    """Whether two tables hold the same rows; a table of one row repeated is no sign of that."""
    if first.shape != second.shape or bool((first == first[:1]).all()):
        return False
    if torch.equal(first, second):
        return True
    sums = (v.double().reshape(len(v), -1).sum(1).sort().values for v in (first, second))
    return torch.equal(*sums) and torch.equal(*(torch.unique(v, dim=0) for v in (first, second)))


def _minimum(
    loss: Callable[[Tensor, Tensor], Tensor], start: tuple[Tensor, Tensor], device: torch.device
) -> tuple[Tensor, Tensor]:
    """The minimum of a convex loss by L-BFGS, in float64."""

    def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
        halves = torch.from_numpy(point).to(device).requires_grad_()
        value = loss(*halves.chunk(2))
        (gradient,) = torch.autograd.grad(value, halves)
        return float(value.detach()), gradient.cpu().numpy()

    options = {"gtol": 1e-10, "ftol": 0.0, "maxiter": 1000}
    first = torch.cat(start).double().numpy()
    found = minimize(evaluate, first, jac=True, method="L-BFGS-B", options=options)
    if found.fun < 1e-6 or not float(np.abs(found.jac).max()) < 1e-5:
        warnings.warn(
            "the NLL has no minimum: a map of these logits classifies (nearly) all of these "
            "examples correctly. Use more validation data, or fit_temperature.",
            stacklevel=3,
        )
    w, b = torch.from_numpy(np.asarray(found.x)).chunk(2)
    return w, b
