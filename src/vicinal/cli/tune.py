"""vicinal tune: search for a method and its strength on validation data, test what was found."""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vicinal.cli.errors import FAILED_RUN, refuse
from vicinal.cli.processes import check_device, in_processes, shared
from vicinal.cli.progress import starting, working
from vicinal.study.methods import parse_methods, searched, with_strength

if TYPE_CHECKING:  # --help does not wait for torch
    from vicinal.maths.statistics import Paired
    from vicinal.mixing.choice import During
    from vicinal.mixing.draw import Strategy
    from vicinal.study.plan import Plan
    from vicinal.study.run import Strategies
    from vicinal.study.search import Search

SHOWN = 10  # trials in the table
PLANNED = (
    "data", "target", "task", "model", "weights", "seeds", "epochs", "train_size", "batch_size",
    "learning_rate", "weight_decay", "precision", "device",
)  # fmt: skip
"""Options that `study.plan` takes as they are."""


def tune(
    data: str = "digits",
    *,
    methods: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ("erm", "mixup"),
    trials: int = 20,
    metric: Literal["accuracy", "loss"] | None = None,
    seeds: int = 3,
    epochs: int = 30,
    train_size: int | None = None,
    target: str | None = None,
    task: Literal["classification", "binary", "multilabel", "regression"] | None = None,
    model: str | None = None,
    weights: Path | None = None,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    weight_decay: float = 0.01,
    seed: int = 0,
    processes: int = 1,
    parts: int | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    jobs: int | None = None,
    executor: str = "loky",
    device: str = "cpu",
    out: Path = Path(),
) -> int:
    """Search for a method and its strength on validation data, then test the best once.

    Trials are runs, stored in runs/ as those of compare: a search that was stopped goes on where
    it was. Needs Optuna: pip install 'vicinal[tune]'.

    Args:
        data: Data set, as in compare: a name, a file, a folder, or module:attribute.
        methods: Methods to choose from. Of those with an alpha that is not given, as mixup and
            cutmix, alpha is searched from 0.05 to 4; mixup(alpha=1) is tried as it is.
        trials: Methods to try, each with all seeds.
        metric: What is compared on the validation part: accuracy, or the loss; by default
            accuracy, and the loss where targets are values.
        seeds: Seeds of each trial; their scores are averaged.
        epochs: Passes over the training data.
        train_size: Training examples to use; by default half of the data set.
        target: As in compare.
        task: As in compare.
        model: As in compare.
        weights: As in compare.
        batch_size: Examples per step.
        learning_rate: Of AdamW; it rises over the first tenth of the steps, then falls to 0.
        weight_decay: Of AdamW, on all parameters.
        seed: Of the search; the same seed tries the same methods.
        processes: As in compare.
        parts: As in compare.
        precision: As in compare.
        jobs: As in compare; the seeds of a trial are what can be done at once.
        executor: As in compare.
        device: As in compare.
        out: Folder for runs/ and tune.json.
    """
    given = dict(locals())
    with starting():
        from vicinal.machine import files
        from vicinal.machine.processes import join
        from vicinal.study import plan as study
        from vicinal.study import search
        from vicinal.study.executors import check
        from vicinal.study.measures import MEASURES
        from vicinal.study.run import dismiss, follow
    try:
        check_device(device, processes)  # before it is waited for others
    except ValueError as error:
        refuse(error)
    place = join()
    if place.rank > 0:
        follow()
        return 0
    try:
        check(executor, jobs)
        kinds = {text: searched(text) for text in methods}
        options = {name: given[name] for name in PLANNED}
        options |= shared(processes, parts, executor, jobs)
        planned = partial(_planned, study.plan, folder=out / "runs", **options)
        search.check(kinds, _built, planned, metric=metric, trials=trials)
    except (ValueError, TypeError, OSError) as error:
        dismiss()
        refuse(error)
    if processes > 1:
        return in_processes(processes, tune, given | {"processes": 1})
    total = (trials + 2) * seeds * (epochs + MEASURES["fast"])
    with working(f"{trials} trials", total, shared=place.processes > 1) as (advance, say):
        once = lru_cache(maxsize=None)(say)  # every trial has the same to say of the data
        run = partial(study.execute, executor=executor, jobs=jobs, advance=advance, say=once)
        found = search.search(kinds, _built, planned, run, metric=metric, trials=trials, seed=seed)
    dismiss()
    files.write(out / "tune.json", json.dumps(files.plain(found.to_json()), indent=1) + "\n")
    console = Console(emoji=False)
    console.print(_table(found))
    for sentence in _sentences(found):
        console.print(escape(sentence), highlight=False, soft_wrap=True)
    return FAILED_RUN if found.failed else 0


def _built(text: str, alpha: float | None) -> "tuple[str, Strategy | During | None]":
    """A method by the name of its kind and its strength."""
    return next(iter(parse_methods([with_strength(text, alpha)]).items()))


def _planned(
    plan: "Callable[..., Plan]",
    strategies: "Strategies",
    part: Literal["test", "validation"],
    **options: Any,
) -> "Plan":
    """The runs of some methods, measured on a part of the data."""
    return plan(strategies, measured_on=part, **options)


def _table(found: "Search") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("method")
    table.add_column(f"validation {found.metric}", justify="right")
    for trial in found.trials[:SHOWN]:
        table.add_row(Text(trial.method), _spread(trial.scores, found.metric))
    return table


def _spread(scores: tuple[float, ...], metric: str) -> str:
    from vicinal.report.numbers import spread

    mean = sum(scores) / len(scores)
    deviation = (
        (sum((s - mean) ** 2 for s in scores) / (len(scores) - 1)) ** 0.5
        if len(scores) > 1
        else None
    )
    percent = metric == "accuracy"
    return spread(mean, deviation, "percent" if percent else "nats") + (" %" if percent else "")


def _sentences(found: "Search") -> Iterator[str]:
    """What was found and what it cost, and no more than was measured."""
    more = len(found.trials) - SHOWN
    if more > 0:
        yield f"… and {more} more, in tune.json."
    if found.failed:
        yield f"Could not be trained: {', '.join(found.failed)}."
    metric, best = found.metric, found.best.method
    yield ""
    yield f"Chosen on validation data: {best}."
    yield f"Test {metric}, looked at once: {_spread(found.test, metric)}."
    scale, unit = (100, " points") if metric == "accuracy" else (1, "")
    yield f"Optimism of the validation score: {scale * found.optimism:+.2g}{unit}."
    if found.gain is not None:
        yield (
            f"erm, for comparison: test {metric} {_spread(found.plain_test, metric)}, "
            f"optimism {scale * found.plain_optimism:+.2g}{unit}."
        )
        yield f"Difference to erm on the test part, paired: {_gain(found.gain, metric)}."
    trainings, seconds = found.trainings, found.seconds
    yield (
        f"Cost: {trainings['search']} trainings for the search ({seconds['search']:.0f} s), "
        f"{trainings['test']} for the test ({seconds['test']:.0f} s)."
    )


def _gain(gain: "Paired", metric: str) -> str:
    scale = 100 if metric == "accuracy" else 1
    interval = (
        ""
        if gain.low is None or gain.high is None
        else f" [{scale * gain.low:+.2f}, {scale * gain.high:+.2f}]"
    )
    return f"{scale * gain.mean:+.2f}{interval}, {gain.words}"
