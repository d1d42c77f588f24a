"""The command line: the one place where names become objects."""

import ast
import difflib
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import App, Parameter
from cyclopts.config import Toml
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import vicinal

if TYPE_CHECKING:  # --help does not wait for torch
    from vicinal.mixing.draw import Strategy

BAD_INPUT, FAILED_RUN, INTERRUPTED = 2, 1, 130

app = App(
    name="vicinal",
    help="Whether mixup helps your model, what it does to it, and whether the gain is real.",
    version=vicinal.__version__,
    default_parameter=Parameter(negative=()),
)


@app.command
def compare(
    data: str = "digits",
    *,
    methods: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (
        "erm",
        "mixup(alpha=0.2)",
        "mixup(alpha=1)",
    ),
    seeds: int = 5,
    epochs: int = 30,
    train_size: int | None = None,
    model: str | None = None,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    weight_decay: float = 0.01,
    explain_every: int = 0,
    out: Path = Path(),
) -> int:
    """Train methods over paired seeds, explain and measure them, write runs/ and report.html.

    Runs that are stored already are reused, and a run that was killed goes on where it was.

    Args:
        data: Data set: breast_cancer, digits, iris or wine.
        methods: Methods, such as erm, mixup(alpha=0.2), cutmix(alpha=1). The first is what the
            others are compared with, unless erm is among them.
        seeds: Number of seeds. Methods of one seed share split, initial weights, batch order.
        epochs: Passes over the training data.
        train_size: Training examples to use; by default half of the data set.
        model: cnn, mlp or linear; by default cnn for images and mlp for tables.
        batch_size: Examples per step.
        learning_rate: Of AdamW; it rises over the first tenth of the steps, then falls to 0.
        weight_decay: Of AdamW, on all parameters.
        explain_every: Epochs between measurements of R1, R2, R3 during training; 0 for none.
        out: Folder for runs/ and report.html.
    """
    out_console = Console()
    say = Console(stderr=True)
    with out_console.status("starting torch") if out_console.is_terminal else nullcontext():
        from vicinal import store, study
        from vicinal.data import LOADERS
        from vicinal.models import MODELS
    try:
        _known("data set", data, LOADERS)
        if model is not None:
            _known("model", model, MODELS)
        strategies = parse_methods(methods)
        plan = study.plan(
            strategies,
            out / "runs",
            data=data,
            model=model,
            seeds=seeds,
            epochs=epochs,
            train_size=train_size,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            explain_every=explain_every,
        )
    except (ValueError, OSError) as error:
        _refuse(error)
    work = len(plan.runs) * (epochs + study.MEASURES)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
        console=say,
        disable=not say.is_terminal,
        transient=True,
    )
    with progress:
        task = progress.add_task(f"{len(plan.runs)} runs", total=work)
        try:
            records = study.execute(
                plan,
                advance=lambda units: progress.advance(task, units),
                say=lambda sentence: progress.console.print(escape(sentence), highlight=False),
            )
        except KeyboardInterrupt:
            progress.stop()
            say.print("Stopped. The same command goes on from here.")
            return INTERRUPTED
    from vicinal.report import comparison, page, terminal  # slow to import, needed only now

    command = "vicinal " + shlex.join(sys.argv[1:])
    store.write(out / "report.html", page.render(records, command=command))
    out_console.print(terminal.summary(comparison.compare(records)))
    out_console.print(escape(f"Report: {out / 'report.html'}"), highlight=False, soft_wrap=True)
    return FAILED_RUN if any(record["status"] == "failed" for record in records) else 0


@app.command
def explain(
    model: str,
    *,
    data: str = "digits",
    architecture: str | None = None,
    part: Literal["train", "validation", "test"] = "train",
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
    out: Path = Path("explanation"),
) -> int:
    """Explain what mixup does to a trained model's loss, at every strength.

    Writes explanation.json, explanation.html and explanation.svg, and prints a table.

    Args:
        model: module:attribute (this runs the code of the module), or a file of weights.
        data: Data set: breast_cancer, digits, iris or wine.
        architecture: For a file of weights, the reference model: cnn, mlp or linear.
        part: Which part of the split of this seed to explain.
        alphas: Strengths, the law of λ being Beta(α, α).
        pairs: Mixed examples to evaluate per strength.
        exact: Sum all pairs and take all directions; slow beyond a few hundred examples.
        shown: Examples to show for each term.
        seed: Of the split and of the pairs.
        out: Folder for the results.
    """
    import json
    from dataclasses import asdict

    import numpy as np
    import torch

    from vicinal import explanation, store
    from vicinal.data import LOADERS, load
    from vicinal.model_files import load_model
    from vicinal.models import MODELS
    from vicinal.report import explained

    torch.set_num_threads(1)  # for small data more threads cost more than they give
    say = Console(stderr=True)
    try:
        _known("data set", data, LOADERS)
        if architecture is not None:
            _known("architecture", architecture, MODELS)
        split = load(data, seed)
        loaded = load_model(model, split, architecture)
        chosen = getattr(split, part)
        out.mkdir(parents=True, exist_ok=True)
        with Progress(console=say, disable=not say.is_terminal, transient=True) as progress:
            task = progress.add_task("explaining", total=1.0)
            found = explanation.explain(
                loaded,
                chosen.x,
                chosen.y,
                alphas=alphas,
                pairs=None if exact else pairs,
                partners=None if exact else 8,
                shown=shown,
                rng=np.random.default_rng(seed),
                progress=lambda share: progress.update(task, completed=share),
            )
    except (ValueError, TypeError, OSError) as error:
        _refuse(error)
    record = store.plain(asdict(found))
    named = sorted({e["index"] for group in record["carriers"].values() for e in group})
    rows, labels = ({k: v[k].numpy() for k in named} for v in (chosen.x, chosen.y))
    store.write(out / "explanation.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    store.write(out / "explanation.html", explained.page(record, rows, labels))
    explained.figure(record).save(out / "explanation.svg")
    Console().print(explained.table(record))
    Console().print(escape(f"Figure: {out / 'explanation.html'}"), highlight=False, soft_wrap=True)
    return 0


@app.command
def report(runs: Path, *, out: Path | None = None) -> int:
    """Render the report again from stored runs.

    Args:
        runs: Folder of runs, as written by compare.
        out: The page to write; by default report.html beside the folder.
    """
    from vicinal.report import page

    out = out or runs.resolve().parent / "report.html"
    if not runs.is_dir():
        _refuse(f"{runs} is not a folder of runs. vicinal compare writes one.")
    if not any(runs.glob("*.json")):
        _refuse(f"{runs} holds no runs (*.json). vicinal compare writes them.")
    try:
        unreadable = page.write(runs, out)
    except (OSError, ValueError) as error:
        _refuse(error)
    for name in unreadable:
        Console(stderr=True).print(f"Skipped, cannot be read: {escape(str(name))}", highlight=False)
    Console().print(escape(f"Report: {out}"), highlight=False, soft_wrap=True)
    return FAILED_RUN if unreadable else 0


@app.meta.default
def main_with_config(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, Parameter(negative=())] = None,
) -> Any:
    """Read options from a file, then run the command.

    Args:
        tokens: The command and its options.
        config: TOML file with the options of compare; the command line overrides it.
    """
    if config is not None:
        try:
            given = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            _refuse(f"the configuration {config} cannot be read: {error}")
        options = {name.replace("_", "-") for name in signature(compare).parameters}
        for name in given:
            if name.replace("_", "-") not in options:
                _refuse(f"{config}: {_unknown('option', name, options)}")
    app.config = (Toml(config, use_commands_as_keys=False),) if config is not None else ()
    return app(tokens)


def main() -> None:
    """Entry point of the command `vicinal`."""
    app.meta()


def parse_methods(methods: Sequence[str]) -> "dict[str, Strategy | None]":
    """Strategies by canonical name: mixup(alpha=1.0) and mixup( alpha=1 ) are one method.

    Raises:
        ValueError: for unknown names or options, with the nearest right one, and repetitions.
    """
    known = _methods()
    strategies: dict[str, Strategy | None] = {}
    for text in methods:
        name, options = _call(text)
        _known("method", name, known)
        kind = known[name]
        if kind is None:
            if options:
                raise ValueError(f"{name} takes no options, got {text}.")
            canonical, strategy = name, None
        else:
            defaults = _numbers(kind)
            for option in options:
                _known(f"option of {name}", option, defaults)
            try:
                strategy = kind(**options)
            except TypeError as error:
                raise ValueError(f"{text}: options must be numbers ({error}).") from error
            values = (defaults | options).items()
            canonical = f"{name}({', '.join(f'{key}={value:g}' for key, value in values)})"
        if canonical in strategies:
            raise ValueError(f"the method {canonical} is named twice.")
        strategies[canonical] = strategy
    return strategies


def _methods() -> "dict[str, Callable[..., Strategy] | None]":
    """Every strategy by name; kmixup and mixup_or_cutmix are combinations in common use."""
    from vicinal.expansions.expanded import Expanded
    from vicinal.mixing.choice import mixup_or_cutmix
    from vicinal.mixing.cutting import CutMix, HMix, ResizeMix
    from vicinal.mixing.fmix import FMix
    from vicinal.mixing.gaussian import GMix, SmoothMix
    from vicinal.mixing.gridmix import GridMix
    from vicinal.mixing.hidden import ManifoldMixup
    from vicinal.mixing.kway import DirichletMixup
    from vicinal.mixing.mit import MIT
    from vicinal.mixing.mixup import Mixup, k_mixup
    from vicinal.mixing.mixupe import MixupE
    from vicinal.mixing.noisy import NoisyFeatureMixup
    from vicinal.mixing.regmixup import RegMixup
    from vicinal.mixing.remix import Remix
    from vicinal.mixing.saliency import SaliencyMix

    return {
        "cutmix": CutMix,
        "dirichletmixup": DirichletMixup,
        "erm": None,
        "expanded": Expanded,
        "fmix": FMix,
        "gmix": GMix,
        "gridmix": GridMix,
        "hmix": HMix,
        "kmixup": k_mixup,
        "manifoldmixup": ManifoldMixup,
        "mit": MIT,
        "mixup": Mixup,
        "mixup_or_cutmix": mixup_or_cutmix,
        "mixupe": MixupE,
        "noisyfeaturemixup": NoisyFeatureMixup,
        "regmixup": RegMixup,
        "remix": Remix,
        "resizemix": ResizeMix,
        "saliencymix": SaliencyMix,
        "smoothmix": SmoothMix,
    }


def _numbers(kind: "Callable[..., Strategy]") -> dict[str, float]:
    """The options of a strategy that are numbers, with their defaults."""
    defaults = {name: option.default for name, option in signature(kind).parameters.items()}
    return {
        name: value
        for name, value in defaults.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _call(text: str) -> tuple[str, dict[str, Any]]:
    """The name and keyword options of `name` or `name(key=number, ...)`; nothing is executed."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            return node.func.id, {str(k.arg): _number(k.value) for k in node.keywords}
    except (SyntaxError, ValueError):
        pass
    raise ValueError(
        f"cannot read the method {text!r}. Write a name, or a name with options in numbers, such "
        "as mixup(alpha=0.2); quote it for the shell."
    )


def _number(node: ast.expr) -> float:
    if isinstance(node, ast.Name) and node.id in ("nan", "inf"):
        return float(node.id)  # refused by the strategy, whose message says the rule
    value = ast.literal_eval(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return value


def _known(what: str, name: str, names: Iterable[str]) -> None:
    if name not in (names := sorted(names)):
        raise ValueError(_unknown(what, name, names))


def _unknown(what: str, name: str, names: Iterable[str]) -> str:
    names = sorted(names)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]}? " if near else ""
    return f"unknown {what} {name!r}. {guess}Known: {', '.join(names)}."


def _refuse(error: object) -> NoReturn:
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.strerror}: {error.filename}"
    Console(stderr=True).print(
        f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True
    )
    raise SystemExit(BAD_INPUT)


if __name__ == "__main__":
    main()
