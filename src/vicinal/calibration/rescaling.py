"""What mixup changed in training, undone at test time: inputs pulled in, outputs pulled out."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vicinal.maths.laws import Law, mean_larger_share
from vicinal.models.forward import Model, logits_of


class Rescaled(nn.Module):
    r"""A model trained with mixup, used at the scale of the inputs that it was trained on.

    Mixed inputs lie nearer to their mean than test inputs do, by θ̄ = E[max(λ, 1-λ)]. So the model
    is given $\bar\theta x + (1-\bar\theta) \bar x$, and its outputs f become
    $f/\bar\theta + (1 - 1/\bar\theta)\, \bar y$.

    Args:
        model: any callable from a batch to outputs.
        law: the law of λ that it was trained with.
        x_mean: mean of the training inputs, of the shape of one input.
        y_mean: mean of the training targets, as values or one-hot rows, of the shape of one output.

    Raises:
        ValueError: for means that are not finite.

    Source:
        Carratino, Cissé, Jenatton, Vert (2022), On mixup regularization, JMLR 23, section 5.

    Example:
        >>> from vicinal.maths.laws import Beta
        >>> model = Rescaled(lambda x: 2 * x, Beta(1.0), torch.ones(1), torch.zeros(1))
        >>> model(torch.tensor([[5.0]]))  # 2 · (3/4 · 5 + 1/4) · 4/3
        tensor([[10.6667]])
    """

    x_mean: Tensor
    y_mean: Tensor

    def __init__(
        self,
        model: Model,
        law: Law,
        x_mean: Float[Tensor, "*rest"],
        y_mean: Float[Tensor, "*k"],
    ) -> None:
        super().__init__()
        for name, mean in (("x_mean", x_mean), ("y_mean", y_mean)):
            if not bool(torch.isfinite(mean).all()):
                raise ValueError(f"{name} must be finite: it is a mean over the training data.")
        self.model = model
        self.weight = mean_larger_share(law)
        self.register_buffer("x_mean", x_mean.detach().clone())
        self.register_buffer("y_mean", y_mean.detach().clone())

    def forward(self, x: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *k"]:
        """The rescaled outputs."""
        outputs = logits_of(self.model, torch.lerp(self.x_mean.to(x).expand_as(x), x, self.weight))
        return outputs / self.weight + (1 - 1 / self.weight) * self.y_mean.to(outputs)
