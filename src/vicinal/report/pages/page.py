"""One self-contained page: the verdict, the table, the figures, and how to reproduce them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vicinal.machine import files
from vicinal.report.comparison import SCHEMA, Comparison, Group, Record, compare, grouped, identity
from vicinal.report.exports import EXPORTS
from vicinal.report.figures.chosen import figures
from vicinal.report.figures.examples import Hardest, hardest
from vicinal.report.figures.panels import Figure, Style, styles
from vicinal.report.metrics import at
from vicinal.report.numbers import finite, number
from vicinal.report.pages.document import document, shown_settings
from vicinal.report.rows import Line, line, main_metrics
from vicinal.report.words.findings import Sentence, sentences
from vicinal.report.words.headline import Glance, glance, headline
from vicinal.study import store


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
        """What the runs share, then what they differ in; the version is told elsewhere."""
        shared = {k: v for k, v in self.group.configuration.items() if k != "version"}
        seeds = ", ".join(map(str, self.group.seeds))
        return [
            *shown_settings(shared),
            *self.data.items(),
            ("methods", ", ".join(self.group.methods)),
            ("seeds", seeds),
        ]


def render(
    records: Iterable[Record],
    *,
    command: str | None = None,
    unreadable: Sequence[store.Unreadable] = (),
) -> str:
    """The report as one HTML page that asks nothing of the network.

    Whatever stands in the records (names of methods above all) is shown as text.

    Args:
        records: runs as read from their JSON files.
        command: what was typed to make the runs, shown as it is; None where it is not known.
        unreadable: files that were skipped, to be listed.
    """
    records = list(records)
    comparison = compare(records)
    sections = _sections(comparison, grouped(records))
    drawn = [panel.spec() for s in sections for figure in s.figures for panel in figure.panels]
    environment = _distinct(records, "environment") | _versions(records)
    seconds = [
        finite(at(r, "seconds", part)) for r in records for part in ("training", "measuring")
    ]
    return document(
        "page.html.jinja",
        specs=drawn,
        whole=comparison.to_json(),
        title=_title(comparison),
        schema=SCHEMA,
        sections=sections,
        several=len(sections) > 1,
        command=command,
        environment=environment,
        differing=any(len(v) > 1 for k, v in environment.items() if k != "trained_together"),
        seconds=number(sum(s for s in seconds if s is not None)),
        unreadable=unreadable,
        runs=len(records),
    )


def write(
    runs: Path | str, out: Path | str, *, command: str | None = None
) -> list[store.Unreadable]:
    """Render every `*.json` of a folder into a file, which is replaced in one step.

    The ending of the file says what it becomes: a page (.html), a Markdown text (.md), a LaTeX
    table (.tex), or the numbers (.json, .csv, .parquet). Runs of a search, which were measured on
    validation data only, are left out.

    Returns:
        The files that could not be read; the page lists them too.

    Raises:
        ValueError: if the folder has no readable run, or the ending is none of these.
    """
    ending = Path(out).suffix.lower()
    if ending not in ("", ".html", ".htm", *EXPORTS):
        raise ValueError(
            f"the ending of {out} must be one of .html, {', '.join(EXPORTS)}, got {ending}."
        )
    records, unreadable = store.load(Path(runs))
    records = [r for r in records if r["configuration"].get("measured_on", "test") == "test"]
    if not records:
        why = f" Of {len(unreadable)} files the first is {unreadable[0]}." if unreadable else ""
        raise ValueError(
            f"{runs} has no run that can be read. It should hold the *.json files that `vicinal "
            f"compare` writes into its runs folder.{why}"
        )
    made: str | bytes
    if ending in EXPORTS:
        made = EXPORTS[ending](records)
    else:
        made = render(records, command=command, unreadable=unreadable)
    files.write_bytes(Path(out), made if isinstance(made, bytes) else made.encode())
    return unreadable


def _sections(comparison: Comparison, runs: Sequence[Sequence[Record]]) -> list[Section]:
    return [
        Section(
            group=group,
            headline=headline(group),
            glance=glance(group),
            sentences=sentences(group),
            main=tuple(line(group, metric) for metric in main_metrics(group)),
            lines=tuple(line(group, metric) for metric in group.metrics),
            figures=figures(group, records),
            hardest=hardest(group, records, styles(group.methods)),
            looks=styles(group.methods),
            data=_data(records[0]),
            notes=_notes(records),
        )
        for group, records in zip(comparison.groups, runs, strict=True)
    ]


def _data(record: Record) -> dict[str, str]:
    """Sizes of the data, in words."""
    examples = at(record, "data", "examples") or {}
    words = {"examples": ", ".join(f"{count} {part}" for part, count in examples.items())}
    for key in ("classes", "shape", "bounds"):
        value = at(record, "data", key)
        if value is not None:
            words[key] = " × ".join(map(str, value)) if key == "shape" else str(value)
    return {key: word for key, word in words.items() if word not in ("", "0")}


def _notes(records: Sequence[Record]) -> tuple[str, ...]:
    """What a reader of the table should know."""
    at_limit = [identity(r) for r in records if at(r, "measured", "temperature_at_limit")]
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


def _distinct(records: Sequence[Record], part: str) -> dict[str, dict[str, int]]:
    """Per key of a part of the records, its different values and how many runs have each."""
    found: dict[str, dict[str, int]] = {}
    for record in records:
        for key, value in (record.get(part) or {}).items():
            values = found.setdefault(str(key), {})
            values[str(value)] = values.get(str(value), 0) + 1
    return found


def _versions(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """The versions of this package; part of the configuration, as numbers may depend on it."""
    found = _distinct(records, "configuration")
    return {"vicinal": found["version"]} if "version" in found else {}
