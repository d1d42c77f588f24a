"""What attacks do to a trained model: measured in the same way for every method and model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vicinal.data import Split
from vicinal.machine.processes import ALONE, Place, deal
from vicinal.maths.randomness import generator
from vicinal.models.forward import unchanged
from vicinal.robustness.attacks import apgd
from vicinal.robustness.attacks.ball import Bounds, Norm
from vicinal.robustness.attacks.fgsm import fgsm
from vicinal.robustness.attacks.pgd import pgd
from vicinal.robustness.attacks.worst import Attacked, worst_case
from vicinal.robustness.curve import Point, accuracy_curve
from vicinal.robustness.masking import masking

STEPS = 20
EPSILONS: dict[str, dict[Norm, tuple[float, ...]]] = {
    "images": {"linf": (0.0, 0.025, 0.05, 0.1, 0.15), "l2": (0.0, 0.25, 0.5, 0.75, 1.0)},
    "tables": {"linf": (0.0, 0.1, 0.2, 0.3, 0.4), "l2": (0.0, 0.25, 0.5, 1.0, 1.5)},
}
STRONG = 500  # test examples that the ensemble attacks
CHECKED = 200  # of them, for signs of masking
RESTARTS = 5  # of APGD on values


def radii(bounds: Bounds) -> dict[Norm, tuple[float, ...]]:
    """The sizes that are tried: of images within bounds, or of standardised tables."""
    return EPSILONS["tables" if bounds is None else "images"]


def named(epsilons: Sequence[float]) -> float:
    """The size that is spoken of: the middle of those above 0, the lower one of two."""
    above = sorted(eps for eps in epsilons if eps > 0)
    return above[(len(above) - 1) // 2]


def attacked(
    model: nn.Module,
    split: Split,
    seed: int,
    strong: bool,
    scratch: Path,
    where: Place = ALONE,
) -> dict[str, Any]:
    """Curves of accuracy, or of the error of values; with strong ones, what strong attacks leave.

    Args:
        model: the trained model.
        split: the data; its test part is attacked.
        seed: of the run, from which starts are drawn.
        strong: False for FGSM and PGD; True adds the ensemble at one size per norm (for
            values APGD with restarts), and signs of masked gradients.
        scratch: name for files from which a killed ensemble goes on, removed at the end.
        where: this process, among those to which batches of examples are dealt.
    """
    if not split.family.classifies:
        (errors,) = deal(lambda split: list(_errors(model, split, seed, strong)), [split], where)
        return {"robust_rmse": errors}
    curves = list(_curves(model, split, seed, where))
    if not strong:
        return {"robustness": curves}
    x, y = split.test.x[:STRONG], split.test.y[:STRONG]
    for norm, epsilons in radii(split.bounds).items():
        file = scratch.with_name(f"{scratch.name}.{norm}.attack")
        found = worst_case(
            model, x, y, named(epsilons),
            norm=norm, bounds=split.bounds, family=split.family,
            rng=generator(seed, "attack", norm, "ensemble"), resume=file,
            where=where,
        )  # fmt: skip
        curves.append(outcome(found, norm, named(epsilons)))
        file.unlink(missing_ok=True)
    (signs,) = deal(lambda split: _signs(model, split, seed), [split], where)
    return {"robustness": curves} | ({} if signs is None else {"masking": signs})


def outcome(found: Attacked, norm: Norm, eps: float) -> dict[str, Any]:
    """An ensemble as one curve: accuracy without attack and at eps, and what each attack did."""
    clean = found.by.count("clean")
    count = len(found.by)
    share = found.accuracy
    points = [
        Point(0.0, 1 - clean / count, None, None),
        Point(eps, share.value, share.low, share.high),
    ]
    return {
        "attack": "ensemble",
        "norm": norm,
        "steps": 1,
        "examples": count,
        "points": [asdict(point) for point in points],
        "accounts": [asdict(account) for account in found.accounts],
        "refused": found.refused,
        "undefined": list(found.undefined),
        "complete": found.complete,
        "draws": found.draws,
        **({} if found.gradients else {"gradients": False}),
    }


def _signs(model: nn.Module, split: Split, seed: int) -> dict[str, Any] | None:
    """Signs of masking in the first norm; None where the model gets no example right."""
    x, y = split.test.x[:CHECKED], split.test.y[:CHECKED]
    with torch.no_grad(), unchanged(model) as f:
        if not split.family.correct(f(x), y).any():
            return None
    norm, epsilons = next(iter(radii(split.bounds).items()))
    found = masking(
        model, x, y, named(epsilons),
        norm=norm, bounds=split.bounds, family=split.family, rng=generator(seed, "masking"),
    )  # fmt: skip
    failed = sum(not sign.passed for sign in found.signs.values())
    said = {"failed": failed, "verdict": found.verdict, "norm": norm, "eps": named(epsilons)}
    return asdict(found) | said


def _curves(model: nn.Module, split: Split, seed: int, where: Place) -> Iterator[dict[str, Any]]:
    """One curve of accuracy for each norm and fast attack."""
    attacks: tuple[Literal["fgsm", "pgd"], ...] = ("fgsm", "pgd")
    for norm, epsilons in radii(split.bounds).items():
        for attack in attacks:
            curve = accuracy_curve(
                model, split.test.x, split.test.y, epsilons,
                attack=attack, norm=norm, bounds=split.bounds, family=split.family,
                steps=STEPS, rng=generator(seed, "attack", norm, attack), where=where,
            )  # fmt: skip
            written = asdict(curve)
            if curve.gradients:
                del written["gradients"]  # as records were before it was looked at
            yield written


def _errors(
    model: nn.Module,
    split: Split,
    seed: int,
    strong: bool,
) -> Iterator[dict[str, Any]]:
    """One curve of the error of values for each norm and attack."""
    attacks: dict[str, tuple[int, Callable[..., Tensor]]] = {
        "fgsm": (1, lambda *args, rng, **options: fgsm(*args, **options)),
        "pgd": (STEPS, partial(pgd, steps=STEPS)),
    }
    if strong:
        attacks["apgd"] = (apgd.STEPS, partial(apgd.apgd, steps=apgd.STEPS, restarts=RESTARTS))
    for norm, epsilons in radii(split.bounds).items():
        for name, (steps, attack) in attacks.items():
            rng = generator(seed, "attack", norm, name)
            attack = partial(attack, norm=norm, bounds=split.bounds, family=split.family, rng=rng)
            points = list(_error_curve(model, split, epsilons, attack))
            written = {"attack": name, "norm": norm, "steps": steps, "points": points}
            yield written | {"examples": len(split.test)}


def _error_curve(
    model: nn.Module, split: Split, epsilons: Sequence[float], attack: Callable[..., Tensor]
) -> Iterator[dict[str, float]]:
    """Root mean squared error under attack; each example keeps the worst error found so far."""
    x, y = split.test.x, split.test.y
    worst = torch.zeros(len(x), dtype=torch.float64)
    for eps in epsilons:
        moved = attack(model, x, y, eps) if eps > 0 else x
        with torch.no_grad(), unchanged(model) as f:
            residual = f(moved).reshape(len(y), -1) - y.reshape(len(y), -1)
        error = residual.double().square().mean(1)
        worst = torch.maximum(worst, error)
        yield {"eps": eps, "rmse": float(worst.mean().sqrt()) * split.unit}
