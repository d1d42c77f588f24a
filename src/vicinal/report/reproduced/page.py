"""A figure as a page, an SVG, a PDF and a table; and the page that leads to all of them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vicinal.report.numbers import number
from vicinal.report.pages.document import document
from vicinal.report.reproduced import (
    approximation,
    bound,
    calibration,
    cosine,
    generalization,
    robustness,
    variants,
)
from vicinal.report.reproduced.claims import WORDS, Claim, paragraph, summary
from vicinal.report.reproduced.drawing import Drawing
from vicinal.report.reproduced.seeds import OfSeed, Seeds

SCHEMA = 1
SIZES = {"epochs": "epochs", "train": "training examples at most", "test": "test examples at most"}


@runtime_checkable
class Room(Protocol):
    """What the module of a figure offers here."""

    TITLE: str

    def drawings(self, seeds: Seeds) -> list[Drawing]:
        """What is shown."""

    def claims(self, seeds: Seeds) -> list[Claim]:
        """What follows from the numbers."""


ROOMS: Mapping[str, Room] = {
    "approximation": approximation,
    "cosine": cosine,
    "robustness": robustness,
    "bound": bound,
    "generalization": generalization,
    "calibration": calibration,
    "variants": variants,
}
"""The figures by name, in the order of the talk."""


@dataclass(frozen=True)
class Reproduced:
    """One figure: what was measured, drawn and found.

    Attributes:
        name: of the figure.
        title: in words.
        records: of all seeds, failed ones too.
        drawings: what is shown.
        claims: what was found.
    """

    name: str
    title: str
    records: tuple[OfSeed, ...]
    drawings: tuple[Drawing, ...]
    claims: tuple[Claim, ...]

    @property
    def paragraph(self) -> str:
        """What agrees with the talk and what does not."""
        return paragraph(self.claims)

    @property
    def summary(self) -> list[tuple[str, str]]:
        """The paragraph in its parts."""
        return summary(self.claims)

    @property
    def failed(self) -> list[tuple[int, str]]:
        """Seeds that did not end, and why."""
        return [
            (r["configuration"]["seed"], str(r["failure"]))
            for r in self.records
            if r["status"] == "failed"
        ]


def reproduced(name: str, records: Sequence[OfSeed]) -> Reproduced:
    """Read what the records of one figure say."""
    room = ROOMS[name]
    seeds = Seeds(tuple(r for r in records if r["status"] == "done"))
    claims = tuple(room.claims(seeds)) if seeds.records else ()
    return Reproduced(name, room.TITLE, tuple(records), tuple(room.drawings(seeds)), claims)


def page(found: Reproduced, *, command: str) -> str:
    """The figure as one page that asks nothing of the network."""
    specs = [panel.spec() for drawing in found.drawings for panel in drawing.figure.panels]
    first = found.records[0]
    return document(
        "reproduced.html.jinja",
        specs=specs,
        whole={"schema": SCHEMA, "records": list(found.records)},
        found=found,
        schema=SCHEMA,
        command=command,
        settings_of=_settings(found),
        environment=first["environment"],
        seconds=number(sum(r["seconds"] for r in found.records)),
    )


def _settings(found: Reproduced) -> list[tuple[str, str]]:
    first = found.records[0]
    configuration = first["configuration"]
    size = [(SIZES[key], f"{v}") for key, v in configuration["size"].items() if v and key in SIZES]
    seeds = ", ".join(str(r["configuration"]["seed"]) for r in found.records)
    used = [("vicinal", configuration["version"]), ("data", configuration["data"])]
    return [*used, ("seeds", seeds), *size, *first.get("data", {}).items()]


def overview(all_found: Sequence[Reproduced], *, command: str) -> str:
    """All figures on one page: what agrees and what does not, and where each is shown."""
    return document(
        "overview.html.jinja",
        specs=[],
        whole={"schema": SCHEMA, "claims": {f.name: _plain(f.claims) for f in all_found}},
        all_found=all_found,
        verdicts={words: verdict for verdict, words in WORDS.items()},
        schema=SCHEMA,
        command=command,
    )


def table(found: Reproduced) -> str:
    """Every number of every seed as CSV: drawing, panel, series, x, seed, y; then the facts."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("figure", "drawing", "panel", "series", "x", "seed", "value"))
    for record in found.records:
        seed = record["configuration"]["seed"]
        for curve in record.get("curves", ()):
            for x, y in zip(curve["x"], curve["y"], strict=True):
                place = (curve["drawing"], curve["panel"], curve["series"])
                rows.writerow((found.name, *place, x, seed, "" if y is None else y))
        for key, value in record.get("facts", {}).items():
            rows.writerow((found.name, "fact", key, "", "", seed, "" if value is None else value))
    return out.getvalue()


def as_json(found: Reproduced) -> str:
    """The sentences, and the records of all seeds."""
    whole = {"schema": SCHEMA, "figure": found.name, "paragraph": found.paragraph}
    whole |= {"claims": _plain(found.claims), "records": list(found.records)}
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _plain(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    return [
        {
            "statement": c.statement,
            "subject": c.subject,
            "verdict": c.verdict,
            "size": c.size,
            "text": c.text,
        }
        for c in claims
    ]
