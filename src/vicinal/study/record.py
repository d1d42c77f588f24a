"""The record of one run: what was run, where, on which data, and what came of it.

A study makes records, a report reads them. In files they are JSON objects with the names of these
fields.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from vicinal.study.fields import Extra, Path, put_back, read, refuse, write
from vicinal.study.measured import Measured

FORMAT = 2
"""Of records that are written. 2 says on which part of the data a run was measured."""
READABLE = (1, FORMAT)  # 1 was always measured on the test part


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data of a run.

    Attributes:
        examples: how many, by part.
        task: what the targets are.
        classes: how many; 0 for targets that are none.
        shape: of one example.
        bounds: of inputs; None where there are none.
        unit: of values, in those of the targets; 1 for several, which are standardised.
        labels: names of several targets.
    """

    examples: Mapping[str, int]
    task: str | None = None
    classes: int
    shape: tuple[int, ...]
    bounds: tuple[float, ...] | None
    unit: float | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run did not end, and in which epoch."""

    epoch: int | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What is known after an epoch: means over a part of the data, plain and mixed.

    Attributes:
        epoch: from 1.
        objective: the mean loss as trained.
        terms_loss, terms_r1, terms_r2, terms_r3: of the expansion, where they were asked for.
        terms_risk, terms_remainder: the mixup loss, and what the expansion misses of it.
    """

    epoch: int
    objective: float | None = None
    terms_loss: float | None = None
    terms_r1: float | None = None
    terms_r2: float | None = None
    terms_r3: float | None = None
    terms_risk: float | None = None
    terms_risk_standard_error: float | None = None
    terms_remainder: float | None = None
    terms_remainder_standard_error: float | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    train_mixed_loss: float | None = None
    train_mixed_accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_mixed_loss: float | None = None
    test_mixed_accuracy: float | None = None

    def numbers(self) -> dict[str, float]:
        """All that is known, by name, without what is not finite."""
        found = write(self)
        return {k: v for k, v in found.items() if k != "epoch" and v is not None}


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """How long a run took."""

    training: float
    measuring: float


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run.

    Attributes:
        format: of the file; 1 and 2 are read.
        name: the hash of the configuration.
        configuration: all that decides the numbers. Its keys depend on the version that wrote it.
        environment: where it was run: versions, platform, device. It, data and seconds are not
            known of a run whose process died.
        data: what it was trained and measured on.
        status: whether it ended.
        failure: why it did not end.
        history: one row for each epoch.
        measured: of the trained model; None where it failed.
        seconds: how long it took.
        extra: what another version wrote and this one has no field for, by where it stands.
    """

    format: Literal[1, 2]
    name: str
    configuration: Mapping[str, Any]
    environment: Mapping[str, Any] | None = None
    data: Data | None = None
    status: Literal["done", "failed"]
    failure: Failure | None
    history: tuple[Epoch, ...]
    measured: Measured | None
    seconds: Seconds | None = None
    extra: Mapping[Path, Any] = field(default_factory=dict, metadata={"stored": False})

    @property
    def method(self) -> str:
        """The method by its full name."""
        return str(self.configuration["method"])

    @property
    def seed(self) -> int:
        """The seed."""
        return int(self.configuration["seed"])

    @property
    def identity(self) -> tuple[str, int]:
        """Method and seed."""
        return self.method, self.seed

    @property
    def measured_on(self) -> str:
        """The part of the data that it was measured on: test, or validation in a search."""
        return str(self.configuration.get("measured_on", "test"))

    @property
    def done(self) -> bool:
        """Whether it ended."""
        return self.status == "done"

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Record":
        """A record as it was read from its file.

        Raises:
            ValueError: if a field is missing or of another type, with the path of the field.
        """
        if isinstance(found, Mapping) and found.get("format") not in READABLE:
            raise ValueError(
                f"its format is {found.get('format')!r}, and this version of vicinal reads "
                f"{' and '.join(map(str, READABLE))}"
            )
        extra: Extra = {}
        made = read(cls, found, (), extra)
        for key, kind, rule in (("method", str, "a text"), ("seed", int, "a whole number")):
            value = made.configuration.get(key)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise refuse(("configuration", key), rule, value)
        if made.status == "done" and made.measured is None:
            raise refuse(("measured",), "an object in a run that is done", None)
        return replace(made, extra=extra)

    def to_json(self) -> dict[str, Any]:
        """The object from which `from_json` makes this record."""
        whole: dict[str, Any] = write(self)
        put_back(whole, self.extra)
        return whole


Records = Iterable[Record | Mapping[str, Any]]
"""Records, or the JSON objects of their files."""


def records(found: Records) -> list[Record]:
    """Records, of which some may still be JSON objects.

    Raises:
        ValueError: for an object that is no record, with the path of the field.
    """
    return [one if isinstance(one, Record) else Record.from_json(one) for one in found]
