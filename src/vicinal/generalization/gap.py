"""The generalisation gap as measured, and how it closes with more training data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.maths.arguments import check_inputs, check_number, check_tensors
from vicinal.maths.losses import Family
from vicinal.maths.statistics import Interval, Paired, paired, proportion
from vicinal.models.forward import Model, check_counts, check_family, first_outputs, unchanged

BATCH = 1024

Data = tuple[Tensor, Tensor]
"""Inputs and targets."""


@dataclass(frozen=True)
class Gap:
    """What a trained model loses on new data.

    Attributes:
        train_loss, test_loss: mean losses, in nats.
        loss: test minus train, with Student's interval.
        train_accuracy, test_accuracy: shares classified correctly; None for values.
        accuracy: train minus test, with Wilson's interval; None for values.

    The intervals cover the choice of test examples. The training loss is a known number of this
    model, not an estimate, so it adds nothing to them; what varies with the training data and the
    seed is seen only by training again (`size_curve`).
    """

    train_loss: float
    test_loss: float
    loss: Interval
    train_accuracy: float | None
    test_accuracy: float | None
    accuracy: Interval | None


@dataclass(frozen=True)
class SizePoint:
    """Losses after training on so many examples, over repetitions.

    Attributes:
        size: training examples.
        train_loss, test_loss, gap: means over repetitions with Student's intervals.
        train_accuracy, test_accuracy: likewise; None for values.
    """

    size: int
    train_loss: Paired
    test_loss: Paired
    gap: Paired
    train_accuracy: Paired | None = None
    test_accuracy: Paired | None = None


def generalization_gap(
    model: Model, train: Data, test: Data, family: Family, *, level: float = 0.95
) -> Gap:
    """Loss and accuracy on training and on test data, and the gaps with intervals.

    Args:
        model: maps x to outputs of the family; measured in eval mode and left as it was.
        train: what it was trained on.
        test: examples that played no part in training, 2 or more.
        family: the loss.
        level: coverage of the intervals, in (0, 1).

    Raises:
        ValueError: for targets out of range, fewer than 2 test examples, test data that are the
            training data, a loss that is not finite.
        TypeError: for a loss that is no family.
    """
    check_family(family)
    check_number("level", level)
    for name, part in (("train", train), ("test", test)):
        if not isinstance(part, tuple | list) or len(part) != 2:
            raise TypeError(f"{name} must be the pair (x, y), got {repr(part)[:60]}.")
        check_inputs(part[0])
        check_tensors(y=part[1])
        check_counts(*part)
    if train[0].shape == test[0].shape and torch.equal(train[0], test[0]):
        raise ValueError("the test inputs are the training inputs: their gap is 0 by definition.")
    if not len(test[1]) >= 2:
        raise ValueError(f"a gap needs 2 test examples or more, got {len(test[1])}.")
    (before, hits), (after, new_hits) = (_losses(model, *part, family) for part in (train, test))
    loss = paired((after - before.mean()).tolist(), level)
    if hits is None or new_hits is None:
        right, accuracy, new_accuracy = None, None, None
    else:
        accuracy, new_accuracy = float(hits.mean()), float(new_hits.mean())
        found = proportion(int(new_hits.sum()), len(new_hits), level)
        assert found.low is not None
        assert found.high is not None
        low, high = accuracy - found.high, accuracy - found.low
        right = Interval(accuracy - new_accuracy, low, high)
    return Gap(
        float(before.mean()),
        float(after.mean()),
        Interval(loss.mean, loss.low, loss.high),
        accuracy,
        new_accuracy,
        right,
    )


def size_curve(
    fit: Callable[[Tensor, Tensor, np.random.Generator], Model],
    train: Data,
    test: Data,
    sizes: Sequence[int],
    family: Family,
    *,
    repeats: int,
    rng: np.random.Generator,
) -> list[SizePoint]:
    """Train on random subsets of growing size; in a repetition each contains the smaller ones.

    Args:
        fit: trains a model on (x, y, rng).
        train: where subsets are drawn from.
        test: examples that played no part in training.
        sizes: numbers of training examples, each between 1 and all.
        family: the loss.
        repeats: how often all sizes are trained, at least 1; intervals need 2.
        rng: where the subsets come from; it is handed on to `fit`.

    Returns:
        One point per size. Intervals cover the choice of subsets and what `fit` draws, for these
        test data; subsets of nearly all data resemble each other, which makes them too short.

    Raises:
        ValueError: for sizes or repeats out of range.
    """
    x, y = train
    if not sizes or not all(1 <= size <= len(y) for size in sizes):
        raise ValueError(f"sizes must lie in 1..{len(y)}, at least one, got {list(sizes)}.")
    if not repeats >= 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}.")
    found = np.full((len(sizes), repeats, 4), np.nan)
    for repeat in range(repeats):
        order = torch.from_numpy(rng.permutation(len(y)))
        for place, size in enumerate(sizes):
            part = x[order[:size]], y[order[:size]]
            model = fit(*part, rng)
            for side, data in enumerate((part, test)):
                losses, right = _losses(model, *data, family)
                found[place, repeat, side] = float(losses.mean())
                found[place, repeat, side + 2] = np.nan if right is None else float(right.mean())
    return [_point(size, values) for size, values in zip(sizes, found, strict=True)]


def _point(size: int, values: Float[np.ndarray, "repeats 4"]) -> SizePoint:
    """Losses on training and test data, then accuracies."""
    own, new, right, new_right = values.T
    train, test, gap = (paired(v.tolist()) for v in (own, new, new - own))
    if np.isnan(right).any():
        return SizePoint(size, train, test, gap)
    accuracies = (paired(v.tolist()) for v in (right, new_right))
    return SizePoint(size, train, test, gap, *accuracies)


def _losses(
    model: Model, x: Float[Tensor, "n *rest"], y: Shaped[Tensor, "n *k"], family: Family
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"] | None]:
    """Loss of each example, and whether it is right where the family classifies."""
    with torch.no_grad(), unchanged(model) as f:
        first_outputs(f, x)
        outputs = torch.cat([f(x[k : k + BATCH]) for k in range(0, len(x), BATCH)]).double()
    y = y.double() if y.is_floating_point() else y
    family.check_labels(outputs, y)
    losses = family(outputs, y)
    if not bool(torch.isfinite(losses).all()):
        raise ValueError("the loss is not finite for some examples: look at the model's outputs.")
    return losses, family.correct(outputs, y).double() if family.classifies else None
