"""Jobs of Slurm, through submitit."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from vicinal.study.executors.work import Outcome, Task, Workers, missing, names_of

MINUTES = 60  # that a job may take, unless SBATCH_TIMELIMIT says otherwise
POLL = 1.0  # seconds


@contextmanager
def slurm(address: str, jobs: int | None) -> Iterator[Workers]:
    """One job of an array for each group of runs.

    Slurm's own variables say where and how long: SBATCH_PARTITION, SBATCH_ACCOUNT,
    SBATCH_TIMELIMIT and the like go before what is asked for here. What the jobs print is in the
    folder .vicinal-slurm of the working directory, which the nodes must share.
    """
    try:
        import submitit
    except ImportError as error:
        raise missing("slurm") from error
    if shutil.which("sbatch") is None:
        raise ConnectionError("sbatch is not found: the executor slurm works where Slurm does.")
    executor = submitit.SlurmExecutor(folder=Path(".vicinal-slurm"))
    executor.update_parameters(job_name="vicinal", time=MINUTES, cpus_per_task=1)
    if jobs is not None:
        executor.update_parameters(array_parallelism=jobs)
    yield partial(_array, executor)


def _array(executor: Any, tasks: Sequence[Task]) -> Iterator[Outcome]:
    """Submit at once, and give outcomes as jobs end; cancel what is left when told to stop."""
    waiting = list(zip(executor.map_array(_call, tasks), tasks, strict=True))
    try:
        while waiting:
            ended = [pair for pair in waiting if pair[0].done()]
            for pair in ended:
                waiting.remove(pair)
                yield _outcome(*pair)
            if not ended:
                time.sleep(POLL)
    finally:
        for job, _ in waiting:
            job.cancel()


def _call(task: Task) -> Outcome:
    return task()


def _outcome(job: Any, task: Task) -> Outcome:
    error = job.exception()  # tasks raise nothing: the job was killed, or ran out of time
    if error is None:
        outcome: Outcome = job.result()
        return outcome
    reason = str(error).strip().splitlines()[-1][:200]
    said = f"job {job.job_id} ({job.state}): {type(error).__name__}: {reason}"
    return Outcome(names_of(task.group), (said,), died=True)
