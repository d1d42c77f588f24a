"""What the two estimators have in common: their options checked, their models fitted."""

from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.utils import check_random_state
from torch import Tensor

from vicinal.estimators.linear import Problem, fit_exact, fit_expanded
from vicinal.estimators.mass import Mass
from vicinal.estimators.sampled import Sampling, fit_sampled, outputs
from vicinal.machine.devices import one_thread
from vicinal.maths.laws import Beta
from vicinal.maths.losses import Family
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.pairing import Pairing

LARGEST = 1e140  # sums of squares of inputs, and their curvature, stay finite
SMALLEST = 1e-140  # and above the least positive number
OBJECTIVES = ("exact", "expanded", "sampled")


def checked(options: Any, pairings: tuple[str, ...], pairing: str) -> Beta:
    """The law of λ, once all options have been looked at.

    Raises:
        ValueError: if one is out of range.
    """
    for name, value, known in (
        ("objective", options.objective, OBJECTIVES),
        ("pairing", pairing, pairings),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}.")
    for name in ("tol", "learning_rate"):
        number = getattr(options, name)
        if not (isinstance(number, Real) and 0 < float(number) < np.inf):
            raise ValueError(f"{name} must be positive and finite, got {number}.")
    if not (isinstance(options.l2, Real) and 0 <= float(options.l2) < np.inf):
        raise ValueError(
            f"l2 must be 0 or more and finite, got {options.l2}. Half of it times the squared "
            "coefficients is added to the mean loss; C of scikit-learn is 1/(n*l2)."
        )
    for name in ("max_iter", "epochs", "batch_size"):
        number = getattr(options, name)
        if not (isinstance(number, Integral) and int(number) >= 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {number}.")
    hidden = options.hidden
    if not (
        isinstance(hidden, tuple | list)
        and all(isinstance(size, Integral) and int(size) >= 1 for size in hidden)
    ):
        raise ValueError(
            f"hidden must hold sizes of layers of at least 1, such as (64,), got {hidden!r}."
        )
    if hidden and options.objective != "sampled":
        raise ValueError(
            f"hidden={hidden} makes a network, for which the {options.objective} objective is not "
            "available: pass objective='sampled', or hidden=() for a linear model."
        )
    for name, shape in (("alpha", options.alpha), ("beta", options.beta)):
        if not (isinstance(shape, Real) or (name == "beta" and shape is None)):
            raise ValueError(f"{name} must be a positive number, got {shape!r}.")
    return Beta(options.alpha, options.beta)


def fit_into(
    estimator: Any,
    x: Float[np.ndarray, "n d"],
    labels: Float[Tensor, "n k"],
    weights: Float[np.ndarray, " n"],
    mass: Mass | None,
    family: Family,
    law: Beta,
    pairing: Pairing,
) -> None:
    """Fit what the options ask for, and leave coef_ and intercept_, or coefs_ and intercepts_.

    Raises:
        ValueError: for inputs whose squares overflow or vanish, or if training by sampling
            diverges.
    """
    largest = float(np.abs(x).max())
    if not largest <= LARGEST or 0 < largest < SMALLEST:
        wrong = "large" if largest > 1 else "small"
        raise ValueError(
            f"the inputs are too {wrong}, at most {largest:.1e} in size: their squares "
            f"{'overflow' if largest > 1 else 'vanish'}. Scale them, as with StandardScaler."
        )
    with one_thread():
        _fit_into(estimator, writable(x), labels, weights, mass, family, law, pairing)


def _fit_into(
    estimator: Any,
    inputs: Float[Tensor, "n d"],
    labels: Float[Tensor, "n k"],
    weights: Float[np.ndarray, " n"],
    mass: Mass | None,
    family: Family,
    law: Beta,
    pairing: Pairing,
) -> None:
    if estimator.objective == "sampled" or mass is None:
        how = Sampling(
            tuple(estimator.hidden),
            estimator.epochs,
            estimator.batch_size,
            estimator.learning_rate,
            estimator.l2,
            estimator.fit_intercept,
        )
        seed = check_random_state(estimator.random_state).randint(2**31 - 1)
        rng = np.random.default_rng(seed)
        strategy = Mixup(law=law, pairing=pairing)
        targets = labels[:, 0] if family.scalar else labels
        layers = fit_sampled(
            inputs, targets, torch.from_numpy(weights), labels.shape[1], family, strategy, how, rng
        )
        estimator.n_iter_ = estimator.epochs
        estimator.coefs_ = [weight.numpy() for weight, _ in layers]
        estimator.intercepts_ = [bias.numpy() for _, bias in layers]
    else:
        problem = Problem(
            inputs, labels, mass, law, family, float(estimator.l2), bool(estimator.fit_intercept)
        )
        solve = fit_exact if estimator.objective == "exact" else fit_expanded
        found = solve(problem, float(estimator.tol), int(estimator.max_iter))
        estimator.n_iter_, estimator.nodes_ = found.iterations, found.nodes
        estimator.objective_value_ = found.value
        estimator.coefs_, estimator.intercepts_ = [found.coef], [found.intercept]


def writable(x: Float[np.ndarray, "n d"]) -> Float[Tensor, "n d"]:
    """An array as a tensor; a copy where it may not be written to, as those of pandas."""
    return torch.from_numpy(np.require(x, requirements="W"))


def logits(estimator: Any, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
    """The outputs of the fitted model."""
    layers = [
        (torch.from_numpy(weight), torch.from_numpy(bias))
        for weight, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ]
    return outputs(layers, writable(x)).numpy()


def positive_weights(
    weights: Float[np.ndarray, " n"],
) -> np.ndarray:
    """The rows that count.

    Raises:
        ValueError: if a weight is negative, or all are 0.
    """
    if not (weights >= 0).all():
        raise ValueError(
            f"sample_weight must be 0 or more, got {weights.min()}: a pair of examples weighs the "
            "product of their weights."
        )
    if not weights.any():
        raise ValueError("sample_weight is 0 for all examples: none is left to fit.")
    return np.flatnonzero(weights)
