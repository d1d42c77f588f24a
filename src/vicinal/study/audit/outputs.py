"""What the outputs say without attack: predictions, and their calibration."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from torch import Tensor

from vicinal.calibration import bootstrap, calibration, calibration_of_positive, paired_bootstrap
from vicinal.calibration import recalibrated as recalibrate
from vicinal.maths.losses import bernoulli, bernoullis
from vicinal.maths.randomness import generator
from vicinal.maths.statistics import proportion
from vicinal.robustness.attacks.door import opened
from vicinal.study.audit.case import Case

RESAMPLES = 500


def predictions(case: Case) -> dict[str, Any]:
    """Accuracy as it is, or the error of values."""
    with opened(case.model) as f:
        outputs = f(case.x)
    if case.family.classifies:
        right = int(case.family.correct(outputs, case.y).sum())
        return {"examples": len(case.y)} | asdict(proportion(right, len(case.y)))
    residual = case.family.residual(outputs, case.y).double().reshape(len(case.y), -1)
    error = residual.square().sum(1).sqrt()  # the distance, where there are several values
    within = proportion(int((error <= (case.tolerance or 0.0)).sum()), len(case.y))
    return {"examples": len(case.y), "rmse": float(error.square().mean().sqrt())} | asdict(within)


def calibrated(case: Case) -> dict[str, Any]:
    """ECE and NLL as trained and mended on held-out data, with intervals over examples."""
    with opened(case.model) as f:
        held, logits = f(case.held[0]).cpu(), f(case.x).cpu()  # thousands of small sums follow
    held_y, y = case.held[1].cpu(), case.y.cpu()
    one = case.family in (bernoulli, bernoullis)

    def entries(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Several labels are as many predictions, each of one logit."""
        return (z.reshape(-1), y.reshape(-1).long()) if one else (z, y)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a map at its limit shows in its numbers
        found = recalibrate(
            entries(held, held_y),
            entries(logits, y),
            scaling="platt" if one else "temperature",
        )
    pair = logits.double(), found.scaling(logits.double())
    record: dict[str, Any] = asdict(found)
    for key in ("ece", "nll"):
        measured = _measure(calibration_of_positive if one else calibration, key)
        record[f"{key}_intervals"] = _intervals(  # examples are resampled, with all their labels
            lambda z, y, measured=measured: measured(*entries(z, y)),  # type: ignore[misc]
            *pair,
            y,
            (case.seed, "resamples", key),
        )
    return record


def _measure(measured: Callable[..., Any], key: str) -> Callable[[Tensor, Tensor], float]:
    return lambda z, y: float(getattr(measured(z, y), key))


def _intervals(
    of: Callable[[Tensor, Tensor], float],
    before: Tensor,
    after: Tensor,
    y: Tensor,
    key: tuple[int, str, str],
) -> dict[str, Any]:
    """Of a measure as trained, mended, and of the difference, on the same resamples."""
    first, second = (
        bootstrap(of, logits, y, rng=generator(*key), resamples=RESAMPLES)
        for logits in (before, after)
    )
    both = paired_bootstrap(of, before, after, y, rng=generator(*key), resamples=RESAMPLES)
    return {"before": asdict(first), "after": asdict(second), "difference": asdict(both)}
