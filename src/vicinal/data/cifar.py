"""CIFAR-10 and CIFAR-100 as their authors publish them in binary files."""

from pathlib import Path

import numpy as np

from vicinal.data.arrays import from_arrays
from vicinal.data.raw import Raw
from vicinal.data.targets import Task

PIXELS = (3, 32, 32)
TEN = [f"data_batch_{k}.bin" for k in range(1, 6)], ["test_batch.bin"]
HUNDRED = ["train.bin"], ["test.bin"]


def cifar(path: Path, task: Task | None = None) -> Raw:
    """The binary files of CIFAR-10, or of CIFAR-100 with its fine labels.

    A record is one byte for the class (two for CIFAR-100, the coarse one first) and 3072 for the
    image, channel by channel. The files for Python are pickles, which can run code: they are not
    read.

    Raises:
        ValueError: if a file is missing or is not made of whole records.
    """
    hundred = (path / HUNDRED[0][0]).is_file()
    labels = 2 if hundred else 1
    parts: list[np.ndarray] = []
    for names in HUNDRED if hundred else TEN:
        rows = np.concatenate([_records(path / name, labels) for name in names])
        parts += [rows[:, labels:].reshape(-1, *PIXELS), rows[:, labels - 1].astype(np.int64)]
    return from_arrays(str(path), *parts, task=task)


def _records(file: Path, labels: int) -> np.ndarray:
    if not file.is_file():
        raise ValueError(
            f"there is no file {file}. cifar:FOLDER needs the binary version: data_batch_1.bin to "
            "data_batch_5.bin and test_batch.bin, or train.bin and test.bin of CIFAR-100."
        )
    content = np.fromfile(file, np.uint8)
    length = labels + int(np.prod(PIXELS))
    if not len(content) or len(content) % length:
        raise ValueError(f"{file} is not made of whole records of {length} bytes.")
    rows = content.reshape(-1, length)
    if (most := int(rows[:, labels - 1].max())) > (9, 99)[labels - 1]:
        raise ValueError(f"{file} has a class {most}, which CIFAR-{(10, 100)[labels - 1]} has not.")
    return rows
