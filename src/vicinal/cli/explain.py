"""vicinal explain: what mixup does to the loss of a trained model."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from vicinal.cli.errors import INTERRUPTED, leads, refuse
from vicinal.cli.processes import check_device, check_processes, in_processes
from vicinal.cli.tasks import Families, Tasks, check_counts, told_task
from vicinal.machine.names import known

if TYPE_CHECKING:
    import torch

    from vicinal.data.split import Part, Split
    from vicinal.data.targets import Task
    from vicinal.report.pages.explained import Examples


def explain(
    model: str,
    *,
    data: str = "digits",
    target: str | None = None,
    task: Tasks | None = None,
    architecture: str | None = None,
    family: Families | None = None,
    standardise: bool = False,
    part: Literal["train", "validation", "test", "all"] = "train",
    alphas: Annotated[tuple[float, ...], Parameter(consume_multiple=True)] = (
        0.05,
        0.1,
        0.2,
        0.4,
        1.0,
        2.0,
        4.0,
    ),
    pairs: int = 20_000,
    exact: bool = False,
    shown: int = 8,
    seed: int = 0,
    device: str = "cpu",
    processes: int = 1,
    out: Path = Path("explanation"),
) -> int:
    """Explain what mixup does to a trained model's loss, at every strength.

    Writes explanation.json, explanation.html and explanation.svg, and prints a table.

    Args:
        model: module:attribute (this runs the code of the module), or a file of weights.
        data: Data set, as in compare: a name, a file, a folder, or module:attribute.
        target: Target column of a table; by default the last one.
        task: What the targets are, where their kind says otherwise, as in compare.
        architecture: For a file of weights, the reference model: cnn, mlp or linear.
        family: The loss. By default categorical for classes (bernoulli for two of them and a model
            with one output) and gaussian for values. With gaussian and poisson whole numbers are
            values, such as counts.
        standardise: Standardise the columns of a table, and values, by those of the training part,
            as compare does; always done for reference models. Otherwise data come as they are.
        part: Which part of the split of this seed to explain, or all of the data.
        alphas: Strengths, the law of λ being Beta(α, α).
        pairs: Mixed examples to evaluate per strength.
        exact: Sum all pairs and take all directions; slow beyond a few hundred examples.
        shown: Examples to show for each term.
        seed: Of the split and of the pairs.
        device: What computes, as in compare.
        processes: Processes on this machine to which passes through the model are dealt; the
            numbers are the same with any number of them. Under torchrun leave it at 1.
        out: Folder for the results.
    """
    given = dict(locals())
    from vicinal.machine.devices import honest, told

    say = Console(stderr=True, emoji=False, quiet=not leads())
    try:
        where = check_device(device, processes)
        found = told_task(task, family)
        split, loaded = _opened(model, data, target, architecture, seed, standardise, found, where)
        check_counts(data, split, family)
        chosen: Part = getattr(split, part)
        check_processes(processes, len(chosen), f"are {len(chosen)} examples")
        if processes > 1:
            return in_processes(processes, explain, given | {"processes": 1})
        out.mkdir(parents=True, exist_ok=True)
        with honest(where):
            record = _record(
                loaded, split, chosen, family, alphas, None if exact else pairs, shown, seed, say
            )
    except KeyboardInterrupt:
        say.print("Stopped.")
        return INTERRUPTED
    except (ValueError, TypeError, OSError) as error:
        refuse(error)
    if not leads():
        return 0
    units = standardise or architecture is not None
    settings = _settings(model, data, target, part, seed, record["family"], units, split)
    record["settings"] = settings | {"device": told(where)}
    here = split.on("cpu")
    _write(record, _named(record, here, getattr(here, part)), out)
    return 0


def _opened(
    model: str,
    data: str,
    target: str | None,
    architecture: str | None,
    seed: int,
    whole: bool,
    task: "Task | None",
    device: "torch.device",
) -> "tuple[Split, Any]":
    """The data and the model on a device, checked against each other as far as can be."""
    import torch

    from vicinal.data import load
    from vicinal.models.named import load_model
    from vicinal.models.reference import MODELS

    torch.set_num_threads(1)  # for small data more threads cost more than they give
    if architecture is not None:
        known("architecture", architecture, MODELS)
    split = load(
        data,
        seed,
        target=target,
        standardise=whole or architecture is not None,
        task=task,
    ).on(device)
    return split, load_model(model, split, architecture)


def _record(
    model: Any,
    split: "Split",
    part: "Part",
    family: Families | None,
    alphas: tuple[float, ...],
    pairs: int | None,
    shown: int,
    seed: int,
    say: Console,
) -> dict[str, Any]:
    """The explanation as plain data, with progress and warnings told on the way."""
    import warnings
    from dataclasses import asdict

    import numpy as np

    from vicinal.explanation import summary
    from vicinal.machine import files
    from vicinal.machine.processes import join, leave
    from vicinal.maths import losses

    where = join()
    x = _in_precision_of(model, part.x)
    chosen = getattr(losses, _family(model, x, split, family, say))
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    hidden = say.quiet or not say.is_terminal
    with (
        warnings.catch_warnings(record=True) as caught,
        Progress(*columns, console=say, disable=hidden, transient=True) as progress,
    ):
        warnings.simplefilter("always", UserWarning)
        task = progress.add_task("explaining", total=1.0)
        found = summary.explain(
            model,
            x,
            part.y.to(x) if part.y.is_floating_point() else part.y,
            family=chosen,
            alphas=alphas,
            pairs=pairs,
            partners=None if pairs is None else 8,
            shown=shown,
            rng=np.random.default_rng(seed),
            progress=lambda share: progress.update(task, completed=share),
            where=where,
        )
    leave()
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        say.print(f"Note: {escape(message)}", highlight=False)
    return files.plain(asdict(found))


def _in_precision_of(model: Any, x: Any) -> Any:
    """Inputs in the kind of number that the model computes with."""
    kinds = [p.dtype for p in model.parameters() if p.is_floating_point()]
    return x.to(kinds[0]) if kinds else x


def _family(model: Any, x: Any, split: "Split", asked: Families | None, say: Console) -> str:
    """The loss: as asked for, or what fits the targets and the outputs of the model.

    Raises:
        ValueError: if the model cannot take the data.
    """
    import torch

    from vicinal.models.forward import unchanged

    try:
        with torch.no_grad(), unchanged(model) as f:
            outputs = f(x[:2])
    except RuntimeError as error:  # shapes, kinds of numbers
        raise ValueError(
            f"the model cannot take a batch of shape {tuple(x[:2].shape)}: {error}"
        ) from error
    columns = 1 if outputs.ndim == 1 else outputs.shape[1]
    if asked is not None:
        return asked
    if split.classes == 2 and columns == 1:
        return "bernoulli"
    if split.classes and columns > split.classes:
        say.print(
            f"Note: the model has {columns} outputs and the data {split.classes} classes, which "
            f"are taken for the first of them: {escape(', '.join(split.labels))}."
        )
    return split.family.name


def _settings(
    model: str,
    data: str,
    target: str | None,
    part: str,
    seed: int,
    family: str,
    standardised: bool,
    split: "Split",
) -> dict[str, Any]:
    from vicinal import __version__

    told: dict[str, Any] = {"model": model, "data": data, "target": target, "task": split.task}
    told |= {"part": part, "seed": seed}
    units = "images as they are" if split.bounds else "standardised" if standardised else "raw"
    told |= {"family": family, "inputs": units, "vicinal": __version__}
    return {key: value for key, value in told.items() if value is not None}


def _named(record: dict[str, Any], split: "Split", part: "Part") -> "Examples":
    """The examples that the record names, and their numbers in the data put into it."""
    from vicinal.report.pages.explained import Examples

    found = [example for group in record["carriers"].values() for example in group]
    for example in found:
        example["row"] = int(part.rows[example["index"]])
    named = sorted({example["index"] for example in found})
    return Examples(
        {k: part.x[k].numpy() for k in named},
        {k: _target(split, part.y[k].tolist()) for k in named},
        {k: int(part.rows[k]) for k in named},
        split.features,
        split.bounds,
    )


def _target(split: "Split", y: float | list[float]) -> str:
    if isinstance(y, list):
        if split.task == "multilabel":
            return ", ".join(label for label, on in zip(split.labels, y, strict=True) if on)
        return ", ".join(f"{value:.4g}" for value in y)
    return split.labels[int(y)] if split.labels else f"{y:.4g}"


def _write(record: dict[str, Any], examples: "Examples", out: Path) -> None:
    import json

    from vicinal.machine import files
    from vicinal.report.figures import still
    from vicinal.report.figures.strengths import figures
    from vicinal.report.pages import explained

    command = "vicinal " + shlex.join(sys.argv[1:])
    page = explained.page(record, examples, command=command)
    files.write(out / "explanation.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    files.write(out / "explanation.html", page)
    files.write(out / "explanation.svg", still.svg(figures(record)))
    console = Console(emoji=False)
    console.print(explained.table(record))
    for topic, text in explained.sentences(record):
        console.print(f"[bold]{topic}:[/] {escape(text)}", highlight=False)
    console.print(escape(f"Figure: {out / 'explanation.html'}"), highlight=False, soft_wrap=True)
