"""vicinal compare: train methods over paired seeds, and report."""

from typing import Annotated

from cyclopts import Parameter

from vicinal.cli.errors import FAILED_RUN, ending, leads
from vicinal.machine.progress import starting
from vicinal.study.methods import parse_methods
from vicinal.study.options import Study

USUAL = Study()


def compare(study: Annotated[Study, Parameter(name="*")] = USUAL) -> int:
    """Train methods over paired seeds, explain and measure them, write runs/ and report.html.

    Runs that are stored already are reused, and a run that was killed goes on where it was. The
    same command may run several times at once, on all machines that share the folder: they share
    the runs.
    """
    with ending():
        with starting():
            from vicinal.report.result import done
            from vicinal.study.configuration import Objects
        result = done(study, Objects(parse_methods(study.methods)))
        if not leads():
            return 0
        result.save(study.output.out / "report.html")
    result.show(study.output.out / "report.html")
    return FAILED_RUN if result.failed else 0
