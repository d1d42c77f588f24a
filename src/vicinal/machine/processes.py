"""The processes that share the work, as torchrun and Accelerate start them; alone, plain things."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from socket import AF_INET, AF_INET6
from tempfile import TemporaryDirectory
from typing import TypeVar

import psutil
import torch
from torch import Tensor

from vicinal.machine.children import run

MEETING = "VICINAL_MEETING"
"""The variable that names the file in which processes meet; `join` reads it, `launch` sets it."""
INTERFACE = "GLOO_SOCKET_IFNAME"
"""Gloo's variable: the interface on which it listens."""
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """This process, among as many that share the work."""

    rank: int
    processes: int


ALONE = Place(0, 1)
"""Of work that is shared with nobody, whatever other processes there are."""


def place() -> Place:
    """Where this process stands; alone, unless torch.distributed is running."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return Place(distributed.get_rank(), distributed.get_world_size())
    return ALONE


def join() -> Place:
    """Join the processes that torchrun or `launch` started, if they did."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and place().processes == 1:
        from accelerate import PartialState

        os.environ.setdefault("OMP_NUM_THREADS", "1")
        store = {}
        if meeting := os.environ.get(MEETING):
            processes = int(os.environ["WORLD_SIZE"])
            store = {"store": torch.distributed.FileStore(meeting, processes)}  # type: ignore[attr-defined]
        if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:  # all on this machine
            os.environ.setdefault(INTERFACE, loopback())
        # the others wait while the first one prepares or stores, however long that takes
        PartialState(cpu=True, timeout=timedelta(days=7), **store)
    return place()


def check_shared(device: torch.device, processes: int) -> None:
    """Refuse processes that share the work on GPUs: that is tried on CPUs alone.

    Raises:
        ValueError: for several processes on another device.
    """
    if device.type != "cpu" and processes > 1:
        raise ValueError(
            f"{processes} processes share work on the CPU only, not on {device}. Leave out "
            f"processes; to use several GPUs, give the same command several times in one folder, "
            f"with --device {device.type}:0, --device {device.type}:1 and so on: commands that do "
            "runs share them."
        )


def check_processes(processes: int, most: int, of: str) -> None:
    """Refuse more processes than can have something to do, before any is started.

    Raises:
        ValueError: if so, or as `sharing`.
    """
    if not (count := sharing(processes)) <= most:
        raise ValueError(
            f"processes must be at most {most}, as there {of}, got {count}: the others would have "
            "nothing to do. Pass fewer."
        )


def sharing(processes: int) -> int:
    """How many will share the work: those to be started, or those that torchrun has started.

    Raises:
        ValueError: if none, or if both are asked for.
    """
    if not processes >= 1:
        raise ValueError(f"processes must be at least 1, got {processes}.")
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and started > 1:
        raise ValueError(
            f"torchrun has started {started} processes, and each would start {processes} more: "
            "leave out processes."
        )
    return max(processes, started)


def leave() -> None:
    """Part from the other processes."""
    if place().processes > 1:
        from accelerate import PartialState

        PartialState().destroy_process_group()


def launch(processes: int, work: Callable[..., Result], *arguments: object) -> Result:
    """Start processes on this machine that all do some work; what the first one gives.

    They meet in a file that only this user can open, and speak over the loopback interface, so
    that no other machine can reach them.

    Args:
        processes: how many, at least 1.
        work: a function of a module; it calls `join`.
        arguments: of the function, which can be pickled.

    Raises:
        ProcessFailed: if it fails in one of them, which ends the others.
        KeyboardInterrupt: if this process is interrupted or terminated, which ends them, too.
        OSError: if there is no loopback interface.
    """
    with TemporaryDirectory(prefix="vicinal-") as folder:  # of mode 0700
        common = {
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            MEETING: str(Path(folder) / "meeting"),
            INTERFACE: loopback(),
        }
        each = [{"RANK": str(k), "LOCAL_RANK": str(k)} | common for k in range(processes)]
        return run(work, arguments, each, Path(folder))


def loopback() -> str:
    """The network interface that no other machine reaches.

    Raises:
        OSError: if there is none.
    """
    for name, addresses in psutil.net_if_addrs().items():
        internet = [a.address for a in addresses if a.family in (AF_INET, AF_INET6)]
        if internet and ip_address(internet[0].partition("%")[0]).is_loopback:
            return str(name)
    raise OSError(
        "this machine has no loopback interface (127.0.0.1), over which its processes could speak. "
        "Leave out processes."
    )


def gathered(value: Tensor) -> Tensor:
    """The values of all processes, of one shape, stacked in the order of ranks, on the CPU."""
    where = place()
    if where.processes == 1:
        return value[None].cpu()
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    found = [torch.zeros_like(value, device=device) for _ in range(where.processes)]
    torch.distributed.all_gather(found, value.contiguous().to(device))
    return torch.stack(found).cpu()


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over the processes, with one message for each dtype."""
    if place().processes == 1:
        return
    for dtype in {tensor.dtype: None for tensor in tensors}:
        chosen = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.flatten() for tensor in chosen])
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in chosen])
        for tensor, part in zip(chosen, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def deal(
    work: Callable[[Item], Result], items: Sequence[Item], where: Place | None = None
) -> list[Result]:
    """The results for all items: each process does every n-th of them, and all get all."""
    where = where or place()
    own = [work(item) for item in items[where.rank :: where.processes]]
    if where.processes == 1:
        return own
    found: list[list[Result]] = [[]] * where.processes
    torch.distributed.all_gather_object(found, own)
    return [found[k % where.processes][k // where.processes] for k in range(len(items))]


def agreed(value: Item, where: Place | None = None) -> Item:
    """What the first process holds, in all of them."""
    if (where or place()).processes == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box)
    return box[0]


@contextmanager
def together(where: Place | None = None) -> Iterator[None]:
    """Work that all processes do, so that one which fails stops the others, too.

    Raises:
        ValueError: in the processes that did not fail, which would wait for ever.
    """
    if (where or place()).processes == 1:
        yield
        return
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    failed = gathered(torch.tensor([failure is not None])).flatten()
    if failure is not None:
        raise failure
    if failed.any():
        ranks = ", ".join(str(k) for k in failed.nonzero().flatten().tolist())
        raise ValueError(f"the process of rank {ranks} failed; its own error says why.")
