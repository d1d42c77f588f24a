"""Files that are whole or absent, whatever stops the writer; and numbers as JSON knows them."""

import math
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any


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
    """Write a file so that readers, and a crash at any moment, see the old or the new one."""
    with whole(path, content) as partial:
        os.replace(partial, path)


@contextmanager
def whole(path: Path, content: bytes) -> Iterator[Path]:
    """The content in a file beside the path, on the disk; gone afterwards unless it was renamed."""
    partial = partial_of(path)
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Where this process, and no other, writes what shall become the file at the path."""
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.partial")


def sweep(path: Path) -> None:
    """Remove what writers of a file left who were killed."""
    for left in path.parent.glob(f".{path.name}.*.partial"):
        left.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be read, so that it is neither used nor lost."""
    for k in range(1, 1000):
        target = path.with_name(f"{path.name}.unreadable-{k}")
        if not target.exists():
            return path.rename(target)
    raise FileExistsError(f"{path} has been set aside 999 times; clean up its folder.")
