"""Doing the runs of a study with any executor, until the store has them all."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vicinal.machine import locks
from vicinal.study import store
from vicinal.study.configuration import Objects, Run
from vicinal.study.executors import connect
from vicinal.study.executors.work import Outcome, Task, Workers, WorkersDied, names_of
from vicinal.study.record import FORMAT

POLL = 0.5  # seconds between two looks at the store
PATIENCE = 10.0  # seconds until a file that another machine wrote must be seen here
DEATHS = 2  # of its workers, after which a group is left out

Group = tuple[Run, ...]


@dataclass
class Launch:
    """A study that does its runs, and what it knows of them."""

    groups: Sequence[Group]
    objects: Objects
    folder: Path
    say: Callable[[str], None]
    device: str = "cpu"
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    watch: locks.Watch = field(default_factory=locks.Watch)
    left_out: dict[str, str] = field(default_factory=dict)  # why, by name of the run
    deaths: Counter[str] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)

    def stored(self, name: str) -> bool:
        """Whether a run is done."""
        return (self.folder / f"{name}.json").exists()

    def over(self, name: str) -> bool:
        """Whether nobody needs the lock of a run any more."""
        left_out = name in self.left_out and locks.free(locks.newest(self.folder, name))
        return left_out or self.stored(name)

    def waiting(self) -> list[Group]:
        """Groups with runs that are neither done nor left out."""
        return [
            group
            for group in self.groups
            if not all(self.stored(name) or name in self.left_out for name in names_of(group))
        ]

    def task(self, group: Group) -> Task | None:
        """A group for a worker; None if others do some of it, who are watched until they die."""
        ours, dead = True, set()
        for name in names_of(group):
            seen = locks.newest(self.folder, name)
            if seen is not None and self.watch.dead(seen):
                dead.add(seen.key)
            ours &= locks.free(seen, dead)
            self._tell(seen, dead)
        objects = self.objects.of(run.method for run in group)
        task = Task(group, objects, self.folder, self.token, frozenset(dead), self.device)
        return task if ours else None

    def _tell(self, seen: locks.Seen | None, dead: set[locks.Key]) -> None:
        """Say once whom a run waits for, and whose run is taken over."""
        note = seen.note if seen is not None else None
        if seen is None or note is None or note.released or note.launcher == self.token:
            return
        sentence = f"{note} does runs of this study; waiting for it."
        if locks.free(seen, dead):
            sentence = f"{note} died or does not answer; its runs are taken over."
        if sentence not in self.told:
            self.told.add(sentence)
            self.say(sentence)

    def hear(self, outcome: Outcome) -> None:
        """Pass on what a worker says.

        Raises:
            OSError: if the folder cannot be used.
        """
        for sentence in outcome.said:
            self.say(sentence)
        if outcome.stops:
            raise OSError(outcome.error)
        if outcome.died:
            self.mourn(outcome.names)
        elif outcome.error is not None:
            self.leave_out(outcome.names, outcome.error)
        else:
            self._see(outcome)

    def _see(self, outcome: Outcome) -> None:
        """Make sure that the worker writes into the same folder."""
        deadline = time.monotonic() + PATIENCE
        while not all(map(self.stored, outcome.names)):
            if time.monotonic() > deadline:
                raise FileNotFoundError(
                    f"a worker on {outcome.host} stored runs in {self.folder}, which are not seen "
                    "here. All machines must share the folder."
                )
            time.sleep(POLL)

    def leave_out(self, names: Sequence[str], why: str) -> None:
        """Do not try runs again in this study."""
        self.left_out |= {name: why for name in names if not self.stored(name)}

    def mourn(self, names: Sequence[str]) -> None:
        """Count a death of the worker of runs, which are left out after DEATHS."""
        self.deaths[names[0]] += 1
        if self.deaths[names[0]] >= DEATHS:
            why = f"its worker was killed {DEATHS} times, often a sign of too little memory"
            self.leave_out(names, why)

    def underway(self) -> list[Group]:
        """Groups of which workers of this study hold runs."""
        return [g for g in self.waiting() if any(map(self._mine, names_of(g)))]

    def _mine(self, name: str) -> bool:
        seen = locks.newest(self.folder, name)
        note = seen.note if seen is not None else None
        return note is not None and note.launcher == self.token and not note.released


def launch(
    groups: Sequence[Group],
    objects: Objects,
    folder: Path,
    *,
    device: str = "cpu",
    executor: str,
    jobs: int | None,
    advance: Callable[[int], None],
    say: Callable[[str], None],
) -> dict[str, str]:
    """Do all runs that are not stored; return why some could not be done, by their names.

    Raises:
        OSError: if the folder or the cluster cannot be used.
        ValueError: if packages of the executor are missing.
    """
    state = Launch(groups, objects, folder.resolve(), say, device)
    names = [name for group in groups for name in names_of(group)]
    try:
        with connect(executor, jobs) as run, _watched(state, advance):
            while state.waiting():
                if not _round(state, run):
                    time.sleep(POLL)
    except BaseException:  # interrupted above all: workers on other machines must hear of it
        locks.stop(state.folder, [name for name in names if not state.stored(name)], state.token)
        raise
    finally:
        locks.clear(state.folder, [name for name in names if state.over(name)])
    return state.left_out


def failed(run: Run, reason: str) -> store.Stored:
    """What is known of a run that could not be done."""
    return {
        "format": FORMAT,
        "name": run.name,
        "configuration": run.configuration(),
        "status": "failed",
        "failure": {"epoch": None, "reason": reason},
        "history": [],
        "measured": None,
    }


def _round(state: Launch, run: Workers) -> bool:
    """Try every group once; whether there was something to try."""
    tasks = [task for group in state.waiting() if (task := state.task(group)) is not None]
    try:
        for outcome in run(tasks):
            state.hear(outcome)
    except WorkersDied as death:
        suspects = state.underway()
        if not suspects:  # they did not even begin
            raise ConnectionError(f"the workers cannot work: {death}") from death
        state.say(f"{death}; what was underway is tried again, one after another.")
        for group in suspects:
            state.mourn(names_of(group))
            _alone(state, run, group)
    return bool(tasks)


def _alone(state: Launch, run: Workers, group: Group) -> None:
    """Try a group by itself, so that it alone is to blame if its worker dies again."""
    while (task := state.task(group)) is None:
        time.sleep(POLL)  # the lock of a worker that died elsewhere is not yet stale
    try:
        for outcome in run([task]):
            state.hear(outcome)
    except WorkersDied as death:
        state.mourn(names_of(group))
        state.say(f"{group[0].method}, seed {group[0].seed}: {death} again; left out.")


@contextmanager
def _watched(state: Launch, advance: Callable[[int], None]) -> Iterator[None]:
    """Tell of progress, wherever it is made, as the locks and the store show it."""
    ended, done = threading.Event(), 0

    def look() -> None:
        nonlocal done
        locked = locks.locked(state.folder)
        now = sum(_units(state, group, locked) for group in state.groups)
        if now > done:
            advance(now - done)
            done = now

    def follow() -> None:
        while not ended.wait(POLL):
            look()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look()


def _units(state: Launch, group: Group, locked: set[str]) -> int:
    """Progress of a group: what is stored, or what its lock says if that is more."""
    each = [run.units for run in group]
    names = names_of(group)
    stored = sum(
        units
        for units, name in zip(each, names, strict=True)
        if state.stored(name) or name in state.left_out
    )
    seen = [locks.newest(state.folder, name) for name in names if name in locked]
    shown = sum(s.note.units for s in seen if s is not None and s.note is not None)
    return min(max(stored, shown), sum(each))
