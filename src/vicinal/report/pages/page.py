"""One self-contained page: the verdict, the table, the figures, and how to reproduce them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vicinal.machine import files
from vicinal.report.comparison import SCHEMA, Comparison, Group, compare, grouped
from vicinal.report.exports import EXPORTS
from vicinal.report.figures.chosen import figures
from vicinal.report.figures.examples import Hardest, hardest
from vicinal.report.figures.panels import Figure, Style, styles
from vicinal.report.numbers import finite, number
from vicinal.report.pages.document import document, shown_settings
from vicinal.report.results import load
from vicinal.report.rows import Line, line, main_metrics
from vicinal.report.words.findings import Sentence, sentences
from vicinal.report.words.headline import Glance, glance, headline
from vicinal.study import store
from vicinal.study.record import Data, Record, Records, records


@dataclass(frozen=True)
class Section:
    """Everything the page shows about one group."""

    group: Group
    headline: tuple[tuple[str, str], ...]
    glance: Glance
    sentences: tuple[Sentence, ...]
    main: tuple[Line, ...]
    lines: tuple[Line, ...]
    figures: tuple[Figure, ...]
    hardest: Hardest | None
    looks: tuple[Style, ...]
    data: dict[str, str]
    notes: tuple[str, ...]

    @property
    def settings(self) -> list[tuple[str, str]]:
        """What the runs share, then what they differ in; the version is shown elsewhere."""
        shared = {k: v for k, v in self.group.configuration.items() if k != "version"}
        seeds = ", ".join(map(str, self.group.seeds))
        return [
            *shown_settings(shared),
            *self.data.items(),
            ("methods", ", ".join(self.group.methods)),
            ("seeds", seeds),
        ]


def render(
    runs: Records,
    *,
    baseline: str | None = None,
    command: str | None = None,
    ways: Sequence[str] = (),
    unreadable: Sequence[store.Unreadable] = (),
) -> str:
    """The report as one HTML page that asks nothing of the network.

    Whatever stands in the records (names of methods above all) is shown as text.

    Args:
        runs: records.
        baseline: the method that the others are compared with; by default `erm` where there is
            one, else the method of the first record.
        command: what was typed to make the runs, shown as it is; None where it is not known.
        ways: more ways to make them, commands or Python code, shown below it as they are.
        unreadable: files that were skipped, to be listed.

    Raises:
        ValueError: if a group has no run of the baseline, or an object is no record.
    """
    found = records(runs)
    comparison = compare(found, baseline)
    sections = _sections(comparison, grouped(found))
    drawn = [panel.spec() for s in sections for figure in s.figures for panel in figure.panels]
    environment = _distinct(r.environment or {} for r in found) | _versions(found)
    seconds = [
        finite(s) for r in found if r.seconds for s in (r.seconds.training, r.seconds.measuring)
    ]
    return document(
        "page.html.jinja",
        specs=drawn,
        whole=comparison.to_json(),
        title=_title(comparison),
        schema=SCHEMA,
        sections=sections,
        several=len(sections) > 1,
        ways=[way for way in (command, *ways) if way],
        environment=environment,
        differing=any(len(v) > 1 for k, v in environment.items() if k != "trained_together"),
        seconds=number(sum(s for s in seconds if s is not None)),
        unreadable=unreadable,
        runs=len(found),
    )


def write(
    runs: Path | str,
    out: Path | str,
    *,
    baseline: str | None = None,
    command: str | None = None,
    ways: Sequence[str] = (),
) -> list[store.Unreadable]:
    """Render every `*.json` of a folder into a file, which is replaced in one step.

    The ending of the file says what it becomes: a page (.html), a Markdown text (.md), a LaTeX
    table (.tex), or the numbers (.json, .csv, .parquet). Runs of a search, which were measured on
    validation data only, are left out.

    Returns:
        The files that could not be read; the page lists them too.

    Raises:
        ValueError: if the folder has no readable run, the ending is none of these, or a group of
            runs has no run of the baseline.
    """
    ending = Path(out).suffix.lower()
    if ending not in ("", ".html", ".htm", *EXPORTS):
        raise ValueError(
            f"the ending of {out} must be one of .html, {', '.join(EXPORTS)}, got {ending}."
        )
    found, unreadable = load(Path(runs))
    found = [record for record in found if record.measured_on == "test"]
    if not found:
        why = f" Of {len(unreadable)} files the first is {unreadable[0]}." if unreadable else ""
        raise ValueError(
            f"{runs} has no run that can be read. It should hold the *.json files that `vicinal "
            f"compare` writes into its runs folder.{why}"
        )
    made: str | bytes
    if ending in EXPORTS:
        made = EXPORTS[ending](found, baseline=baseline)
    else:
        made = render(found, baseline=baseline, command=command, ways=ways, unreadable=unreadable)
    files.write_bytes(Path(out), made if isinstance(made, bytes) else made.encode())
    return unreadable


def _sections(comparison: Comparison, groups: Sequence[Sequence[Record]]) -> list[Section]:
    return [
        Section(
            group=group,
            headline=headline(group),
            glance=glance(group),
            sentences=sentences(group),
            main=tuple(line(group, metric) for metric in main_metrics(group)),
            lines=tuple(line(group, metric) for metric in group.metrics),
            figures=figures(group, runs),
            hardest=hardest(group, runs, styles(group.methods)),
            looks=styles(group.methods),
            data=_data(runs[0].data),
            notes=_notes(runs),
        )
        for group, runs in zip(comparison.groups, groups, strict=True)
    ]


def _data(data: Data | None) -> dict[str, str]:
    """Sizes of the data, in words."""
    if data is None:
        return {}
    words = {
        "examples": ", ".join(f"{count} {part}" for part, count in data.examples.items()),
        "classes": str(data.classes),
        "shape": " × ".join(map(str, data.shape)),
        "bounds": "" if data.bounds is None else str(list(data.bounds)),
    }
    return {key: word for key, word in words.items() if word not in ("", "0")}


def _notes(runs: Sequence[Record]) -> tuple[str, ...]:
    """What a reader of the table should know."""
    at_limit = [r.identity for r in runs if r.measured and r.measured.temperature_at_limit]
    if not at_limit:
        return ()
    named = "; ".join(f"{method} seed {seed}" for method, seed in at_limit)
    return (
        "The held-out examples do not determine the temperature (nearly all are right, or it ended "
        f"at a limit), so scaling may not be at its best: {named}.",
    )


def _title(comparison: Comparison) -> str:
    names = dict.fromkeys(str(g.configuration.get("data", "runs")) for g in comparison.groups)
    return f"Training with and without mixing: {', '.join(names)}"


def _distinct(parts: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Per key of a part of the records, its different values and how many runs have each."""
    found: dict[str, dict[str, int]] = {}
    for part in parts:
        for key, value in part.items():
            values = found.setdefault(str(key), {})
            values[str(value)] = values.get(str(value), 0) + 1
    return found


def _versions(runs: Sequence[Record]) -> dict[str, dict[str, int]]:
    """The versions of this package; part of the configuration, as numbers may depend on it."""
    found = _distinct(record.configuration for record in runs)
    return {"vicinal": found["version"]} if "version" in found else {}
