"""Files that are whole or absent, whatever stops the writer; and numbers as JSON knows them."""

import errno
import glob
import math
import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from vicinal.machine.owners import gone

Found = TypeVar("Found")


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as JSON knows it: dataclasses become objects, floats that are not finite null."""
    return {str(key): _plain(value) for key, value in record.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write(path: Path, text: str) -> None:
    """Write a text so that readers, and a crash at any moment, see the old or the new one."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that readers, and a crash at any moment, see the old or the new one.

    What a link points to is replaced, not the link.

    Raises:
        ValueError: if something else than a file is there, as `check_file`.
        OSError: if it cannot be written, with its name; the old one stays.
    """
    check_file(path)
    path = Path(os.path.realpath(path))
    with whole(path, content) as partial:
        os.replace(partial, path)
        settle(path.parent)
    sweep(path)


@contextmanager
def whole(path: Path, content: bytes) -> Iterator[Path]:
    """The content in a file beside the path, on the disk; gone afterwards unless it was renamed.

    Raises:
        OSError: if it cannot be written, with the name of the path.
    """
    partial = partial_of(path)
    try:
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # of a full disk it does not say which file it was
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def settle(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, so that they outlast a loss of power."""
    if os.name != "posix":  # elsewhere folders cannot be opened
        return
    with suppress(OSError):  # some file systems cannot
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_file(path: Path) -> None:
    """Refuse a path where no file can be written, before there is anything to write.

    Raises:
        ValueError: if something else than a file is there, which must not be replaced by one: a
            folder, a pipe, a device, a link to nothing; or as `check_folder`, for its folder.
    """
    if (kind := kind_of(path)) not in (None, "a file"):
        raise ValueError(f"{path} is {kind}, and not replaced by a file. Pass another name.")
    check_folder(Path(os.path.realpath(path)).parent)


def check_folder(path: Path) -> None:
    """Refuse a path where no folder is or can be made, before there is anything to put there.

    Raises:
        ValueError: if something else is there, or in the place of a folder above it; if nothing
            can be written there.
    """
    for place in (path, *path.absolute().parents):  # the first that exists decides
        if (kind := kind_of(place)) is None:
            continue
        if kind != "a folder":
            above = "" if place == path else f", so there can be no folder {path}"
            raise ValueError(f"{place} is {kind}, not a folder{above}. Pass another name.")
        if not os.access(place, os.W_OK | os.X_OK):
            raise ValueError(f"nothing can be written in {place}: permission denied.")
        return


KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(path: Path) -> str | None:
    """What is at a path, in words, looked at and not opened: a pipe would wait; None if nothing.

    Of a link, what it points to.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "a link to nothing" if path.is_symlink() else None
    except PermissionError:
        return "in a folder that cannot be read"
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return "a link to itself" if os.path.islink(path) else None
    return next((kind for holds, kind in KINDS if holds(mode)), "something else")


def partial_of(path: Path) -> Path:
    """Where this process, and no other, writes what shall become the file at the path."""
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.partial")


def sweep(path: Path) -> None:
    """Remove what writers of a file left who were killed; those on other machines may live."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        host, _, process = left.name[len(path.name) + 2 : -len(".partial")].rpartition("-")
        if host == socket.gethostname() and process.isdecimal() and gone(int(process)):
            left.unlink(missing_ok=True)


def half_done(
    path: Path,
    read: Callable[[Path], Found],
    say: Callable[[str], object],
    *,
    what: str,
    then: str,
) -> Found | None:
    """What a file holds with which some work goes on; one that cannot be used is set aside.

    Args:
        path: of the file.
        read: gives what it holds, and raises whatever it likes where that is damaged.
        say: told, in a sentence, why the file cannot be used and where it is now.
        what: it is, such as "the checkpoint"; may be empty.
        then: what is done now, such as "training from the start".

    Returns:
        None where there is no file, or one that cannot be used.
    """
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged file makes what reads it raise anything
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        with suppress(FileNotFoundError):  # another process has set it aside just now
            aside = set_aside(path)
            named = f"{what} {path.name}".strip()
            say(f"{named} could not be read ({reason}); set aside as {aside.name}, {then}.")
        return None


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be read, so that it is neither used nor lost."""
    for k in range(1, 1000):
        target = path.with_name(f"{path.name}.unreadable-{k}")
        if not os.path.lexists(target):
            return path.rename(target)
    raise FileExistsError(f"{path} has been set aside 999 times; clean up its folder.")
