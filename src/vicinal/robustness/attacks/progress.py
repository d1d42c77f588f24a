"""The state of an ensemble of attacks, and the file from which a killed one goes on."""

import json
import math
import warnings
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vicinal.machine import files


@dataclass
class State:
    """Where a run stands.

    Attributes:
        name, probe: of the call and the model it belongs to.
        seed: of its random numbers.
        x: adversarial inputs where found.
        by: 0 unknown, -1 holds out, 1 broken without attack, k + 2 broken by stage k.
        done: met by the present stage.
        undefined: outputs were not finite.
        stage: the present one.
        accounts: [tried, broken, passes, seconds] of each stage begun.
        refused: claims that were not confirmed.
    """

    name: str
    probe: np.ndarray
    seed: int
    x: Tensor
    by: np.ndarray
    done: np.ndarray
    undefined: np.ndarray
    stage: int = 0
    accounts: list[list[float]] = field(default_factory=list)
    refused: int = 0

    def begin(self, stage: int) -> None:
        """Turn to a stage."""
        self.stage = stage
        self.done[:] = False
        self.accounts.append([0, 0, 0, 0.0])

    def account(self, tried: int, broken: int, passes: int, seconds: float) -> None:
        """Add to the account of the present stage."""
        found = (tried, broken, passes, seconds)
        self.accounts[-1] = [a + b for a, b in zip(self.accounts[-1], found, strict=True)]


def recall(path: Path | None, name: str, probe: np.ndarray, x: Tensor, seed: int) -> State:
    """The state in the file, or a new one.

    Raises:
        ValueError: if the file belongs to other data, another model or another attack, or is none.

    Warns:
        UserWarning: if the file is damaged; it is set aside, and the attack begins anew.
    """
    n = len(x)
    none = np.zeros(n, dtype=bool)
    by = np.zeros(n, dtype=np.int64)
    new = State(name, probe, seed, x.detach().cpu().clone(), by, none.copy(), none.copy())
    if path is None or (kind := files.kind_of(path)) is None:
        return new
    if kind != "a file":
        raise ValueError(f"{path} is {kind}, and an attack resumes from a file. Pass another name.")
    found = files.half_done(
        path,
        lambda file: _read(file, new),
        warnings.warn,
        what="the attack in",
        then="attacking from the start",
    )
    if found is None:
        return new
    same_call = found.name == name
    same_model = found.probe.shape == probe.shape and np.allclose(
        found.probe, probe, rtol=1e-3, atol=1e-5, equal_nan=True
    )
    if not (same_call and same_model):
        what = "another model" if same_call else "other data, bounds, eps or family"
        raise ValueError(
            f"{path} holds an attack on {what}. Repeat that call, or pass another file to resume."
        )
    return found


def _read(path: Path, new: State) -> State:
    """The state in a file, checked; of another call only its name counts.

    Raises:
        Exception: any, if the file is damaged.
    """
    with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as stored:
        said = json.loads(str(stored["said"]))
        arrays = {key: stored[key] for key in ("probe", "x", "by", "done", "undefined")}
    if not isinstance(said["name"], str):
        raise ValueError("its name is no text")
    if said["name"] == new.name:
        _check(said, arrays, new)
    return State(x=torch.from_numpy(arrays.pop("x")), **arrays, **said)


def _check(said: dict[str, Any], arrays: dict[str, np.ndarray], new: State) -> None:
    """Refuse what cannot be the state of this attack.

    Raises:
        ValueError: then.
    """
    expected = {"by": new.by, "done": new.done, "undefined": new.undefined, "x": new.x.numpy()}
    for key, other in expected.items():
        if arrays[key].shape != other.shape or arrays[key].dtype != other.dtype:
            raise ValueError(f"its {key} does not fit")
    seed, stage, refused, accounts = (said[k] for k in ("seed", "stage", "refused", "accounts"))
    if not all(type(value) is int and value >= 0 for value in (seed, stage, refused)):
        raise ValueError("its counters are none")
    if not isinstance(accounts, list) or len(accounts) not in (stage, stage + 1):
        raise ValueError("its accounts do not fit")
    if not all(len(row) == 4 and all(map(_is_count, row)) for row in accounts):
        raise ValueError("its accounts are not of four numbers each")
    if not ((arrays["by"] >= -1) & (arrays["by"] < stage + 3)).all():
        raise ValueError("it was broken by an attack that has not begun")


def _is_count(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf  # type: ignore[operator]


def remember(path: Path | None, state: State) -> None:
    """Replace the file, so that no kill leaves half of one."""
    if path is None:
        return
    said = {k: getattr(state, k) for k in ("name", "seed", "stage", "accounts", "refused")}
    arrays = {k: getattr(state, k) for k in ("probe", "by", "done", "undefined")}
    buffer = BytesIO()
    np.savez(buffer, said=json.dumps(said), x=state.x.numpy(), **arrays)
    files.write_bytes(path, buffer.getvalue())
