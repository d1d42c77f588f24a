"""The data of the figures: sets by name, cut to size; two moons; problems of two classes."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from sklearn.datasets import make_moons
from sklearn.preprocessing import PolynomialFeatures
from torch import Tensor

from vicinal.data import Part, Split, load, split
from vicinal.data.deviation import deviation
from vicinal.data.raw import Raw
from vicinal.maths.randomness import generator
from vicinal.study.reproduce.measured import Size

MOONS = "two moons"
NOISE = 0.2  # of two moons, so that the classes just touch
PAIR = (3, 8)  # of sets with more classes than two: digits that are easily taken for each other


def sized(name: str, seed: int, size: Size) -> Split:
    """A set of classes by name, with at most so many training and test examples.

    Raises:
        ValueError: if there is no such set, or its targets are values.
    """
    if name == MOONS:
        return moons(seed, size.train, size.test)
    found = load(name, seed)
    if not found.classes:
        raise ValueError(f"{name} has values for targets; these figures are about classes.")
    if len(found.train) > size.train:
        found = load(name, seed, max(size.train, found.classes))
    if len(found.test) > size.test:
        rows = generator(seed, "test examples").permutation(len(found.test))[: size.test]
        found = replace(found, test=_rows(found.test, torch.from_numpy(rows)))
    return found


def moons(seed: int, train: int, test: int) -> Split:
    """Two moons that touch, standardised; half as many validation as training examples."""
    count = train + train // 2 + test
    x, y = make_moons(count, noise=NOISE, random_state=seed)
    rows = np.arange(count)
    raw = Raw(x=x, y=y.astype(np.int64), labels=("upper", "lower"), test=rows[count - test :])
    return split(raw, MOONS, seed, train)


def cubic(train: Part, test: Part) -> tuple[Part, Part]:
    """All products of up to three coordinates, standardised, in float64."""
    products = PolynomialFeatures(3, include_bias=False)
    own, new = (products.fit_transform(part.x.double().numpy()) for part in (train, test))
    mean, unit = own.mean(0), deviation(own)
    return (
        replace(train, x=torch.from_numpy((own - mean) / unit)),
        replace(test, x=torch.from_numpy((new - mean) / unit)),
    )


def two_classes(found: Split) -> Split:
    """The examples of two classes as labels 0 and 1, without the mean of the training inputs.

    Of sets with more than two classes the classes 3 and 8 are taken, or else the last two. Inputs
    are multiplied by one number, so that training inputs have a mean square of 1 per feature.
    """
    low, high = PAIR if found.classes > max(PAIR) else (found.classes - 2, found.classes - 1)
    chosen = found.train.x[(found.train.y == low) | (found.train.y == high)]
    mean = chosen.mean(0)
    unit = float((chosen - mean).square().mean().sqrt())

    def pair(part: Part) -> Part:
        of_pair = (part.y == low) | (part.y == high)
        kept = _rows(part, of_pair)
        return replace(kept, x=(kept.x - mean) / unit, y=(kept.y == high).long())

    return replace(
        found,
        train=pair(found.train),
        validation=pair(found.validation),
        test=pair(found.test),
        classes=2,
        bounds=None,
        labels=(found.labels[low], found.labels[high]),
    )


def exactly_centred(x: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *rest"]:
    """Inputs in float64 whose mean is 0 to rounding, which the theorem of the bound asks for."""
    return x.double() - x.double().mean(0)


def _rows(part: Part, rows: Tensor) -> Part:
    return Part(part.x[rows], part.y[rows], part.rows[rows])
