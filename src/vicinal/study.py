"""A study: methods × seeds on one data set, each run trained, explained, measured and stored."""

import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import vicinal
from vicinal import store
from vicinal.attacks.ball import Norm
from vicinal.calibration import COLDEST, HOTTEST, calibration, fit_temperature
from vicinal.data import Part, Split, load
from vicinal.forward import unchanged
from vicinal.laws import Beta
from vicinal.losses import categorical
from vicinal.mixing.draw import Draw, Strategy, mix, mixed_loss
from vicinal.mixing.mixup import Mixup
from vicinal.models import MODELS, Standardise
from vicinal.randomness import generator
from vicinal.recorder import Recorder
from vicinal.risk import vicinal_risk
from vicinal.robustness import accuracy_curve
from vicinal.taylor import expand
from vicinal.training import Diverged, Row, Schedule, train

# One law for all methods, so that what is explained can be compared: λ uniform.
LAW = Beta(1)
PAIRS, PARTNERS, STEPS = 10_000, 4, 20
EPSILONS: dict[str, dict[Norm, tuple[float, ...]]] = {
    "images": {"linf": (0.0, 0.025, 0.05, 0.1, 0.15), "l2": (0.0, 0.25, 0.5, 0.75, 1.0)},
    "tables": {"linf": (0.0, 0.1, 0.2, 0.3, 0.4), "l2": (0.0, 0.25, 0.5, 1.0, 1.5)},
}
MEASURES = 6  # units of progress that measuring a run counts, in epochs


@dataclass(frozen=True)
class Configuration:
    """All that decides the numbers of a run; its hash names the run."""

    data: str
    method: str
    model: str
    seed: int
    epochs: int
    train_size: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    explain_every: int
    version: str


@dataclass(frozen=True)
class Plan:
    """The runs of a study, checked: nothing that can be known beforehand fails later."""

    runs: tuple[Configuration, ...]
    strategies: Mapping[str, Strategy | None]
    folder: Path


def plan(
    strategies: Mapping[str, Strategy | None],
    folder: Path,
    *,
    data: str,
    model: str | None,
    seeds: int,
    epochs: int,
    train_size: int | None,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    explain_every: int = 0,
) -> Plan:
    """Check a study and list its runs, seed by seed, all methods of a seed together.

    Raises:
        ValueError: for numbers out of range, or a model or method that does not fit the data.
        OSError: if the folder cannot be written.
    """
    for name, count in (("seeds", seeds), ("epochs", epochs), ("batch_size", batch_size)):
        if not count >= 1:
            raise ValueError(f"{name} must be at least 1, got {count}.")
    if not 0 < learning_rate < np.inf:
        raise ValueError(f"learning_rate must be positive, got {learning_rate}.")
    if not 0 <= weight_decay < np.inf:
        raise ValueError(f"weight_decay must be 0 or more, got {weight_decay}.")
    if not explain_every >= 0:
        raise ValueError(f"explain_every must be 0 (never) or more epochs, got {explain_every}.")
    if not strategies:
        raise ValueError("methods must name at least one method, such as erm.")
    split = load(data, 0, train_size)
    images = split.bounds is not None
    model = model or ("cnn" if images else "mlp")
    if model == "cnn" and not images:
        raise ValueError(f"the model cnn needs images, {data} is a table. Pass mlp or linear.")
    part = split.train
    for method, strategy in strategies.items():
        if strategy is None:
            continue
        try:
            strategy(part.x[:batch_size], part.y[:batch_size], generator(0, "trial"))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{method} cannot mix {data}: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write to the folder {folder}.")
    runs = tuple(
        Configuration(
            data=data,
            method=method,
            model=model,
            seed=seed,
            epochs=epochs,
            train_size=len(split.train),
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            explain_every=explain_every,
            version=vicinal.__version__,
        )
        for seed in range(seeds)
        for method in strategies
    )
    return Plan(runs, strategies, folder)


def execute(
    plan: Plan,
    *,
    advance: Callable[[int], None],
    say: Callable[[str], None],
) -> list[store.Record]:
    """Do the runs of a plan that are not stored yet; return the records of all.

    Args:
        plan: what to run.
        advance: told how many units of progress were done; a run has epochs + MEASURES.
        say: told what the user should know, a sentence at a time.
    """
    records = []
    with _one_thread():
        for run in plan.runs:
            records.append(_record(run, plan, advance, say))
    return records


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make numbers independent of the number of cores, which changes the order of sums.

    Small models gain little from more threads, and lose a lot where the cores are busy: with two
    threads a run took 12 times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _record(
    run: Configuration, plan: Plan, advance: Callable[[int], None], say: Callable[[str], None]
) -> store.Record:
    """The stored record of a run, or that of running it."""
    path = plan.folder / f"{store.name_of(asdict(run))}.json"
    record = _stored(path, say)
    if record is not None:
        advance(run.epochs + MEASURES)
        return record
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        record = _run(run, plan.strategies[run.method], plan.folder, advance)
    for warning in caught:
        say(f"{run.method}, seed {run.seed}: {warning.message}")
    store.save(plan.folder, record)
    path.with_suffix(".checkpoint").unlink(missing_ok=True)
    return record


def _stored(path: Path, say: Callable[[str], None]) -> store.Record | None:
    try:
        return store.read(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        aside = store.set_aside(path)
        say(f"{path.name} could not be read ({error}); set aside as {aside.name}, running again.")
        return None


def _run(
    run: Configuration,
    strategy: Strategy | None,
    folder: Path,
    advance: Callable[[int], None],
) -> store.Record:
    name = store.name_of(asdict(run))
    split = load(run.data, run.seed, run.train_size)
    model = _initial(run.model, run.seed, split)
    # the same for all methods of a seed, and runs of a seed follow one another
    start = _explain_start(run.data, run.model, run.seed, run.train_size)
    record: store.Record = {
        "format": store.FORMAT,
        "name": name,
        "configuration": asdict(run),
        "environment": _environment(),
        "data": {
            "examples": {p: len(getattr(split, p)) for p in ("train", "validation", "test")},
            "classes": split.classes,
            "shape": list(split.train.x.shape[1:]),
            "bounds": split.bounds,
        },
    }
    started = time.perf_counter()
    try:
        history = train(
            model,
            strategy,
            split.train.x,
            split.train.y,
            categorical,
            Schedule(run.epochs, run.batch_size, run.learning_rate, run.weight_decay, run.seed),
            evaluate=_evaluation(model, split, run.seed, run.explain_every),
            checkpoint=folder / f"{name}.checkpoint",
            progress=lambda: advance(1),
        )
    except Diverged as error:
        advance(run.epochs - len(error.history) + MEASURES)
        failure = {"epoch": error.epoch, "reason": str(error)}
        seconds = {"training": time.perf_counter() - started, "measuring": 0.0}
        record |= {"status": "failed", "failure": failure, "history": error.history}
        return store.plain(record | {"measured": None, "seconds": seconds})
    trained = time.perf_counter()
    measured = measure(model, start, split, run.seed, history[-1], advance)
    seconds = {"training": trained - started, "measuring": time.perf_counter() - trained}
    record |= {"status": "done", "failure": None, "history": history}
    return store.plain(record | {"measured": measured, "seconds": seconds})


def _initial(model: str, seed: int, split: Split) -> nn.Module:
    """The model with the initial weights of this seed, the same for all methods."""
    with torch.random.fork_rng():
        torch.manual_seed(int(generator(seed, "weights").integers(2**62)))
        body = MODELS[model](tuple(split.train.x.shape[1:]), split.classes)
    return nn.Sequential(Standardise(split.mean, split.std), body)


@lru_cache(maxsize=1)
def _explain_start(data: str, model: str, seed: int, train_size: int) -> dict[str, Any]:
    split = load(data, seed, train_size)
    return explain(_initial(model, seed, split), split.train, seed)


def _evaluation(
    model: nn.Module, split: Split, seed: int, explain_every: int
) -> Callable[[int], Row]:
    """Clean and mixed loss and accuracy on training and test data, on the same pairs always.

    Every `explain_every` epochs (0 for never) the terms of the mixup loss join the row.
    """
    parts: dict[str, tuple[Part, Draw | None]] = {}
    for name, part in (("train", split.train), ("test", split.test)):
        draw = Mixup(LAW.alpha)(part.x, part.y, generator(seed, "evaluation", name))
        parts[name] = (part, None)
        parts[f"{name}_mixed"] = (part, draw)
    inputs = {name: mix(part.x, draw) for name, (part, draw) in parts.items()}

    def evaluate(epoch: int) -> Row:
        row: Row = {}
        if explain_every and epoch % explain_every == 0:
            recorder = Recorder(split.train.x, split.train.y, LAW, seed=seed)
            recorder(model, epoch)
            row = {f"terms_{name}": value for name, value in recorder.rows[0].items()}
            del row["terms_epoch"]
        with torch.no_grad(), unchanged(model) as f:
            for name, (part, draw) in parts.items():
                outputs = f(inputs[name])
                for what, value in (("loss", categorical), ("accuracy", _accuracy)):
                    each = mixed_loss(value, outputs, part.y, draw)
                    row[f"{name}_{what}"] = float(each.double().mean())
        return row

    return evaluate


def _accuracy(outputs: Tensor, y: Tensor) -> Tensor:
    """Of mixed examples this becomes the expected accuracy: each label counts with its share."""
    return categorical.correct(outputs, y).to(outputs.dtype)


def measure(
    model: nn.Module,
    start: dict[str, Any],
    split: Split,
    seed: int,
    last: Row,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """All measurements of one trained model.

    Args:
        model: the trained model.
        start: what `explain` gave for its initial weights.
        split: the data; everything but the explanation is measured on its test part.
        seed: of the run, from which pairs and attacks are drawn.
        last: the row of the last epoch.
        advance: told after each of MEASURES measurements.
    """
    with torch.no_grad(), unchanged(model) as f:
        validation, test = f(split.validation.x), f(split.test.x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a temperature at its limit is recorded below
        temperature = fit_temperature(validation, split.validation.y)
    measured: dict[str, Any] = {
        "accuracy": {part: last[f"{part}_accuracy"] for part in ("train", "test")},
        "loss": {part: last[f"{part}_loss"] for part in ("train", "test")},
        "gap": {
            "loss": last["test_loss"] - last["train_loss"],
            "accuracy": last["train_accuracy"] - last["test_accuracy"],
        },
        "temperature": temperature,
        "temperature_at_limit": temperature in (COLDEST, HOTTEST),
        "calibration": {
            "before": calibration(test, split.test.y),
            "after": calibration(test / temperature, split.test.y),
        },
    }
    advance(1)
    measured["explanation"] = {
        "law": f"Beta({LAW.alpha:g}, {LAW.beta:g})",
        "initial": start,
        "final": explain(model, split.train, seed),
    }
    advance(1)
    measured["robustness"] = []
    images = "images" if split.bounds is not None else "tables"
    attacks: tuple[Literal["fgsm", "pgd"], ...] = ("fgsm", "pgd")
    for norm, epsilons in EPSILONS[images].items():
        for attack in attacks:
            rng = generator(seed, "attack", norm, attack)
            measured["robustness"].append(
                accuracy_curve(
                    model,
                    split.test.x,
                    split.test.y,
                    epsilons,
                    attack=attack,
                    norm=norm,
                    bounds=split.bounds,
                    steps=STEPS,
                    rng=rng,
                )
            )
            advance(1)
    return measured


def explain(model: nn.Module, part: Part, seed: int) -> dict[str, Any]:
    """The mixup loss under LAW and its expansion, on the same pairs for all methods."""
    x, y = part.x, part.y
    rng = generator(seed, "partners")
    expansion = expand(model, x, y, LAW, categorical, partners=PARTNERS, rng=rng)
    rng = generator(seed, "pairs")
    risk = vicinal_risk(model, x, y, LAW, categorical, pairs=PAIRS, rng=rng)
    total_error = expansion.standard_errors["total"]
    return asdict(expansion) | {
        "risk": {"value": risk.value, "standard_error": risk.standard_error},
        "remainder": risk.value - expansion.total,
        "remainder_standard_error": (risk.standard_error**2 + total_error**2) ** 0.5,
    }


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "device": "cpu",
    }
