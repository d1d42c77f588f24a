"""Workers through joblib: processes beside this one."""

from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import joblib

from vicinal.executors.work import Outcome, Run, Task, WorkersDied


@contextmanager
def loky(address: str, jobs: int | None) -> Iterator[Run]:
    """Processes beside this one; a single job is done in this process."""
    if jobs in (None, 1):
        yield _here
        return
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        yield _many("generator_unordered", jobs)


def _here(tasks: Sequence[Task]) -> Iterator[Outcome]:
    return (task() for task in tasks)


def _many(return_as: str, jobs: int | None) -> Run:
    def run(tasks: Sequence[Task]) -> Iterator[Outcome]:
        parallel = joblib.Parallel(return_as=return_as, batch_size=1, pre_dispatch=jobs or "all")
        try:
            yield from parallel(joblib.delayed(_call)(task) for task in tasks)
        except BrokenProcessPool as error:
            raise WorkersDied("a worker was killed") from error
        except Exception as error:  # tasks raise nothing, so it is the cluster's
            reason = " ".join(str(error).split())[:200]
            raise WorkersDied(f"{type(error).__name__}: {reason}") from error

    return run


def _call(task: Task) -> Outcome:
    return task()
