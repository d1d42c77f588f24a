"""Data sets, split the same way for the same seed."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn import datasets
from sklearn.model_selection import train_test_split
from torch import Tensor

from vicinal.losses import Family, categorical
from vicinal.randomness import generator

LOADERS = {
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
}
"""Classification sets that come with scikit-learn; they need no network."""

TEST, VALIDATION = 0.3, 0.2  # shares of all examples; the rest is for training


@dataclass(frozen=True)
class Part:
    """One part of a data set: inputs and class ids."""

    x: Float[Tensor, "n *rest"]
    y: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Split:
    """A data set in three parts.

    Attributes:
        train, validation, test: stratified by class.
        classes: number of classes.
        bounds: valid range of the inputs; None for standardised tables, which have none.
        mean, std: one number each, over all training inputs.
        family: the loss that fits the targets.
    """

    train: Part
    validation: Part
    test: Part
    classes: int
    bounds: tuple[float, float] | None
    mean: float
    std: float
    family: Family = categorical


def load(name: str, seed: int, train_size: int | None = None) -> Split:
    """Load a data set by name and split it at random, stratified by class.

    30 % of the examples are for testing, 20 % for validation, the rest for training. Images
    are scaled to [0, 1]; tables are standardised by the mean and deviation of each column of
    the training part.

    Args:
        name: a key of LOADERS.
        seed: of the split; the same seed gives the same parts.
        train_size: training examples to use, stratified; None for all of them.

    Raises:
        ValueError: if train_size is larger than the training part or smaller than the number
            of classes.
    """
    raw = LOADERS[name]()
    images = "images" in raw
    x = raw.images[:, None] / 16 if images else raw.data
    y = raw.target.astype(np.int64)
    classes = int(y.max()) + 1
    rng = generator(seed, "split")
    rest, test = _stratified(np.arange(len(y)), y, TEST, rng)
    train, validation = _stratified(rest, y, VALIDATION / (1 - TEST), rng)
    if train_size is not None:
        if not classes <= train_size <= len(train):
            raise ValueError(
                f"train_size={train_size} is not in {classes}..{len(train)}: {name} has "
                f"{len(y)} examples in {classes} classes, of which {len(train)} are for training."
            )
        if train_size < len(train):
            train = _subset(train, y, train_size, rng)
    if not images:
        x = (x - x[train].mean(0)) / np.maximum(x[train].std(0), 1e-12)

    def part(rows: np.ndarray) -> Part:
        return Part(torch.from_numpy(x[rows]).float(), torch.from_numpy(y[rows]))

    return Split(
        part(train),
        part(validation),
        part(test),
        classes=classes,
        bounds=(0.0, 1.0) if images else None,
        mean=float(x[train].mean()),
        std=float(x[train].std()),
    )


def _stratified(
    rows: np.ndarray, y: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    first, second = train_test_split(
        rows, test_size=share, stratify=y[rows], random_state=int(rng.integers(2**31))
    )
    return np.asarray(first), np.asarray(second)


def _subset(rows: np.ndarray, y: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` rows with every class in turn as long as it lasts, so that small sets have all."""
    rows = rng.permutation(rows)
    place = np.zeros(len(rows))
    for label in np.unique(y[rows]):
        of_class = np.flatnonzero(y[rows] == label)
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
        place[of_class[0]] = -1.0  # the first of each class comes before all others
    return rows[np.argsort(place, kind="stable")[:size]]
