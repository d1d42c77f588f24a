"""From a name to a data set."""

from functools import lru_cache
from os.path import isdir, isfile  # which refuse no name, however long
from pathlib import Path

from vicinal.data import images, tables
from vicinal.data.builtin import LOADERS, builtin
from vicinal.data.cifar import cifar
from vicinal.data.folders import folder
from vicinal.data.hugging_face import hugging_face
from vicinal.data.objects import from_object
from vicinal.data.raw import Raw
from vicinal.data.split import Split, split
from vicinal.data.targets import Task
from vicinal.machine.names import guess


def load(
    name: str,
    seed: int,
    train_size: int | None = None,
    *,
    target: str | None = None,
    standardise: bool = True,
    task: Task | None = None,
    group: str | None = None,
) -> Split:
    """Load a data set by name and split it at random.

    Args:
        name: see `read`.
        seed: of the split; the same seed gives the same parts.
        train_size: training examples to use, stratified; None for all of them.
        target: the target column of a table; None takes the last one.
        standardise: whether tables and values are; without it they come as they are.
        task: what is to be learnt; None for what the targets say.
        group: the column that says which rows belong together, and go to one part.

    Raises:
        ValueError: see `read` and `split`.
    """
    raw = read(name, target, task, group)
    return split(raw, name, seed, train_size, standardise=standardise)


@lru_cache(maxsize=2)
def read(
    name: str, target: str | None = None, task: Task | None = None, group: str | None = None
) -> Raw:
    """Read a data set by name, whole.

    A name is one of LOADERS; a file .csv, .parquet or .npz; a folder with one folder of images for
    each class; ``idx:FOLDER`` with the files of MNIST; ``cifar:FOLDER`` with those of CIFAR;
    ``hf:NAME`` for a set of Hugging Face; or ``module:attribute`` for an object in Python code,
    which is run. What the targets are follows from their kind, unless the task is given: see
    `targets`.

    Args:
        name: of the data.
        target: the target column of a table; None takes the last one.
        task: what is to be learnt; None for what the targets say.
        group: the column of a table, or the array of an NPZ file or mapping, that says which rows
            belong together, as those of one patient; it is no feature.

    Raises:
        ValueError: if there is no such data, or they are not fit to learn from, with the reason.
    """
    if name in LOADERS:
        if target is not None:
            raise ValueError(f"{name} has one target only. Leave out --target.")
        _ungrouped(name, group)
        return builtin(name, task)
    path = Path(name)
    if name.startswith("idx:"):
        return images.idx(_ungrouped(name, group, "idx:"), task)
    if name.startswith("cifar:"):
        return cifar(_ungrouped(name, group, "cifar:"), task)
    if name.startswith("hf:"):
        return hugging_face(name, target, task, group)
    if path.suffix.lower() in tables.ENDINGS:
        if not isfile(name):
            raise ValueError(f"there is no file {name}.")
        return tables.table(path, target, task, group)
    if name and isdir(name):
        return folder(_ungrouped(name, group), task)
    if ":" in name:
        return from_object(name, task, group)
    raise ValueError(
        f"unknown data set {name!r}. {guess(name, LOADERS)}Known: {', '.join(LOADERS)}; or pass a "
        f"file ({', '.join(tables.ENDINGS)}), a folder of images, idx:FOLDER, "
        "cifar:FOLDER, hf:NAME or module:attribute."
    )


def _ungrouped(name: str, group: str | None, before: str = "") -> Path:
    """The place of data that have no columns, and so no groups."""
    if group is not None:
        raise ValueError(f"{name} has no columns, and so no groups. Leave out --group.")
    return Path(name.removeprefix(before))
