"""The device that computes: checked before the work, with honest arithmetic while it lasts.

What is drawn comes from numpy on the CPU, and what is measured goes back there as numbers. In
between a study moves its data and models once, by `Split.on` and `Module.to`.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


def checked(name: str) -> torch.device:
    """The device of a name, such as cpu, cuda or cuda:1.

    Raises:
        ValueError: if there is none, or it cannot be used, with the reason.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}. Pass cpu, cuda or cuda:1.") from error
    if device.type == "mps":
        raise ValueError(
            "the device mps has no numbers of float64, in which sums over examples are taken, so "
            "their errors could not be told from those of rounding. Pass cpu."
        )
    if device.type == "cpu":
        if device.index not in (None, 0):
            raise ValueError(f"there is no device {name}: the CPU is one device, cpu.")
        return torch.device("cpu")
    count = available(device.type)
    if count == 0:
        raise ValueError(
            f"the device {name} is not available: torch {torch.__version__} finds none of its "
            "kind here. Pass cpu, or install a torch and a driver that fit the hardware."
        )
    if not (device.index or 0) < count:
        kinds = ", ".join(f"{device.type}:{k}" for k in range(count))
        raise ValueError(f"there is no device {name}, only {kinds}.")
    return device


def available(kind: str) -> int:
    """How many devices of a kind torch can use; of kinds that were never tried, none."""
    return torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0


def told(device: torch.device) -> str:
    """The device in words, for records."""
    if device.type != "cuda":
        return str(device)
    return (
        f"{device} ({torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()})"  # type: ignore[no-untyped-call]
    )


@contextmanager
def honest(device: torch.device) -> Iterator[None]:
    """Arithmetic as on the CPU while it lasts: float32 is float32, and sums have one order.

    On a GPU convolutions may round their factors to 10 bits (TF32) and choose their algorithm by
    trial, and sums may be added up by whoever comes first. All that is off: float32 keeps its 24
    bits, and the same training on the same GPU ends with the same numbers. What torch knows to
    have no fixed order is warned of. Afterwards everything is as it was, but for the variable
    CUBLAS_WORKSPACE_CONFIG, which is set unless it is; on the CPU nothing is touched.
    """
    if device.type == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, before the first use
    before = [(owner, name, _read(owner, name)) for owner, name, _ in _switches()]
    order = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        for owner, name, value in _switches():
            _write(owner, name, value)
        torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        for owner, name, value in before:
            _write(owner, name, value)
        torch.use_deterministic_algorithms(order, warn_only=lenient)


@contextmanager
def one_thread() -> Iterator[None]:
    """Make numbers independent of the number of cores, which changes the order of sums.

    Small models gain little from more threads, and lose a lot where the cores are busy: with two
    threads a run took 12 times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _switches() -> list[tuple[Any, str, object]]:
    """What decides how float32 is computed on a GPU; since torch 2.9 by two names, which agree."""
    backends = torch.backends
    found: list[tuple[Any, str, object]] = [
        (backends.cuda.matmul, "allow_tf32", False),
        (backends.cudnn, "allow_tf32", False),
        (backends.cudnn, "benchmark", False),
        (backends.cudnn, "deterministic", True),
    ]
    if hasattr(backends, "fp32_precision"):
        cudnn: Any = backends.cudnn
        owners = (backends.cuda.matmul, cudnn.conv, cudnn.rnn)
        found += [(owner, "fp32_precision", "ieee") for owner in owners]
    return found


def _read(owner: Any, name: str) -> object:
    """A switch; None where the older of two names cannot tell what the newer one says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the older name is the older one
            return getattr(owner, name)
    except RuntimeError:
        return None


def _write(owner: Any, name: str, value: object) -> None:
    if value is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            setattr(owner, name, value)


def forked() -> AbstractContextManager[None]:
    """Torch's random states are afterwards as they were, on the CPU and on GPUs in use.

    GPUs that are not in use are left alone: asking for their state would start them.
    """
    begun = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.random.fork_rng(devices=range(torch.cuda.device_count()) if begun else ())
