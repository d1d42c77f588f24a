"""Runs → comparison: every method against a baseline, paired over the seeds both have."""

import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vicinal.machine.names import guess
from vicinal.maths.statistics import paired
from vicinal.report.metrics import Metric, View, measurements, shown
from vicinal.report.numbers import deviation
from vicinal.study.record import Record, Records, records

SCHEMA = 1  # of `Comparison.to_json`


@dataclass(frozen=True)
class Difference:
    """Method minus baseline over paired seeds, with its 95 % interval."""

    mean: float
    low: float | None  # None for one seed or few equal differences: there is no interval
    high: float | None
    count: int  # pairs of seeds
    words: str

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero."""
        return self.words in ("higher", "lower")


@dataclass(frozen=True)
class Cell:
    """One method on one metric."""

    method: str
    metric: Metric
    seeds: tuple[int, ...]  # the seeds that have a value
    values: tuple[float, ...]
    mean: float | None
    sd: float | None  # over seeds; None below two
    left_out: int  # finished runs whose value was not finite
    difference: Difference | None  # None for the baseline, and where no seed is shared


@dataclass(frozen=True)
class Failure:
    """A run that did not end."""

    method: str
    seed: int
    epoch: int | None
    reason: str

    @property
    def described(self) -> str:
        """When and why, in words."""
        return self.reason if self.epoch is None else f"epoch {self.epoch}: {self.reason}"


@dataclass(frozen=True)
class Group:
    """Runs that differ in method and seed only."""

    title: str
    configuration: dict[str, Any]  # what they share
    baseline: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    metrics: tuple[Metric, ...]
    cells: tuple[Cell, ...]
    failed: tuple[Failure, ...]
    missing: tuple[tuple[str, int], ...]  # method and seed without a record
    repeated: tuple[tuple[str, int], ...]  # more than one record; the first one counts

    def cell(self, method: str, metric: str) -> Cell | None:
        """The cell of a method and a metric's key."""
        return next((c for c in self.cells if (c.method, c.metric.key) == (method, metric)), None)

    def metric(self, key: str) -> Metric | None:
        """The metric of this key, where the runs have it."""
        return next((m for m in self.metrics if m.key == key), None)

    def shown(self, view: View) -> list[Metric]:
        """The metrics of a view that the runs have, in its order."""
        return [m for row in shown(view) if (m := self.metric(row.key)) is not None]

    @property
    def others(self) -> tuple[str, ...]:
        """The methods without the baseline."""
        return tuple(m for m in self.methods if m != self.baseline)

    @property
    def intervals(self) -> int:
        """How many comparisons with an interval were made."""
        found = (c.difference for c in self.cells if c.difference is not None)
        return sum(d.low is not None for d in found)


@dataclass(frozen=True)
class Comparison:
    """All that the runs of a folder say, one group per data set, model and setting."""

    groups: tuple[Group, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dicts and numbers, with the version of their layout."""
        return {"schema": SCHEMA, **asdict(self)}


def compare(runs: Records, baseline: str | None = None) -> Comparison:
    """Group the runs and compare, per group, every method with the baseline.

    Values that are not finite are left out and counted; failed runs are left out and listed.

    Args:
        runs: records; their order matters only for the baseline.
        baseline: the method that the others are compared with; by default `erm` where there is
            one, else the method of the first record.

    Raises:
        ValueError: if a group has no run of the baseline, or an object is no record.
    """
    groups = grouped(records(runs))
    shared = [_shared(group[0]) for group in groups]
    made = zip(groups, shared, _titles(shared), strict=True)
    return Comparison(tuple(_group(*of_group, baseline) for of_group in made))


def grouped(runs: Iterable[Record]) -> list[list[Record]]:
    """Runs that may be compared: equal in everything but method and seed."""
    groups: dict[str, list[Record]] = {}
    for record in runs:
        key = json.dumps(_shared(record), sort_keys=True, default=str)
        groups.setdefault(key, []).append(record)
    return [groups[key] for key in sorted(groups)]


def first_of_each(runs: Iterable[Record]) -> dict[tuple[str, int], Record]:
    """The first record of each method and seed."""
    first: dict[tuple[str, int], Record] = {}
    for record in runs:
        first.setdefault(record.identity, record)
    return first


def _ordered(names: Sequence[str], baseline: str | None, title: str) -> tuple[str, ...]:
    """The baseline first, then the other methods by name, numbers in their names by size."""
    if baseline is None:
        baseline = "erm" if "erm" in names else names[0]
    if baseline not in names:
        raise ValueError(
            f"no run of the baseline {baseline} is among those of {title}. "
            f"{guess(baseline, names)}Its methods: {', '.join(names)}."
        )
    return (baseline, *sorted((n for n in names if n != baseline), key=_natural))


def _shared(record: Record) -> dict[str, Any]:
    return {k: v for k, v in record.configuration.items() if k not in ("method", "seed")}


def _titles(shared: Sequence[Mapping[str, Any]]) -> list[str]:
    """Data and model, and whatever else is needed to tell the groups apart."""
    keys = dict.fromkeys(key for s in shared for key in s)
    vary = [
        key
        for key in keys
        if key not in ("data", "model") and len({json.dumps(s.get(key)) for s in shared}) > 1
    ]
    return [
        ", ".join(
            [str(s[key]) for key in ("data", "model") if key in s]
            + [f"{key.replace('_', ' ')} {s.get(key)}" for key in vary]
        )
        or "runs"
        for s in shared
    ]


def _group(
    runs: Sequence[Record], shared: dict[str, Any], title: str, baseline: str | None
) -> Group:
    first = first_of_each(runs)
    methods = _ordered(list(dict.fromkeys(r.method for r in runs)), baseline, title)
    seeds = tuple(sorted({seed for _, seed in first}))
    done = {key: measurements(r) for key, r in first.items() if r.done}
    metrics = tuple(dict.fromkeys(metric for values in done.values() for metric in values))
    counted = [r.identity for r in runs]
    return Group(
        title=title,
        configuration=shared,
        baseline=methods[0],
        methods=methods,
        seeds=seeds,
        metrics=metrics,
        cells=tuple(_cell(method, m, methods[0], done) for m in metrics for method in methods),
        failed=tuple(_failure(first[key]) for key in sorted(first) if key not in done),
        missing=tuple((m, s) for m in methods for s in seeds if (m, s) not in first),
        repeated=tuple(key for key in first if counted.count(key) > 1),
    )


def _cell(
    method: str,
    metric: Metric,
    baseline: str,
    done: Mapping[tuple[str, int], Mapping[Metric, float | None]],
) -> Cell:
    runs = sorted(seed for name, seed in done if name == method)
    values = {s: v for s in runs if (v := done[method, s].get(metric)) is not None}
    against = {s: v for s in values if (v := done.get((baseline, s), {}).get(metric)) is not None}
    return Cell(
        method=method,
        metric=metric,
        seeds=tuple(values),
        values=tuple(values.values()),
        mean=statistics.fmean(values.values()) if values else None,
        sd=deviation(tuple(values.values())),
        left_out=len(runs) - len(values),
        difference=_difference(values, against) if against and method != baseline else None,
    )


def _difference(values: Mapping[int, float], against: Mapping[int, float]) -> Difference:
    found = paired([values[seed] - against[seed] for seed in against])
    return Difference(found.mean, found.low, found.high, found.count, found.words)


def _failure(record: Record) -> Failure:
    if record.failure is None:
        return Failure(*record.identity, None, "no reason was recorded")
    return Failure(*record.identity, record.failure.epoch, record.failure.reason)


def _natural(name: str) -> list[tuple[Literal[0], float] | tuple[Literal[1], str]]:
    """Sort key by which `mixup(alpha=2)` stands before `mixup(alpha=10)`."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", name)
    return [(0, float(part)) if part[0].isdigit() else (1, part) for part in parts]
