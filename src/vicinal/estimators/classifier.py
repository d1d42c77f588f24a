"""Logistic and softmax regression, and small networks, by mixup."""

from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from vicinal.estimators import mass
from vicinal.estimators.options import checked, fit_into, logits, positive_weights
from vicinal.maths.losses import bernoulli, categorical
from vicinal.mixing import pairing as pairings

PAIRINGS = ("all", "same_class", "other_class")


class MixupClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    r"""A linear classifier, or a small network, trained on the mixup loss.

    For two classes one logit and the Bernoulli family, for more one logit per class and the
    categorical family. With mixed inputs $x_{ij} = \lambda x_i + (1-\lambda) x_j$ it minimises

    $$\frac1{n^2} \sum_{ij} E_{\lambda \sim Beta(\alpha, \beta)}\big[\lambda\, l(f(x_{ij}), y_i)
      + (1-\lambda)\, l(f(x_{ij}), y_j)\big] + \frac{l2}2 \|coef\|^2$$

    Args:
        objective: "exact" sums all pairs with Gauss quadrature in λ and is convex: solved to
            `tol`, the same answer every time. "expanded" is its second-order expansion, the
            standard loss plus R1 plus R2; it is not convex, and its minimum nearest to zero
            coefficients is sought. "sampled" is stochastic training on mixed batches.
        alpha: first shape of the law of λ, positive.
        beta: second shape; None means alpha.
        pairing: who may be mixed with whom: "all", "same_class" or "other_class". With the last,
            the partner of an example comes from another class whatever its weight, so for two
            classes weights do not move the balance between them.
        l2: penalty on the coefficients, not on the intercepts; C of scikit-learn is 1/(n*l2).
        class_weight: None, "balanced", or a dict from class to weight, as in scikit-learn.
        fit_intercept: whether there is an intercept.
        hidden: sizes of hidden layers (ReLU), for objective="sampled" only.
        tol: largest entry of the gradient at the solution, in coordinates in which the
            Hessian is at most about 1; the objective is then within about tol² of its minimum.
        max_iter: iterations of L-BFGS at most; a ConvergenceWarning says if they were used up.
        epochs, batch_size, learning_rate: of stochastic training (Adam, the rate falls to 0).
        random_state: of stochastic training; nothing else is random.

    A sample weight of w counts as w copies of the example, in pairs too.

    Attributes:
        classes_: labels seen in `fit`.
        coef_, intercept_: (1, d) and (1,) for two classes, else (classes, d) and (classes,); absent
            with hidden layers.
        coefs_, intercepts_: weights (in, out) and biases of all layers.
        n_iter_: iterations, or epochs.
        nodes_: points of λ in use: quadrature moves the solution by less than 1e-6 of gradient.
        objective_value_: at the solution, in nats, up to a constant for soft labels.
        n_features_in_, feature_names_in_: as in scikit-learn.

    Source:
        Zhang, Cissé, Dauphin, Lopez-Paz (2018), arXiv:1710.09412; Zhang, Deng, Kawaguchi,
        Ghorbani, Zou (2021), arXiv:2010.04819, for the expansion.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True)
        >>> round(MixupClassifier().fit(x, y).score(x, y), 2)
        0.95
    """

    def __init__(
        self,
        objective: str = "exact",
        alpha: float = 0.2,
        beta: float | None = None,
        *,
        pairing: str = "all",
        l2: float = 1e-4,
        class_weight: Any = None,
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
        self.pairing = pairing
        self.l2 = l2
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.hidden = hidden
        self.tol = tol
        self.max_iter = max_iter
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MixupClassifier":
        """Fit to dense X (n, d), labels y (n,) of any kind, weights 0 or more.

        Raises:
            ValueError: for options or weights out of range, one class only, NaN.
            TypeError: for sparse X.
        """
        law = checked(self, PAIRINGS, self.pairing)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        self.classes_ = np.unique(y)
        rows = positive_weights(weights)
        X, y, weights = X[rows], y[rows], weights[rows]
        ids = np.searchsorted(self.classes_, y)
        present = np.unique(ids)
        if len(present) < 2:
            raise ValueError(
                f"y has one class only, {self.classes_[present[0]]}, among the examples with a "
                "positive weight. A classifier needs two or more."
            )
        if self.class_weight is not None:
            per_class = np.ones(len(self.classes_))
            per_class[present] = compute_class_weight(
                self.class_weight,
                classes=self.classes_[present],
                y=y,
                sample_weight=weights if self.class_weight == "balanced" else None,
            )
            weights = weights * per_class[ids]
            rows = positive_weights(weights)
            X, ids, weights = X[rows], ids[rows], weights[rows]
        targets = torch.from_numpy(ids.astype(np.int64))
        one_hot = torch.nn.functional.one_hot(targets, len(self.classes_)).double()
        binary = len(self.classes_) == 2
        labels = one_hot[:, 1:] if binary else one_hot
        family = bernoulli if binary else categorical
        exact = self.objective != "sampled"
        measure = self._mass(torch.from_numpy(weights), targets) if exact else None
        fit_into(self, X, labels, weights, measure, family, law, self._drawn())
        if not self.hidden:
            self.coef_, self.intercept_ = self.coefs_[0].T, self.intercepts_[0]
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits: (n,) for two classes, positive for the second, else (n, classes)."""
        z = self._logits(X)
        return z[:, 0] if len(self.classes_) == 2 else z

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, classes)."""
        z = self._logits(X)
        if len(self.classes_) == 2:
            return np.hstack([expit(-z), expit(z)])
        return np.asarray(softmax(z, axis=1))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Their logarithms, without underflow."""
        z = self._logits(X)
        z = np.hstack([np.zeros_like(z), z]) if len(self.classes_) == 2 else z
        return torch.from_numpy(z).log_softmax(1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The most likely class of each example."""
        z = self._logits(X)
        best = (z[:, 0] > 0).astype(int) if len(self.classes_) == 2 else z.argmax(1)
        return np.asarray(self.classes_[best])

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return logits(self, validate_data(self, X, dtype=np.float64, reset=False))

    def _mass(self, weights: torch.Tensor, ids: torch.Tensor) -> mass.Mass:
        if self.pairing == "all":
            return mass.all_pairs(weights)
        return (mass.same_class if self.pairing == "same_class" else mass.other_class)(weights, ids)

    def _drawn(self) -> pairings.Pairing:
        """The pairing of one batch, whose labels are one-hot or 0 and 1."""
        if self.pairing == "all":
            return pairings.shuffle
        chosen = pairings.same_class if self.pairing == "same_class" else pairings.other_class
        return lambda x, y, rng: chosen(x, (y.argmax(1) if y.ndim == 2 else y).long(), rng)
