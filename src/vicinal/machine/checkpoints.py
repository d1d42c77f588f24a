"""Checkpoints: where a training was, in one file that is whole or absent."""

import warnings
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vicinal.machine.files import half_done, kind_of, write_bytes

ANEW = "training from the start"
FORMAT = 2
"""Of checkpoints that are written, and the only one that is read. 2 ends with a digest."""
MARK = b"sha256:"
"""Comes after what torch wrote; the digest of that follows, and ends the file."""
SIZE = len(MARK) + sha256().digest_size


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a checkpoint; one that cannot be written is told, and the one before stays.

    Tensors are written as those of the CPU, so that any machine can read them.

    Warns:
        UserWarning: if the file cannot be written, as on a full disk. Training need not end
            for that.
    """
    buffer = BytesIO()
    torch.save({"format": FORMAT, **_on_cpu(content)}, buffer)
    try:
        write_bytes(path, sealed(buffer.getvalue()))
    except OSError as error:
        warnings.warn(
            f"the checkpoint {path.name} could not be written ({error.strerror or error}); "
            "training goes on, but would be repeated from the one before if it were stopped.",
            stacklevel=2,
        )


def sealed(content: bytes) -> bytes:
    """The content and its digest, by which one flipped bit is known."""
    return content + MARK + sha256(content).digest()


def _on_cpu(content: Any) -> Any:
    if isinstance(content, Tensor):
        return content.cpu()
    if isinstance(content, Mapping):
        return {key: _on_cpu(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_on_cpu(value) for value in content)
    return content


def load(path: Path) -> dict[str, Any] | None:
    """What a checkpoint holds: tensors, numbers and texts only. None if there is none.

    Warns:
        UserWarning: if it cannot be read, is not what was written, or has another format, as those
            of an older or a newer version may; it is set aside.
    """
    return half_done(path, _read, warnings.warn, what="the checkpoint", then=ANEW)


def _read(path: Path) -> dict[str, Any]:
    """The same.

    Raises:
        Exception: any, for what is no checkpoint, or a damaged one.
    """
    if (kind := kind_of(path)) not in (None, "a file"):
        raise ValueError(f"it is {kind}")
    content = path.read_bytes()
    end = content[-SIZE:]
    if end.startswith(MARK):
        content = content[:-SIZE]
        if sealed(content)[-SIZE:] != end:
            raise ValueError("it is not what was written")
    found: dict[str, Any] = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}")
    if found.get("format") != FORMAT:
        written = found.get("format", "none")
        raise ValueError(f"its format is {written}, and this version of vicinal reads {FORMAT}")
    if not end.startswith(MARK):
        raise ValueError("its end is missing")
    return found


def refuse(path: Path, error: Exception) -> None:
    """Set a checkpoint aside that cannot be used, and say why."""

    def fail(path: Path) -> None:
        raise error

    half_done(path, fail, warnings.warn, what="the checkpoint", then=ANEW)
