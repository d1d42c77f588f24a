"""Running someone's model without changing it: the one door through which we measure."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vicinal.losses import Family

Model = Callable[[Tensor], object]
"""Any callable from a batch (n, ...) to logits (n, K), (n, 1) or (n,)."""


def logits_of(model: Model, x: Tensor) -> Float[Tensor, "n *k"]:
    """The model's outputs for x, taken out of a mapping or object that names them `logits`.

    Raises:
        TypeError: for anything else that is not a tensor, with what to pass instead.
        ValueError: if the number of outputs is not the number of inputs.
    """
    out = model(x)
    if isinstance(out, Mapping) and "logits" in out:
        out = out["logits"]
    elif not isinstance(out, Tensor) and hasattr(out, "logits"):
        out = out.logits
    if not isinstance(out, Tensor):
        raise TypeError(
            f"the model must return a tensor of logits, got {type(out).__name__}. Say which part "
            "holds them: pass lambda x: model(x)[0], or the like."
        )
    if out.shape[:1] != x.shape[:1]:
        raise ValueError(
            f"the model must return one row per example: {len(x)} went in, outputs of shape "
            f"{tuple(out.shape)} came out."
        )
    return out


@contextmanager
def unchanged(model: Model) -> Iterator[Callable[[Tensor], Tensor]]:
    """The model as a function to logits, in eval mode; afterwards everything is as it was.

    Restored, also after an error: the mode of every module, all buffers, torch's random
    state. Parameter gradients are never written, because callers differentiate with
    ``torch.autograd.grad``.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    buffers = [(b, b.clone()) for module in modules for b in module.buffers(recurse=False)]
    devices = {b.device for module in modules for b in module.parameters(recurse=False)}
    cuda = [device for device in devices if device.type == "cuda"]
    refuse_batch_statistics(modules, eval_mode=True)
    with torch.random.fork_rng(devices=cuda):
        try:
            for module in modules:
                module.training = False
            yield lambda x: logits_of(model, x)
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)


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


def check_targets(f: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, family: Family) -> None:
    """Check all targets against the outputs of one example, before a long computation.

    Raises:
        ValueError, TypeError: if counts, kinds or ranges do not fit.
    """
    if not len(x) == len(y) >= 1:
        raise ValueError(f"x and y must hold as many examples, at least 1, got {len(x)}, {len(y)}.")
    outputs = f(x[:1])
    family.check_labels(outputs.expand(len(y), *outputs.shape[1:]), y)
