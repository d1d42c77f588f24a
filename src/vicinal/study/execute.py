"""Doing the runs of a plan, alone or with others that do the same study."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from vicinal.data import read
from vicinal.machine.files import check_folder
from vicinal.machine.processes import join
from vicinal.machine.processes import launch as in_processes
from vicinal.machine.progress import working
from vicinal.study import store
from vicinal.study.configuration import Objects
from vicinal.study.executors.launch import failed, launch
from vicinal.study.options import Study
from vicinal.study.plan import Plan, check_device, plan
from vicinal.study.run import dismiss, follow

EARLIER = ("0.1.0",)
"""Versions whose runs of the same name would have other numbers."""


def run_study(study: Study, objects: Objects) -> list[store.Stored]:
    """Do a study: the records of all its runs, those that are not stored yet by doing them.

    Progress and what the user should know are shown on the error stream.

    Args:
        study: what is asked.
        objects: the strategies of its methods, and data and a model that are given as objects.

    Returns:
        One record for each run, seed by seed. In one of several processes that is not the first
        there are none: the first has them.

    Raises:
        ValueError: as `plan`.
        OSError: if the folder cannot be used.
        ProcessFailed: if one of several processes failed.
    """
    check_device(study.computing)  # before it is waited for others
    if join().rank > 0:
        follow()
        return []
    check_folder(study.output.out)
    read.cache_clear()  # a file may have changed since this process read it
    try:
        planned = plan(study, objects, study.output.out / "runs")
    except BaseException:
        dismiss()
        raise
    if study.computing.processes > 1:
        alone = replace(study, computing=replace(study.computing, processes=1))
        return in_processes(study.computing.processes, run_study, alone, objects)
    with working(f"{len(planned.runs)} runs", sum(run.units for run in planned.runs)) as shown:
        records = execute(planned, advance=shown.advance, say=shown.say)
        for note in alike(records):
            shown.say(note)
    dismiss()
    return records


def alike(records: Sequence[store.Stored]) -> list[str]:
    """A sentence for every two methods that have the same numbers in every run."""
    found: dict[str, list[str]] = {}
    for record in records:
        method = record["configuration"]["method"]
        numbers = [row["objective"] for row in record["history"]], record["measured"]
        found.setdefault(method, []).append(json.dumps(numbers, sort_keys=True))
    groups: dict[str, list[str]] = {}
    for method, all_numbers in found.items():
        groups.setdefault("".join(all_numbers), []).append(method)
    return [
        f"{' and '.join(methods)} have the same numbers in every run: they did the same to these "
        "data, so nothing can be said of a difference."
        for methods in groups.values()
        if len(methods) > 1
    ]


def execute(
    plan: Plan, *, advance: Callable[[int], None], say: Callable[[str], None]
) -> list[store.Stored]:
    """Do the runs of a plan that are not stored yet; return the records of all.

    Several processes, on one machine or many, may execute one plan in one folder at a time: they
    share the runs, and all return all records. A run that could not be done (its model raised an
    error, its worker was killed twice) is returned as failed, but not stored: the next time it is
    tried again.

    Args:
        plan: what to run.
        advance: told how many units of progress were done; a run has epochs + MEASURES of its
            attacks.
        say: told what the user should know, a sentence at a time. Both may be called in a thread.

    Raises:
        ValueError: for a run named twice.
        OSError: if the folder cannot be written any more, or a cluster cannot be reached.
    """
    jobs = plan.study.computing.jobs
    paths = {run: plan.folder / f"{run.name}.json" for run in plan.runs}
    if len(paths) < len(plan.runs):
        raise ValueError("two runs of the plan have the same configuration.")
    notes = list(plan.notes)
    if jobs is not None and jobs > len(plan.groups):
        notes.append(
            f"{jobs} jobs for {len(plan.groups)} groups of runs that are trained together: some "
            "have nothing to do. A smaller `together` makes more groups."
        )
    notes += _older(plan)
    for note in notes:
        say(note)
    for path in paths.values():
        store.stored(path, say)
    left_out = launch(
        plan.groups,
        plan.objects,
        plan.folder,
        device=plan.device,
        executor=plan.study.computing.executor,
        jobs=jobs,
        advance=advance,
        say=say,
    )
    return [
        failed(run, left_out[run.name]) if run.name in left_out else store.read(path)
        for run, path in paths.items()
    ]


def _older(plan: Plan) -> list[str]:
    """Why runs of the same study by an earlier version are not taken."""
    found = [
        version
        for version in EARLIER
        if any(
            (plan.folder / f"{replace(run, version=version).name}.json").exists()
            for run in plan.runs
        )
    ]
    return [
        f"The folder holds runs of this study by vicinal {version}. They are not taken, because "
        f"this version, {plan.runs[0].version}, computes some numbers otherwise; see CHANGELOG.md."
        for version in found
    ]
