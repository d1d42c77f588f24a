"""The models of the figures: piecewise linear, with or without biases; and how they are trained."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from vicinal.data import Part
from vicinal.machine.devices import forked
from vicinal.maths.losses import Family
from vicinal.maths.randomness import generator
from vicinal.mixing.choice import During
from vicinal.mixing.draw import Strategy
from vicinal.study.options import Recipe
from vicinal.study.training.loop import Member, train
from vicinal.study.training.resume import Row

Shape = tuple[int, ...]
BATCH = 32


class Diverged(Exception):
    """The training loss stopped being a number."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the training loss was not finite in epoch {epoch}")


def linear(shape: Shape, outputs: int, *, bias: bool = True) -> nn.Module:
    """Logistic regression."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), outputs, bias=bias))


def relu(shape: Shape, outputs: int, *, bias: bool = True) -> nn.Module:
    """Two layers with ReLU in between."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), 64, bias=bias),
        nn.ReLU(),
        nn.Linear(64, outputs, bias=bias),
    )


def lenet(shape: Shape, outputs: int, *, bias: bool = True) -> nn.Module:
    """Two convolutions with max-pooling and two layers, as in LeNet, with ReLU."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * (height // 4) * (width // 4), 32, bias=bias),
        nn.ReLU(),
        nn.Linear(32, outputs, bias=bias),
    )


def seeded(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """A model with the initial weights of a seed; torch's own random state is as before."""
    with forked():
        torch.manual_seed(int(generator(seed, "weights").integers(2**62)))
        return make()


def fit(
    model: nn.Module,
    strategy: Strategy | During | None,
    part: Part,
    family: Family,
    *,
    epochs: int,
    seed: int,
    learning_rate: float = 0.01,
    weight_decay: float = 0.0,
    at: Sequence[int] = (),
    look: Callable[[nn.Module], Row] = lambda model: {},
) -> list[Row]:
    """Train a model in place by the one loop, and look at it before, at, and after some epochs.

    Args:
        model: trained in place.
        strategy: how batches are mixed; None trains without mixing.
        part: the training data.
        family: the loss.
        epochs: passes over the data.
        seed: of batch order and draws.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        at: epochs to look at; 0 is before training.
        look: what is measured then.

    Returns:
        What `look` gave, with its epoch, in the order of epochs.

    Raises:
        Diverged: if the loss stops being a number.
    """
    first = [{"epoch": 0.0} | look(model)] if 0 in at else []
    member = Member(
        "figure",
        model,
        strategy,
        part.x,
        part.y,
        seed,
        evaluate=lambda epoch: look(model) if epoch in at else {},
    )
    recipe = Recipe(
        epochs=epochs, batch_size=BATCH, learning_rate=learning_rate, weight_decay=weight_decay
    )
    with TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "state"
        (trained,) = train([member], family, recipe, checkpoint=checkpoint, progress=lambda: None)
    if trained.failed is not None:
        raise Diverged(trained.failed)
    model.eval()
    return first + [row for row in trained.history if row["epoch"] in at]
