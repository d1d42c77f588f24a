"""Mixing at a hidden layer of someone's model, through a hook that is always removed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vicinal.machine.names import near
from vicinal.maths.laws import Beta
from vicinal.mixing.apply import mix
from vicinal.mixing.draw import Draw, Loss, Model, moved, per_sample, told, weights_like
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.pairing import Pairing, partners, shuffle
from vicinal.models.forward import unwrapped

INPUT = ""
"""The layer that stands for the input of the model."""


@dataclass(frozen=True)
class ManifoldMixup:
    """Mixup at a layer drawn anew for each batch, the input included.

    Args:
        layers: names of modules as in ``model.named_modules()``, whose outputs are mixed; ""
            is the input of the model. None means the input and the children of the model (of
            its nested nn.Sequential), all but the last.
        alpha: shape of the law of λ ~ Beta(alpha, alpha), positive.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A HiddenDraw: apply it with `vicinal_losses`, or by hand,
        ``with hidden_mix(model, draw.layer(model), draw.draw): outputs = model(x)``.

    Raises:
        ValueError: if alpha is not positive, or layers is empty or a single string.

    Source:
        Verma et al. (2019), arXiv:1806.05236, section 3, with alpha = 2 as its code has for CIFAR
        (0.2 for Tiny ImageNet); a weight per sample. That code mixes the input or the output of
        one of the first two stages of a ResNet: name those in `layers` to do the same.
    """

    layers: tuple[str, ...] | None = None
    alpha: float = 2.0
    pairing: Pairing = shuffle

    __repr__ = told

    def __post_init__(self) -> None:
        check_layers(self.layers)
        Beta(self.alpha)

    def __call__(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> "HiddenDraw":
        """Draw weights, partners and the layer for this batch."""
        draw = one_weight(self.alpha, self.pairing, x, y, rng)
        return HiddenDraw(draw, float(rng.random()), self.layers)


@dataclass(frozen=True)
class HiddenDraw:
    """What mixes one batch at a hidden layer.

    Attributes:
        draw: one weight per sample, whatever the shape of the layer.
        position: where the layer lies among `layers`, in [0, 1).
        layers: names to choose from; None for those of `hidden_layers`.
    """

    draw: Draw
    position: float
    layers: tuple[str, ...] | None

    def layer(self, model: Model) -> str:
        """The name of the layer drawn."""
        names = hidden_layers(model) if self.layers is None else self.layers
        return names[int(self.position * len(names))]

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """The mixed loss of the outputs, with hidden features mixed."""
        for name in self.layers or ():
            submodule(model, name)  # a wrong name is told on the first batch
        with hidden_mix(model, self.layer(model), self.draw):
            outputs = unwrapped(model(x))
        return mixed_loss(loss, outputs, y, self.draw)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "HiddenDraw":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


def hidden_mix(model: Model, layer: str, draw: Draw) -> Any:
    """A context in which the output of one module is mixed; the hook is removed afterwards.

    Args:
        model: an nn.Module; call it once within the context.
        layer: name of a module as in ``model.named_modules()``; "" mixes the input.
        draw: with one weight per sample.

    Raises:
        ValueError: if there is no such module (with near names), or it was not run exactly once
            within the context.
        TypeError: if the model is not an nn.Module.

    Source:
        Verma et al. (2019), arXiv:1806.05236.

    Example:
        >>> model = nn.Sequential(nn.Identity(), nn.Identity())
        >>> half = torch.tensor([0.5, 0.5])
        >>> with hidden_mix(model, "0", Draw(torch.tensor([1, 0]), keep=half, share=half)):
        ...     model(torch.tensor([0.0, 1.0]))
        tensor([0.5000, 0.5000])
    """
    return changed(model, layer, lambda features: mix(features, draw))


@contextmanager
def changed(model: Model, layer: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """A context in which the output of one module (or the input of the model) is changed."""
    module = submodule(model, layer)
    calls = 0

    def before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal calls
        calls += 1
        return (change(args[0]), *args[1:])

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        nonlocal calls
        calls += 1
        return change(output)

    if layer == INPUT:
        handle = module.register_forward_pre_hook(before)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()
    if calls != 1:
        raise ValueError(
            f"the layer {layer!r} ran {calls} times in one pass of the model, so mixing there has "
            "no meaning. Name a module that runs once: pass layers=(...)."
        )


def submodule(model: Model, layer: str) -> nn.Module:
    """The module of this name.

    Raises:
        TypeError: if the model is not an nn.Module.
        ValueError: if there is none, with near names.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"mixing at a layer needs the model as an nn.Module, got {type(model).__name__}. Pass "
            "the module itself, not a function that calls it."
        )
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if layer not in modules:
        names = [name for name in modules if name]
        found = near(layer, names, 3) or names[:6]
        raise ValueError(
            f"the model has no module {layer!r}. Near: {', '.join(found) or 'none'}. Names are "
            'those of model.named_modules(); "" is the input.'
        )
    return modules[layer]


def hidden_layers(model: Model) -> tuple[str, ...]:
    """The input and the children of the model, nested nn.Sequential opened, all but the last.

    Raises:
        TypeError: if the model is not an nn.Module.
    """
    return (INPUT, *_children(submodule(model, INPUT), "")[:-1])


def _children(module: nn.Module, prefix: str) -> list[str]:
    names = []
    for name, child in module.named_children():
        opened = _children(child, f"{prefix}{name}.") if isinstance(child, nn.Sequential) else []
        names += opened or [f"{prefix}{name}"]
    return names


def check_layers(layers: tuple[str, ...] | None) -> None:
    """Refuse a single name in place of several, and none at all."""
    if layers is not None and (isinstance(layers, str) or not layers):
        raise ValueError(
            f"layers must be a tuple of one name or more, got {layers!r}. For a single layer pass "
            'layers=("name",); for the default pass None.'
        )


def one_weight(
    alpha: float, pairing: Pairing, x: Tensor, y: Tensor, rng: np.random.Generator
) -> Draw:
    """A draw of one weight λ ~ Beta(alpha, alpha) per sample."""
    share = weights_like(x, Beta(alpha).sample(len(x), rng))
    return Draw(partners(pairing, x, y, rng), per_sample(share, x.ndim), share)
