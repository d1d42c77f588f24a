r"""What mixup says about adversarial loss: its bound, each condition measured, and exact cases.

$$\tilde l_{adv}(\eta, i) = l_i + \eta\,|p_i - y_i|\,\|\nabla f(x_i)\|
                            + \tfrac{\eta^2}2 A''_i \|\nabla f(x_i)\|^2$$
$$L_{std} + R_1 + R_2 + R_3 \;\ge\; \mathrm{mean}_i\,\tilde l_{adv}(\epsilon_i \sqrt d, i)
  \;\ge\; \mathrm{mean}_i\,\tilde l_{adv}(\epsilon_{mix} \sqrt d, i)$$
$$\epsilon_i = R_i\, c_x\, 2\kappa, \qquad R_i = |\cos(\nabla f(x_i), x_i)|, \qquad
  \epsilon_{mix} = \min_i \epsilon_i, \qquad c_x = \min_i \|x_i\| / \sqrt d$$

with $2\kappa = E_{\tilde D}[1-\lambda]$. The bound rests on conditions that real models seldom
meet, so each is measured and none is assumed.
"""

from dataclasses import dataclass

from jaxtyping import Float, Shaped
from torch import Tensor

from vicinal.explanation.terms import Expansion, expand
from vicinal.maths.arguments import check_law
from vicinal.maths.laws import Law
from vicinal.maths.losses import Family, bernoulli
from vicinal.models.forward import Model, check_targets
from vicinal.models.numbers import narrow_weights
from vicinal.robustness.attacks.door import opened
from vicinal.robustness.theory.alignment import aligned
from vicinal.robustness.theory.second_order import (
    logits_and_gradients,
    only_bernoulli,
    second_order,
    warn_of_flat,
)

CENTRED, HOMOGENEOUS = 1e-5, 1e-4  # relative deviations that count as none
STRAIGHT = 1e-6  # |R3| / (|L_std| + R2) that counts as no curvature

SAYS_NOT = (
    "It bounds a loss, not robust accuracy: the radius of an example is at most 2κ ≤ 1/2 of the "
    "linearised distance to its boundary, so it shows no example to be robust.",
    "It says nothing about perturbations bounded in linf.",
    "Both sides are second-order surrogates of the mixup loss and of the adversarial loss.",
)


@dataclass(frozen=True)
class Condition:
    """One condition: whether it holds, the number measured, and what is required of it."""

    holds: bool
    measured: float
    required: str


@dataclass(frozen=True)
class MixupBound:
    """Both sides of the bound and everything that enters.

    Attributes:
        conditions: name → Condition: binary_labels, centred, classified, homogeneous, straight,
            away_from_zero.
        alignment: R_i, |cos(∇f(x_i), x_i)| of each example; 0 where a gradient vanishes.
        radii: ε_i of each example; its l2 radius in the units of x is ε_i √d.
        epsilon_mix: the smallest of them.
        c_x: min ‖x_i‖ / √d.
        features: d.
        mixup_loss: L_std + R1 + R2 + R3, exact over all pairs.
        adversarial_loss: second-order adversarial loss, example i at the radius ε_i √d.
        adversarial_loss_mix: the same with ε_mix for all.
        says_not: what does not follow.
    """

    conditions: dict[str, Condition]
    alignment: Float[Tensor, " n"]
    radii: Float[Tensor, " n"]
    epsilon_mix: float
    c_x: float
    features: int
    mixup_loss: float
    adversarial_loss: float
    adversarial_loss_mix: float
    says_not: tuple[str, ...] = SAYS_NOT

    @property
    def guaranteed(self) -> bool:
        """Whether all conditions hold, so that the theorem applies."""
        return all(condition.holds for condition in self.conditions.values())

    @property
    def holds(self) -> bool:
        """Whether the inequalities are true here, guaranteed or not (to rounding)."""
        slack = 1e-9 * (1 + abs(self.mixup_loss))
        upper = self.mixup_loss + slack >= self.adversarial_loss
        return upper and self.adversarial_loss + slack >= self.adversarial_loss_mix

    def share_of(self, distances: Float[Tensor, " n"]) -> float:
        """Median of radius over minimal l2 distortion found by attacks, both in units of x.

        Examples that no attack broke count as 0, those broken without distortion are left out.

        Raises:
            ValueError: if there is not one distance per example, or none is positive.
        """
        if len(distances) != len(self.radii) or not bool((distances > 0).any()):
            raise ValueError(
                f"pass one l2 distance for each of the {len(self.radii)} examples, at least one "
                f"of them positive; got {len(distances)}."
            )
        use = distances > 0
        found = distances.double()[use]
        return float((self.radii.to(found)[use] * self.features**0.5 / found).median())


def mixup_bound(
    model: Model,
    x: Float[Tensor, "n *rest"],
    y: Shaped[Tensor, "n *k"],
    law: Law,
    family: Family = bernoulli,
) -> MixupBound:
    """Mixup's bound on the adversarial loss of a binary classifier, with its conditions.

    In random trials no violation was found where the conditions hold; on data that are not
    centred every third trial violated the bound, and with training errors nine of ten. So read
    `conditions` first: only where all hold is the inequality a theorem, and elsewhere `holds`
    is luck. A constant shift of the inputs changes R_i and c_x, so the bound belongs to
    the inputs as the model sees them.

    Args:
        model: maps x to one logit; measured in eval mode and left as it was.
        x: training inputs; the theorem wants them centred. The mean of x belongs to the data, so
            center x together with the model.
        y: labels 0 and 1 (n,).
        law: the law of λ.
        family: bernoulli; the bound is proved for no other.

    Returns:
        MixupBound, in nats and float64.

    Warns:
        UserWarning: if all gradients are 0.

    Raises:
        ValueError: for other families, targets that do not fit, or a logit without gradient.
        TypeError: for a model with weights of 16 bits.

    Source:
        Zhang, Deng, Kawaguchi, Ghorbani, Zou (2021), arXiv:2010.04819, theorem 3.1 and
        lemma 3.2; the conditions are those under which it was proved again and tried.

    Example:
        >>> from vicinal.maths.laws import Uniform
        >>> x = torch.tensor([[1.0], [-1.0]])
        >>> bound = mixup_bound(lambda x: x, x, torch.tensor([1, 0]), Uniform())
        >>> bound.guaranteed, bound.holds, round(bound.epsilon_mix, 3)
        (True, True, 0.333)
    """
    only_bernoulli(family)
    check_law(law)
    if (narrow := narrow_weights(model)) is not None:
        raise TypeError(
            f"the bound needs second derivatives, which weights of {narrow} round away. Pass "
            "model.float(), a copy if the model must stay as it is."
        )
    with opened(model) as f:
        check_targets(f, x, y, family)
        logits, gradient = logits_and_gradients(f, x)
    warn_of_flat(gradient)
    flat, label = x.flatten(1).double(), y.reshape(len(x)).double()
    expansion = expand(model, x, y, law, family)
    lined, features = aligned(flat, gradient, law), flat.shape[1]
    radii, c_x = lined.radii, lined.c_x
    second = second_order(logits, label, gradient.norm(dim=1))
    return MixupBound(
        _conditions(flat, label, logits, gradient, expansion, c_x),
        lined.cosines,
        radii,
        float(radii.min()),
        c_x,
        features,
        expansion.total,
        float(second(radii * features**0.5).mean()),
        float(second(radii.min() * features**0.5).mean()),
    )


def _conditions(
    flat: Float[Tensor, "n d"],
    label: Float[Tensor, " n"],
    logits: Float[Tensor, " n"],
    gradient: Float[Tensor, "n d"],
    expansion: Expansion,
    c_x: float,
) -> dict[str, Condition]:
    inner, scale = (gradient * flat).sum(1), float(flat.square().sum(1).mean().sqrt())
    deviation = (logits - inner).abs().max() / logits.abs().max().clamp(min=1e-300)
    bend = abs(expansion.r3) / max(abs(expansion.loss) + abs(expansion.r2), 1e-300)
    correct = float((((logits > 0) == (label > 0.5)).double()).mean())
    wrong_labels = float(((label != 0) & (label != 1)).double().mean())
    off = float(flat.mean(0).norm()) / max(scale, 1e-300)
    return {
        "binary_labels": _condition(wrong_labels, 0, "share of labels other than 0 and 1 is 0"),
        "centred": _condition(off, CENTRED, "‖mean of x‖ / root mean square of ‖x‖ is 0"),
        "classified": Condition(
            correct == 1, correct, "every example is classified correctly: accuracy is 1"
        ),
        "homogeneous": _condition(float(deviation), HOMOGENEOUS, "max |f - ∇f·x| / max |f| is 0"),
        "straight": _condition(bend, STRAIGHT, "|R3| / (L_std + R2) is 0: no curvature of f"),
        "away_from_zero": Condition(c_x > 0, c_x, "c_x = min ‖x‖/√d is positive"),
    }


def _condition(measured: float, most: float, required: str) -> Condition:
    return Condition(measured <= most, measured, f"{required} (to {most:g})" if most else required)
