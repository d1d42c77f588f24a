"""Mixing at a hidden layer of someone's model, through a hook that is always removed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vicinal.maths.laws import Beta
from vicinal.mixing.apply import mix
from vicinal.mixing.draw import Draw, Loss, Model, moved, per_sample, told, weights_like
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.layers import INPUT, full_name, hidden_layers, named_layers, submodule
from vicinal.mixing.pairing import Pairing, partners, shuffle
from vicinal.mixing.watch import check_once, uncompiled
from vicinal.models.forward import unwrapped


@dataclass(frozen=True)
class ManifoldMixup:
    """Mixup at a layer drawn anew for each batch, the input included.

    Args:
        layers: names of modules as in ``model.named_modules()``, whose outputs are mixed; ""
            is the input of the model. Names within a wrapped model are found too. None means the
            input and the stages, blocks or layers within the model, see
            `vicinal.mixing.layers.hidden_layers`.
        alpha: shape of the law of λ ~ Beta(alpha, alpha), positive.
        pairing: how partners are chosen.

    Returns (when called with x, y, rng):
        A HiddenDraw: apply it with `vicinal_losses`, or by hand,
        ``with hidden_mix(model, draw.layer(model), draw.draw): outputs = model(x)``.

    Raises:
        ValueError: if alpha is not positive, or layers is empty or a single string.
        TypeError: if layers holds anything but names.

    The model is run once more with the first batch, to see that each layer runs exactly once; where
    nothing is left but the input, the loss raises a ValueError. Of a compiled model, a pass that
    is mixed within runs uncompiled.

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

    def layer(self, model: Model, x: Any = None) -> str:
        """The name of the layer drawn; with a batch x, of those that run once in a pass over it."""
        if self.layers is None:
            names = hidden_layers(model, x)
        else:
            names = named_layers(model, self.layers, x)
        return names[int(self.position * len(names))]

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """The mixed loss of the outputs, with hidden features mixed."""
        with hidden_mix(model, self.layer(model, x), self.draw):
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
    assert isinstance(model, nn.Module)
    hidden = full_name(model, layer) != INPUT
    if hidden:
        _refuse_replicas(model)
    calls = 0

    def before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal calls
        calls += 1
        return (change(args[0]), *args[1:])

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        nonlocal calls
        calls += 1
        return change(output)

    if hidden:
        handle = module.register_forward_hook(after)
    else:
        handle = module.register_forward_pre_hook(before)
    try:
        with uncompiled(model):
            yield
    finally:
        handle.remove()
    check_once(layer, calls)


def _refuse_replicas(model: nn.Module) -> None:
    for part in model.modules():
        if isinstance(part, nn.DataParallel) and len(part.device_ids) > 1:
            raise ValueError(
                f"DataParallel cuts the batch among {len(part.device_ids)} devices, and partners "
                "may lie on others, so hidden features cannot be mixed there. Pass model.module, "
                "or use DistributedDataParallel."
            )


def check_layers(layers: tuple[str, ...] | None) -> None:
    """Refuse a single name in place of several, none at all, and what is no name."""
    if layers is None:
        return
    if isinstance(layers, int | float):
        raise TypeError(
            f"layers must be a tuple of names of modules, got {layers!r}. It comes first; "
            f"the shape of the law of λ is a keyword: alpha={layers!r}."
        )
    if isinstance(layers, str) or not isinstance(layers, tuple | list) or not layers:
        raise ValueError(
            f"layers must be a tuple of one name or more, got {layers!r}. For a single layer pass "
            'layers=("name",); for the default pass None.'
        )
    for name in layers:
        if not isinstance(name, str):
            raise TypeError(f"layers must hold names of modules, got {name!r} among {layers!r}.")


def one_weight(
    alpha: float, pairing: Pairing, x: Tensor, y: Tensor, rng: np.random.Generator
) -> Draw:
    """A draw of one weight λ ~ Beta(alpha, alpha) per sample."""
    share = weights_like(x, Beta(alpha).sample(len(x), rng))
    return Draw(partners(pairing, x, y, rng), per_sample(share, x.ndim), share)
