"""Where tensors lie, and whether a result may be written there."""

import torch
from torch import Tensor


def has_memory(*tensors: Tensor) -> bool:
    """Whether tensors lie in this machine's memory: on the CPU, neither traced nor under vmap."""
    if torch.compiler.is_compiling() or any(x.device.type != "cpu" for x in tensors):
        return False
    try:
        return all(x.data_ptr() is not None for x in tensors)
    except RuntimeError:
        return False


def check_out(x: Tensor, out: Tensor) -> None:
    """Refuse memory for a result that does not fit x, or is part of it."""
    if (out.shape, out.dtype, out.device) != (x.shape, x.dtype, x.device):
        raise ValueError(
            f"out must have the shape, dtype and device of x, {tuple(x.shape)} {x.dtype} "
            f"{x.device}, got {tuple(out.shape)} {out.dtype} {out.device}."
        )
    if out is x or _overlap(x, out):
        raise ValueError(
            "out must be other memory than x: samples are read after others were mixed. Pass "
            "memory of its own, such as torch.empty_like(x), kept from batch to batch."
        )


def refuse_gradients(**tensors: Tensor) -> None:
    """Refuse tensors that require gradients, where the result is written into given memory."""
    for name, tensor in tensors.items():
        if tensor.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"out= keeps no gradients, and {name} requires them. Leave out= away.")


def _overlap(x: Tensor, out: Tensor) -> bool:
    """Whether the memory from the first to the last value of one meets that of the other."""
    if torch.compiler.is_compiling():
        return False
    try:
        (first, after), (start, end) = _span(x), _span(out)
    except RuntimeError:  # without memory, under vmap
        return False
    return first < end and start < after


def _span(x: Tensor) -> tuple[int, int]:
    """The addresses of the first byte of a tensor and of the first byte after it."""
    first = x.data_ptr()
    if x.is_contiguous():
        return first, first + x.nbytes
    last = sum((size - 1) * step for size, step in zip(x.shape, x.stride(), strict=True))
    return first, first + (last + 1) * x.itemsize
