"""From a name to a data set."""

import difflib
from functools import lru_cache
from pathlib import Path

from vicinal.data import images, tables
from vicinal.data.builtin import LOADERS, builtin
from vicinal.data.cifar import cifar
from vicinal.data.objects import from_object, hugging_face
from vicinal.data.raw import Raw
from vicinal.data.split import Split, split


def load(
    name: str,
    seed: int,
    train_size: int | None = None,
    *,
    target: str | None = None,
    standardise: bool = True,
    values: bool = False,
) -> Split:
    """Load a data set by name and split it at random.

    Args:
        name: see `read`.
        seed: of the split; the same seed gives the same parts.
        train_size: training examples to use, stratified; None for all of them.
        target: the target column of a table; None takes the last one.
        standardise: whether tables and values are; without it they come as they are.
        values: whether whole numbers are values, such as counts; see `read`.

    Raises:
        ValueError: see `read` and `split`.
    """
    return split(read(name, target, values), name, seed, train_size, standardise=standardise)


@lru_cache(maxsize=2)
def read(name: str, target: str | None = None, values: bool = False) -> Raw:
    """Read a data set by name, whole.

    A name is one of LOADERS; a file .csv, .parquet or .npz; a folder with one folder of images for
    each class; ``idx:FOLDER`` with the files of MNIST; ``cifar:FOLDER`` with those of CIFAR;
    ``hf:NAME`` for a set of Hugging Face; or ``module:attribute`` for an object in Python code,
    which is run. Whether targets are classes or values follows from their kind: whole numbers and
    texts are classes, floats are values; with `values`, whole numbers are values too.

    Raises:
        ValueError: if there is no such data, or they are not fit to learn from, with the reason.
    """
    if name in LOADERS:
        if target is not None:
            raise ValueError(f"{name} has one target only. Leave out --target.")
        return builtin(name)
    path = Path(name)
    if name.startswith("idx:"):
        return images.idx(Path(name.removeprefix("idx:")))
    if name.startswith("cifar:"):
        return cifar(Path(name.removeprefix("cifar:")))
    if name.startswith("hf:"):
        return hugging_face(name, target, values)
    if path.suffix in tables.ENDINGS:
        if not path.is_file():
            raise ValueError(f"there is no file {name}.")
        return tables.table(path, target, values)
    if path.is_dir():
        return images.folder(path)
    if ":" in name:
        return from_object(name, values)
    near = difflib.get_close_matches(name, LOADERS, n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]}? " if near else ""
    raise ValueError(
        f"unknown data set {name!r}. {guess}Known: {', '.join(LOADERS)}; or pass a file "
        f"({', '.join(tables.ENDINGS)}), a folder of images, idx:FOLDER, "
        "cifar:FOLDER, hf:NAME or module:attribute."
    )
