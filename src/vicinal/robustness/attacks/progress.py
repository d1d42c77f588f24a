"""The state of an ensemble of attacks, and the file from which a killed one goes on."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


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
        ValueError: if the file belongs to other data, another model or another attack.
    """
    if path is None or not path.exists():
        n = len(x)
        none = np.zeros(n, dtype=bool)
        by = np.zeros(n, dtype=np.int64)
        return State(name, probe, seed, x.detach().cpu().clone(), by, none.copy(), none.copy())
    with np.load(path, allow_pickle=False) as stored:
        said = json.loads(str(stored["said"]))
        arrays = {key: stored[key] for key in ("probe", "x", "by", "done", "undefined")}
    same_model = arrays["probe"].shape == probe.shape and np.allclose(
        arrays["probe"], probe, rtol=1e-3, atol=1e-5, equal_nan=True
    )
    if said["name"] != name or not same_model:
        what = "other data, bounds, eps or family" if said["name"] != name else "another model"
        raise ValueError(
            f"{path} holds an attack on {what}. Repeat that call, or pass another file to resume."
        )
    x = torch.from_numpy(arrays.pop("x"))
    return State(x=x, **arrays, **said)


def remember(path: Path | None, state: State) -> None:
    """Write the state beside the file and rename it, so that no kill leaves half of one."""
    if path is None:
        return
    said = {k: getattr(state, k) for k in ("name", "seed", "stage", "accounts", "refused")}
    arrays = {k: getattr(state, k) for k in ("probe", "by", "done", "undefined")}
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with beside.open("wb") as file:
        np.savez(file, said=json.dumps(said), x=state.x.numpy(), **arrays)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
