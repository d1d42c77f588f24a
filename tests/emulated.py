"""A device that is not there: tensors that say they are on cuda:0 and are computed on the CPU.

Arithmetic is that of the CPU, so numbers must be equal to the last bit. What a GPU refuses is
refused: operations between devices, except those that CUDA allows (indices and numbers of the CPU,
copies), and a way to NumPy without `.cpu()`.

Not covered: kernels and their rounding, random numbers drawn on the device, streams, autocast,
processes (NCCL), and memory.
"""

from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from vicinal.machine import devices

aten = torch.ops.aten


class Nothing:
    """What PyTorch asks of the kind of device, for all tests of this process: there is none."""

    def is_initialized(self):
        return False

    def is_available(self):
        return False

    def device_count(self):
        return 0

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass


_setup_privateuseone_for_python_backend("emulated", Nothing())
DEVICE = torch.device("emulated:0")
READ = {aten.index.Tensor, aten._unsafe_index.Tensor}
WRITTEN = {aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
ALLOWED = {aten._to_copy.default, aten.copy_.default} | READ | WRITTEN
"""On CUDA between devices too."""


class Emulated(Tensor):
    """A tensor that is on the CPU, and says it is on the device."""

    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=DEVICE,
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            if function == Tensor.data.__set__:
                args[0].inner = args[1].inner
            elif function == Tensor.tolist:
                return args[0].inner.tolist()
            elif function in (Tensor.numpy, Tensor.__array__):
                raise TypeError(f"can't convert {DEVICE} device type tensor to numpy.")
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return dispatched(operation, types, args, kwargs or {})

    def __repr__(self):
        return f"Emulated({self.inner!r})"


class Literal(TorchFunctionMode):
    """`torch.tensor` of numbers, which goes to a device where no dispatch mode sees it."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and _is_there(kwargs.get("device")):
            device = kwargs.pop("device")
            return function(*args, **kwargs).to(device)
        return function(*args, **kwargs)


class Mode(TorchDispatchMode):
    """What makes tensors on the device from nothing, or from those of the CPU."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return dispatched(operation, types, args, kwargs or {})


def dispatched(operation, types, args, kwargs):
    if not all(kind in (Tensor, Parameter, Emulated) for kind in types):
        return NotImplemented  # a tensor that knows better what to do with those within
    given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    there = any(isinstance(value, Emulated) for value in given)
    strangers = [v for v in given if not isinstance(v, Emulated) and (v.ndim or not there)]
    if there and strangers and operation not in ALLOWED:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{DEVICE} and cpu! ({operation})"
        )
    into_cpu = there and not isinstance(args[0], Emulated)
    if operation in READ and into_cpu:  # CUDA takes indices of the CPU; the CPU takes none of CUDA
        raise RuntimeError("indices should be either on cpu or on the same device (cpu)")
    if operation in WRITTEN and into_cpu:
        raise RuntimeError("values of the device cannot be put into a tensor of the CPU")
    target = kwargs.get("device")
    if kwargs.get("generator") is not None and (there or _is_there(target)):
        raise RuntimeError(f"Expected a '{DEVICE.type}' device type for generator but found 'cpu'")
    if target is not None:
        there = _is_there(target)
        kwargs = kwargs | {"device": torch.device("cpu")}
    if operation is aten.copy_.default:
        there = isinstance(args[0], Emulated)
    outer = {id(value.inner): value for value in given if isinstance(value, Emulated)}
    inner = tree_map_only(Emulated, lambda value: value.inner, (args, kwargs))
    found = operation(*inner[0], **inner[1])
    if not there:
        return found
    return tree_map_only(Tensor, lambda v: outer[id(v)] if id(v) in outer else _wrapped(v), found)


def _is_there(device):
    return device is not None and torch.device(device).type == DEVICE.type


def _wrapped(value):
    return value if isinstance(value, Emulated) else Emulated(value)


@contextmanager
def emulated():
    """The device is there while it lasts; backward passes run in the calling thread."""
    with (
        mock.patch.object(devices, "available", return_value=1),
        mock.patch.object(devices, "told", str),
        torch.autograd.set_multithreading_enabled(False),
        Literal(),
        Mode(),
    ):
        yield DEVICE
