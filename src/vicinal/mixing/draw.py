"""The draw: everything random about a mixed batch."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Model = Callable[..., Any]
"""Any callable from a batch to outputs; Manifold Mixup needs it to be an nn.Module."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps (outputs, y) to one loss per example, (n,)."""


@dataclass(frozen=True)
class Draw:
    """All that is random about one mixed batch; it can be saved, inspected and replayed.

    Attributes:
        partner: π, which sample each sample is mixed with.
        keep: own weight per coordinate; it broadcasts against x. One weight per sample, of
            any number of axes, fits inputs, hidden features and tables alike.
        share: own weight in the loss, in [0, 1].
        place: which coordinate of the partner is read at each coordinate of the last axes, those
            that are cut, counted row by row; None reads the same coordinate.
        own_place: the same for the sample itself.
    """

    partner: Int[Tensor, " n"]
    keep: Float[Tensor, "n *rest"]
    share: Float[Tensor, " n"]
    place: Int[Tensor, "n *sides"] | None = None
    own_place: Int[Tensor, "n *sides"] | None = None

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "Draw":
        """The same draw on another device, for batches that are moved after they were drawn."""
        return moved(self, device, non_blocking)


@dataclass(frozen=True)
class Blend:
    """A mixture of k samples at one weight each: the draw of k-way mixing.

    Attributes:
        partners: which samples each sample is mixed with.
        shares: the weights, in inputs and loss alike, own first; rows sum to 1 exactly.
    """

    partners: Int[Tensor, "n others"]
    shares: Float[Tensor, "n k"]

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "Blend":
        """The same draw on another device."""
        return moved(self, device, non_blocking)


Mixture = Draw | Blend
"""What `mix`, `mixed_loss`, `soft_targets` and the metrics apply."""


@runtime_checkable
class Objective(Protocol):
    """A draw that asks for more than one mixed batch, and says itself what is minimised.

    Such are the draws of RegMixup, MixupE, MIT, SaliencyMix, PuzzleMix, Manifold Mixup and Noisy
    Feature Mixup. Apply them with `vicinal_losses`; nothing in them is random any more.
    """

    @property
    def draw(self) -> Mixture | None:
        """The mixture within, for metrics; None where it needs the model."""

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """Per-example losses, not averaged."""

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "Objective":
        """The same draw on another device."""


AnyDraw = Mixture | Objective | None
Strategy = Callable[[Tensor, Tensor, np.random.Generator], AnyDraw]
"""A function of (x, y, rng) to a draw. Training without mixing is the strategy None.

Of several inputs it takes the one whose shape decides, such as the image that is cut; the draw is
then applied to all of them.
"""


def told(record: Any) -> str:
    """The representation of a strategy: functions by name, so that it is the same in every run."""
    shown = (
        f"{f.name}={getattr(v := getattr(record, f.name), '__name__', repr(v))}"
        for f in fields(record)
    )
    return f"{type(record).__name__}({', '.join(shown)})"


Record = TypeVar("Record", bound=Any)


def moved(record: Record, device: torch.device | str | int, non_blocking: bool) -> Record:
    """A record with all its tensors, and the draws in it, on another device."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    changes = {
        name: value.to(device, non_blocking=non_blocking)
        for name, value in values.items()
        if isinstance(value, Tensor | Draw | Blend | Objective)
    }
    return replace(record, **changes)


def weight_dtype(x: Tensor) -> torch.dtype:
    """The floating dtype of x; the default one for integers."""
    one_tensor(x)
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


def weights_like(x: Tensor, values: np.ndarray) -> Tensor:
    """Weights in the floating dtype of x (float32 for integers), on its device."""
    dtype = weight_dtype(x)
    if values.dtype == bool:  # NumPy casts these six times as fast
        values = values.astype(np.float32)
    # strides are kept by the cast, and those of a transposed mask would slow mixing sixfold
    return torch.from_numpy(np.ascontiguousarray(values)).to(x.device, dtype)


def one_tensor(x: Tensor) -> None:
    """Refuse several inputs where a strategy is called, which draws for one.

    Raises:
        TypeError: if x is not a tensor.
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"a strategy draws for one tensor, got {type(x).__name__}. Of several inputs pass the "
            "one whose shape decides, such as the image that is cut, and mix all of them with "
            "the draw; arrays pass as torch.from_numpy(x)."
        )


def tensors(**values: object) -> None:
    """Refuse arrays, lists and the like where tensors are computed with.

    Raises:
        TypeError: if a value is not a tensor.
    """
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} must be a tensor, got {type(value).__name__}. Arrays pass as "
                f"torch.from_numpy({name}), lists as torch.tensor({name})."
            )


def per_sample(share: Tensor, ndim: int) -> Tensor:
    """Shares (n,) as kept weights for samples of any shape."""
    return share.reshape(len(share), *[1] * (ndim - 1))


def sources(draw: Mixture) -> list[tuple[Tensor | None, Tensor]]:
    """Who is in each mixture, with which share; None stands for the sample itself, first."""
    if isinstance(draw, Draw):
        return [(None, draw.share), (draw.partner, 1 - draw.share)]
    others = zip(draw.partners.unbind(1), draw.shares.unbind(1)[1:], strict=True)
    return [(None, draw.shares[:, 0]), *others]


def check_draw(x: Tensor, draw: Mixture) -> None:
    """Refuse a draw that needs the model, or was made for another batch size or device."""
    if not isinstance(draw, Draw | Blend) and not isinstance(draw, Objective):
        raise TypeError(
            f"a draw is needed, got {type(draw).__name__}. Call a strategy for it, as in "
            "Mixup(0.2)(x, y, rng), or pass None to leave all unmixed."
        )
    if not isinstance(draw, Draw | Blend):
        raise TypeError(
            f"{type(draw).__name__} is not a plain draw, it needs the model: use "
            "vicinal_losses(model, x, y, draw, loss). Its attribute draw holds the mixture."
        )
    if isinstance(draw, Draw):
        rows = draw.partner
        tensors(partner=rows, keep=draw.keep, share=draw.share)
    else:
        rows = draw.partners
        tensors(partners=rows, shares=draw.shares)
    if not x.ndim:
        raise ValueError("mixing needs a batch, first axis the examples, got a single number.")
    if len(rows) != len(x):
        raise ValueError(
            f"the draw was made for {len(rows)} examples, this batch has {len(x)}. "
            "Draw anew for each batch, the last one included."
        )
    if rows.device != x.device:
        raise ValueError(
            f"the draw is on {rows.device}, the batch on {x.device}. Pass draw.to(x.device)."
        )
