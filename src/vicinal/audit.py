"""The audit of someone's trained model: attacks, signs of masking, calibration, mixup's bound.

An audit is a list of parts, each a plain record of numbers. Parts that are done are kept in a
folder, so an audit that was stopped goes on where it was.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import vicinal
from vicinal import store
from vicinal.attacked import outcome
from vicinal.attacks.ball import Bounds, Norm
from vicinal.attacks.ensemble import digest
from vicinal.attacks.worst import worst_case
from vicinal.calibration import bootstrap, calibration, calibration_of_positive, paired_bootstrap
from vicinal.calibration import recalibrated as recalibrate
from vicinal.forward import Model, unchanged, unwrapped
from vicinal.laws import Beta
from vicinal.losses import Family, bernoulli
from vicinal.randomness import generator
from vicinal.robustness import accuracy_curve
from vicinal.robustness.bound import mixup_bound
from vicinal.robustness.distances import minimal_distances
from vicinal.robustness.masking import masking
from vicinal.statistics import proportion

CHECKED, RESAMPLES = 200, 500
LAW = Beta(1)

Told = Callable[[str, float], None]
"""Told the name of a part and the share of it that is done."""


@dataclass(frozen=True)
class Case:
    """What is audited.

    Attributes:
        model: the model.
        x, y: the examples on which it is measured.
        held: others, on which its calibration is mended.
        trained: inputs and targets of training, for the bound, which is a statement on them.
        family: decides what is broken; for values with the tolerance.
        tolerance: deviation that breaks an example of values; None for classes.
        bounds: of the inputs.
        unit: of each feature, in which sizes are told; None for the units of the inputs.
        sizes: of the perturbation, by norm.
        twin: a model from which adversarial inputs may transfer.
        examples: most that are attacked.
        full: whether strong attacks are run.
        seconds, passes: budget of the worst case in each norm.
        seed: of starts, patches and resamples.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    held: tuple[Tensor, Tensor]
    trained: tuple[Tensor, Tensor]
    family: Family
    tolerance: float | None
    bounds: Bounds
    unit: Tensor | None
    sizes: Mapping[Norm, float]
    twin: nn.Module | None
    examples: int
    full: bool
    seconds: float | None
    passes: float | None
    seed: int

    @property
    def name(self) -> str:
        """What decides the numbers, but for the budget, in 16 digits."""
        tensors = [self.x, self.y, *self.held, *self.trained]
        box = () if self.bounds is None else self.bounds
        units = (*box, self.unit)
        tensors += [torch.as_tensor(v, dtype=torch.float64) for v in units if v is not None]
        models = (m for m in (self.model, self.twin) if m is not None)
        weights = [v for m in models for v in m.state_dict().values() if isinstance(v, Tensor)]
        told = [vicinal.__version__, self.family.name, self.tolerance, dict(self.sizes)]
        told += [self.bounds is None, self.unit is None, self.examples, self.seed]
        described = repr((type(self.model).__name__, told, [digest(t) for t in tensors + weights]))
        return sha256(described.encode()).hexdigest()[:16]


def audit(case: Case, folder: Path, told: Told) -> dict[str, Any]:
    """All parts of an audit, those that are not yet in the folder by measuring them.

    Args:
        case: what is audited.
        folder: where parts are kept.
        told: what is being done, and how far it is.

    Returns:
        The parts by name, as plain data; a part that does not apply is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for name, measure in parts(case).items():
        told(name, 0.0)
        file = folder / f"{case.name}.{name.replace(' ', '-')}.json"
        record = _kept(file)
        if record is None:
            progress = partial(_tell, told, name)
            record = store.plain(measure(case, file.with_suffix(".attack"), progress))
            if record.get("complete", True):  # else a larger budget goes on with it
                store.write(file, json.dumps(record, allow_nan=False) + "\n")
                file.with_suffix(".attack").unlink(missing_ok=True)
        found[name] = record
        told(name, 1.0)
    return found


def _tell(told: Told, name: str, share: float, left: float) -> None:
    told(name, share)


Measure = Callable[[Case, Path, Callable[[float, float], None]], dict[str, Any]]


def parts(case: Case) -> dict[str, Measure]:
    """What is measured, by name, the cheap first."""
    found: dict[str, Measure] = {"predictions": lambda case, file, progress: _predictions(case)}
    if case.family.classifies:
        found["calibration"] = lambda case, file, progress: _calibration(case)
        found["gradients"] = lambda case, file, progress: _gradients(case)
    if _logit(case) is not None:
        found["bound"] = lambda case, file, progress: _bound(case)
    found["masking"] = lambda case, file, progress: _masking(case)
    if case.full:
        for norm in case.sizes:
            found[f"distances {norm}"] = _in_norm(_distances, norm)
            found[f"ensemble {norm}"] = _in_norm(_ensemble, norm)
    return found


def _kept(file: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not there, or not whole: measured again
    return record


def _in_norm(measure: Callable[..., dict[str, Any]], norm: Norm) -> Measure:
    return lambda case, file, progress: measure(case, norm, file, progress)


def _predictions(case: Case) -> dict[str, Any]:
    with torch.no_grad(), unchanged(case.model) as f:
        outputs = f(case.x)
    if case.family.classifies:
        right = int(case.family.correct(outputs, case.y).sum())
        return {"examples": len(case.y)} | asdict(proportion(right, len(case.y)))
    error = case.family.residual(outputs, case.y).double().reshape(-1)
    within = proportion(int((error.abs() <= (case.tolerance or 0.0)).sum()), len(case.y))
    return {"examples": len(case.y), "rmse": float(error.square().mean().sqrt())} | asdict(within)


def _calibration(case: Case) -> dict[str, Any]:
    """ECE and NLL as trained and mended on held-out data, with intervals over examples."""
    with torch.no_grad(), unchanged(case.model) as f:
        held, logits = f(case.held[0]), f(case.x)
    one = case.family is bernoulli
    if one:
        held, logits = held.reshape(-1), logits.reshape(-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a map at its limit shows in its numbers
        found = recalibrate(
            (held, case.held[1]), (logits, case.y), scaling="platt" if one else "temperature"
        )
    pair = logits.double(), found.scaling(logits.double())
    record: dict[str, Any] = asdict(found)
    for key in ("ece", "nll"):
        of = _measure(calibration_of_positive if one else calibration, key)
        record[f"{key}_intervals"] = _intervals(of, *pair, case.y, (case.seed, "resamples", key))
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


def _attackable(case: Case, count: int) -> tuple[Model, Tensor, Tensor]:
    """The model and some examples, in the units in which sizes are told."""
    x, y = case.x[:count], case.y[:count]
    if case.unit is None:
        return case.model, x, y
    return InUnits(case.model, case.unit), x / case.unit, y


class InUnits(nn.Module):
    """A model of inputs that are told in another unit."""

    unit: Tensor

    def __init__(self, model: nn.Module, unit: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("unit", unit, persistent=False)

    def forward(self, x: Tensor) -> object:
        """What the model gives for them."""
        return self.model(x * self.unit)


def _twin(case: Case) -> Model | None:
    if case.twin is None or case.unit is None:
        return case.twin
    return InUnits(case.twin, case.unit)


def _gradients(case: Case) -> dict[str, Any]:
    """Accuracy under FGSM and PGD-20, up to each size."""
    model, x, y = _attackable(case, case.examples)
    curves = [
        accuracy_curve(
            model, x, y, [share * eps for share in (0.0, 0.5, 1.0)],
            attack=attack, norm=norm, bounds=case.bounds, family=case.family,
            rng=generator(case.seed, "attack", norm, attack),
        )
        for norm, eps in case.sizes.items()
        for attack in ("fgsm", "pgd")
    ]  # fmt: skip
    return {"curves": [asdict(curve) for curve in curves]}


def _masking(case: Case) -> dict[str, Any]:
    model, x, y = _attackable(case, min(CHECKED, case.examples))
    norm, eps = next(iter(case.sizes.items()))
    try:
        found = masking(
            model, x, y, eps, norm=norm, bounds=case.bounds, family=case.family,
            tolerance=case.tolerance, twin=_twin(case), rng=generator(case.seed, "masking"),
        )  # fmt: skip
    except ValueError as error:  # nothing is right, so nothing can be masked
        return {"verdict": str(error), "signs": {}, "failed": None, "norm": norm, "eps": eps}
    failed = sum(not sign.passed for sign in found.signs.values())
    return asdict(found) | {"verdict": found.verdict, "failed": failed, "norm": norm, "eps": eps}


def _distances(
    case: Case, norm: Norm, file: Path, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    """The curve of accuracy from the nearest broken point of each example, checked by APGD."""
    model, x, y = _attackable(case, case.examples)
    eps = case.sizes[norm]
    found = minimal_distances(
        model, x, y, norm=norm, bounds=case.bounds, family=case.family,
        tolerance=case.tolerance, check_at=[eps], rng=generator(case.seed, "distances", norm),
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


def _ensemble(
    case: Case, norm: Norm, file: Path, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    model, x, y = _attackable(case, case.examples)
    eps = case.sizes[norm]
    found = worst_case(
        model, x, y, eps, norm=norm, bounds=case.bounds, family=case.family,
        tolerance=case.tolerance, twin=_twin(case), rng=generator(case.seed, "ensemble", norm),
        seconds=case.seconds, passes=case.passes, resume=file, progress=progress,
    )  # fmt: skip
    by = {name: found.by.count(name) for name in dict.fromkeys(found.by) if name}
    return outcome(found, norm, eps) | {"by": by}


def _logit(case: Case) -> Model | None:
    """The one logit of a binary classifier: of two classes, the difference of both."""
    if case.family is bernoulli:
        return case.model
    with torch.no_grad(), unchanged(case.model) as f:
        outputs = f(case.x[:2])
    if not case.family.classifies or outputs.shape[1:] != (2,):
        return None
    return _Difference(case.model)


class _Difference(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = unwrapped(self.model(x))
        return outputs[:, 1] - outputs[:, 0]


def _bound(case: Case) -> dict[str, Any]:
    """Mixup's bound on the training data, and its radii beside the distortions that were found."""
    logit = _logit(case)
    assert logit is not None
    x, y = (part[:CHECKED] for part in case.trained)
    found = mixup_bound(logit, x, y, LAW)
    near = minimal_distances(logit, x, y, norm="l2", bounds=case.bounds, family=bernoulli).values
    return {
        "law": "λ uniform",
        "examples": len(x),
        "conditions": {name: asdict(c) for name, c in found.conditions.items()},
        "guaranteed": found.guaranteed,
        "holds": found.holds,
        "mixup_loss": found.mixup_loss,
        "adversarial_loss": found.adversarial_loss,
        "adversarial_loss_mix": found.adversarial_loss_mix,
        "epsilon_mix": found.epsilon_mix,
        "c_x": found.c_x,
        "features": found.features,
        "share_of_distance": found.share_of(near) if bool((near > 0).any()) else None,
        "says_not": list(found.says_not),
    }
