"""What the numbers are that a model computes with: of how many bits, logits or probabilities."""

import sys
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vicinal.maths.losses import Family
from vicinal.maths.probabilities import are_probabilities
from vicinal.models.forward import PROBED, Model

OURS = ("vicinal", "contextlib", "jaxtyping")  # whose lines are not the caller's


def narrow_weights(model: Model) -> torch.dtype | None:
    """float16 or bfloat16, if all weights are of it."""
    if not isinstance(model, nn.Module):
        return None
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
    return kinds.pop() if kinds in ({torch.float16}, {torch.bfloat16}) else None


def in_single(model: Model) -> Model:
    """The model with weights of 16 bits taken as numbers of 32; its own weights are left alone.

    Derivatives are differences of what 16 bits round away: terms of a net in bfloat16 are off by a
    fifth. With the same weights, computed in 32 bits, they are right.
    """
    if narrow_weights(model) is None:
        return model
    assert isinstance(model, nn.Module)
    state = dict(model.named_parameters()) | dict(model.named_buffers())
    wide = {k: v.float() if v.is_floating_point() else v.clone() for k, v in state.items()}
    return lambda x: functional_call(model, wide, (x.float(),))


def warn_of_rounding(outputs: Tensor) -> None:
    """Warn where outputs are of 16 bits, so that derivatives of them are noise."""
    if outputs.dtype in (torch.float16, torch.bfloat16):
        _warn(
            f"the model computes in {outputs.dtype}: its outputs are rounded by up to "
            f"{torch.finfo(outputs.dtype).eps / 2:.1e} of their size, and second-order terms may "
            "be off by a fifth and more. Pass the model itself with weights of 16 bits, which is "
            "then computed in 32, or one that computes in float32."
        )


def warn_of_probabilities(f: Callable[[Tensor], Tensor], x: Tensor, family: Family) -> None:
    """Warn where a model of several classes seems to end in a softmax."""
    with torch.no_grad():
        warn_of_probable(f(x[:PROBED]), family)


def warn_of_probable(outputs: Tensor, family: Family) -> None:
    """Warn where outputs of several classes seem to be probabilities."""
    several = outputs.ndim == 2 and not family.scalar and family.each is None
    if several and len(outputs) > 1 and are_probabilities(outputs):
        _warn(
            "the model's outputs lie in [0, 1] and sum to 1 for each example, so they seem to be "
            "probabilities; they are taken for logits. Leave out the softmax at the end, or pass "
            "their logarithm."
        )


def _warn(message: str) -> None:
    """Warn at the line that called this package."""
    frame, calls = sys._getframe(), 1
    while frame.f_back and frame.f_globals["__name__"].split(".")[0] in OURS:
        frame, calls = frame.f_back, calls + 1
    warnings.warn(message, stacklevel=calls)
