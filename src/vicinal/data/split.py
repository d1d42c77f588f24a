"""Three parts of a data set, the same for the same seed."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from sklearn.model_selection import train_test_split
from torch import Tensor

from vicinal.data.deviation import deviation
from vicinal.data.extremes import refuse_extremes
from vicinal.data.groups import Leak, in_whole_groups, leak_between
from vicinal.data.notes import absent, constants, of_groups
from vicinal.data.raw import Raw, numbered
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
        notes: what is out of the ordinary with these parts, in sentences.
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
    notes: tuple[str, ...] = ()

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
    raw: Raw,
    name: str,
    seed: int,
    train_size: int | None = None,
    *,
    standardise: bool = True,
    groups: Shaped[np.ndarray, " n"] | None = None,
) -> Split:
    """Split a data set at random, stratified by class where there are classes.

    30 % of the examples are for testing, unless the data say which, 20 % for validation, the rest
    for training. Tables are standardised by the mean and deviation of each column of the training
    part, and values likewise. Where rows belong to groups, whole groups go to a part, in sizes as
    near to these as can be, not stratified.

    Args:
        raw: the data.
        name: what errors call them.
        seed: of the split; the same seed gives the same parts.
        train_size: training examples to use, stratified; None for all of them.
        standardise: whether tables and values are; images never are.
        groups: what each row belongs to; None for those of the data, if they have any.

    Raises:
        ValueError: if train_size is larger than the training part, or smaller than 2 and the number
            of classes, or if there are too few examples or groups to have some in each part.
    """
    x, y = raw.x, raw.y
    if groups is not None:
        raw = replace(raw, groups=numbered(name, np.asarray(groups), "groups", len(y)))
    rng = generator(seed, "split")
    train, validation, test = _drawn(raw, name, rng)
    notes = [] if raw.groups is None else [of_groups(raw, leak(raw, name, seed))]
    if train_size is not None:
        train = _cut(raw, name, train, train_size, rng)
    notes += absent(raw, {"training": train, "validation": validation, "testing": test})
    if standardise and raw.bounds is None:
        notes += constants(x[train], "column", raw.features)
        x = (x - x[train].mean(0)) / deviation(x[train])
        refuse_extremes(f"{name}, standardised for seed {seed}", x, raw.features, alone=False)
    unit = 1.0
    if standardise and raw.task == "regression":
        notes += constants(y[train], "target", raw.labels)
        divided = deviation(y[train])
        unit = float(divided) if y.ndim == 1 else 1.0
        y = (y - y[train].mean(0)) / divided
        refuse_extremes(f"{name}, standardised for seed {seed}", y, raw.labels, alone=False)
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
        std=float(deviation(x[train].ravel())),
        family=family_of(raw.task, y.ndim == 2),
        unit=unit,
        labels=raw.labels,
        features=raw.features,
        task=raw.task,
        notes=tuple(notes),
    )


def leak(raw: Raw, name: str, seed: int) -> Leak:
    """How many groups would have rows in both training and testing, were rows split one by one.

    Args:
        raw: data whose rows belong to groups.
        name: what errors call them.
        seed: of the split.

    Raises:
        ValueError: for data without groups; see also `split`.
    """
    if raw.groups is None:
        raise ValueError(f"{name} has no groups. Read it with the name of their column.")
    train, _, test = _drawn(replace(raw, groups=None), name, generator(seed, "split"))
    return leak_between(raw.groups, train, test)


def family_of(task: Task, several: bool) -> Family:
    """The loss that fits a task, with one target for each example or several."""
    if task == "regression":
        return gaussians if several else gaussian
    return {"classification": categorical, "binary": bernoulli, "multilabel": bernoullis}[task]


def _drawn(
    raw: Raw, name: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows for training, validation and testing."""
    rest, validation, test = raw.free, raw.validation, raw.test
    strata = raw.y if raw.classifies else np.zeros(len(raw.y), dtype=np.int64)
    if len(raw.y) < FEWEST and test is None:
        raise ValueError(
            f"{name} has {len(raw.y)} examples; {FEWEST} are needed, to have some in each part."
        )
    share = VALIDATION / (1 - TEST)  # of what is not for testing
    if raw.groups is not None:
        _refuse_torn(raw, raw.groups, name)
        sizes = [TEST * len(rest)] * (test is None)
        sizes += [(share if test is not None else VALIDATION) * len(rest)] * (validation is None)
        *drawn, rest = in_whole_groups(name, rest, raw.groups, tuple(sizes), strata, rng)
        test = drawn.pop(0) if test is None else test
        return rest, drawn.pop(0) if validation is None else validation, test
    if test is None:
        rest, test = _stratified(name, rest, strata, TEST, rng)
    if validation is None:
        rest, validation = _stratified(name, rest, strata, share, rng)
    return rest, validation, test


def _refuse_torn(raw: Raw, groups: np.ndarray, name: str) -> None:
    """Refuse groups that the data's own parts tear apart."""
    kept = [rows for rows in (raw.test, raw.validation) if rows is not None]
    for k, rows in enumerate(kept):
        others = np.concatenate([raw.free, *kept[k + 1 :]])
        if torn := leak_between(groups, others, rows).shared:
            raise ValueError(
                f"{name}: {torn} groups of {raw.group or 'rows'} are in several of the parts that "
                "the data have. Put the parts together, to have them drawn by groups, or leave the "
                "groups out."
            )


def _stratified(
    name: str, rows: np.ndarray, y: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    try:
        first, second = train_test_split(
            rows, test_size=share, stratify=y[rows], random_state=int(rng.integers(2**31))
        )
    except ValueError as error:
        raise ValueError(
            f"{name}: {len(rows)} examples of {len(np.unique(y[rows]))} classes are too few to "
            f"have each class in each part ({error}). Put classes together, or leave out the rare."
        ) from error
    return np.asarray(first), np.asarray(second)


def _cut(raw: Raw, name: str, train: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """So many rows of the training part.

    Raises:
        ValueError: for more than there are, or fewer than 2 and the number of classes.
    """
    fewest = max(2, raw.classes)
    if not fewest <= size <= len(train):
        kinds = f" in {raw.classes} classes" if raw.classifies else ""
        raise ValueError(
            f"train_size={size} is not in {fewest}..{len(train)}: {name} has "
            f"{len(raw.y)} examples{kinds}, of which {len(train)} are for training."
        )
    strata = raw.y if raw.classifies else np.zeros(len(raw.y), dtype=np.int64)
    return _subset(train, strata, size, rng) if size < len(train) else train


def _subset(rows: np.ndarray, y: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` rows with every class in turn as long as it lasts, so that small sets have all."""
    rows = rng.permutation(rows)
    place = np.zeros(len(rows))
    for label in np.unique(y[rows]):
        of_class = np.flatnonzero(y[rows] == label)
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
        place[of_class[0]] = -1.0  # the first of each class comes before all others
    return rows[np.argsort(place, kind="stable")[:size]]
