"""A command done by several processes on this machine, which all do the same."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from vicinal.cli.errors import FAILED_RUN, INTERRUPTED

if TYPE_CHECKING:
    import torch


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


def shared(processes: int, parts: int | None, executor: str, jobs: int | None) -> dict[str, Any]:
    """How a study shares its batches: the number of parts, by default one for each process.

    Raises:
        ValueError: if runs are done side by side as well, or as `sharing`.
    """
    count = sharing(processes)
    if count > 1 and (executor, jobs or 1) != ("loky", 1):
        raise ValueError(
            "processes share every batch; jobs and executors do runs side by side: choose one of "
            "them."
        )
    return {"processes": count, "parts": count if parts is None else parts}


def check_device(name: str, processes: int) -> "torch.device":
    """The device of a name; refused where it cannot be had, or several processes would share it.

    Raises:
        ValueError: then.
    """
    from vicinal.machine.devices import checked
    from vicinal.machine.processes import check_shared

    device = checked(name)
    check_shared(device, sharing(processes))
    return device


def in_processes(processes: int, command: Callable[..., int], given: Mapping[str, Any]) -> int:
    """The exit status of a command in several processes; what it shows the first one shows.

    Args:
        processes: how many.
        command: a function of a module; it calls `vicinal.machine.processes.join`.
        given: its arguments, which can be pickled.
    """
    from vicinal.machine.children import ProcessFailed
    from vicinal.machine.processes import launch

    try:
        return launch(processes, _status, command, given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except ProcessFailed as failure:
        return failure.exitcode or FAILED_RUN


def _status(command: Callable[..., int], given: Mapping[str, Any]) -> int:
    """The exit status of a command, also where it refuses."""
    try:
        return command(**given)
    except SystemExit as refusal:
        return int(refusal.code or 0)
