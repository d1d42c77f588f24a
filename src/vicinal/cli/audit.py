"""vicinal audit: what attacks, calibration and theory say of someone's trained model."""

import json
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from vicinal.cli.errors import ending
from vicinal.machine import files
from vicinal.machine.progress import starting
from vicinal.study.command import typed
from vicinal.study.subject import Auditing


def audit(asked: Annotated[Auditing, Parameter(name="*")]) -> int:
    """Audit a trained model: worst case under attack, signs of masking, calibration, bound.

    Prints what was found, and writes audit.json and audit.html. An audit that was stopped goes on
    where it was.
    """
    with ending():
        with starting():
            from vicinal.study.audit.asked import run_audit
        record = run_audit(asked)
        if record is not None:
            _write(record, asked)
    return 0


def _write(record: dict[str, Any], asked: Auditing) -> None:
    from vicinal.report.pages import audited

    out = asked.out
    page = audited.page(record, command=typed("audit", asked))
    files.write(out / "audit.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    files.write(out / "audit.html", page)
    console = Console(emoji=False)
    console.print(audited.terminal(record))
    console.print(escape(f"\nReport: {out / 'audit.html'}"), highlight=False, soft_wrap=True)
