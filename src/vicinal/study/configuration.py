"""What decides the numbers of a run: its configuration, and the objects that names stand for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from torch import nn

from vicinal.data import Split, read, split
from vicinal.data.raw import Raw
from vicinal.machine.typed import flat
from vicinal.mixing.choice import During
from vicinal.mixing.draw import Strategy
from vicinal.models.weights import starting_model
from vicinal.study import store
from vicinal.study.measures import MEASURES
from vicinal.study.options import Measuring, Recipe, Source


@dataclass(frozen=True)
class Objects:
    """What the names of a study stand for, where they are no names that anyone could look up.

    Attributes:
        strategies: by the name of the method; None trains without mixing.
        data: data that were given as an object; None for those of the name.
        model: a factory or a module that was given as an object; None for that of the name.
        told: what tells a strategy from others of its name, by the name of the method.
        code: the same for the model.
    """

    strategies: Mapping[str, Strategy | During | None]
    data: Raw | None = None
    model: Any = None
    told: Mapping[str, str] = field(default_factory=dict)
    code: str = ""

    def of(self, methods: Iterable[str]) -> "Objects":
        """Those that some methods need."""
        return replace(self, strategies={method: self.strategies[method] for method in methods})


@dataclass(frozen=True)
class Run:
    """All that decides the numbers of a run; its hash names the run.

    Attributes:
        source: which data.
        digest: of their content.
        method: its name with all options.
        model: its name.
        weights, weights_digest: a file from which training starts, and its content.
        seed: of split, weights, order, draws and measurements.
        train_size: training examples.
        recipe: how it is trained.
        parts: of a batch.
        device: the type of what computes: arithmetic differs between them.
        measuring: what is measured.
        measured_on: the part of the data on which it is.
        strategy, code: what tells a strategy and a model that were given as objects from others of
            their names; empty where the names tell.
        version: of this package.
    """

    source: Source
    digest: str
    method: str
    model: str
    weights: str | None
    weights_digest: str
    seed: int
    train_size: int
    recipe: Recipe
    parts: int
    device: str
    measuring: Measuring
    measured_on: Literal["test", "validation"]
    version: str
    strategy: str = ""
    code: str = ""

    def configuration(self) -> dict[str, Any]:
        """Everything by name, as it is stored; what is not said is left out where it was added."""
        found: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            found |= flat(value) if is_dataclass(value) else {one.name: value}
        return {key: value for key, value in found.items() if key not in ADDED or value}

    @property
    def name(self) -> str:
        """The name of the run in the store."""
        return store.name_of(self.configuration())

    @property
    def units(self) -> int:
        """Units of progress that it counts."""
        return self.recipe.epochs + MEASURES[self.measuring.attacks]


ADDED = ("group", "strategy", "code")
"""What names did not hold from the start: there only where it is said."""


def split_of(run: Run, objects: Objects) -> Split:
    """The data of a run, split by its seed.

    Raises:
        ValueError: if the data are no longer those that the study was planned with.
    """
    source = run.source
    raw = objects.data
    if raw is None:
        raw = read(source.data, source.target, source.task, source.group)
    if raw.digest != run.digest:
        raise ValueError(
            f"the data {source.data} changed since the study was planned, or give other numbers "
            "when they are read again: runs on different data cannot be compared. Start the study "
            "again; random changes of the inputs belong into training, not into the data."
        )
    found = split(raw, source.data, run.seed, run.train_size)
    # a search must not see the test part, so it is not even there
    return found if run.measured_on == "test" else replace(found, test=found.validation)


def model_of(run: Run, objects: Objects, data: Split) -> nn.Module:
    """The model of a run as its training starts."""
    return starting_model(run.model, data, run.seed, run.weights, run.weights_digest, objects.model)
