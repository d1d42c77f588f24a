r"""What an attack wants: when an example is broken, and the losses that lead there.

For class y, outputs f and their sorted values $f_{(1)} \ge f_{(2)} \ge \ldots$

    margin         max_{k≠y} f_k - f_y; -(2y-1) f for one logit, the largest of these for several
                   labels; |A'(f) - y| - tolerance for values, the length of it for several
    dlr            margin / (f_(1) - f_(3)); free of the scale of the logits
    targeted dlr   (f_t - f_y) / (f_(1) - (f_(3) + f_(4))/2)

A difference of logits ratio needs three outputs, a targeted one four; below that it is the margin.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vicinal.maths.arguments import check_number, check_tensors
from vicinal.maths.losses import Family
from vicinal.models.forward import check_family

Loss = Literal["family", "dlr", "margin"]
NAMED = 20  # examples that a warning names


@dataclass(frozen=True)
class Goal:
    """The targets of some examples, and what breaks them.

    Attributes:
        family: the loss.
        y: targets of the examples.
        tolerance: deviation of the mean from y that breaks an example of a family without
            classes; None if nothing breaks it.
        rows: places of the examples among those that were given at first.
        undefined: which of those had outputs that are not finite; shared, written by `broken`.
    """

    family: Family
    y: Tensor
    tolerance: float | None
    rows: Tensor
    undefined: Bool[Tensor, " all"]

    def __getitem__(self, rows: Tensor) -> "Goal":
        """The goal for some of the examples."""
        return replace(self, y=self.y[rows], rows=self.rows[rows])

    def broken(self, outputs: Tensor) -> Bool[Tensor, " n"]:
        """Misclassified, or further from y than the tolerance; never where not finite."""
        if self.family.classifies and torch.isfinite(outputs.sum()):
            return ~self.family.correct(outputs, self.y)
        finite = torch.isfinite(outputs).reshape(len(outputs), -1).all(-1)
        self.undefined[self.rows[~finite]] = True
        if self.family.classifies:
            return finite & ~self.family.correct(outputs, self.y)
        if self.tolerance is None:
            return torch.zeros_like(finite)
        return finite & (self.deviation(outputs) > self.tolerance)

    def warn(self) -> None:
        """Name the examples whose outputs were not finite at some point."""
        warn_of_undefined(self.undefined.nonzero()[:, 0].tolist())

    def deviation(self, outputs: Tensor) -> Float[Tensor, " n"]:
        """|A'(f) - y|, with slope 1 at 0, so that a perfect prediction can be moved."""
        residual = self.family.residual(outputs, self.y)
        if self.family.each is not None:
            return residual.square().sum(1).sqrt()
        residual = residual.reshape(len(outputs))
        return torch.where(residual >= 0, residual, -residual)

    def margin(self, outputs: Tensor, target: Tensor | None = None) -> Float[Tensor, " n"]:
        """How far beyond the boundary, in the units of the outputs; negative before it."""
        if not self.family.classifies:
            if target is None:
                return self.deviation(outputs) - (self.tolerance or 0.0)
            residual = self.family.residual(outputs, self.y).reshape(len(outputs))
            return target * residual - (self.tolerance or 0.0)
        if self.family.scalar:
            positive = self.y.reshape(len(outputs)) > 0.5
            logit = outputs.reshape(len(outputs))
            return torch.where(positive, -logit, logit)
        if self.family.each is not None:
            wrong = torch.where(self.y > 0.5, -outputs, outputs)
            return wrong.amax(1) if target is None else wrong.gather(1, target[:, None])[:, 0]
        label = self.label()[:, None]
        if target is None:
            other = outputs.scatter(1, label, -torch.inf).amax(1)
        else:
            other = outputs.gather(1, target[:, None])[:, 0]
        return other - outputs.gather(1, label)[:, 0]

    def label(self) -> Tensor:
        """The class of each example."""
        return self.y.argmax(-1) if self.y.is_floating_point() else self.y.long()

    def loss(
        self, name: Loss, target: Tensor | None = None
    ) -> Callable[[Tensor], Float[Tensor, " n"]]:
        """What to increase, as a function of the outputs."""
        if name == "family" and self.tolerance is None:
            return lambda outputs: self.family(outputs, self.y)
        if name != "dlr" or self.family.scalar or self.family.each is not None:
            return lambda outputs: self.margin(outputs, target)
        return lambda outputs: self._difference_of_logits_ratio(outputs, target)

    def grouped(
        self, outputs: Tensor, most: int, limit: int
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Pairs of examples and targets, as many targets at once as `limit` pairs allow."""
        n = len(outputs)
        every = torch.arange(n, device=outputs.device)
        targets = self.targets(outputs, most)
        size = max(1, limit // n)
        for start in range(0, len(targets), size):
            group = [target for target in targets[start : start + size] if target is not None]
            yield every.repeat(len(group) or 1), torch.cat(group) if group else None

    def targets(self, outputs: Tensor, most: int) -> list[Tensor] | list[None]:
        """The other classes of each example, likeliest first; up and down for values.

        The labels, nearest to being wrong first, where there are several. [None] where there is
        one way only, for one logit, and for several values, which have no up and down.
        """
        if self.family.each is not None:
            if not self.family.classifies:
                return [None]
            wrong = torch.where(self.y > 0.5, -outputs, outputs)
            return list(wrong.argsort(1, descending=True)[:, :most].unbind(1))
        if not self.family.classifies:
            up = torch.ones(len(outputs), dtype=outputs.dtype, device=outputs.device)
            return [up, -up]
        if self.family.scalar:
            return [None]
        others = outputs.scatter(1, self.label()[:, None], -torch.inf)
        order = others.argsort(1, descending=True)[:, : min(most, outputs.shape[1] - 1)]
        return list(order.unbind(1))

    def _difference_of_logits_ratio(self, outputs: Tensor, target: Tensor | None) -> Tensor:
        margin = self.margin(outputs, target)
        needed = 3 if target is None else 4
        if outputs.shape[1] < needed:
            return margin
        top = outputs.topk(needed, 1).values
        below = top[:, 2] if target is None else (top[:, 2] + top[:, 3]) / 2
        return margin / (top[:, 0] - below + 1e-12)


def goal(family: Family, y: Tensor, tolerance: float | None = None) -> Goal:
    """The goal for all examples.

    Raises:
        ValueError: for a tolerance that is not positive, or that is given for classes.
    """
    check_family(family)
    check_tensors(y=y)
    if tolerance is not None:
        check_number("tolerance", tolerance)
    if tolerance is not None and family.classifies:
        raise ValueError(
            f"tolerance is a deviation of predicted values; the {family.name} family classifies, "
            "so an example breaks when its class changes. Leave tolerance out."
        )
    if tolerance is not None and not 0 < tolerance < torch.inf:
        raise ValueError(
            f"tolerance must be positive and finite, got {tolerance}. It is the deviation of the "
            "prediction from y, in the units of y, beyond which an example counts as broken."
        )
    undefined = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    return Goal(family, y, tolerance, torch.arange(len(y), device=y.device), undefined)


def warn_of_undefined(places: Sequence[int]) -> None:
    """Name the examples for which the model gave NaN or infinity."""
    if places:
        more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
        warnings.warn(
            f"the model's outputs were not finite during the attack for {len(places)} examples: "
            f"{', '.join(map(str, places[:NAMED]))}{more}. They count as not attacked, and are "
            "no evidence of robustness.",
            stacklevel=4,
        )
