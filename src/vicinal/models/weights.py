"""Runs that start from weights in a file, as fine-tuning does: all of them but for the last layer.

The last layer is new where the file has another number of outputs, or none; its weights are those
of the seed, as all weights are where there is no file.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vicinal.data import Split
from vicinal.models.named import build_model, weights_in

SHOWN = 3  # names that an error tells


@dataclass(frozen=True)
class Weights:
    """A file of weights, and what was in it when a study was planned.

    Attributes:
        file: safetensors, or what torch.save wrote, read as tensors only.
        digest: of its content, so that another file is another run.
    """

    file: str
    digest: str


def weights_from(file: str | Path) -> Weights:
    """A file of weights as it is now.

    Raises:
        ValueError: if there is none.
    """
    if not Path(file).is_file():
        raise ValueError(f"there is no file of weights {file}.")
    return Weights(str(file), sha256(Path(file).read_bytes()).hexdigest()[:12])


def starting_model(
    name: str, split: Split, seed: int, file: str | None, digest: str, given: Any = None
) -> nn.Module:
    """The model of `build_model`, with the weights of a file of this digest if there is one.

    Raises:
        ValueError: see `build_model`; if the file changed or does not fit the model.
    """
    model = build_model(name, split, seed, given)
    if file is not None:
        fill(model, Weights(file, digest), split.outputs)
    return model


def fill(model: nn.Module, start: Weights, outputs: int) -> str:
    """Put the weights of a file into a model; which of them, in a sentence.

    The names in the file are those of the model, or of the model behind its layer that
    standardises, as a library or `vicinal compare` writes them.

    Args:
        model: changed in place.
        start: the file.
        outputs: of the model, by which its last layer is known.

    Raises:
        ValueError: if the file changed or does not fit the model.
    """
    given, own = _read(start), model.state_dict()
    named = given
    if not given.keys() & own.keys():
        named = {f"1.{name}": value for name, value in given.items()}
    unlike = [
        name for name, value in own.items()
        if name not in named or named[name].shape != value.shape
    ]  # fmt: skip
    new = [name for name in unlike if own[name].ndim and len(own[name]) == outputs]
    # the data decide how they are standardised where the file does not say
    missing = [name for name in unlike if name not in new and name not in ("0.mean", "0.std")]
    more = [name for name in named if name not in own]
    if missing or more or len({name.rpartition(".")[0] for name in new}) > 1:
        raise ValueError(
            f"the weights in {start.file} do not fit the model, which has {len(own)} tensors. "
            + " ".join(
                f"{what}: {', '.join(names[:SHOWN])}{', …' * (len(names) > SHOWN)}."
                for what, names in (
                    ("Missing or of another shape", missing or new), ("Unknown", more),
                )
                if names
            )
            + " Only its last layer may differ."
        )  # fmt: skip
    kept = {name: value for name, value in named.items() if name not in new}
    model.load_state_dict(kept, strict=False)
    if not new:
        return f"Every run starts from all weights in {start.file}, the last layer included."
    had = [len(named[name]) for name in new if name in named]
    held = f"gives {had[0]} outputs" if had else "has no such layer"
    return (
        f"Every run starts from the weights in {start.file}, but for {' and '.join(new)}, which "
        f"are new: the file {held}, and these data need {outputs}."
    )


@lru_cache(maxsize=1)
def _read(start: Weights) -> dict[str, Tensor]:
    if weights_from(start.file) != start:
        raise ValueError(f"the weights in {start.file} changed since the study was planned.")
    found = weights_in(Path(start.file))
    bad = [name for name, value in found.items() if not torch.isfinite(value).all()]
    if bad:
        raise ValueError(f"the weights in {start.file} are not finite: {bad[0]} holds NaN.")
    return found
