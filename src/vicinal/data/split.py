"""Three parts of a data set, the same for the same seed."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from sklearn.model_selection import train_test_split
from torch import Tensor

from vicinal.data.raw import Raw
from vicinal.data.targets import Task
from vicinal.maths.losses import Family, bernoulli, bernoullis, categorical, gaussian, gaussians
from vicinal.maths.randomness import generator

TEST, VALIDATION = 0.3, 0.2  # shares of all examples; the rest is for training
FEWEST = 5  # examples, of which these shares leave 2 for training


@dataclass(frozen=True)
class Part:
    """One part of a data set: inputs, targets, and their rows in the whole."""

    x: Float[Tensor, "n *rest"]
    y: Shaped[Tensor, "n *k"]
    rows: Int[Tensor, " n"]

    def on(self, device: torch.device | str) -> "Part":
        """The same on a device; the part itself if it is there."""
        return Part(self.x.to(device), self.y.to(device), self.rows.to(device))

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Split:
    """A data set in three parts.

    Attributes:
        train, validation, test: stratified by class, where there are classes.
        classes: number of classes; 0 where targets are labels or values.
        bounds: valid range of the inputs; None for standardised tables, which have none.
        mean, std: one number each, over all training inputs.
        family: the loss that fits the targets.
        unit: standard deviation of the training targets, by which values were divided after their
            mean was taken off; 1 for classes, and for several values, which differ in it.
        labels: names of the classes, the labels, or several values.
        features: names of the columns of a table.
        task: what is to be learnt.
    """

    train: Part
    validation: Part
    test: Part
    classes: int
    bounds: tuple[float, float] | None
    mean: float
    std: float
    family: Family = categorical
    unit: float = 1.0
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    task: Task = "classification"

    @property
    def all(self) -> Part:
        """The whole data set, or what is left of it, in the order of its rows."""
        parts = (self.train, self.validation, self.test)
        rows = torch.cat([part.rows for part in parts])
        order = rows.argsort()
        x, y = (torch.cat(side)[order] for side in zip(*((p.x, p.y) for p in parts), strict=True))
        return Part(x, y, rows[order])

    def on(self, device: torch.device | str) -> "Split":
        """The same data on a device."""
        parts = {name: getattr(self, name).on(device) for name in ("train", "validation", "test")}
        return replace(self, **parts)

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for one example."""
        if self.train.y.ndim == 2:
            return self.train.y.shape[1]
        return self.classes if self.task == "classification" else 1


def split(
    raw: Raw, name: str, seed: int, train_size: int | None = None, *, standardise: bool = True
) -> Split:
    """Split a data set at random, stratified by class where there are classes.

    30 % of the examples are for testing, unless the data say which, 20 % for validation, the rest
    for training. Tables are standardised by the mean and deviation of each column of the training
    part, and values likewise.

    Args:
        raw: the data.
        name: what errors call them.
        seed: of the split; the same seed gives the same parts.
        train_size: training examples to use, stratified; None for all of them.
        standardise: whether tables and values are; images never are.

    Raises:
        ValueError: if train_size is larger than the training part, or smaller than 2 and the number
            of classes, or if there are too few examples to have some in each part.
    """
    x, y, images = raw.x, raw.y, raw.bounds is not None
    if len(y) < FEWEST and raw.test is None:
        raise ValueError(
            f"{name} has {len(y)} examples; {FEWEST} are needed, to have some in each part."
        )
    rng = generator(seed, "split")
    strata = y if raw.classifies else np.zeros(len(y), dtype=np.int64)
    rest, test = _parts(raw, strata, rng)
    train, validation = _stratified(rest, strata, VALIDATION / (1 - TEST), rng)
    if train_size is not None:
        fewest = max(2, raw.classes)
        if not fewest <= train_size <= len(train):
            kinds = f" in {raw.classes} classes" if raw.classifies else ""
            raise ValueError(
                f"train_size={train_size} is not in {fewest}..{len(train)}: {name} has "
                f"{len(y)} examples{kinds}, of which {len(train)} are for training."
            )
        if train_size < len(train):
            train = _subset(train, strata, train_size, rng)
    if standardise and not images:
        x = (x - x[train].mean(0)) / np.maximum(x[train].std(0), 1e-12)
    unit = 1.0
    if standardise and raw.task == "regression":
        deviation = y[train].std(0)
        unit = float(deviation) if y.ndim == 1 else 1.0
        y = (y - y[train].mean(0)) / np.maximum(deviation, 1e-12)
    if not raw.classifies:
        y = y.astype(np.float32)

    def part(rows: np.ndarray) -> Part:
        return Part(
            torch.from_numpy(x[rows]).float(), torch.from_numpy(y[rows]), torch.from_numpy(rows)
        )

    return Split(
        part(train),
        part(validation),
        part(test),
        classes=raw.classes,
        bounds=raw.bounds,
        mean=float(x[train].mean()),
        std=float(x[train].std()),
        family=family_of(raw.task, y.ndim == 2),
        unit=unit,
        labels=raw.labels,
        features=raw.features,
        task=raw.task,
    )


def family_of(task: Task, several: bool) -> Family:
    """The loss that fits a task, with one target for each example or several."""
    if task == "regression":
        return gaussians if several else gaussian
    return {"classification": categorical, "binary": bernoulli, "multilabel": bernoullis}[task]


def _parts(raw: Raw, strata: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and validation, and rows for testing."""
    if raw.test is None:
        return _stratified(np.arange(len(strata)), strata, TEST, rng)
    return np.setdiff1d(np.arange(len(strata)), raw.test), raw.test


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
