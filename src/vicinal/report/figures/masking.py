"""Signs of masked gradients: how many runs of each method pass each check."""

from collections.abc import Sequence

from vicinal.report.comparison import Group
from vicinal.report.figures.panels import Figure, Runs, Style, Table
from vicinal.report.metrics import NORMS
from vicinal.report.numbers import NONE
from vicinal.study.measured import Masking, Sign

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
"""The checks of a run, as what must be true, in the order in which they are shown."""


def masking(group: Group, runs: Runs, look: Sequence[Style]) -> Figure | None:
    """One line per check, one column per method; the numbers of a failed check below."""
    found = {
        method: [r.measured.masking for r in records if r.measured and r.measured.masking]
        for method, records in runs.items()
    }
    checked = {method: checks for method, checks in found.items() if checks}
    if not checked:
        return None
    names = [name for name in CHECKS if any(name in c.signs for cs in checked.values() for c in cs)]
    rows = tuple((CHECKS[name], *(_passed(c, name) for c in checked.values())) for name in names)
    first = next(iter(checked.values()))[0]
    threat = f"{NORMS.get(first.norm, first.norm)}, ε = {first.eps:g}"
    failures = [
        f"{method}: {sign.words}."
        for method, checks in checked.items()
        for name in names
        if (sign := _first_failed(checks, name)) is not None
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


def _passed(checks: Sequence[Masking], name: str) -> str:
    passed = [check.signs[name].passed for check in checks if name in check.signs]
    return f"{sum(passed)} of {len(passed)} pass" if passed else NONE


def _first_failed(checks: Sequence[Masking], name: str) -> Sign | None:
    """The sign of the first run that fails the check."""
    signs = (check.signs[name] for check in checks if name in check.signs)
    return next((sign for sign in signs if not sign.passed), None)
