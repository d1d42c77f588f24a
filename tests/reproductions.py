"""Every figure of the talk, made tiny: two seeds of each, measured for real."""

from functools import cache

from vicinal.report.reproduced import page
from vicinal.study.reproduce import (
    approximation,
    bound,
    calibration,
    cosine,
    generalization,
    robustness,
    run,
    variants,
)
from vicinal.study.reproduce.measured import Size

FIGURES = {
    approximation: Size(2, epochs=6, train=16, test=40, looks=2),
    cosine: Size(2, epochs=3, train=200, test=60),
    robustness: Size(2, epochs=2, train=100, test=4, parts=1),
    bound: Size(2, epochs=40, train=120, test=40, looks=3),
    generalization: Size(2, epochs=3, train=40, test=60, looks=2, parts=3),
    calibration: Size(2, epochs=2, train=100, test=100, parts=3),
    variants: Size(2, epochs=2, train=60, test=60, parts=3),
}
NAMES = [figure.NAME for figure in FIGURES]


@cache
def measured(name):
    """What two seeds give, as the records have it."""
    ((figure, size),) = ((f, s) for f, s in FIGURES.items() if name == f.NAME)
    return [figure.measure(seed, size, figure.DATA) for seed in range(2)]


class Again:
    """A figure that was measured already."""

    DATA = "-"
    QUICK = FULL = Size(2, 1, 1, 1)

    def __init__(self, name):
        self.NAME = name

    def measure(self, seed, size, data):
        return measured(self.NAME)[seed]


def records(name, folder):
    """The records of two seeds, stored in a folder."""
    return run.records(
        Again(name), range(2), Again.FULL, "-", folder, advance=lambda: None, say=lambda text: None
    )


def reproduced(name, folder):
    """One figure with its drawings and sentences."""
    return page.reproduced(name, records(name, folder))


def made_up(name, facts):
    """Three records with these facts: a number, or one for each seed."""
    return page.ROOMS[name].claims(
        page.Seeds(
            tuple(
                {
                    "facts": {k: v[s] if isinstance(v, tuple) else v for k, v in facts.items()},
                    "curves": [],
                }
                for s in range(3)
            )
        )
    )
