"""Mixup by sampling, as networks are trained: fresh draws in every batch, Adam, a falling rate."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vicinal.maths.losses import Family, poisson
from vicinal.mixing.apply import mix
from vicinal.mixing.labels import mixed_loss
from vicinal.mixing.mixup import Mixup

Layers = list[tuple[Tensor, Tensor]]
"""Weights (in, out) and biases (out,) of each layer; between layers stands ReLU."""


@dataclass(frozen=True)
class Sampling:
    """How to train by sampling.

    Attributes:
        hidden: sizes of the hidden layers; none for a linear model.
        epochs: passes over the data.
        batch_size: examples per step.
        learning_rate: of Adam, at the start; it falls to 0 along a cosine.
        l2: half this times the squared weights is added to the mean loss.
        fit_intercept: whether the layers have biases.
    """

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    l2: float
    fit_intercept: bool


def outputs(layers: Layers, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
    """The logits of a network of ReLU layers."""
    for weight, bias in layers[:-1]:
        x = torch.relu(torch.addmm(bias, x, weight))
    return torch.addmm(layers[-1][1], x, layers[-1][0])


def fit_sampled(
    x: Float[Tensor, "n d"],
    y: Tensor,
    weights: Float[Tensor, " n"],
    width: int,
    family: Family,
    strategy: Mixup,
    how: Sampling,
    rng: np.random.Generator,
) -> Layers:
    """Train on mixed batches; inputs are standardised within, which mixing commutes with.

    With weights, examples are drawn in proportion to them, with replacement; without, each
    epoch is a permutation. The penalty is on the weights in the units of the inputs.

    Raises:
        ValueError: if the weights are no longer finite after an epoch.
    """
    share = weights / weights.sum()
    mean = share @ x if how.fit_intercept else torch.zeros_like(x[0])
    deviation = (share @ (x - mean).square()).sqrt()
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    z = (x - mean) / deviation
    layers = _initial((x.shape[1], *how.hidden, width), rng)
    if how.fit_intercept and family is poisson:  # at the mean rate, which may be far from 1
        layers[-1][1].data.fill_(float((share @ y).log()))
    biases = [bias for _, bias in layers] if how.fit_intercept else []
    optimiser = torch.optim.Adam([*(weight for weight, _ in layers), *biases], how.learning_rate)
    even = bool((weights == weights[0]).all())
    steps = math.ceil(len(x) / how.batch_size)
    for epoch in range(how.epochs):
        order = rng.permutation(len(x)) if even else rng.choice(len(x), len(x), p=share.numpy())
        for step in range(steps):
            rows = torch.from_numpy(order[step * how.batch_size :][: how.batch_size])
            done = (epoch + step / steps) / how.epochs
            for group in optimiser.param_groups:
                group["lr"] = how.learning_rate * (1 + math.cos(math.pi * done)) / 2
            draw = strategy(z[rows], y[rows], rng)
            loss = mixed_loss(family, outputs(layers, mix(z[rows], draw)), y[rows], draw).mean()
            penalty = (layers[0][0] / deviation[:, None]).square().sum()
            penalty = penalty + sum(weight.square().sum() for weight, _ in layers[1:])
            optimiser.zero_grad()
            (loss + how.l2 / 2 * penalty).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        if not all(bool(torch.isfinite(weight).all()) for pair in layers for weight in pair):
            raise ValueError(
                f"training by sampling diverged in epoch {epoch + 1}: the weights are no longer "
                f"finite. Lower learning_rate={how.learning_rate:g}, or scale inputs and targets."
            )
    return _in_units(layers, mean, deviation)


def _initial(sizes: tuple[int, ...], rng: np.random.Generator) -> Layers:
    """He's initial weights for hidden layers (arXiv:1502.01852), zero for the last."""
    layers: Layers = []
    for into, out in pairwise(sizes):
        weight = rng.standard_normal((into, out)) * (2 / into) ** 0.5
        weight *= len(layers) < len(sizes) - 2
        bias = torch.zeros(out, dtype=torch.float64)
        layers.append((torch.from_numpy(weight).requires_grad_(), bias.requires_grad_()))
    return layers


def _in_units(layers: Layers, mean: Tensor, deviation: Tensor) -> Layers:
    (weight, bias), *rest = [(weight.detach(), bias.detach()) for weight, bias in layers]
    weight = weight / deviation[:, None]
    return [(weight, bias - mean @ weight), *rest]
