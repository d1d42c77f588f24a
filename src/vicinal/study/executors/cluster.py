"""Workers beside this process, on a Dask cluster, or on a Ray cluster."""

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import joblib

from vicinal.machine.children import end_with
from vicinal.study.executors.work import Outcome, Task, Workers, WorkersDied, missing, names_of

TIMEOUT = 10  # seconds in which a cluster must answer


@contextmanager
def loky(address: str, jobs: int | None) -> Iterator[Workers]:
    """Processes beside this one; a single job is done in this process."""
    with joblib.parallel_config("loky", n_jobs=jobs or 1, inner_max_num_threads=1):
        yield _here if jobs in (None, 1) else _beside


def _here(tasks: Sequence[Task]) -> Iterator[Outcome]:
    return (task() for task in tasks)


def _beside(tasks: Sequence[Task]) -> Iterator[Outcome]:
    parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
    try:
        yield from parallel(joblib.delayed(_work)(task, os.getpid()) for task in tasks)
    except BrokenProcessPool as error:
        raise WorkersDied("a worker was killed") from error
    except Exception as error:  # tasks raise nothing, so their workers could not begin
        raise WorkersDied(_reason(error)) from error


def _work(task: Task, launcher: int) -> Outcome:
    """What a worker beside the launcher does, while that lives."""
    end_with(launcher)
    return task()


@contextmanager
def dask(address: str, jobs: int | None) -> Iterator[Workers]:
    """The workers of a Dask cluster."""
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise missing("dask") from error
    reachable(address.rpartition("//")[2], "Dask", "dask scheduler")
    try:
        client = Client(address, timeout=TIMEOUT)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise ConnectionError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise ConnectionError(
                f"the Dask cluster at {address} has no workers. Start some: dask worker {address} "
                "--nthreads 1"
            )
        yield _one_by_one(
            jobs,
            submit=lambda task: client.submit(_call, task, pure=False),
            first=lambda futures: next(as_completed(futures)),  # type: ignore[no-untyped-call]
            result=lambda future: future.result(),
            cancel=lambda future: future.cancel(),
            death=KilledWorker,
        )


@contextmanager
def ray(address: str, jobs: int | None) -> Iterator[Workers]:
    """The workers of a Ray cluster.

    Not through joblib: that does everything in this process on a cluster of one CPU, gives
    outcomes only when all have come, and loses all when one worker dies.
    """
    try:
        import ray as cluster
    except ImportError as error:
        raise missing("ray") from error
    start = "ray start --head"
    if address and address != "auto":
        reachable(address.rpartition("//")[2], "Ray", start)
    already = cluster.is_initialized()
    try:
        if not already:
            cluster.init(address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = f"no Ray cluster answers at {address or 'auto'}: {error} Start one: {start}"
        raise ConnectionError(reason) from error
    call = cluster.remote(num_cpus=1, max_retries=0)(_call)
    try:
        yield _one_by_one(
            jobs,
            submit=call.remote,
            first=lambda references: cluster.wait(references)[0][0],
            result=cluster.get,
            cancel=cluster.cancel,
            death=cluster.exceptions.WorkerCrashedError,
        )
    finally:
        if not already:
            cluster.shutdown()


def _one_by_one(
    jobs: int | None,
    *,
    submit: Callable[[Task], Any],
    first: Callable[[list[Any]], Any],
    result: Callable[[Any], Outcome],
    cancel: Callable[[Any], object],
    death: type[Exception],
) -> Workers:
    """Outcomes as they come, of at most so many jobs at once; what is left in the end is stopped.

    Args:
        jobs: how many; None for all, which the cluster then queues.
        submit: gives a task to a worker; returns what stands for its outcome.
        first: waits until one of these has come, and returns that.
        result: the outcome, or an error.
        cancel: tells a worker to stop.
        death: the error of a task whose worker died.
    """

    def run(tasks: Sequence[Task]) -> Iterator[Outcome]:
        waiting, running = deque(tasks), dict[Any, Task]()
        try:
            while waiting or running:
                while waiting and len(running) < (jobs or len(tasks)):
                    task = waiting.popleft()
                    running[submit(task)] = task
                done = first(list(running))
                task = running.pop(done)
                try:
                    outcome = result(done)
                except death as error:
                    outcome = Outcome(names_of(task.group), (_reason(error),), died=True)
                except Exception as error:  # tasks raise nothing, so its worker could not begin
                    raise WorkersDied(_reason(error)) from error
                yield outcome
        finally:
            for left in running:
                cancel(left)

    return run


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _call(task: Task) -> Outcome:
    return task()


def reachable(address: str, what: str, start: str) -> None:
    """Try the address by itself: the clients of clusters wait for minutes, in many words.

    Raises:
        ConnectionError: if nothing answers within TIMEOUT seconds.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=TIMEOUT).close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConnectionError(
            f"no {what} cluster answers at {address} ({reason or 'timed out'}). Start one: {start}"
        ) from error
