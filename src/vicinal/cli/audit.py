"""vicinal audit: what attacks, calibration and theory say of someone's trained model."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vicinal.cli.errors import INTERRUPTED, leads, refuse
from vicinal.cli.explain import _family, _in_precision_of, _opened
from vicinal.cli.processes import check_device, check_processes, in_processes
from vicinal.cli.tasks import Families, Tasks, check_counts, told_task

if TYPE_CHECKING:
    from vicinal.data.split import Split

Norms = Literal["linf", "l2", "l1"]
WORK = {"ensemble": 10, "distances": 4, "masking": 3}  # of a part, where others are 1


def audit(
    model: str,
    *,
    data: str = "digits",
    target: str | None = None,
    task: Tasks | None = None,
    architecture: str | None = None,
    family: Families | None = None,
    standardise: bool = False,
    part: Literal["train", "validation", "test"] = "test",
    attacks: Literal["fast", "full"] = "full",
    norms: Annotated[tuple[Norms, ...], Parameter(consume_multiple=True)] = ("linf", "l2"),
    eps: Annotated[tuple[float, ...], Parameter(consume_multiple=True)] = (),
    tolerance: float | None = None,
    examples: int = 500,
    twin: str | None = None,
    seconds: float | None = None,
    passes: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    processes: int = 1,
    out: Path = Path("audit"),
) -> int:
    """Audit a trained model: worst case under attack, signs of masking, calibration, bound.

    Prints what was found, and writes audit.json and audit.html. An audit that was stopped goes on
    where it was.

    Args:
        model: module:attribute (this runs the code of the module), or a file of weights.
        data: Data set, as in compare: a name, a file, a folder, or module:attribute.
        target: Target column of a table; by default the last one.
        task: What the targets are, where their kind says otherwise, as in compare.
        architecture: For a file of weights, the reference model: cnn, mlp or linear.
        family: The loss, as in explain.
        standardise: Standardise a table as compare does; always done for reference models.
        part: Which part of the split of this seed to measure. Calibration is mended on another
            part, and the bound is about the training part.
        attacks: full is the worst case over strong attacks and the nearest broken point; fast is
            FGSM and PGD, on which no claim can rest. Signs of masking are looked for in both.
        norms: Of the perturbation: linf, l2, l1.
        eps: Size of the perturbation, one for each norm; by default as in compare. In the units of
            the inputs for images, of the standard deviation of each column for tables.
        tolerance: For values: deviation that counts as broken; by default twice the root mean
            squared error on the part where calibration would be mended.
        examples: Most examples to attack.
        twin: A model trained without the defence, from which attacks may transfer; named as the
            model is.
        seconds: Budget of the worst case in each norm. The same command with more goes on.
        passes: The same, in forward and backward passes for each example.
        seed: Of the split, starts, patches and resamples.
        device: What computes, as in compare.
        processes: Processes on this machine to which the examples are dealt, in batches; the
            numbers are the same with any number of them. Under torchrun leave it at 1.
        out: Folder for the results.
    """
    given = dict(locals())
    from vicinal.machine.devices import honest, told

    say = Console(stderr=True, emoji=False, quiet=not leads())
    try:
        where = check_device(device, processes)
        found = told_task(task, family)
        _check(norms, eps, tolerance, examples, seconds, passes)
        named = data, target, architecture, seed, standardise, found, where
        split, loaded = _opened(model, *named)
        check_counts(data, split, family)
        other = None if twin is None else _opened(twin, *named)[1]
        whole = standardise or architecture is not None
        case = _case(loaded, split, part, family, whole, norms, eps, tolerance, say) | {
            "twin": other, "examples": examples, "full": attacks == "full",
            "seconds": seconds, "passes": passes, "seed": seed,
        }  # fmt: skip
        _check_batches(processes, attacks, min(examples, len(case["x"])))
        if processes > 1:
            return in_processes(processes, audit, given | {"processes": 1})
        with honest(where):
            record = _audited(case, out, say)
    except KeyboardInterrupt:
        say.print("Stopped. The same command goes on from here.")
        return INTERRUPTED
    except (ValueError, TypeError, OSError) as error:
        refuse(error)
    settings = {"model": model, "data": data, "part": part, "attacks": attacks, "seed": seed}
    record["settings"] = settings | {
        "task": split.task,
        "family": case["family"].name,
        "sizes": dict(case["sizes"]),
        "tolerance": case["tolerance"],
        "twin": twin,
        "device": told(where),
    }
    if leads():
        _write(record, out)
    return 0


def _check_batches(processes: int, attacks: str, examples: int) -> None:
    from vicinal.robustness import curve
    from vicinal.robustness.attacks.ensemble import BATCH

    size = BATCH if attacks == "full" else curve.BATCH
    many = f"are {examples} examples to attack, in batches of {size}"
    check_processes(processes, -(-examples // size), many)


def _check(
    norms: tuple[str, ...],
    eps: tuple[float, ...],
    tolerance: float | None,
    examples: int,
    seconds: float | None,
    passes: float | None,
) -> None:
    if not norms or len(set(norms)) != len(norms):
        raise ValueError(f"norms must name each norm once, got {' '.join(norms) or 'none'}.")
    if eps and len(eps) != len(norms):
        raise ValueError(
            f"pass one size for each norm: {len(norms)} norms ({', '.join(norms)}) and "
            f"{len(eps)} sizes were given."
        )
    for size in eps:
        if not 0 < size < float("inf"):
            raise ValueError(f"eps must be positive, got {size}. For 8 of 255 grey levels: 0.0314.")
    if not examples >= 2:
        raise ValueError(f"examples must be at least 2, got {examples}.")
    for name, value in (("seconds", seconds), ("passes", passes), ("tolerance", tolerance)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {value}.")


def _case(
    model: Any,
    split: "Split",
    part: str,
    family: Families | None,
    standardised: bool,
    norms: tuple[Norms, ...],
    eps: tuple[float, ...],
    tolerance: float | None,
    say: Console,
) -> dict[str, Any]:
    """What is audited, without what the options say of it as they are."""
    from vicinal.maths import losses
    from vicinal.robustness.attacks.ball import ball
    from vicinal.robustness.usual import named, radii

    chosen, held = (
        getattr(split, part),
        split.test if part == "validation" else split.validation,
    )
    sizes = dict(zip(norms, eps, strict=True)) if eps else _usual(norms, radii(split.bounds), named)
    if split.bounds is not None:
        for norm, size in sizes.items():
            ball(chosen.x[:1], size, norm, split.bounds)  # no larger than the box, said before work
    pairs = {
        key: (_in_precision_of(model, p.x), p.y.to(p.x) if p.y.is_floating_point() else p.y)
        for key, p in (("own", chosen), ("held", held), ("trained", split.train))
    }
    x, y = pairs["own"]
    kind = getattr(losses, _family(model, x, split, family, say))
    unit = None
    if split.bounds is None and not standardised:
        deviation = pairs["trained"][0].std(0, correction=0)
        unit = deviation.where(deviation > 0, 1.0)
    if not kind.classifies and tolerance is None:
        tolerance = _tolerance(model, kind, *pairs["held"])
    return {
        "model": model, "x": x, "y": y, "held": pairs["held"], "trained": pairs["trained"],
        "family": kind, "tolerance": tolerance, "bounds": split.bounds, "unit": unit,
        "sizes": sizes,
    }  # fmt: skip


def _usual(norms: tuple[Norms, ...], radii: Any, named: Any) -> dict[Norms, float]:
    unknown = [norm for norm in norms if norm not in radii]
    if unknown:
        raise ValueError(f"there is no usual size in {unknown[0]}: pass --eps, one for each norm.")
    return {norm: named(radii[norm]) for norm in norms}


def _tolerance(model: Any, family: Any, x: Any, y: Any) -> float:
    """Twice the root mean squared error."""
    import torch

    from vicinal.models.forward import unchanged

    with torch.no_grad(), unchanged(model) as f:
        error = family.residual(f(x), y).double().reshape(len(y), -1)
    return 2 * float(error.square().sum(1).mean().sqrt())


def _audited(options: dict[str, Any], out: Path, say: Console) -> dict[str, Any]:
    """The parts of the audit, with progress and warnings told on the way."""
    import warnings

    from vicinal.machine.processes import join, leave
    from vicinal.study.audit import Case, audit, parts

    join()
    case: Case = Case(**options)
    names = list(parts(case))
    work = {name: WORK.get(name.split()[0], 1) for name in names}
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("· left"), TimeRemainingColumn(),
    )  # fmt: skip
    hidden = say.quiet or not say.is_terminal
    with (
        warnings.catch_warnings(record=True) as caught,
        Progress(*columns, console=say, disable=hidden, transient=True) as progress,
    ):
        warnings.simplefilter("always", UserWarning)
        task = progress.add_task("audit", total=sum(work.values()))

        def told(name: str, share: float) -> None:
            before = sum(work[other] for other in names[: names.index(name)])
            progress.update(task, description=name, completed=before + share * work[name])

        record = audit(case, out / "parts", told)
    leave()
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        say.print(f"Note: {escape(message)}", highlight=False)
    return record


def _write(record: dict[str, Any], out: Path) -> None:
    import json

    from vicinal.machine import files
    from vicinal.report.pages import audited

    command = "vicinal " + shlex.join(sys.argv[1:])
    files.write(out / "audit.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    files.write(out / "audit.html", audited.page(record, command=command))
    console = Console(emoji=False)
    console.print(audited.terminal(record))
    console.print(escape(f"\nReport: {out / 'audit.html'}"), highlight=False, soft_wrap=True)
