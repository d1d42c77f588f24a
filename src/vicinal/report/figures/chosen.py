"""The figures of one group of runs, in the page's order."""

from collections.abc import Callable, Sequence

from vicinal.report.comparison import Group, first_of_each
from vicinal.report.figures.curves import learning_curves, terms_over_training
from vicinal.report.figures.forest import paired_differences
from vicinal.report.figures.generalization import bounds, gaps
from vicinal.report.figures.labels import by_label
from vicinal.report.figures.masking import masking
from vicinal.report.figures.panels import Figure, Runs, Style, styles
from vicinal.report.figures.perturbed import robustness
from vicinal.report.figures.reliability import reliability
from vicinal.report.figures.strength import strength
from vicinal.report.figures.terms import decomposition
from vicinal.study.record import Record, Records, records

FIGURES: tuple[Callable[[Group, Runs, Sequence[Style]], Figure | None], ...] = (
    paired_differences,
    by_label,
    strength,
    learning_curves,
    gaps,
    bounds,
    decomposition,
    terms_over_training,
    robustness,
    masking,
    reliability,
)


def figures(group: Group, recorded: Sequence[Record]) -> tuple[Figure, ...]:
    """Every figure that the finished runs of a group have numbers for, in the page's order."""
    runs = finished(group, recorded)
    look = styles(group.methods)
    made = (figure(group, runs, look) for figure in FIGURES)
    return tuple(figure for figure in made if figure is not None)


def finished(group: Group, recorded: Records) -> dict[str, list[Record]]:
    """The finished runs of each method, the first record of each seed."""
    first = first_of_each(records(recorded))
    done = [first[identity] for identity in sorted(first) if first[identity].done]
    found = {m: [r for r in done if r.method == m] for m in group.methods}
    return {method: runs for method, runs in found.items() if runs}
