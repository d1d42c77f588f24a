"""Someone's trained model, by the name of a Python object or a file of weights."""

import traceback
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vicinal.data import Split
from vicinal.data.objects import imported
from vicinal.machine.devices import forked
from vicinal.machine.identity import identity
from vicinal.machine.names import guess
from vicinal.maths.losses import bernoulli
from vicinal.maths.randomness import generator
from vicinal.models.forward import unchanged
from vicinal.models.libraries import EXTRAS, library_model
from vicinal.models.reference import MODELS, Standardise


def load_model(name: str, split: Split, architecture: str | None) -> nn.Module:
    """A model named ``module:attribute``, or a file of weights for a reference model.

    It is moved to where the data are.

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
    device = split.train.x.device
    if architecture is None:
        return _named(name).to(device)
    if not Path(name).is_file():
        raise ValueError(
            f"there is no file of weights {name}. To name a model in Python code, write "
            "module:attribute and leave out --architecture."
        )
    state = weights_in(Path(name))
    body = MODELS[architecture](tuple(split.train.x.shape[1:]), split.outputs)
    model = nn.Sequential(Standardise(split.mean, split.std), body) if "0.mean" in state else body
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {name} do not fit the model {architecture} for inputs of shape "
            f"{tuple(split.train.x.shape[1:])} and {split.classes} classes: {error}"
        ) from error
    return model.to(device)


def _named(name: str) -> nn.Module:
    if ":" not in name:
        raise ValueError(
            f"cannot read the model {name!r}. Write module:attribute, or name a file of weights "
            "and pass --architecture with the reference model that they belong to."
        )
    value = imported(name)
    if not isinstance(value, nn.Module) and callable(value):
        value = _made(name, value)
    if not isinstance(value, nn.Module):
        kind = type(value).__name__
        raise ValueError(f"{name} must be a torch module or return one, got {kind}.")
    return value


def build_model(name: str, split: Split, seed: int, given: Any = None) -> nn.Module:
    """A new model for a data set, with the initial weights of a seed, where the data are.

    Weights are drawn on the CPU, so they are the same on every device.

    Args:
        name: a key of MODELS, or ``timm:NAME``, ``torchvision:NAME`` or ``hf:NAME``, which are
            preceded by a layer that standardises; or ``module:attribute`` for Python code, which
            is run: a factory that is called with the shape of an example and the number of outputs,
            or without arguments; or a torch module, which is copied and whose layers make new
            weights by their own reset_parameters.
        split: the data: shape of an example, number of outputs, mean and deviation.
        seed: of the initial weights; torch's own random state is as before.
        given: a factory or a module as an object, in place of that of the name.

    Raises:
        ValueError: if there is no such model, making it fails, it cannot take the data, or its
            outputs are not as many as the classes (one for values).
    """
    shape, outputs, device = tuple(split.train.x.shape[1:]), split.outputs, split.train.x.device
    source, _, rest = name.partition(":")
    library = given is None and source in EXTRAS and rest
    if len(shape) != 3 and (name == "cnn" or library):
        raise ValueError(f"the model {name} needs images, these data are a table. Pass mlp.")
    with forked():
        # first, because importing someone's code may draw numbers
        foreign = given
        if given is None and name not in MODELS and not library:
            foreign = _foreign(name)
        torch.manual_seed(int(generator(seed, "weights").integers(2**62)))
        if foreign is None and name in MODELS:
            body = MODELS[name](shape, outputs)
            return nn.Sequential(Standardise(split.mean, split.std), body).to(device)
        if library:
            own = library_model(source, rest, shape, outputs)
            model: Any = nn.Sequential(Standardise(split.mean, split.std), own)
        elif isinstance(foreign, nn.Module):
            model = _renewed(name, foreign)
        else:
            model = _made(name, foreign, shape, outputs)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{name} must return a torch module, got {type(model).__name__}.")
    moved = model.to(device)
    _check_outputs(name, moved, split)
    return moved


def code_of(name: str) -> str:
    """What tells the code of ``module:attribute`` from other code of this name; else nothing."""
    source, _, rest = name.partition(":")
    return "" if name in MODELS or source in EXTRAS or not rest else identity(imported(name))


def fitting(name: str, split: Split, given: Any = None) -> Split:
    """The data for a model: two classes are binary where it has one output for them.

    Raises:
        ValueError: see `build_model`.
    """
    try:
        build_model(name, split, 0, given)
    except ValueError:
        if split.task != "classification" or split.classes != 2:
            raise
        binary = replace(split, task="binary", family=bernoulli)
        try:
            build_model(name, binary, 0, given)
        except ValueError:
            pass
        else:
            return binary
        raise
    return split


def _foreign(name: str) -> Any:
    """An object in someone's own code."""
    if ":" not in name:
        raise ValueError(
            f"unknown model {name!r}. {guess(name, MODELS)}Known: {', '.join(MODELS)}; or pass "
            "timm:NAME, torchvision:NAME, hf:NAME, or module:attribute for your own."
        )
    return imported(name)


def _renewed(name: str, module: nn.Module) -> nn.Module:
    """A copy of a module with new initial weights; buffers that no layer resets are kept."""
    model = deepcopy(module).cpu()
    for place, layer in model.named_modules():
        reset = getattr(layer, "reset_parameters", None)
        if callable(reset):
            reset()
        elif any(True for _ in layer.parameters(recurse=False)):
            raise ValueError(
                f"{name} is a torch module, and {place or 'it'} ({type(layer).__name__}) has no "
                "reset_parameters to make new weights for every seed. Pass a function that makes "
                "the model."
            )
    return model


def _made(name: str, factory: Any, *arguments: Any) -> Any:
    """What a factory returns, called with the arguments if it takes as many."""
    if not callable(factory):
        raise ValueError(f"{name} must be a function or class, got {type(factory).__name__}.")
    try:
        taken = signature(factory).parameters.values()
        plain = [p for p in taken if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        takes = len(arguments) <= len(plain) or any(p.kind == p.VAR_POSITIONAL for p in taken)
    except (TypeError, ValueError):  # a builtin without a signature
        takes = False
    try:
        return factory(*arguments) if takes else factory()
    except Exception as error:  # someone's code may raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        if last.filename == __file__:  # it could not be called at all
            rule = "must be a trained model, or return one when called without arguments"
            if arguments:
                rule = "must take the shape of an example and the number of outputs, or nothing"
            raise ValueError(f"{name} {rule}: {error}.") from error
        place = f"{Path(last.filename).name}, line {last.lineno}"
        raise ValueError(f"{name} failed in {place}: {type(error).__name__}: {error}") from error


def _check_outputs(name: str, model: nn.Module, split: Split) -> None:
    """Refuse a model that cannot take the data, or gives another number of outputs."""
    try:
        with torch.no_grad(), unchanged(model) as f:
            outputs = f(split.train.x[:2])
    except Exception as error:  # someone's model may raise anything
        raise ValueError(
            f"the model {name} cannot take a batch of shape {tuple(split.train.x[:2].shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    found = tuple(outputs.shape)
    if found != (2, split.outputs) and not (split.outputs == 1 and found == (2,)):
        what = {
            "classification": f"{split.classes} classes",
            "binary": "two classes as one logit",
            "multilabel": f"{split.outputs} labels",
            "regression": "one value" if split.outputs == 1 else f"{split.outputs} values",
        }[split.task]
        raise ValueError(
            f"the model {name} must give outputs of shape (n, {split.outputs}) for {what}, got "
            f"{found} for a batch of 2."
        )
    if not torch.isfinite(outputs).all():
        raise ValueError(
            f"the model {name} gives NaN or infinity for the first examples, before any training. "
            "Check how its weights are made."
        )


def weights_in(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, read as tensors only.

    Raises:
        ValueError: if there is none that can be read.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise ValueError(f"reading {path} needs safetensors: pip install safetensors.") from error
    except OSError:
        raise
    except Exception as error:  # what reads them raises kinds of its own for damage
        raise ValueError(f"{path} holds no weights that can be read safely: {error}") from error
    state = found.get("model", found) if isinstance(found, Mapping) else found
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} holds no state dict: pass torch.save(model.state_dict(), path).")
    return dict(state)
