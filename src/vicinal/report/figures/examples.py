"""The examples on which each method does worst, for one seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from vicinal.report.comparison import Group
from vicinal.report.figures.chosen import finished
from vicinal.report.figures.panels import Style
from vicinal.report.numbers import fixed
from vicinal.study.measured import Hard
from vicinal.study.record import Record

PNG = "data:image/png;base64,"


@dataclass(frozen=True)
class Shown:
    """One example: its picture, or None, what is said of it, and by how many methods it is shown.

    Attributes:
        index: of the example in the test data.
        picture: a data address, or None.
        text: label, prediction and confidence.
        wrong: whether the prediction is not the label.
        shared: how many methods show it.
    """

    index: int
    picture: str | None
    text: str
    wrong: bool
    shared: int


@dataclass(frozen=True)
class Hardest:
    """The hardest examples of every method, for one seed that all of them have."""

    seed: int
    lines: tuple[tuple[Style, tuple[Shown, ...]], ...]


def hardest(group: Group, records: Sequence[Record], look: Sequence[Style]) -> Hardest | None:
    """What the page shows; None where the runs of no seed carry examples."""
    by_seed: dict[int, dict[str, tuple[Hard, ...]]] = {seed: {} for seed in group.seeds}
    for method, found in finished(group, records).items():
        for run in found:
            if run.measured and run.measured.hardest:
                by_seed[run.seed][method] = run.measured.hardest
    seed = max(group.seeds, key=lambda s: (len(by_seed[s]), -s))
    of_method = by_seed[seed]
    if not of_method:
        return None
    data = records[0].data
    labels = (data.labels or ()) if data is not None else ()
    indices = [e.index for examples in of_method.values() for e in examples]
    return Hardest(
        seed,
        tuple(
            (
                style,
                tuple(_shown(e, labels, indices.count(e.index)) for e in of_method[style.method]),
            )
            for style in look
            if style.method in of_method
        ),
    )


def _shown(example: Hard, labels: Sequence[str], shared: int) -> Shown:
    picture = example.picture
    own, found = (
        labels[k] if k < len(labels) else str(k) for k in (example.label, example.predicted)
    )
    wrong = example.predicted != example.label
    sure = f"{fixed(100 * example.confidence, 0)} % sure"
    said = f"taken for {found}" if wrong else "recognised"
    return Shown(
        index=example.index,
        picture=picture if picture is not None and picture.startswith(PNG) else None,
        text=f"{own}, {said}, {sure}",
        wrong=wrong,
        shared=shared,
    )
