"""Which engine differentiates a model: the first of three that can."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from vicinal.explanation.derivatives import backward, differences, forward
from vicinal.maths.losses import Family

FORWARD, BACKWARD, DIFFERENCES = "forward propagation", "twice backward", "central differences"


class Along(NamedTuple):
    """A model's outputs at some examples, differentiated along D directions for each."""

    outputs: Tensor  # (n, *k)
    first: Tensor  # (D, n, *k)
    residual: Tensor  # (n,), <A'(f) - y, the sum of the D second derivatives>


@dataclass
class Engine:
    """Differentiates one model by forward propagation, else twice backward, else differences.

    It starts with the fastest and moves on for good when the model does something that the
    engine cannot follow.

    Attributes:
        f: the model, to logits.
        wide: the model in float64, to logits.
        family: the loss.
        candidates: engines still to be considered, the one in use first.
        refusals: why the others were given up.
    """

    f: Callable[[Tensor], Tensor]
    wide: Callable[[Tensor], Tensor]
    family: Family
    candidates: list[str] = field(default_factory=lambda: [FORWARD, BACKWARD, DIFFERENCES])
    refusals: list[str] = field(default_factory=list)

    def __call__(self, x: Tensor, y: Tensor, directions: Tensor) -> Along:
        """Outputs and derivatives along directions (D, *x.shape)."""
        while True:
            try:
                with mathematical_attention():
                    return self._run(x, y, directions)
            except (
                forward.Unsupported,
                backward.Detached,
                RuntimeError,
                TypeError,
                AttributeError,
                AssertionError,
                LookupError,
            ) as error:
                if len(self.candidates) == 1:
                    raise
                reason = " ".join(str(error).split())[:120] or type(error).__name__
                self.refusals.append(f"{self.candidates.pop(0)} stopped at {reason}")

    @property
    def report(self) -> str:
        """The engine in use, and why not a faster one."""
        return self.candidates[0] + "".join(f"; {refusal}" for refusal in self.refusals)

    def _run(self, x: Tensor, y: Tensor, directions: Tensor) -> Along:
        if self.candidates[0] == BACKWARD:
            f = _repeating(self.f)
            return Along(*backward.outputs_and_derivatives(f, x, y, directions, self.family))
        if self.candidates[0] == FORWARD:
            outputs, first, second = forward.outputs_along(self.f, x, directions)
        else:
            outputs, first, second = differences.outputs_along(_repeating(self.wide), x, directions)
        if second is None:
            return Along(outputs, first, outputs.new_zeros(len(x)))
        residual = self.family.residual(outputs, y) * second
        return Along(outputs, first, residual.flatten(1).sum(-1) if residual.ndim > 1 else residual)


def _repeating(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The function with the same random numbers at every call, so that dropout has one mask.

    Several passes with masks of their own would be no derivatives of one function. What comes after
    draws on, as after a single call.
    """
    state = torch.get_rng_state()
    begun = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if begun else []

    def repeated(x: Tensor) -> Tensor:
        torch.set_rng_state(state)
        torch.cuda.set_rng_state_all(cuda)
        return f(x)

    return repeated


@contextmanager
def mathematical_attention() -> Iterator[None]:
    """Attention as plain matrix products: its fused kernels cannot be differentiated twice."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
