"""The test examples on which a model does worst, with what it says of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vicinal.data import Split
from vicinal.machine.pictures import picture
from vicinal.maths.losses import categorical


@dataclass(frozen=True)
class Hard:
    """One example with a large loss.

    Attributes:
        index: of the example in its part of the data.
        label: its class.
        predicted: the class that the model finds most probable.
        confidence: the probability it gives to that class.
        loss: in nats.
        picture: the example as a data address; None where it is no image.
    """

    index: int
    label: int
    predicted: int
    confidence: float
    loss: float
    picture: str | None


def hardest(outputs: Tensor, split: Split, shown: int) -> tuple[Hard, ...]:
    """The test examples with the largest loss, the worst first; none where there are no classes.

    Args:
        outputs: logits for the test part, (n, classes); both of them where there is one logit.
        split: the data.
        shown: how many.
    """
    y = split.test.y
    if y.is_floating_point() or outputs.ndim != 2 or outputs.shape[1] < 2:
        return ()
    losses = categorical(outputs, y).double()
    probabilities = outputs.double().softmax(-1)
    worst = losses.argsort(descending=True, stable=True)[:shown].tolist()
    return tuple(
        Hard(
            index=k,
            label=int(y[k]),
            predicted=int(probabilities[k].argmax()),
            confidence=float(probabilities[k].max()),
            loss=float(losses[k]),
            picture=_picture(split, split.test.x[k]),
        )
        for k in worst
    )


def _picture(split: Split, x: Tensor) -> str | None:
    if split.bounds is None or x.ndim != 3 or x.shape[0] not in (1, 3):
        return None
    low, high = split.bounds
    return picture(x.to(torch.float64).numpy(), low, high)
