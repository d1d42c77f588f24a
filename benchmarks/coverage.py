"""Do the intervals hold? Studies of two methods are simulated in worlds whose truth is known.

The worlds are told in `worlds.py`. The oracle knows the variance of the mean over seeds: its
interval is ± 1.96 true standard errors.

    python benchmarks/coverage.py            # prints the tables, some ten minutes on one core
    python benchmarks/coverage.py --write    # and puts them into docs/concepts/intervals.md
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from learners import CASES, examples, trained_apart
from scipy.special import stdtrit
from worlds import DESIGNS, POOL, TRAIN, Array, World, study

from vicinal.maths.crossed import data_interval, statistic_interval
from vicinal.maths.sequences import known, sequential_data, sequential_quantile
from vicinal.maths.statistics import paired
from vicinal.maths.weighted import ece

PAGE = Path(__file__).parents[1] / "docs" / "concepts" / "intervals.md"
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"
SEEDS = (2, 3, 5, 10, 20)


@dataclass
class Tally:
    """Of many studies of one world, with so many seeds: estimates minus truth, ends, claims."""

    errors: list[float]
    halves: list[float]
    claims: int = 0
    students: int = 0  # claims of Student's interval over seeds

    @classmethod
    def empty(cls) -> "Tally":
        """Of no study yet."""
        return cls([], [])

    def add(self, low: float, high: float, truth: float, differences: Array) -> None:
        """Count one study."""
        middle = (low + high) / 2
        self.errors.append(middle - truth)
        self.halves.append(high - middle)
        self.claims += low > 0 or high < 0
        self.students += paired(differences.tolist()).words in ("higher", "lower")

    @property
    def coverage(self) -> float:
        """How often the truth lay inside."""
        return float(np.mean(np.abs(self.errors) <= self.halves))

    @property
    def width(self) -> float:
        """Relative to the oracle's."""
        return float(np.mean(self.halves) / 1.96 / np.sqrt(np.mean(np.square(self.errors))))

    def rate(self, claims: int) -> float:
        """Of the studies."""
        return claims / len(self.errors)


def designed(world: World) -> dict[str, Any]:
    """What the intervals are told of the design."""
    pool = {"re-drawn": POOL, "fixed": None, "fresh": math.inf}[world.design]
    return {"fixed": world.design == "fixed", "train": TRAIN, "pool": pool}


Key = tuple[str, int]  # a metric, and a number of seeds


def measured(world: World, studies: int, rng: np.random.Generator) -> dict[Key, Tally]:
    """Accuracy and loss in many studies of a world."""
    truth = dict(zip(("accuracy", "loss"), world.truth(), strict=True))
    tallies = {key: Tally.empty() for key in product(truth, SEEDS)}
    for _ in range(studies):
        sums, _, rows = study(world, rng)
        right, loss = (sums > 0).astype(float), np.logaddexp(0, -sums)
        for (metric, k), tally in tallies.items():
            of = right if metric == "accuracy" else loss
            apart = of[1, :k] - of[0, :k]
            found = data_interval(apart, rows[:k], **designed(world))
            tally.add(found.low, found.high, truth[metric], apart.mean(1))
    return tallies


def calibrated(world: World, studies: int, rng: np.random.Generator) -> dict[Key, Tally]:
    """The ECE of equal methods, whose difference is 0 in truth; few seeds, fewer studies."""
    tallies = {("ECE", k): Tally.empty() for k in (2, 3, 5, 10)}
    for _ in range(studies):
        sums, confidence, rows = study(world, rng, 10)
        numbers = np.stack([confidence, sums > 0], axis=-1)
        eces = [[ece(seed, np.ones((1, len(seed))))[0] for seed in method] for method in numbers]
        for (_, k), tally in tallies.items():
            found = statistic_interval(
                ece,
                numbers[1, :k],
                numbers[0, :k],
                rows[:k],
                rng=rng,
                resamples=200,
                **designed(world),
            )
            tally.add(found.low, found.high, 0.0, np.subtract(eces[1], eces[0])[:k])
    return tallies


def trained(
    train: int, penalties: tuple[float, float], studies: int, rng: np.random.Generator
) -> dict[Key, Tally]:
    """Learners that really train, on re-drawn splits; the truth from 1,500 trainings."""
    new = examples(4000, rng), examples(4000, rng), examples(4000, rng)
    truths = [
        [e.mean() for e in trained_apart(examples(train, rng), new[i % 3], penalties, rng)]
        for i in range(1500)
    ]
    truth = dict(zip(("accuracy", "loss"), np.mean(truths, axis=0), strict=True))
    tallies = {key: Tally.empty() for key in product(truth, SEEDS)}
    pool = train * 5 // 4
    for _ in range(studies):
        x, y = examples(pool, rng)
        rows, found = [], []
        for _ in range(SEEDS[-1]):
            order = rng.permutation(pool)
            test, part = order[: pool - train], order[pool - train :]
            rows.append(test)
            found.append(trained_apart((x[part], y[part]), (x[test], y[test]), penalties, rng))
        for (metric, k), tally in tallies.items():
            of = np.array([seed[metric == "loss"] for seed in found[:k]])
            one = data_interval(of, rows[:k], fixed=False, train=train)
            tally.add(one.low, one.high, truth[metric], of.mean(1))
    return tallies


def looked_at(
    effect: float, studies: int, rng: np.random.Generator, *, half: float = 0.5, most: int = 50
) -> dict[str, float]:
    """Seeds are added until 0 is left out or the half width reached; sd 1, normal differences."""
    looks: dict[str, list[tuple[int, bool, bool]]] = {"sequence": [], "Student": []}
    for _ in range(studies):
        values = effect + rng.standard_normal(most)
        sums, squares = values.cumsum(), (values**2).cumsum()
        for name, seen in looks.items():
            for k in range(2, most + 1):
                mean = sums[k - 1] / k
                deviation = math.sqrt(max(squares[k - 1] - k * mean**2, 0.0) / (k - 1))
                width = QUANTILES[name][k] * deviation / math.sqrt(k)
                if abs(mean) > width or width <= half:
                    break
            seen.append((k, abs(mean - effect) > width, abs(mean) > width))
    table = {}
    for name, seen in looks.items():
        seeds, missed, claimed = np.mean(np.asarray(seen, dtype=float), axis=0)
        table |= {f"{name} seeds": seeds, f"{name} missed": missed, f"{name} claims": claimed}
    return table


QUANTILES = {
    "sequence": {k: sequential_quantile(k, 0.05) for k in range(2, 51)},
    "Student": {k: float(stdtrit(k - 1, 0.975)) for k in range(2, 51)},
}


def stopped(world: World, studies: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Coverage at the stop, seeds and claims, for data like these, up to 20 seeds."""
    apart, _ = world.truth()
    seen = []
    for _ in range(studies):
        sums, _, rows = study(world, rng)
        right = (sums > 0).astype(float)
        e = right[1] - right[0]
        for k in range(3, SEEDS[-1] + 1):
            found = sequential_data(data_interval(e[:k], rows[:k], **designed(world)))
            if known(found, world.disagree**0.5 / 10):
                break
        low = -math.inf if found.low is None else found.low
        high = math.inf if found.high is None else found.high
        seen.append((low <= apart <= high, k, low > 0 or high < 0))
    return tuple(np.mean(np.asarray(seen, dtype=float), axis=0))


def cells(tallies: dict[Key, Tally], metric: str) -> Iterator[str]:
    """For each number of seeds: coverage, claims, width."""
    for k in SEEDS:
        tally = tallies.get((metric, k))
        if tally is None:
            yield "–"
            continue
        claims = tally.rate(tally.claims)
        yield f"{100 * tally.coverage:.1f} · {100 * claims:.0f} · {tally.width:.2f}"


def row(*entries: object) -> str:
    return "| " + " | ".join(map(str, entries)) + " |"


def header(*names: str) -> list[str]:
    return [row(*names, *(f"{k} seeds" for k in SEEDS)), row(*["---"] * (len(names) + len(SEEDS)))]


def summary(worlds: dict[World, dict[Key, Tally]]) -> list[str]:
    """Over worlds: the lowest coverage, the widths, and false claims beside Student's."""
    lines = header("design", "")
    for design in DESIGNS:
        of = {w: t for w, t in worlds.items() if w.design == design}
        entries: dict[str, list[str]] = {}
        for k in SEEDS:
            all_of = [(w, t) for w, ts in of.items() for (_, seeds), t in ts.items() if seeds == k]
            equal = [t for w, t in all_of if w.apart == 0]
            low, high = (f(t.width for _, t in all_of) for f in (min, max))
            for name, value in {
                "lowest coverage, %": f"{100 * min(t.coverage for _, t in all_of):.1f}",
                "mean coverage, %": f"{100 * np.mean([t.coverage for _, t in all_of]):.1f}",
                "width / oracle": f"{low:.2f}–{high:.2f}",
                "false claims, %": f"{100 * np.mean([t.rate(t.claims) for t in equal]):.1f}",
                "false claims of Student's over seeds, %": (
                    f"{100 * np.mean([t.rate(t.students) for t in equal]):.1f}"
                ),
            }.items():
                entries.setdefault(name, []).append(value)
        lines += [row(design, name, *values) for name, values in entries.items()]
    return lines


def report(studies: int) -> list[str]:
    rng = np.random.default_rng(17)
    worlds = {
        World(*w): measured(World(*w), studies, rng)
        for w in product(DESIGNS, (0.0, 0.01), (0.04, 0.33), (0.25, 1.0))
    }
    lines = [f"Over the worlds of a design, accuracy and loss ({studies} studies of each):", ""]
    lines += summary(worlds)
    lines += ["", "Each: coverage in % · claims in % · width relative to the oracle's.", ""]
    lines += header("design", "apart", "differ in", "seeds are", "of")
    for world, tallies in worlds.items():
        name = (world.design, f"{100 * world.apart:g}", f"{100 * world.disagree:g} %")
        loud = "loud" if world.loud == 1 else "quiet"
        for metric in ("accuracy", "loss"):
            lines.append(row(*name, loud, metric, *cells(tallies, metric)))
    for design, disagree in product(DESIGNS, (0.04, 0.33)):
        tallies = calibrated(World(design, 0.0, disagree, 1.0), studies // 2, rng)
        lines.append(row(design, 0, f"{100 * disagree:g} %", "loud", "ECE", *cells(tallies, "ECE")))
    lines += [
        "",
        "Learners that really train (ridge regression on random features, two penalties, ",
    ]
    lines += ["re-drawn splits): coverage · claims · width.", ""]
    lines += header("training examples", "penalties", "of")
    for train, penalties in CASES:
        tallies = trained(train, penalties, studies // 3, rng)
        for metric in ("accuracy", "loss"):
            both = " and ".join(f"{p:g}" for p in penalties)
            lines.append(row(train, both, metric, *cells(tallies, metric)))
    return [*lines, "", *until(studies, rng)]


def until(studies: int, rng: np.random.Generator) -> list[str]:
    lines = [
        "Seeds added until 0 is left out or the half width is 0.5 standard deviations, at most"
    ]
    lines += ["50; a study of fixed size needs 18 seeds for that half width:", ""]
    lines += [
        row("effect / sd", "seeds", "missed, %", "claims, %", "Student's, looked at: missed, %")
    ]
    lines += [row(*["---"] * 5)]
    for effect in (0.0, 0.3, 0.5, 1.0, 2.0):
        of = looked_at(effect, 4 * studies, rng)
        percent = [100 * of[f"{name}"] for name in (
            "sequence missed", "sequence claims", "Student missed")]  # fmt: skip
        lines.append(row(effect, f"{of['sequence seeds']:.1f}", *(f"{p:.1f}" for p in percent)))
    lines += [
        "",
        "The same for data like these, until ± 2 (4 %) or 5.7 points (33 %), or 20 seeds:",
        "",
    ]
    lines += [row("design", "apart", "differ in", "coverage, %", "seeds", "claims, %")]
    lines += [row(*["---"] * 6)]
    for design, apart, disagree in product(("re-drawn", "fixed"), (0.0, 0.01), (0.04, 0.33)):
        world = World(design, apart, disagree, 1.0)
        covered, seeds, claims = stopped(world, studies // 3, rng)
        name = (design, f"{100 * apart:g}", f"{100 * disagree:g} %")
        lines.append(row(*name, f"{100 * covered:.1f}", f"{seeds:.1f}", f"{100 * claims:.0f}"))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=600)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    lines = report(chosen.studies)
    print("\n".join(lines))
    if chosen.write:
        page = PAGE.read_text("utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
