"""Signs of masked gradients: how many runs of each method pass each check."""

from collections.abc import Mapping, Sequence
from typing import Any

from vicinal.report.comparison import Group
from vicinal.report.figures.panels import Figure, Runs, Style, Table
from vicinal.report.metrics import NORMS, at
from vicinal.report.numbers import NONE

CHECKS = {
    "constant": "Predictions are not the same everywhere",
    "one_step": "One step does not beat twenty",
    "more_steps": "More steps and restarts gain little",
    "noise": "Noise breaks nothing that gradients do not",
    "black_box": "A search without gradients breaks nothing more",
    "transfer": "What a twin's gradients find breaks nothing more",
    "rising": "Success rises with ε",
    "huge": "Nothing withstands a huge ε",
    "zero_gradients": "Gradients are not 0 at the start",
    "scale_of_logits": "The scale of the logits does not matter",
    "random": "The model draws nothing at random",
}
"""The checks of a run, as what must be true, in the order in which they are told."""


def masking(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """One line per check, one column per method; the numbers of a failed check below."""
    found = {m: [s for r in rs if (s := at(r, "measured", "masking"))] for m, rs in runs.items()}
    checked = {method: signs for method, signs in found.items() if signs}
    if not checked:
        return None
    names = [
        name for name in CHECKS if any(name in s["signs"] for ss in checked.values() for s in ss)
    ]
    rows = tuple((CHECKS[name], *(_passed(s, name) for s in checked.values())) for name in names)
    first = next(iter(checked.values()))[0]
    threat = f"{NORMS.get(first['norm'], first['norm'])}, ε = {first['eps']:g}"
    failures = [
        f"{method}: {sign['words']}."
        for method, signs in checked.items()
        for name in names
        if (sign := _first_failed(signs, name)) is not None
    ]
    return Figure(
        "masking",
        "Signs of masked gradients",
        (
            f"Attacks may fail because slopes mislead them, and not because a model is robust. "
            f"Each check was run on correctly classified test examples ({threat}); the numbers "
            "count the runs that pass it.",
            *(
                failures
                or ("Every run passes every check, which does not prove that all is well.",)
            ),
        ),
        (),
        Table(("Check", *checked), rows),
        columns=2,
        legend=False,
    )


def _passed(signs: Sequence[Mapping[str, Any]], name: str) -> str:
    told = [bool(s["signs"][name]["passed"]) for s in signs if name in s["signs"]]
    return f"{sum(told)} of {len(told)} pass" if told else NONE


def _first_failed(signs: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The sign of the first run that fails the check."""
    return next(
        (s["signs"][name] for s in signs if not s["signs"].get(name, {"passed": 1})["passed"]), None
    )
