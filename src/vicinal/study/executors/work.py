"""What a worker does with a group of runs, wherever it runs."""

import socket
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from vicinal.machine import locks
from vicinal.machine.processes import place
from vicinal.study.configuration import Objects, Run
from vicinal.study.run import records

ALONE = threading.Lock()
"""Workers of a cluster may be threads of one process, whose random state runs must not share."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task; that its runs are done is for the store to say.

    Attributes:
        names: of the runs that were done, or could not be.
        said: what the user should know.
        error: why a run could not be done.
        stops: the folder cannot be used, so there is no sense in going on.
        died: the worker did, and took nothing else with it.
        host: of the worker.
    """

    names: tuple[str, ...]
    said: tuple[str, ...] = ()
    error: str | None = None
    stops: bool = False
    died: bool = False
    host: str = ""


@dataclass(frozen=True)
class Task:
    """Runs that a worker shall do, unless someone else does.

    Attributes:
        group: the runs, which are trained together.
        objects: what names stand for.
        folder: where records, checkpoints and locks are; shared by all machines.
        launcher: the study that asks.
        dead: owners of locks that do not count any more.
        device: what computes, where the worker is.
    """

    group: tuple[Run, ...]
    objects: Objects
    folder: Path
    launcher: str
    dead: frozenset[locks.Key] = frozenset()
    device: str = "cpu"

    def __call__(self) -> Outcome:
        """Do the runs, and raise nothing: an exception would stop the others."""
        said: list[str] = []
        host = socket.gethostname()
        names: tuple[str, ...] = ()
        error, stops = None, False
        try:
            names = self._records(said.append)
        except Exception as failed:  # of the folder, or the user's model, data or strategy
            if place().processes > 1:
                raise  # the others are in the midst of the same runs, and must end with this one
            if isinstance(failed, locks.Lost):
                said.append(f"{failed}; left to whoever did.")
            else:
                error, stops = _told(failed), isinstance(failed, OSError)
                names = names_of(self.group)
        return Outcome(names, tuple(said), error, stops, host=host)

    def _records(self, say: Callable[[str], None]) -> tuple[str, ...]:
        """The names of the runs that are done now; none if someone else does some of them."""
        if not self.folder.is_dir():
            raise FileNotFoundError(
                f"{socket.gethostname()} does not see the folder {self.folder}, which all machines "
                "must share"
            )
        names = names_of(self.group)
        missing = [name for name in names if not (self.folder / f"{name}.json").exists()]
        with locks.hold(self.folder, missing, self.launcher, self.dead) as held:
            if held is None:
                return ()
            with ALONE, threadpool_limits(1):
                records(
                    self.group,
                    self.objects,
                    self.folder,
                    device=self.device,
                    advance=held.advance,
                    say=say,
                )
        return names


Workers = Callable[[Sequence[Task]], Iterator[Outcome]]
"""Does tasks, in any order and at once."""


class WorkersDied(Exception):
    """Workers were killed, and with them all that was being done."""


def missing(extra: str) -> ValueError:
    """What to do about an extra that is not installed."""
    return ValueError(
        f"the executor {extra} needs packages that are not installed: "
        f"pip install 'vicinal[{extra}]'"
    )


def names_of(group: Iterable[Run]) -> tuple[str, ...]:
    """The names of runs."""
    return tuple(run.name for run in group)


def _told(error: Exception) -> str:
    """An error in one line, with the place where it was raised."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    place = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(place.filename).name
    return f"{type(error).__name__}: {error} ({file}, line {place.lineno}, in {place.name})"
