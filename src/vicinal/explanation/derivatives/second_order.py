"""What every second-order expansion is made of, per example, in float64.

At a base point and along one direction v of the example's own: the loss, <A'(f) - y, Jv>,
(Jv)' A'' (Jv), <A'(f) - y, H[v, v]> and <w, Jv> with a direction w of the label. And the last
three once more, averaged over a cloud of directions: those from the mean of the data to an
example.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.explanation.derivatives.choice import Engine
from vicinal.explanation.derivatives.differences import in_double
from vicinal.machine.processes import ALONE, Place, deal
from vicinal.maths.arguments import check_inputs, check_rng, check_tensors, check_whole
from vicinal.maths.losses import Family
from vicinal.maths.small_samples import of_sum
from vicinal.models.forward import Model, check_family, check_targets, logits_of, unchanged
from vicinal.models.numbers import (
    in_single,
    narrow_weights,
    warn_of_probabilities,
    warn_of_rounding,
)
from vicinal.models.passes import Passes

DIRECTIONS = 256  # carried through the model at once
BLOCK = 2**22  # numbers that are held in float64 at once
NUMBERS = {True: 2**17, False: 2**19}  # in inputs and directions of a pass, of images or tables


@dataclass(frozen=True)
class Cloud:
    """Directions that average over the data: all of its principal ones, or some drawn ones.

    Attributes:
        directions: v with Σ v v' the covariance of the data, the same for all examples, or those
            among which some were drawn, (rank, *rest).
        which: the directions drawn for each example, (count, n); None takes all for all.
        labels: the directions of the label that belong to them, (rank, *k).
        left: share of the variance of a mean that drawing without replacement leaves.
    """

    directions: Tensor
    which: Tensor | None
    labels: Tensor | None = None
    left: float = 1.0  # of the variance of a mean, where they were drawn without replacement

    def chunks(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Directions for some of the examples, and of their labels, a few at a time."""
        if self.which is not None:
            for chosen in self.which[:, rows]:
                w = None if self.labels is None else self.labels[chosen][None]
                yield self.directions[chosen][None], w
            return
        for start in range(0, len(self.directions), DIRECTIONS):
            some = slice(start, start + DIRECTIONS)
            v, w = self.directions[some], None if self.labels is None else self.labels[some]
            yield (
                v[:, None].expand(-1, len(rows), *v.shape[1:]),
                None if w is None else w[:, None],
            )


class Parts(NamedTuple):
    """Per example, (n,) each, on the CPU; the cloud's parts are means over its directions."""

    loss: Tensor
    own: Tensor  # (4, n): slope, curvature, residual, label
    cloud: Tensor  # (3, n): curvature, residual, label
    covariance: Tensor  # (n, 3, 3), of the cloud's parts of each example; 0 when exact
    freedom: int  # with which each covariance is estimated

    def error(self, weights: Tensor) -> float:
        """The standard error of the mean over examples of the cloud's parts, so weighted."""
        each = torch.einsum("p,npq,q->n", weights, self.covariance, weights)
        return of_sum(each.clamp(min=0), self.freedom) / len(each)


def engine_of(model: Model, family: Family, eval_mode: Model | None = None) -> Engine:
    """An engine for a model; `eval_mode` is the model as a function to logits, if at hand."""
    f = eval_mode or model
    return Engine(lambda x: logits_of(f, x), lambda x: logits_of(in_double(model), x), family)


@contextmanager
def examined(
    model: Model, x: Tensor, y: Tensor, family: Family
) -> Iterator[tuple[Callable[[Tensor], Tensor], Engine]]:
    """A model that fits these data, as a function to logits in eval mode and as an engine.

    Without gradients; afterwards the model is as it was.

    Raises:
        ValueError: for inputs, outputs or targets that do not fit.
        TypeError: for a loss that is not affine in the label.
    """
    check_family(family)
    check_inputs(x)
    check_tensors(y=y)
    with torch.no_grad(), unchanged(model) as narrow:
        f = in_single_of(model, narrow)
        check_targets(f, x, y, family)
        warn_of_probabilities(f, x, family)
        warn_of_rounding(f(x[:1]))
        yield f, engine_of(model, family, f)


def in_single_of(model: Model, f: Passes) -> Callable[[Tensor], Tensor]:
    """The function of an unchanged model, or that of its weights of 16 bits computed in 32."""
    if narrow_weights(model) is None:
        return f
    wide = in_single(model)
    return Passes(lambda x: logits_of(wide, x))


def in_single_too(model: Model, x: Tensor) -> Tensor:
    """Inputs of 16 bits in 32 where the model is computed in 32, so that differences keep digits.

    Raises:
        TypeError, ValueError: for what are no inputs.
    """
    check_inputs(x)
    return x if narrow_weights(model) is None else x.to(torch.promote_types(x.dtype, torch.float32))


def check_drawn(what: str, count: int | None, rng: np.random.Generator | None) -> None:
    """Refuse numbers of draws that give no standard error, and draws without a generator.

    Raises:
        ValueError: if so.
    """
    if count is not None:
        check_whole(what, count, 0)
    if rng is not None:
        check_rng(rng)
    if count is not None and not count >= 2:
        raise ValueError(f"{what} must be at least 2 to have a standard error, got {count}.")
    if count is not None and rng is None:
        raise ValueError(f"{what} are drawn at random: pass rng=numpy.random.default_rng(seed).")


def passes(x: Tensor, streams: int) -> list[Tensor]:
    """Row numbers in groups that keep one pass of so many streams within the cache."""
    each = max(1, x[0].numel()) * (2 + min(streams, DIRECTIONS))
    size = max(1, 3 * NUMBERS[x.ndim > 2] // each)
    return list(torch.split(torch.arange(len(x), device=x.device), size))


def parts(
    engine: Engine,
    x: Float[Tensor, "n *rest"],
    y: Tensor,
    own: Float[Tensor, "n *rest"],
    own_labels: Float[Tensor, "n *k"] | None,
    cloud: Cloud | None,
    where: Place = ALONE,
) -> Parts:
    """All parts at base points x with labels y; none of the cloud's if there is no cloud.

    Passes are dealt to the processes of `where`.
    """
    streams = 1 if cloud is None or cloud.which is not None else len(cloud.directions)

    def of_pass(rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        covariance = torch.zeros(len(rows), 3, 3, dtype=torch.float64)
        labels = own_labels if own_labels is None else own_labels[rows][None]
        loss, mine = _along(engine, x[rows], y[rows], own[rows][None], labels)
        rest = torch.zeros(0, 3, len(rows), dtype=torch.float64)
        if cloud is not None:
            chunks = [_along(engine, x[rows], y[rows], v, w)[1][1:] for v, w in cloud.chunks(rows)]
            rest = torch.stack(chunks) if chunks else rest
        if cloud is not None and cloud.which is not None:
            covariance = _covariance(rest) * (cloud.left / len(rest))
            rest = rest / len(rest)
        return loss, mine, rest.sum(0), covariance

    *found, covariances = zip(*deal(of_pass, passes(x, streams), where), strict=True)
    loss, mine, rest = (torch.cat(part, -1) for part in found)
    freedom = 1 if cloud is None or cloud.which is None else len(cloud.which) - 1
    return Parts(loss, mine, rest, torch.cat(covariances), freedom)


def principal(x: Float[Tensor, "n *rest"], labels: Float[Tensor, "n *k"] | None = None) -> Cloud:
    """The directions v with Σ v v' the covariance (1/n) of x, and w with Σ w v' that of labels."""
    centred = (x.double() - x.double().mean(0)).flatten(1)
    n = len(x)
    u, scale, vectors = torch.linalg.svd(centred / n**0.5, full_matrices=False)
    kept = scale > scale.max() * max(centred.shape) * torch.finfo(scale.dtype).eps
    v = (scale[kept, None] * vectors[kept]).to(x.dtype).reshape(-1, *x.shape[1:])
    if labels is None:
        return Cloud(v, which=None)
    wide = labels.double() - labels.double().mean(0)
    w = torch.tensordot(u[:, kept], wide, ([0], [0])) / n**0.5
    return Cloud(v, which=None, labels=w.to(x.dtype))


def drawn(
    x: Float[Tensor, "n *rest"],
    count: int,
    rng: np.random.Generator,
    labels: Float[Tensor, "n *k"] | None = None,
) -> Cloud:
    """For each example, `count` directions from the mean to examples drawn at random.

    They are different ones for one example, unless there are no more examples than that.
    """
    n = len(x)
    which = rng.integers(n, size=(count, n))
    if distinct := count < n:
        _set_apart(which, n, rng)
    left = 1 - count / n if distinct else 1.0
    own = None if labels is None else labels - labels.mean(0)
    return Cloud(centred(x), torch.from_numpy(which).to(x.device), own, left)


def _set_apart(which: np.ndarray, n: int, rng: np.random.Generator) -> None:
    """Draw again whatever an example was given before, until no column holds a number twice."""
    for k in range(1, len(which)):
        while (again := (which[:k] == which[k]).any(0)).any():
            which[k, again] = rng.integers(n, size=int(again.sum()))


def centred(x: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *rest"]:
    """The examples less their mean, taken in float64 block by block."""
    mean = sum(x[rows].double().sum(0) for rows in _blocks(x)) / len(x)
    found = torch.empty_like(x)
    for rows in _blocks(x):
        found[rows] = (x[rows].double() - mean).to(x.dtype)
    return found


def _blocks(x: Tensor) -> list[slice]:
    size = max(1, BLOCK // max(1, x[0].numel()))
    return [slice(start, start + size) for start in range(0, len(x), size)]


def _along(
    engine: Engine, x: Tensor, y: Tensor, v: Tensor, w: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The loss, (n,), and slope, curvature, residual, label, (4, n), summed over directions."""
    outputs, first, residual = engine(x, y, v)
    family = engine.family
    slope = (family.residual(outputs, y) * first).reshape(*first.shape[:2], -1).sum((0, 2))
    curvature = sum(family.quadratic(outputs, jv) for jv in first)
    label = torch.zeros_like(residual)
    if w is not None:
        label = w.reshape(*w.shape[:2], *first.shape[2:]) * first
        label = label.reshape(*first.shape[:2], -1).sum((0, 2))
    together = torch.stack([slope, torch.as_tensor(curvature), residual, label])
    return family(outputs, y).double().cpu(), together.double().cpu()


def _covariance(samples: Float[Tensor, "count parts n"]) -> Float[Tensor, "n parts parts"]:
    """Covariance of the parts over the samples of each example."""
    centred = samples - samples.mean(0)
    return torch.einsum("cpn,cqn->npq", centred, centred) / (len(samples) - 1)
