"""Measures of weighted examples that are no means: for many rows of weights at once."""

import numpy as np
from jaxtyping import Float, Shaped

Weights = Float[np.ndarray, "b n"]
Values = Float[np.ndarray, " b"]


def ece(numbers: Float[np.ndarray, "n 2"], weights: Weights, *, bins: int = 15) -> Values:
    r"""Expected calibration error, with bins B of equal width.

    $\sum_B |\sum_{i \in B} w_i (c_i - r_i)| / \sum_i w_i$

    Args:
        numbers: confidence c in [0, 1] and correctness r, 0 or 1, of each example.
        weights: not negative.
        bins: how many.

    Source:
        Naeini, Cooper, Hauskrecht (2015), AAAI.
    """
    confidence, right = np.asarray(numbers, dtype=float).T
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.zeros((len(confidence), bins))
    gaps[np.arange(len(confidence)), bin_of] = confidence - right
    return np.asarray(np.abs(weights @ gaps).sum(1) / weights.sum(1))


def root_mean_square(numbers: Float[np.ndarray, " n"], weights: Weights) -> Values:
    r"""$\sqrt{\sum_i w_i e_i^2 / \sum_i w_i}$ of errors e: the RMSE."""
    errors = np.asarray(numbers, dtype=float).reshape(len(numbers))
    return np.asarray(np.sqrt(weights @ errors**2 / weights.sum(1)))


def balanced_accuracy(numbers: Shaped[np.ndarray, "n 2"], weights: Weights) -> Values:
    """Mean over classes of the share that is right, of classes that have weight.

    Args:
        numbers: class and correctness, 0 or 1, of each example.
        weights: not negative.
    """
    classes, right = np.asarray(numbers, dtype=float).T
    member = (classes[:, None] == np.unique(classes)).astype(float)
    size = weights @ member
    share = np.divide(weights @ (member * right[:, None]), size, where=size > 0, out=0 * size)
    return np.asarray(share.sum(1) / (size > 0).sum(1))
