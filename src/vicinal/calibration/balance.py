"""Scores that a rare class counts in, and the scores of an answer that never looks."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vicinal.calibration.checks import check_ids, check_logits
from vicinal.maths.arguments import check_tensors, check_whole


@dataclass(frozen=True)
class Recalls:
    """How often each class is recognised.

    Attributes:
        per_class: share of the examples of each class that are classified as it; None for a class
            without examples.
        counts: examples of each class.
        balanced: mean of the recalls over the classes that occur: balanced accuracy.
    """

    per_class: tuple[float | None, ...]
    counts: tuple[int, ...]
    balanced: float


@dataclass(frozen=True)
class Constant:
    """What one answer to everything scores on some labels.

    Attributes:
        answer: the class that is always given, the most frequent one; the first among equals.
        accuracy: of that answer.
        balanced: its balanced accuracy, one over the number of classes that occur.
        nll: of the class frequencies as probabilities, in nats; infinite where a class occurs that
            the frequencies give no chance.
    """

    answer: int
    accuracy: float
    balanced: float
    nll: float


def recalls(outputs: Float[Tensor, "n *classes"], y: Int[Tensor, " n"]) -> Recalls:
    r"""Recall of each class, and their mean, which is balanced accuracy.

    Accuracy of a rare class hardly moves the whole: 95 % right may be no class but the first.

    Args:
        outputs: logits (or probabilities, which have the same order), (n, classes); or one logit
            per example, (n,) or (n, 1), positive for class 1.
        y: class ids.

    Raises:
        ValueError: for NaN, wrong shapes, class ids out of range, no examples.
        TypeError: for what is no tensor.

    Source:
        Brodersen, Ong, Stephan, Buhmann (2010), ICPR, for the mean of recalls.

    Example:
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> recalls(z, torch.tensor([0, 0, 1, 1])).per_class
        (1.0, 0.5)
    """
    check_tensors(outputs=outputs, y=y)
    if outputs.ndim == 1 or outputs.shape[1:] == (1,):
        logit = outputs.detach().reshape(-1).double()
        outputs = torch.stack((torch.zeros_like(logit), logit), 1)
    check_logits(outputs, y)
    outputs = outputs.detach().double()
    if bool(outputs.isnan().any()):
        raise ValueError("outputs must not hold NaN: they name no class.")
    y, k = y.detach().long(), outputs.shape[1]
    counts = torch.bincount(y, minlength=k)
    hits = torch.bincount(y[outputs.argmax(1) == y], minlength=k)
    shares = [h / c if c else None for h, c in zip(hits.tolist(), counts.tolist(), strict=True)]
    some = [share for share in shares if share is not None]
    return Recalls(tuple(shares), tuple(counts.tolist()), sum(some) / len(some))


def constant_answer(
    y: Int[Tensor, " n"], classes: int, *, fitted_on: Int[Tensor, " m"] | None = None
) -> Constant:
    r"""What a model must beat: the scores of the most frequent class and of the class frequencies.

    Args:
        y: class ids of the examples that are scored.
        classes: how many there are.
        fitted_on: class ids from which the frequencies are taken, those of the training part; None
            takes y itself, which no model without inputs can beat.

    Raises:
        ValueError: for class ids out of range, no examples, fewer than 2 classes.
        TypeError: for what is no tensor.

    Example:
        >>> found = constant_answer(torch.tensor([0, 0, 0, 1]), 2)
        >>> found.accuracy, round(found.nll, 4)
        (0.75, 0.5623)
    """
    check_whole("classes", classes, 2)
    known = y if fitted_on is None else fitted_on
    for name, labels in (("y", y), ("fitted_on", known)):
        check_tensors(**{name: labels})
        check_ids(labels, len(labels), classes)
    seen = torch.bincount(known.long(), minlength=classes).double()
    counts = torch.bincount(y.long(), minlength=classes).double()
    answer, here = int(seen.argmax()), counts > 0
    nll = -float((counts[here] * (seen / seen.sum()).log()[here]).sum() / counts.sum())
    balanced = float(here[answer]) / int(here.sum())
    return Constant(answer, float(counts[answer] / counts.sum()), balanced, nll + 0.0)
