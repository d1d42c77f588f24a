"""The verdict at a glance: for every method and metric, better, worse, or not shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from vicinal.report.comparison import Group
from vicinal.report.metrics import Metric
from vicinal.report.numbers import NONE, differences
from vicinal.report.rows import main_metrics
from vicinal.report.sizes import elsewhere
from vicinal.report.words.findings import interval

NAMED = 2  # methods that are named; more of them are counted


@dataclass(frozen=True)
class Mark:
    """What the interval of one method on one metric shows.

    Attributes:
        word: better, worse, not shown, or a dash where there is no interval.
        kind: good, bad or none; how it is coloured.
        size: the difference, written.
        interval: its interval, written.
    """

    word: str
    kind: str
    size: str
    interval: str


@dataclass(frozen=True)
class Glance:
    """One mark for every method but the baseline, and every metric that has a good direction."""

    metrics: tuple[Metric, ...]
    lines: tuple[tuple[str, tuple[Mark, ...]], ...]


def glance(group: Group) -> Glance:
    """The marks of a group; without lines where no interval can be given."""
    metrics = tuple(m for m in main_metrics(group) if m.better != "neither")
    attacks = {m.threat.attack for m in metrics if m.threat is not None}
    if attacks - {"fgsm"}:  # the weakest attack says nothing beside a stronger one
        metrics = tuple(m for m in metrics if m.threat is None or m.threat.attack != "fgsm")
    if not group.intervals:
        return Glance(metrics, ())
    return Glance(
        metrics, tuple((method, tuple(_marks(group, method, metrics))) for method in group.others)
    )


def headline(group: Group) -> tuple[tuple[str, str], ...]:
    """A topic and a short sentence for what most people ask first, counted over the methods.

    These are the first metric, calibration as trained and after one temperature, and the accuracy
    under the strongest attack that was run everywhere.
    """
    found = glance(group)
    if not found.lines:
        return ()
    sentences = []
    asked = {0, len(found.metrics) - 1}
    for k, metric in enumerate(found.metrics):
        if k not in asked and not metric.key.startswith("ece_"):
            continue
        words = {method: marks[k].word for method, marks in found.lines}
        at_others = _elsewhere(group) if k == len(found.metrics) - 1 else ""
        sentences.append((metric.label, _tally(words) + at_others))
    return tuple(sentences)


def _elsewhere(group: Group) -> str:
    """For how many methods PGD says otherwise at other sizes than the one that is named."""
    parts = [
        f"at some {word} for {_counted(word, list(methods), len(group.others))}"
        for word, methods in elsewhere(group).items()
        if methods
    ]
    return f". PGD at other sizes: {', '.join(parts)}" if parts else ""


def _marks(group: Group, method: str, metrics: Sequence[Metric]) -> list[Mark]:
    marks = []
    for metric in metrics:
        cell = group.cell(method, metric.key)
        d = None if cell is None else cell.difference
        if d is None or d.low is None:
            marks.append(Mark(NONE, "none", "", ""))
            continue
        mean = differences((d.mean, d.low, d.high), metric.unit)[0]
        good = d.words == metric.better
        word = ("better" if good else "worse") if d.shown else "not shown"
        kind = ("good" if good else "bad") if d.shown else "none"
        marks.append(Mark(word, kind, mean, interval(d, metric.unit)))
    return marks


def _tally(words: dict[str, str]) -> str:
    """How many methods are better, worse, or not shown to differ."""
    parts = []
    for word, phrase in (
        ("better", "better for"),
        ("worse", "worse for"),
        ("not shown", "no difference shown for"),
    ):
        methods = [method for method, found in words.items() if found == word]
        if methods:
            parts.append(f"{phrase} {_counted(word, methods, len(words))}")
    return "; ".join(parts) or "no interval"


def _counted(word: str, methods: Sequence[str], of: int) -> str:
    if len(methods) == of and of > 1:
        one = "any" if word == "not shown" else "all"
        both = "either method" if word == "not shown" else "both methods"
        return f"{one} of the {of} methods" if of > NAMED else both
    if len(methods) <= NAMED:
        return " and ".join(methods)
    return f"{len(methods)} of {of} methods"
