"""Label smoothing: nothing is mixed, the label alone is softened."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.losses import Family, check_distributions
from vicinal.mixing.draw import Loss, Model
from vicinal.models.forward import unwrapped


@dataclass(frozen=True)
class LabelSmoothing:
    r"""Clean inputs with the label $(1-s)\,e_y + s/K$: what mixup does to labels, without mixing.

    Labels that are each on or off have two classes each: every one becomes $(1-s)\,y + s/2$.

    The fair neighbour of mixup, whose labels are soft as well: a gain over ERM that label
    smoothing has too does not come from mixed inputs.

    Args:
        smoothing: s, the share given to all K classes alike, in [0, 1).

    Returns (when called with x, y, rng):
        A SmoothedDraw: apply it with `vicinal_losses`.

    Raises:
        ValueError: if smoothing is not in [0, 1).

    Source:
        Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), arXiv:1512.00567, section 7, with s = 0.1.

    Example:
        >>> from vicinal.maths.losses import categorical
        >>> x, y = torch.zeros(1, 2), torch.tensor([0])
        >>> draw = LabelSmoothing(0.5)(x, y, np.random.default_rng(0))
        >>> draw.losses(lambda x: torch.tensor([[0.0, 4.0]]), x, y, categorical)
        tensor([3.0181])
    """

    smoothing: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise ValueError(
                f"smoothing must lie in [0, 1), got {self.smoothing}. It is the share of the label "
                "that all classes get alike; 0.1 is usual, 1 would leave nothing to learn."
            )

    def __call__(self, x: Any, y: Tensor, rng: np.random.Generator) -> "SmoothedDraw":
        """Nothing is drawn."""
        return SmoothedDraw(self.smoothing)


@dataclass(frozen=True)
class SmoothedDraw:
    """The share of the label that all classes get."""

    smoothing: float

    @property
    def draw(self) -> None:
        """Nothing is mixed."""
        return None

    def losses(self, model: Model, x: Any, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
        """The loss of the softened label of each example.

        Raises:
            ValueError: for values, which have no classes to share among, and for soft labels that
                do not sum to 1.
        """
        if isinstance(loss, Family) and not loss.classifies:
            raise ValueError(
                f"label smoothing needs classes, the {loss.name} family has values. Leave it out."
            )
        outputs = unwrapped(model(x))
        return loss(outputs, smoothed(y, outputs, loss, self.smoothing))

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "SmoothedDraw":
        """The same; it holds no tensor."""
        return self


def smoothed(y: Tensor, outputs: Tensor, loss: Loss, share: float) -> Tensor:
    """Soft labels: of K classes, or the probability that each label is on."""
    on_or_off = isinstance(loss, Family) and loss.each is not None
    if on_or_off or outputs.ndim == 1 or outputs.shape[-1] == 1:
        return (1 - share) * y.to(outputs.dtype) + share / 2
    classes = outputs.shape[-1]
    if y.is_floating_point():
        check_distributions(y)
    else:
        y = torch.nn.functional.one_hot(y.long(), classes)
    return (1 - share) * y.to(outputs.dtype) + share / classes
