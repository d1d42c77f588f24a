"""Small reference models. Normalisation is their first layer, so that attacks see true inputs."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """(x - mean) / std, with one mean and one deviation of the training data."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))

    def forward(self, x: Tensor) -> Tensor:
        """Standardised inputs, in the shape of x."""
        return (x - self.mean) / self.std


def linear(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Logistic regression on the flattened input."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def mlp(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Two hidden layers of 64, smooth (GELU), so that all three regularisers can act."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), 64),
        nn.GELU(),
        nn.Linear(64, 64),
        nn.GELU(),
        nn.Linear(64, classes),
    )


def cnn(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Two convolutions and one hidden layer, smooth (GELU), for small images (C, H, W)."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(32 * math.ceil(height / 2) * math.ceil(width / 2), 64),
        nn.GELU(),
        nn.Linear(64, classes),
    )


MODELS: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "cnn": cnn,
    "linear": linear,
    "mlp": mlp,
}
"""The reference models by name."""
