"""Someone's trained model, by the name of a Python object or a file of weights."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from vicinal.data import Split
from vicinal.models import MODELS, Standardise


def load_model(name: str, split: Split, architecture: str | None) -> nn.Module:
    """A model named ``module:attribute``, or a file of weights for a reference model.

    An attribute is a torch module, or something that returns one when it is called without
    arguments; importing it runs the code of its module. A file is safetensors or what torch.save
    wrote, read as tensors only; it holds a state dict, or one under "model".

    Args:
        name: what the user typed.
        split: the data, whose shape and classes a reference model is built for.
        architecture: name of the reference model of a file; None for ``module:attribute``.

    Raises:
        ValueError: if there is no such model, it is of another kind, or weights do not fit.
    """
    if architecture is None:
        return _imported(name)
    if not Path(name).is_file():
        raise ValueError(
            f"there is no file of weights {name}. To name a model in Python code, write "
            "module:attribute and leave out --architecture."
        )
    state = _weights(Path(name))
    body = MODELS[architecture](tuple(split.train.x.shape[1:]), split.classes)
    model = nn.Sequential(Standardise(split.mean, split.std), body) if "0.mean" in state else body
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {name} do not fit the model {architecture} for inputs of shape "
            f"{tuple(split.train.x.shape[1:])} and {split.classes} classes: {error}"
        ) from error
    return model


def _imported(name: str) -> nn.Module:
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise ValueError(
            f"cannot read the model {name!r}. Write module:attribute, or name a file of weights "
            "and pass --architecture with the reference model that they belong to."
        )
    sys.path.insert(0, "")  # as `python -m` does, so that code in the current folder is found
    try:
        value: Any = importlib.import_module(module)
        for part in attribute.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import the model {name}: {error}") from error
    finally:
        sys.path.remove("")
    if not isinstance(value, nn.Module) and callable(value):
        value = value()
    if not isinstance(value, nn.Module):
        kind = type(value).__name__
        raise ValueError(f"{name} must be a torch module or return one, got {kind}.")
    return value


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise ValueError(f"reading {path} needs safetensors: pip install safetensors.") from error
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} holds no weights that can be read safely: {error}") from error
    state = found.get("model", found) if isinstance(found, Mapping) else found
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} holds no state dict: pass torch.save(model.state_dict(), path).")
    return dict(state)
