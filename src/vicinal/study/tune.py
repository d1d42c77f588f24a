"""The search for a method as it is asked for: planned, shared by processes, shown while it goes."""

from dataclasses import replace
from functools import lru_cache
from typing import Literal

from vicinal.data import read
from vicinal.machine.files import check_folder
from vicinal.machine.processes import join
from vicinal.machine.processes import launch as in_processes
from vicinal.machine.progress import working
from vicinal.mixing.choice import During
from vicinal.mixing.draw import Strategy
from vicinal.study.configuration import Objects
from vicinal.study.execute import execute
from vicinal.study.measures import MEASURES
from vicinal.study.methods import parse_methods, searched, with_strength
from vicinal.study.options import Search, Study
from vicinal.study.plan import Plan, check_device, plan
from vicinal.study.run import dismiss, follow
from vicinal.study.search import Found, Strategies, check, search


def run_search(asked: Search, objects: Objects) -> Found | None:
    """Search as asked, going on where a search was that was stopped.

    Args:
        asked: all options.
        objects: strategies of methods that are given as objects; data and a model likewise.

    Returns:
        What was found; None in one of several processes that is not the first.

    Raises:
        ValueError: as `search` and `plan`.
        OSError: if the folder cannot be used.
        ProcessFailed: if one of several processes failed.
    """
    check_device(asked.computing)  # before it is waited for others
    if join().rank > 0:
        follow()
        return None
    check_folder(asked.out)
    read.cache_clear()  # a file may have changed since this process read it
    study = Study(
        source=asked.source,
        seeds=asked.seeds,
        training=asked.training,
        computing=asked.computing,
    )

    def build(text: str, alpha: float | None) -> tuple[str, Strategy | During | None]:
        if text in objects.strategies:
            return text, objects.strategies[text]
        return next(iter(parse_methods([with_strength(text, alpha)]).items()))

    def planned(strategies: Strategies, part: Literal["test", "validation"]) -> Plan:
        chosen = replace(objects, strategies=strategies)
        return plan(study, chosen, asked.out / "runs", measured_on=part)

    try:
        kinds = {text: text not in objects.strategies and searched(text) for text in asked.methods}
        check(kinds, build, planned, metric=asked.metric, trials=asked.trials)
    except BaseException:
        dismiss()
        raise
    if asked.computing.processes > 1:
        alone = replace(asked, computing=replace(asked.computing, processes=1))
        return in_processes(asked.computing.processes, run_search, alone, objects)
    total = (asked.trials + 2) * asked.seeds * (asked.training.recipe.epochs + MEASURES["fast"])
    with working(f"{asked.trials} trials", total) as shown:
        once = lru_cache(maxsize=None)(shown.say)  # every trial has the same to say of the data
        found = search(
            kinds,
            build,
            planned,
            lambda chosen: execute(chosen, advance=shown.advance, say=once),
            metric=asked.metric,
            trials=asked.trials,
            seed=asked.seed,
        )
    dismiss()
    return found
