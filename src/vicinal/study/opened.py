"""A trained model with the data that it is judged on, opened and checked against each other."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vicinal.data import Part, Split, load
from vicinal.machine.devices import checked
from vicinal.machine.names import known
from vicinal.machine.processes import check_shared, sharing
from vicinal.maths import losses
from vicinal.maths.losses import Family
from vicinal.models.forward import unchanged
from vicinal.models.named import load_model
from vicinal.models.reference import MODELS
from vicinal.study.subject import Alone, Subject


@dataclass(frozen=True)
class Opened:
    """A subject, opened.

    Attributes:
        subject: as it was named.
        model: the model, where the data are.
        split: the data.
        family: the loss.
        notes: what the user should know, in sentences.
    """

    subject: Subject
    model: nn.Module
    split: Split
    family: Family
    notes: tuple[str, ...]

    def pair(self, part: Part) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a part in the kind of number that the model computes with."""
        kinds = [p.dtype for p in self.model.parameters() if p.is_floating_point()]
        x = part.x.to(kinds[0]) if kinds else part.x
        return x, part.y.to(x) if part.y.is_floating_point() else part.y

    @property
    def units(self) -> str:
        """In which units the inputs are, in words."""
        if self.split.bounds:
            return "images as they are"
        return "standardised" if self.subject.standardised else "raw"


def device_of(computing: Alone) -> torch.device:
    """What computes; refused where it cannot be had, or several processes would share it.

    Raises:
        ValueError: then.
    """
    device = checked(computing.device)
    check_shared(device, sharing(computing.processes))
    return device


def opened(subject: Subject, device: torch.device) -> Opened:
    """Load the model and the data of a subject, on a device.

    Raises:
        ValueError: if one of them cannot be had, or they do not fit each other.
    """
    if subject.architecture is not None:
        known("architecture", subject.architecture, MODELS)
    source = subject.source
    split = load(
        source.data,
        subject.seed,
        target=source.target,
        standardise=subject.standardised,
        task=subject.task,
        group=source.group,
    ).on(device)
    model = load_model(subject.model, split, subject.architecture)
    plain = Opened(subject, model, split, split.family, ())
    family, notes = _family(plain)
    if subject.family == "poisson" and not split.classes and float(split.all.y.min()) < 0:
        raise ValueError(
            f"counts must be 0 or more for the family poisson, {source.data} has "
            f"{split.all.y.min():g}. If they were standardised, leave out --standardise."
        )
    return Opened(subject, model, split, family, notes)


def twin_of(one: Opened, name: str) -> nn.Module:
    """Another model for the same data, by its name."""
    return load_model(name, one.split, one.subject.architecture)


def _family(one: Opened) -> tuple[Family, tuple[str, ...]]:
    """The loss: as asked for, or what fits the targets and the outputs; and a note on it.

    Raises:
        ValueError: if the model cannot take the data.
    """
    x, split = one.pair(one.split.train)[0][:2], one.split
    try:
        with torch.no_grad(), unchanged(one.model) as f:
            outputs = f(x)
    except RuntimeError as error:  # shapes, kinds of numbers
        raise ValueError(
            f"the model cannot take a batch of shape {tuple(x.shape)}: {error}"
        ) from error
    columns = 1 if outputs.ndim == 1 else outputs.shape[1]
    if one.subject.family is not None:
        found: Family = getattr(losses, one.subject.family)
        return found, ()
    if split.classes == 2 and columns == 1:
        return losses.bernoulli, ()
    if split.classes and columns > split.classes:
        return split.family, (
            f"the model has {columns} outputs and the data {split.classes} classes, which are "
            f"taken for the first of them: {', '.join(split.labels)}.",
        )
    return split.family, ()


@contextmanager
def noting(say: Callable[[str], None]) -> Iterator[None]:
    """Say what was warned of, once, when the work has ended."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        say(f"Note: {message}")


def settings(one: Opened, part: str, **more: Any) -> dict[str, Any]:
    """What a record says of its subject, without what is not set."""
    from vicinal import __version__

    source = one.subject.source
    found: dict[str, Any] = {"model": one.subject.model, "data": source.data}
    found |= {"target": source.target, "task": one.split.task, "part": part}
    found |= {"seed": one.subject.seed, "family": one.family.name, "inputs": one.units}
    found |= {"vicinal": __version__} | more
    return {key: value for key, value in found.items() if value is not None}
