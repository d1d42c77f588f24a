"""Running someone's model without changing it: the one door through which we measure."""

import math
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from vicinal.machine.devices import forked
from vicinal.machine.processes import place
from vicinal.maths.losses import Family
from vicinal.maths.probabilities import are_probabilities
from vicinal.models.passes import Passes

OURS = ("vicinal", "contextlib", "jaxtyping")  # whose lines are not the caller's
PROBED = 8  # examples on which a model is looked at before the work

Model = Callable[[Tensor], object]
"""Any callable from a batch (n, ...) to logits (n, K), (n, 1) or (n,)."""


def unwrapped(out: object) -> Any:
    """What a model returned, taken out of a mapping or object that names it `logits`."""
    if isinstance(out, Mapping) and "logits" in out:
        return out["logits"]
    if not isinstance(out, Tensor) and hasattr(out, "logits"):
        return out.logits
    return out


def logits_of(model: Model, x: Tensor) -> Float[Tensor, "n *k"]:
    """The model's outputs for x, taken out of a mapping or object that names them `logits`.

    Raises:
        TypeError: for anything else that is not a tensor, with what to pass instead.
        ValueError: if the number of outputs is not the number of inputs.
    """
    out = unwrapped(model(x))
    if not isinstance(out, Tensor):
        keys = f" with keys {', '.join(map(str, out))}" if isinstance(out, Mapping) else ""
        raise TypeError(
            f"the model must return a tensor of logits, got {type(out).__name__}{keys}. Say which "
            "part holds them: pass vicinal.LogitsAt(model, 0), or a key in place of 0."
        )
    if out.shape[:1] != x.shape[:1]:
        raise ValueError(
            f"the model must return one row per example: {len(x)} went in, outputs of shape "
            f"{tuple(out.shape)} came out."
        )
    return out


class LogitsAt(nn.Module):
    """A model that returns a tuple or a mapping, with the one entry that holds its logits.

    Args:
        model: the model; its modes and buffers are handled as if it were passed itself.
        entry: index or key of the logits in what the model returns.

    Example:
        >>> pair = lambda x: (x.sum(), 2 * x)
        >>> LogitsAt(pair, 1)(torch.ones(1, 2))
        tensor([[2., 2.]])
    """

    def __init__(self, model: Model, entry: int | str) -> None:
        super().__init__()
        self.model, self.entry = model, entry

    def forward(self, x: Tensor) -> Tensor:
        """The logits for a batch."""
        outputs: Tensor = self.model(x)[self.entry]  # type: ignore[index]
        return outputs


@contextmanager
def unchanged(model: Model, *, inputs: bool = False) -> Iterator[Passes]:
    """The model as a function to logits, in eval mode; afterwards everything is as it was.

    The function takes any number of examples, see `Passes`; `inputs` says whether it cuts batches
    that need gradients too.

    Restored, also after an error: the mode of every module, all buffers, the global random states
    of torch, numpy and Python, from which a model may draw. Parameter gradients are never written,
    because callers differentiate with ``torch.autograd.grad``.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    buffers = [(b, b.clone()) for module in modules for b in module.buffers(recurse=False)]
    refuse_batch_statistics(modules, eval_mode=True)
    numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with forked():
        try:
            for module in modules:
                module.training = False
            yield Passes(lambda x: logits_of(model, x), inputs=inputs)
        finally:
            random.setstate(numbers[0])
            np.random.set_state(numbers[1])  # noqa: NPY002
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            with torch.no_grad():
                for buffer, value in buffers:
                    if not buffer.equal(value):  # graphs may hold it: writing would break them
                        buffer.copy_(value)


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
        warnings.warn(
            f"the model computes in {outputs.dtype}: its outputs are rounded by up to "
            f"{torch.finfo(outputs.dtype).eps / 2:.1e} of their size, and second-order terms may "
            "be off by a fifth and more. Pass the model itself with weights of 16 bits, which is "
            "then computed in 32, or one that computes in float32.",
            stacklevel=_callers(),
        )


def _callers() -> int:
    """How many frames up the line is that called this package."""
    frame, calls = sys._getframe(1), 1
    while frame.f_back and frame.f_globals["__name__"].split(".")[0] in OURS:
        frame, calls = frame.f_back, calls + 1
    return calls


def refuse_batch_statistics(modules: list[nn.Module], *, eval_mode: bool) -> None:
    """Refuse BatchNorm that normalises by the batch: outputs would depend on the neighbours.

    Raises:
        ValueError: if a BatchNorm layer uses the statistics of the batch it is given.
    """
    for module in modules:
        if isinstance(module, _BatchNorm) and (
            module.running_mean is None or (module.training and not eval_mode)
        ):
            raise ValueError(
                f"{type(module).__name__} normalises by the statistics of the batch, so the "
                "output for one example depends on the others and has no derivative of its own. "
                "Call model.eval(), and build the layer with track_running_stats=True."
            )


def check_family(family: object) -> None:
    """Refuse losses for which the mixup loss has no such form.

    Raises:
        TypeError: if the loss is not one of the families l = A(f) - <y, f>.
    """
    if not isinstance(family, Family):
        name = getattr(family, "__name__", type(family).__name__)
        raise TypeError(
            "family must be vicinal.categorical, bernoulli, gaussian, poisson, bernoullis or "
            f"gaussians, got {name}. Only a loss that is affine in the label has a mixed loss "
            "equal to the loss of the mixed label, on which the mixup loss and its expansion rest; "
            "focal loss or the squared error of probabilities is not. For cross-entropy pass "
            "vicinal.categorical."
        )


def finite(value: float, what: str) -> float:
    """The value itself.

    Raises:
        ValueError: if it is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(
            f"{what} is not finite, got {value}: the model gives infinite or undefined outputs, or "
            "derivatives, on these data. Look at the outputs for the examples one by one."
        )
    return value


def check_counts(x: Tensor, y: Tensor) -> None:
    """Refuse inputs and targets of different numbers of examples, or none.

    Raises:
        ValueError: then.
    """
    if not len(x) == len(y) >= 1:
        raise ValueError(f"x and y must hold as many examples, at least 1, got {len(x)}, {len(y)}.")


def check_targets(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    family: Family,
    outputs: Tensor | None = None,
) -> None:
    """Check all targets against the outputs of one example, before a long computation.

    Args:
        f: the model.
        x: inputs.
        y: targets.
        family: which targets and outputs fit.
        outputs: those of the first examples, where they are known already.

    Raises:
        ValueError, TypeError: if counts, kinds or ranges do not fit.
    """
    check_counts(x, y)
    if not torch.isfinite(x).all():
        raise ValueError("the inputs are not finite: x holds NaN or infinity.")
    with torch.no_grad():
        outputs = f(x[:PROBED]) if outputs is None else outputs
        change = _change_alone(f, x[:PROBED], outputs)
    if not torch.isfinite(outputs).all():
        raise ValueError(
            "the model's outputs are not finite: there is NaN or infinity among those of the first "
            f"{len(outputs)} examples. Check the weights, and that the inputs are finite."
        )
    # the same arithmetic in another order may differ in the last digits
    if not change <= 10 * torch.finfo(outputs.dtype).eps ** 0.5 * float(outputs.abs().max()):
        raise ValueError(
            f"the model's output for one example changed by {change:.3g} when others left the "
            "batch. Mixing and its expansion need a model that treats each example alone and "
            "draws nothing at random: no statistics of the batch, no dropout outside nn.Dropout."
        )
    family.check_labels(outputs[:1].expand(len(y), *outputs.shape[1:]), y)


def warn_of_probabilities(f: Callable[[Tensor], Tensor], x: Tensor, family: Family) -> None:
    """Warn where a model of several classes seems to end in a softmax."""
    with torch.no_grad():
        warn_of_probable(f(x[:PROBED]), family)


def warn_of_probable(outputs: Tensor, family: Family) -> None:
    """Warn where outputs of several classes seem to be probabilities."""
    several = not family.scalar and family.each is None
    if several and len(outputs) > 1 and are_probabilities(outputs):
        warnings.warn(
            "the model's outputs lie in [0, 1] and sum to 1 for each example, so they seem to be "
            "probabilities; they are taken for logits. Leave out the softmax at the end, or pass "
            "their logarithm.",
            stacklevel=_callers(),
        )


def _change_alone(f: Callable[[Tensor], Tensor], x: Tensor, outputs: Tensor) -> float:
    """How much the outputs for the first half change when the second half is left out."""
    if len(x) < 2:
        return 0.0
    alone = f(x[: len(x) // 2])
    return float((alone - outputs[: len(alone)]).abs().max())


def local(model: Model) -> Model:
    """The model itself, out of what wraps it for training under several processes.

    Such a wrapper talks to the other processes at every pass, and these make other passes.
    """
    if place().processes == 1:
        return model
    from accelerate.utils import extract_model_from_parallel  # slow to import

    inner: Model = extract_model_from_parallel(model)
    return inner
