"""Child processes: the first failure ends all, and none outlives the process that started it."""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from vicinal.machine.owners import gone

Result = TypeVar("Result")
GRACE = 5.0  # seconds to end in, for a process that was asked to
LOOK = 0.5  # seconds between two looks at the parent
INTERRUPTED = 130  # the exit status of what Ctrl-C ended, by custom of shells


class ProcessFailed(RuntimeError):
    """One of several processes failed, which ended the others.

    Attributes:
        rank: of the first that failed.
        exitcode: its exit status; -9 if signal 9 killed it.
    """

    def __init__(self, rank: int, exitcode: int) -> None:
        super().__init__(
            f"the process of rank {rank} ended with status {exitcode}; what it printed says why."
        )
        self.rank, self.exitcode = rank, exitcode


def run(
    work: Callable[..., Result],
    arguments: Sequence[object],
    environments: Sequence[Mapping[str, str]],
    folder: Path,
) -> Result:
    """Do some work in several new processes; what the first one gives.

    Args:
        work: a function of a module.
        arguments: of the function, which can be pickled.
        environments: variables, for each of the processes.
        folder: removed by the processes if this one dies before it can do that itself.

    Raises:
        ProcessFailed: if one of them fails, which ends the others.
        KeyboardInterrupt: if this process is interrupted or terminated, which ends them, too.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with closing(receiver), closing(sender), _terminable():
        processes = [
            context.Process(
                target=_child,
                args=(work, arguments, environment, os.getpid(), folder, None if k else sender),
            )
            for k, environment in enumerate(environments)
        ]
        try:
            with _deaf():
                for process in processes:
                    process.start()
            sender.close()
            found: Result = _result(processes, receiver)
            return found
        except KeyboardInterrupt:
            _interrupt(processes)
            raise
        finally:
            _end(processes)


def _result(processes: Sequence[BaseProcess], receiver: Connection) -> Any:
    """What the first process sends, when all have ended well."""
    left, found = {process.sentinel: k for k, process in enumerate(processes)}, []
    waited: list[object] = [receiver, *left]
    while left:
        ready = connection.wait(waited)  # type: ignore[arg-type]
        ended = [left.pop(one) for one in ready if isinstance(one, int)]
        waited = [one for one in waited if one not in ready]
        if receiver in ready:
            with suppress(EOFError):  # where it failed, which its exit status will say
                found.append(receiver.recv())
        for k in ended:
            processes[k].join()  # else its exit status may not yet be known
        failed = [(status, k) for k in ended if (status := processes[k].exitcode)]
        if failed:
            status, rank = min(failed)  # one that was killed before one that missed it
            raise ProcessFailed(rank, status)
    return found[0]


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C waits while it lasts, and for processes started then until they can answer it."""
    if os.name != "posix":
        yield
        return
    resource_tracker.ensure_running()  # else it is started in between, and undoes this
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _terminable() -> Iterator[None]:
    """A polite end of this process is as Ctrl-C while it lasts, unless it is handled otherwise."""
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    chosen = [signal.Signals[name] for name in names]
    if threading.current_thread() is not threading.main_thread():
        chosen = []  # there Python takes no signals
    before = {one: signal.getsignal(one) for one in chosen}
    handled = [one for one, handler in before.items() if handler is signal.SIG_DFL]
    for one in handled:
        signal.signal(one, _interrupted)
    try:
        yield
    finally:
        for one in handled:
            signal.signal(one, before[one])


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Interrupt once: what follows would disturb what is done to end well."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _interrupt(processes: Sequence[BaseProcess]) -> None:
    """Ask processes to end, as Ctrl-C does, and give them time for it."""
    started = [process for process in processes if process.pid is not None]
    for process in started if os.name == "posix" else ():
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGINT)
    _wait(started)


def _end(processes: Sequence[BaseProcess]) -> None:
    """End those processes that have not ended."""
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.terminate()
    _wait(started)
    for process in started:
        process.kill()
        process.join()


def _wait(processes: Sequence[BaseProcess]) -> None:
    deadline = time.monotonic() + GRACE
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0))


def _child(
    work: Callable[..., Result],
    arguments: Sequence[object],
    environment: Mapping[str, str],
    parent: int,
    folder: Path,
    sender: Connection | None,
) -> None:
    """What a child does."""
    end_with(parent, lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ.update(environment)
    try:
        signal.signal(signal.SIGINT, _interrupted)
        if os.name == "posix":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        found = work(*arguments)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    if sender is not None:
        sender.send(found)


@cache
def end_with(parent: int, last: Callable[[], object] = lambda: None) -> None:
    """End this process soon after its parent has ended, however that was; once is enough.

    Args:
        parent: the number of the process that started this one.
        last: what is done before.
    """

    def watch() -> None:
        while not _orphaned(parent):
            time.sleep(LOOK)
        last()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()


def _orphaned(parent: int) -> bool:
    if os.name == "posix":  # where children of the dead are given to another process
        return os.getppid() != parent
    return gone(parent)
