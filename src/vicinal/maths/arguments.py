"""What every door asks of its arguments: that they are of the kind that is named there."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from torch import Tensor

from vicinal.maths.laws import Law
from vicinal.maths.randomness import checked

MOST = 2**31  # nothing that is counted here is more, and a loop to there would not end


def check_tensors(**named: object) -> None:
    """Refuse what is no tensor of real numbers with examples in its first axis.

    Raises:
        TypeError: then, with how to make one.
        ValueError: for a single number.
    """
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} must be a torch.Tensor, got {type(value).__name__}. For arrays and lists "
                "of numbers pass torch.as_tensor of it, inputs as floats and class ids as integers."
            )
        if value.is_complex():
            raise TypeError(f"{name} must hold real numbers, got {value.dtype}.")
        if not value.ndim:
            raise ValueError(f"{name} must hold one entry per example, got a single number.")


def check_inputs(x: object) -> None:
    """Refuse inputs that are no tensor of floating numbers.

    Raises:
        TypeError: then.
        ValueError: for no examples, or examples without numbers.
    """
    check_tensors(x=x)
    assert isinstance(x, Tensor)
    if not x.is_floating_point():
        raise TypeError(f"x must hold floating numbers, got {x.dtype}. Pass x.float(), scaled.")
    if not x.numel():
        raise ValueError(f"x must hold at least 1 example of 1 number, got {tuple(x.shape)}.")


def check_rng(rng: Any, *, needed: bool = True) -> None:
    """Refuse what numbers cannot be drawn from.

    Raises:
        TypeError: for anything but a generator, and for None where one is needed.
    """
    if rng is not None or needed:
        checked(rng)


def check_law(law: object) -> None:
    """Refuse what is no law of λ.

    Raises:
        TypeError: for anything else, with the laws that there are.
    """
    if isinstance(law, type) or not isinstance(law, Law):
        raise TypeError(
            f"law must be a law of λ, such as vicinal.Beta(0.2), Uniform() or Fixed(0.3), got "
            f"{repr(law)[:60]}."
        )


def check_whole(name: str, value: object, least: int) -> None:
    """Refuse what is no whole number, or one out of range.

    Raises:
        TypeError: for other types.
        ValueError: for less than the least, and for more than can be gone through.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, at least {least}, got {repr(value)[:60]}.")
    if not int(value) >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
    if not int(value) < MOST:
        raise ValueError(f"{name} must be less than {MOST}, got one of {len(str(value))} digits.")


def check_number(name: str, value: object) -> None:
    """Refuse what is no real number.

    Raises:
        TypeError: then.
    """
    if not isinstance(value, Real | np.number) or isinstance(value, bool | np.complexfloating):
        raise TypeError(f"{name} must be a number, got {repr(value)[:60]}.")
    try:
        float(value)
    except OverflowError as error:
        raise ValueError(f"{name} is beyond all numbers of 64 bits.") from error


def check_sizes(name: str, values: object) -> None:
    """Refuse what is no list of numbers.

    Raises:
        TypeError: then.
    """
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray | Tensor):
        raise TypeError(f"{name} must be a list of numbers, got {repr(values)[:60]}.")
    if not isinstance(values, Sequence) and np.ndim(values) != 1:
        raise TypeError(f"{name} must be a list of numbers, got shape {tuple(values.shape)}.")
    for value in values if isinstance(values, Sequence) else np.asarray(values):
        check_number(name, value)
