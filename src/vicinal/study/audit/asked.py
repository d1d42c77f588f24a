"""An audit as it is asked for: the subject opened, its case made, its record with settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vicinal.data import Part
from vicinal.machine.devices import honest, one_thread, told
from vicinal.machine.files import check_folder
from vicinal.machine.processes import check_processes, join, launch, leave
from vicinal.machine.progress import Shown, working
from vicinal.maths.kinds import Norm
from vicinal.maths.losses import Family
from vicinal.models.forward import unchanged
from vicinal.robustness import curve
from vicinal.robustness.attacks import ensemble
from vicinal.robustness.attacks.ball import ball
from vicinal.robustness.usual import named, radii
from vicinal.study.audit.case import Case
from vicinal.study.audit.run import audit, parts
from vicinal.study.opened import Opened, device_of, noting, opened, settings, twin_of
from vicinal.study.subject import Auditing

WORK = {"ensemble": 10, "distances": 4, "masking": 3}  # of a part, where others are 1


def run_audit(asked: Auditing) -> dict[str, Any] | None:
    """Audit a trained model, going on where an audit was that was stopped.

    Returns:
        The parts by name, as plain data, with what was audited under "settings"; None in one of
        several processes that is not the first.

    Raises:
        ValueError: if model or data cannot be had, or do not fit each other.
        OSError: if the folder cannot be used.
        ProcessFailed: if one of several processes failed.
    """
    check_folder(asked.out)
    device = device_of(asked.computing)
    with one_thread():
        one = opened(asked.subject, device)
        case = case_of(asked, one)
        size = ensemble.BATCH if case.full else curve.BATCH
        count = min(asked.examples, len(case.x))
        many = f"are {count} examples to attack, in batches of {size}"
        check_processes(asked.computing.processes, -(-count // size), many)
        if asked.computing.processes > 1:
            alone = replace(asked, computing=replace(asked.computing, processes=1))
            return launch(asked.computing.processes, run_audit, alone)
        where = join()
        names = list(parts(case))
        work = {name: WORK.get(name.split()[0], 1) for name in names}
        with (
            honest(device),
            working("audit", sum(work.values()), quiet=where.rank > 0) as shown,
            noting(shown.say),
        ):
            for note in one.notes:
                shown.say(f"Note: {note}")
            record = audit(case, asked.out / "parts", _progress(names, work, shown))
        leave()
    if where.rank > 0:
        return None
    sizes, tolerance = dict(case.sizes), case.tolerance
    more = {"attacks": asked.attacks, "sizes": sizes, "twin": asked.twin, "device": told(device)}
    record["settings"] = settings(one, asked.part, **more) | {"tolerance": tolerance}
    return record


def _progress(names: list[str], work: Mapping[str, int], shown: Shown) -> Any:
    """Told of the share of a part that is done, it shows the share of the whole."""
    done = 0.0

    def told(name: str, share: float) -> None:
        nonlocal done
        before = sum(work[other] for other in names[: names.index(name)])
        now = before + share * work[name]
        shown.advance(now - done)
        done = now

    return told


def case_of(asked: Auditing, one: Opened) -> Case:
    """What is audited.

    Raises:
        ValueError: for a size beyond the range of images, or a norm without a usual size.
    """
    split = one.split
    chosen: Part = getattr(split, asked.part)
    held = split.test if asked.part == "validation" else split.validation
    if asked.eps:
        sizes = dict(zip(asked.norms, asked.eps, strict=True))
    else:
        sizes = _usual(asked.norms, radii(split.bounds))
    if split.bounds is not None:
        for norm, size in sizes.items():
            ball(chosen.x[:1], size, norm, split.bounds)  # no larger than the box, said before work
    x, y = one.pair(chosen)
    trained = one.pair(split.train)
    unit = None
    if split.bounds is None and not one.subject.standardised:
        deviation = trained[0].std(0, correction=0)
        unit = deviation.where(deviation > 0, 1.0)
    tolerance = asked.tolerance
    if not one.family.classifies and tolerance is None:
        tolerance = _tolerance(one, one.family, *one.pair(held))
    return Case(
        model=one.model,
        x=x,
        y=y,
        held=one.pair(held),
        trained=trained,
        family=one.family,
        tolerance=tolerance,
        bounds=split.bounds,
        unit=unit,
        sizes=sizes,
        twin=None if asked.twin is None else twin_of(one, asked.twin),
        examples=asked.examples,
        full=asked.attacks == "full",
        seconds=asked.seconds,
        passes=asked.passes,
        seed=asked.subject.seed,
    )


def _usual(norms: tuple[Norm, ...], known: Mapping[Norm, tuple[float, ...]]) -> dict[Norm, float]:
    unknown = [norm for norm in norms if norm not in known]
    if unknown:
        raise ValueError(f"there is no usual size in {unknown[0]}: pass --eps, one for each norm.")
    return {norm: named(known[norm]) for norm in norms}


def _tolerance(one: Opened, family: Family, x: Tensor, y: Tensor) -> float:
    """Twice the root mean squared error."""
    with torch.no_grad(), unchanged(one.model) as f:
        error = family.residual(f(x), y).double().reshape(len(y), -1)
    return 2 * float(error.square().sum(1).mean().sqrt())
