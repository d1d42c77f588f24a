"""Least squares and Poisson regression, and small networks, by mixup or C-Mixup."""

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from vicinal.estimators import mass
from vicinal.estimators.options import checked, fit_into, logits, positive_weights
from vicinal.maths.losses import gaussian, poisson
from vicinal.mixing.pairing import LabelKernel, shuffle

FAMILIES = {"gaussian": gaussian, "poisson": poisson}


class MixupRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    r"""A linear model of values or rates, or a small network, trained on the mixup loss.

    The Gaussian family is half the squared error with the identity link, the Poisson family has
    the logarithmic link and needs y ≥ 0. The objective is that of `MixupClassifier`; with
    pairing="similar" partners j of i come with probability
    $\propto e^{-(y_i-y_j)^2/2\sigma^2}$ (C-Mixup), all pairs summed all the same.

    Args:
        objective: "exact", "expanded" or "sampled", as in `MixupClassifier`.
        alpha: first shape of the law of λ, positive.
        beta: second shape; None means alpha.
        family: "gaussian" or "poisson".
        pairing: "all", or "similar" for C-Mixup.
        bandwidth: σ of C-Mixup, in standard deviations of y; positive.
        l2: penalty on the coefficients, not on the intercept; alpha of scikit-learn's Ridge is
            n*l2.
        fit_intercept, hidden, tol, max_iter, epochs, batch_size, learning_rate, random_state: as in
            `MixupClassifier`.

    Attributes:
        coef_, intercept_: (d,) and a float; absent with hidden layers.
        coefs_, intercepts_, n_iter_, nodes_: as in `MixupClassifier`.
        objective_value_: at the solution; for the Gaussian family with y in units of its deviation,
            and centred if there is an intercept.
        scale_: for the Gaussian family, the root of the weighted mean squared residual on the
            training data; it is smaller than that of new data.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412; Yao, Wang, Zhang, Zou, Finn
        (2022), arXiv:2210.05775, for C-Mixup.

    Example:
        >>> x = np.array([[0.0], [1.0], [2.0]])
        >>> fitted = MixupRegressor(alpha=1.0, l2=0.0).fit(x, [1.0, 2.0, 3.0])
        >>> fitted.coef_.round(6)  # mixing keeps points on a line
        array([1.])
    """

    def __init__(
        self,
        objective: str = "exact",
        alpha: float = 0.2,
        beta: float | None = None,
        *,
        family: str = "gaussian",
        pairing: str = "all",
        bandwidth: float = 0.5,
        l2: float = 1e-4,
        fit_intercept: bool = True,
        hidden: tuple[int, ...] = (),
        tol: float = 1e-10,
        max_iter: int = 1000,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 0.01,
        random_state: Any = None,
    ) -> None:
        self.objective = objective
        self.alpha = alpha
        self.beta = beta
        self.family = family
        self.pairing = pairing
        self.bandwidth = bandwidth
        self.l2 = l2
        self.fit_intercept = fit_intercept
        self.hidden = hidden
        self.tol = tol
        self.max_iter = max_iter
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MixupRegressor":
        """Fit to dense X (n, d), values y (n,), weights 0 or more.

        Raises:
            ValueError: for options, values or weights out of range, NaN.
            TypeError: for sparse X.
        """
        law = checked(self, ("all", "similar"), self.pairing)
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {self.family!r}.")
        if not 0 < self.bandwidth < np.inf:
            raise ValueError(
                f"bandwidth must be positive and finite, got {self.bandwidth}. It is the distance, "
                "in standard deviations of y, at which targets count as similar."
            )
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        rows = positive_weights(weights)
        X, y, weights = X[rows], np.asarray(y[rows], dtype=np.float64), weights[rows]
        if self.family == "poisson" and not (y.min() >= 0 and y.max() > 0):
            raise ValueError(
                f"the poisson family needs y of 0 or more, not all 0, got {y.min():g} to "
                f"{y.max():g}. For values of any sign use family='gaussian'."
            )
        self._fit(X, y, weights, law)
        if not self.hidden:
            self.coef_, self.intercept_ = self.coefs_[0][:, 0], float(self.intercepts_[0][0])
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The predicted mean of each example."""
        check_is_fitted(self)
        z = logits(self, validate_data(self, X, dtype=np.float64, reset=False))[:, 0]
        return FAMILIES[self.family].mean(torch.from_numpy(z)).numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.family == "poisson"
        return tags

    def _fit(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray, law: Any) -> None:
        mean = np.average(y, weights=weights)
        deviation = float(np.sqrt(np.average((y - mean) ** 2, weights=weights)))
        gaussian_family = self.family == "gaussian"
        # values in units of their deviation: sums and rates of training are then of order 1
        unit = deviation if gaussian_family and deviation > 0 else 1.0
        shift = mean if gaussian_family and self.fit_intercept else 0.0
        labels = torch.from_numpy((y - shift) / unit)[:, None]
        bandwidth = self.bandwidth * (deviation / unit if deviation > 0 else 1.0)
        near = self.pairing == "similar"
        w = torch.from_numpy(weights)
        measure = mass.similar(w, labels[:, 0], bandwidth) if near else mass.all_pairs(w)
        drawn = LabelKernel(bandwidth) if near else shuffle
        family = FAMILIES[self.family]
        fit_into(self, X, labels, weights, measure, family, law, drawn)
        self.coefs_[-1] = self.coefs_[-1] * unit
        self.intercepts_[-1] = self.intercepts_[-1] * unit + shift
        if gaussian_family:
            residual = y - logits(self, X)[:, 0]
            self.scale_ = float(np.sqrt(np.average(residual**2, weights=weights)))
