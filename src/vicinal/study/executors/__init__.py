"""Where runs are done: in this process, in others beside it, or on an existing cluster.

An executor takes tasks and gives their outcomes as they come. It promises nothing: what is done
and what is not is read from the store, so that every executor goes on with the same code, and two
studies in one folder share the work.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from vicinal.study.executors.cluster import dask, loky, ray
from vicinal.study.executors.slurm import slurm
from vicinal.study.executors.work import Workers

EXECUTORS: dict[str, Callable[[str, int | None], AbstractContextManager[Workers]]] = {
    "dask": dask,
    "loky": loky,
    "ray": ray,
    "slurm": slurm,
}
"""Starts or reaches workers, for an address and a number of runs at once, by name."""


def check(executor: str, jobs: int | None) -> None:
    """Refuse what cannot be meant, before anything is started.

    Raises:
        ValueError: for an unknown executor, jobs below 1, or a Dask cluster without address.
    """
    name, _, address = executor.partition(":")
    if name not in EXECUTORS:
        raise ValueError(f"unknown executor {name!r}. Known: {', '.join(EXECUTORS)}.")
    if jobs is not None and not jobs >= 1:
        raise ValueError(f"jobs, how many groups of runs at once, must be at least 1, got {jobs}.")
    if name == "dask" and not address:
        raise ValueError(
            "the executor dask needs the address of a scheduler, as in dask:tcp://HOST:8786. "
            "`dask scheduler` starts one and says its address."
        )
    if name in ("loky", "slurm") and address:
        raise ValueError(f"the executor {name} has no address, got {executor}.")


def connect(executor: str, jobs: int | None) -> AbstractContextManager[Workers]:
    """Start or reach the workers of an executor, and leave them in the end.

    Args:
        executor: loky, dask:ADDRESS, ray, ray:ADDRESS or slurm.
        jobs: how many groups of runs at once; None for 1 (loky), the workers that there are (dask,
            ray), or as many as the queue lets (slurm).

    Raises:
        ValueError: if the executor's extra is not installed.
        ConnectionError: if its cluster cannot be reached.
    """
    name, _, address = executor.partition(":")
    return EXECUTORS[name](address, jobs)
