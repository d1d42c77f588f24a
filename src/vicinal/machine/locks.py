"""Locks: which process does which run, told by files of one folder and nothing else.

A lock has generations, the files NAME.0.lock, NAME.1.lock, …: the newest one counts. To take a lock
is to create the next generation with O_EXCL, which one process can do, on network file systems too;
of two takers one wins, and what an owner that was thought dead does to its own generation changes
nothing. An owner shows that it lives by counting in its file. Others compare the count with what
they saw before, by their own clock, so that clocks of machines need not agree and may change.
"""

import json
import os
import re
import secrets
import socket
import stat
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from vicinal.machine.owners import gone, machine

BEAT = 1.0  # seconds between two counts of an owner
STALE = 60.0  # seconds without a count after which it is dead; files of NFS may look old for 60
WIDTH = 1024  # bytes of a file, always the same, so that counting needs no new space


GENERATION = re.compile(r"\.(0|[1-9][0-9]{0,8})\.lock")
"""What follows the name of a lock in that of its file."""
Key = tuple[str, int, str]
"""Names one owner of one lock: the lock, its generation, the owner's token."""


class Lost(Exception):
    """Someone took the lock over, so what is being done under it must not go on."""


@dataclass(frozen=True)
class Note:
    """What a lock says of its owner.

    Attributes:
        host, pid: for people.
        machine: where pid means this process.
        launcher: the study that started the owner.
        token: of this owner and no other.
        beat: counts up while the owner lives.
        units: of progress that were done under the lock.
        released: given back before the run was done.
    """

    host: str
    pid: int
    machine: str
    launcher: str
    token: str
    beat: int = 0
    units: int = 0
    released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class Seen:
    """One generation of a lock as found: what was read, and the note if it was whole."""

    name: str
    generation: int
    text: str
    note: Note | None

    @property
    def key(self) -> Key:
        """Names this owner, whatever it counts."""
        return self.name, self.generation, self.note.token if self.note else ""


def newest(folder: Path, name: str) -> Seen | None:
    """The generation of a lock that counts; None where there is none."""
    found = (GENERATION.fullmatch(path.name[len(name) :]) for path in folder.glob(f"{name}.*.lock"))
    generations = sorted(int(match[1]) for match in found if match)  # not the copy of some tool
    if not generations:
        return None
    path = _path(folder, name, generations[-1])
    try:
        text = _text(path)
    except FileNotFoundError:  # its run was finished just now
        return None
    return Seen(name, generations[-1], text, _noted(text))


def _text(path: Path) -> str:
    """What a lock says; nothing where something else than a file is in its place."""
    if not stat.S_ISREG(path.stat().st_mode):
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(4 * WIDTH)


def _noted(text: str) -> Note | None:
    """The note in a text; None where there is none, as in one that is just being written."""
    try:
        note = Note(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    whole = all(type(getattr(note, one.name)) is one.type for one in fields(note))
    return note if whole and 0 < note.pid < 2**31 and note.units >= 0 else None


def _path(folder: Path, name: str, generation: int) -> Path:
    return folder / f"{name}.{generation}.lock"


def free(seen: Seen | None, dead: Collection[Key] = ()) -> bool:
    """Whether a lock can be taken: nobody has it, or its owner gave it back, or is dead."""
    if seen is None or seen.key in dead:
        return True
    if seen.note is None:
        return False
    return seen.note.released or (seen.note.machine == machine() and gone(seen.note.pid))


class Watch:
    """Remembers what owners counted, and when by this process's own clock that last changed."""

    def __init__(self) -> None:
        self._changed: dict[str, tuple[int, str, float]] = {}

    def dead(self, seen: Seen) -> bool:
        """Whether the owner has not counted for STALE seconds since it was first asked about."""
        now = time.monotonic()
        generation, text, since = self._changed.get(seen.name, (-1, "", now))
        if (generation, text) != (seen.generation, seen.text):
            since = now
        self._changed[seen.name] = (seen.generation, seen.text, since)
        return now - since > STALE


@dataclass
class Held:
    """Locks that this process holds."""

    folder: Path
    files: dict[str, tuple[int, int]]  # generation and descriptor, by name
    note: Note
    units: int = 0
    beats: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def advance(self, units: int) -> None:
        """Count progress.

        Raises:
            Lost: if one of the locks was taken over.
        """
        self.units += units
        for name, (generation, _) in self.files.items():
            if _path(self.folder, name, generation + 1).exists():
                raise Lost(f"the lock of {name} was taken over")

    def write(self, *, released: bool = False) -> None:
        """Show that this process lives; progress stands in the first lock alone."""
        self.beats += 1
        units = self.units
        for _, descriptor in self.files.values():
            note = replace(self.note, beat=self.beats, units=units, released=released)
            units = 0
            with suppress(OSError):  # whoever cannot count is taken over, and notices that
                _write(descriptor, note)

    def beat(self) -> None:
        """Count until the end."""
        while not self.ended.wait(BEAT):
            self.write()


def _write(descriptor: int, note: Note) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(asdict(note)).ljust(WIDTH - 1).encode() + b"\n")
    os.fsync(descriptor)  # else network file systems keep it to themselves


@contextmanager
def hold(
    folder: Path, names: Collection[str], launcher: str, dead: Collection[Key] = ()
) -> Iterator[Held | None]:
    """Hold all these locks, and count while they are held.

    What is done under them may have been done already when they are taken: look first. When all
    went well the locks vanish. After an error they are given back.

    Args:
        folder: where the locks are.
        names: of the locks that are wanted, all or none.
        launcher: names the study, see `stop`.
        dead: keys of owners that a `Watch` found dead.

    Yields:
        What is held; None if someone else holds one of them.
    """
    held = Held(folder, {}, _note(launcher))
    thread = threading.Thread(target=held.beat, daemon=True)
    try:
        for name in sorted(names):
            file = _take(folder, name, held.note, dead)
            if file is None:
                break
            held.files[name] = file
        whole = len(held.files) == len(names)
        if whole:
            thread.start()
        yield held if whole else None
    except BaseException:
        _end(held, thread, released=True)
        raise
    _end(held, thread, released=not whole)
    for name, (generation, _) in held.files.items() if whole else ():
        for k in range(generation + 1):
            _remove(_path(folder, name, k))


def _note(launcher: str) -> Note:
    return Note(socket.gethostname(), os.getpid(), machine(), launcher, secrets.token_hex(8))


def _end(held: Held, thread: threading.Thread, *, released: bool) -> None:
    held.ended.set()
    if thread.ident is not None:
        thread.join()
    if released:
        held.write(released=True)
    for _, descriptor in held.files.values():
        os.close(descriptor)


def _take(folder: Path, name: str, note: Note, dead: Collection[Key]) -> tuple[int, int] | None:
    """The next generation, or None if the lock is held or another taker was faster."""
    seen = newest(folder, name)
    if not free(seen, dead):
        return None
    generation = 0 if seen is None else seen.generation + 1
    try:
        path = _path(folder, name, generation)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    except FileExistsError:
        return None
    try:
        _write(descriptor, note)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return generation, descriptor


def stop(folder: Path, names: Collection[str], launcher: str) -> None:
    """Take away the locks that a study's workers hold, wherever they run; they notice and end."""
    note = replace(_note(launcher), released=True)
    for name in names:
        seen = newest(folder, name)
        if seen is None or seen.note is None or seen.note.released:
            continue
        if seen.note.launcher == launcher:
            with suppress(OSError):
                taken = _take(folder, name, note, {seen.key})
                if taken is not None:
                    os.close(taken[1])


def locked(folder: Path) -> set[str]:
    """The names of all locks, held or not."""
    return {path.name.split(".")[0] for path in folder.glob("*.lock")}


def clear(folder: Path, names: Collection[str]) -> None:
    """Remove what is left of locks whose runs are done."""
    for name in locked(folder) & set(names):
        for path in folder.glob(f"{name}.*.lock"):
            _remove(path)


def _remove(path: Path) -> None:
    if not path.is_dir():  # which none of ours is
        path.unlink(missing_ok=True)
