"""An audit is a list of parts, each a plain record of numbers.

Parts that are done are kept in a folder, so an audit that was stopped goes on where it was.
Processes share the attacks on many examples; what is quickly done one of them does for all.
"""

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vicinal.machine import files
from vicinal.machine.processes import agreed, deal, place
from vicinal.robustness.attacks.ball import Norm
from vicinal.study.audit import attacks, outputs, theory
from vicinal.study.audit.case import Case, logit

Told = Callable[[str, float], None]
"""Told the name of a part and the share of it that is done."""


def audit(case: Case, folder: Path, told: Told) -> dict[str, Any]:
    """All parts of an audit, those that are not yet in the folder by measuring them.

    With torch.distributed running all processes make the same call, and each gets all parts: the
    same as one alone finds, which may also go on with what they left.

    Args:
        case: what is audited.
        folder: where parts are kept; the first process reads and writes it.
        told: what is being done, and how far it is.

    Returns:
        The parts by name, as plain data; a part that does not apply is left out.
    """
    first = place().rank == 0
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for name, measure in parts(case).items():
        told(name, 0.0)
        file = folder / f"{case.name}.{name.replace(' ', '-')}.json"
        record = agreed(_kept(file) if first else None)
        if record is None:
            progress = partial(_tell, told, name)
            record = files.plain(measure(case, file.with_suffix(".attack"), progress))
            if first and record.get("complete", True):  # else a larger budget goes on with it
                files.write(file, json.dumps(record, allow_nan=False) + "\n")
                file.with_suffix(".attack").unlink(missing_ok=True)
        found[name] = record
        told(name, 1.0)
    return found


def _tell(told: Told, name: str, share: float, left: float) -> None:
    told(name, share)


Measure = Callable[[Case, Path, Callable[[float, float], None]], dict[str, Any]]


def parts(case: Case) -> dict[str, Measure]:
    """What is measured, by name, the cheap first."""
    found: dict[str, Measure] = {"predictions": _by_one(outputs.predictions)}
    if case.family.classifies:
        found["calibration"] = _by_one(outputs.calibrated)
        found["gradients"] = lambda case, file, progress: attacks.gradients(case)
    if logit(case) is not None:
        found["bound"] = _by_one(theory.bound)
    found["masking"] = _by_one(attacks.signs)
    if case.full:
        for norm in case.sizes:
            found[f"distances {norm}"] = _in_norm(attacks.distances, norm)
            found[f"ensemble {norm}"] = _in_norm(attacks.ensemble, norm)
    return found


def _by_one(measure: Callable[[Case], dict[str, Any]]) -> Measure:
    """What one process measures while the others wait."""
    return lambda case, file, progress: deal(measure, [case])[0]


def _kept(file: Path) -> dict[str, Any] | None:
    """A part that was measured before; a damaged one is set aside, with a warning."""

    def read(path: Path) -> dict[str, Any]:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError(f"it holds a {type(record).__name__}")
        return record

    return files.half_done(file, read, warnings.warn, what="the part", then="measured again")


def _in_norm(measure: Callable[..., dict[str, Any]], norm: Norm) -> Measure:
    return lambda case, file, progress: measure(case, norm, file, progress)
