"""The examples on which each method does worst, for one seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from vicinal.report.comparison import Group, Record
from vicinal.report.figures.chosen import finished
from vicinal.report.figures.panels import Style
from vicinal.report.metrics import at
from vicinal.report.numbers import fixed

PNG = "data:image/png;base64,"


@dataclass(frozen=True)
class Shown:
    """One example: its picture, or None, what is told of it, and by how many methods it is shown.

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
    runs = finished(group, records)
    by_seed = {
        seed: {
            method: at(run, "measured", "hardest")
            for method, found in runs.items()
            for run in found
            if run["configuration"]["seed"] == seed and at(run, "measured", "hardest")
        }
        for seed in group.seeds
    }
    seed = max(group.seeds, key=lambda s: (len(by_seed[s]), -s))
    told = by_seed[seed]
    if not told:
        return None
    places = [e["index"] for examples in told.values() for e in examples]
    return Hardest(
        seed,
        tuple(
            (style, tuple(_shown(e, places.count(e["index"])) for e in told[style.method]))
            for style in look
            if style.method in told
        ),
    )


def _shown(example: Record, shared: int) -> Shown:
    picture = example.get("picture")
    wrong = example["predicted"] != example["label"]
    sure = f"{fixed(100 * example['confidence'], 0)} % sure"
    said = f"taken for {example['predicted']}" if wrong else "recognised"
    return Shown(
        index=int(example["index"]),
        picture=picture if isinstance(picture, str) and picture.startswith(PNG) else None,
        text=f"{example['label']}, {said}, {sure}",
        wrong=wrong,
        shared=shared,
    )
