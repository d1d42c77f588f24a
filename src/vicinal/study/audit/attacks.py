"""What attacks do to the model: curves, signs of masking, distances, the worst case."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vicinal.machine.processes import place
from vicinal.maths.randomness import generator
from vicinal.robustness import accuracy_curve
from vicinal.robustness.attacks.ball import Norm
from vicinal.robustness.attacks.worst import worst_case
from vicinal.robustness.distances import minimal_distances
from vicinal.robustness.masking import masking
from vicinal.robustness.usual import outcome
from vicinal.study.audit.case import Case, attackable, twin

CHECKED = 200  # examples, for signs of masking


def gradients(case: Case) -> dict[str, Any]:
    """Accuracy under FGSM and PGD-20, up to each size."""
    model, x, y = attackable(case, case.examples)
    curves = [
        accuracy_curve(
            model, x, y, [share * eps for share in (0.0, 0.5, 1.0)],
            attack=attack, norm=norm, bounds=case.bounds, family=case.family,
            rng=generator(case.seed, "attack", norm, attack), where=place(),
        )
        for norm, eps in case.sizes.items()
        for attack in ("fgsm", "pgd")
    ]  # fmt: skip
    return {"curves": [asdict(curve) for curve in curves]}


def signs(case: Case) -> dict[str, Any]:
    """Signs of masked gradients, in the first norm."""
    model, x, y = attackable(case, min(CHECKED, case.examples))
    norm, eps = next(iter(case.sizes.items()))
    try:
        found = masking(
            model, x, y, eps, norm=norm, bounds=case.bounds, family=case.family,
            tolerance=case.tolerance, twin=twin(case), rng=generator(case.seed, "masking"),
        )  # fmt: skip
    except ValueError as error:  # nothing is right, so nothing can be masked
        return {"verdict": str(error), "signs": {}, "failed": None, "norm": norm, "eps": eps}
    failed = sum(not sign.passed for sign in found.signs.values())
    return asdict(found) | {"verdict": found.verdict, "failed": failed, "norm": norm, "eps": eps}


def distances(
    case: Case, norm: Norm, file: Path, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    """The curve of accuracy from the nearest broken point of each example, checked by APGD."""
    model, x, y = attackable(case, case.examples)
    eps = case.sizes[norm]
    found = minimal_distances(
        model, x, y, norm=norm, bounds=case.bounds, family=case.family,
        tolerance=case.tolerance, check_at=[eps], rng=generator(case.seed, "distances", norm),
        where=place(),
    )  # fmt: skip
    finite = found.values[torch.isfinite(found.values)]
    most = max(2 * eps, float(finite.quantile(0.95)) if len(finite) else 0.0)
    step = float(f"{most / 20:.2g}")
    curve = found.curve([float(f"{step * k:.4g}") for k in range(21)])
    return {
        "curve": asdict(curve),
        "mean": found.mean,
        "quantiles": {f"{q:g}": v for q, v in found.quantiles().items()},
        "reached": found.reached,
        "checks": [asdict(check) for check in found.checks],
    }


def ensemble(
    case: Case, norm: Norm, file: Path, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    """The worst case over strong attacks, which goes on from the file."""
    model, x, y = attackable(case, case.examples)
    eps = case.sizes[norm]
    found = worst_case(
        model, x, y, eps, norm=norm, bounds=case.bounds, family=case.family,
        tolerance=case.tolerance, twin=twin(case), rng=generator(case.seed, "ensemble", norm),
        seconds=case.seconds, passes=case.passes, resume=file, progress=progress,
        where=place(),
    )  # fmt: skip
    by = {name: found.by.count(name) for name in dict.fromkeys(found.by) if name}
    return outcome(found, norm, eps) | {"by": by}
