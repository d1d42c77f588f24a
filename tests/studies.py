"""Studies asked for by the names of their options, planned and done in a folder of runs."""

from vicinal.machine.typed import build
from vicinal.study.configuration import Objects
from vicinal.study.execute import execute
from vicinal.study.options import Study
from vicinal.study.plan import plan


def planned(methods, folder, *, measured_on="test", **options):
    """The plan of a study; methods are strategies by name."""
    study = build(Study, {"methods": tuple(methods) or ("erm",), **options})
    return plan(study, Objects(methods), folder, measured_on=measured_on)


def done(plan, say=lambda sentence: None):
    """The records of a plan."""
    return execute(plan, advance=lambda units: None, say=say)
