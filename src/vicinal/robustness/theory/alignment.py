"""How inputs and gradients are aligned, and the radii of mixup's bound that follow."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vicinal.maths.laws import Law
from vicinal.models.forward import Model
from vicinal.robustness.attacks.door import opened
from vicinal.robustness.theory.second_order import logits_and_gradients


@dataclass(frozen=True)
class Alignment:
    """How inputs and gradients are aligned, and the radii that follow.

    Attributes:
        cosines: R_i, |cos(∇f(x_i), x_i)| of each example; 0 where a gradient vanishes.
        radii: ε_i of each example; its l2 radius in the units of x is ε_i √d.
        c_x: min ‖x_i‖ / √d.
    """

    cosines: Float[Tensor, " n"]
    radii: Float[Tensor, " n"]
    c_x: float


def alignment(model: Model, x: Float[Tensor, "n *rest"], law: Law) -> Alignment:
    """R_i and ε_i of a model with one logit, without the bound that they belong to.

    Args:
        model: maps x to one logit; measured in eval mode and left as it was.
        x: inputs, as the theorem wants them: centred.
        law: the law of λ.

    Example:
        >>> from vicinal.maths.laws import Uniform
        >>> x = torch.tensor([[3.0, 4.0], [4.0, -3.0]])
        >>> alignment(lambda x: x[:, 0], x, Uniform()).cosines
        tensor([0.6000, 0.8000], dtype=torch.float64)
    """
    with opened(model) as f:
        _, gradient = logits_and_gradients(f, x)
    return aligned(x.flatten(1).double(), gradient, law)


def aligned(flat: Float[Tensor, "n d"], gradient: Float[Tensor, "n d"], law: Law) -> Alignment:
    """The same of gradients that are known."""
    norms = flat.norm(dim=1)
    lengths = norms * gradient.norm(dim=1)
    cosines = (gradient * flat).sum(1).abs() / lengths.clamp(min=1e-300)
    c_x = float(norms.min()) / flat.shape[1] ** 0.5
    return Alignment(cosines, cosines * (c_x * 2 * law.spread), c_x)
