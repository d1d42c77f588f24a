"""Running someone's model without changing it: the one door through which we measure."""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vicinal.machine.devices import forked
from vicinal.machine.processes import place
from vicinal.maths.arguments import check_inputs, check_tensors
from vicinal.maths.losses import Family
from vicinal.models.passes import Passes

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
    check_model(model)
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    refuse_batch_statistics(modules, eval_mode=True)
    with as_before(modules):
        for module in modules:
            module.training = False
        yield Passes(lambda x: logits_of(model, x), inputs=inputs)


@contextmanager
def as_before(modules: list[nn.Module]) -> Iterator[None]:
    """A context after which modes, buffers and the global random states are what they were."""
    modes = [module.training for module in modules]
    buffers = [(b, b.clone()) for module in modules for b in module.buffers(recurse=False)]
    numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with forked():
        try:
            yield
        finally:
            random.setstate(numbers[0])
            np.random.set_state(numbers[1])  # noqa: NPY002
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            with torch.no_grad():
                for buffer, value in buffers:
                    if not buffer.equal(value):  # graphs may hold it: writing would break them
                        buffer.copy_(value)


def check_model(model: object) -> None:
    """Refuse what cannot be called on a batch.

    Raises:
        TypeError: then.
    """
    if not callable(model) or isinstance(model, type | Family):
        raise TypeError(
            "model must be a function from a batch to outputs, such as a torch.nn.Module, got "
            f"{repr(model)[:60]}."
        )


def first_outputs(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The outputs of the first examples, with a sentence where the model cannot take them.

    Raises:
        ValueError: if the model fails on them.
    """
    try:
        return f(x[:PROBED])
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, IndexError, AttributeError, KeyError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"the model cannot take a batch of shape {tuple(x[:PROBED].shape)} and {x.dtype}: "
            f"{reason}"
        ) from error


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
    check_inputs(x)
    check_tensors(y=y)
    check_counts(x, y)
    if not torch.isfinite(x).all():
        raise ValueError("the inputs are not finite: x holds NaN or infinity.")
    with torch.no_grad():
        outputs = first_outputs(f, x) if outputs is None else outputs
        change = _change_alone(f, x[:PROBED], outputs)
    if not outputs.is_floating_point():
        raise TypeError(f"the model must return floating outputs, got {outputs.dtype}.")
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
