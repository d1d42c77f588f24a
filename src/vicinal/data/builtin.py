"""Data sets that come with scikit-learn; they need no network."""

from dataclasses import replace

from sklearn import datasets

from vicinal.data.raw import Raw
from vicinal.data.targets import Task

LOADERS = {
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
}
"""By name; diabetes has values for targets, the others classes."""


def builtin(name: str, task: Task | None = None) -> Raw:
    """A data set of LOADERS; images are scaled to [0, 1].

    Raises:
        ValueError: for another task than its own; two classes can be binary.
    """
    found = LOADERS[name]()
    images = "images" in found
    classes = map(str, found.get("target_names", ()))
    raw = Raw(
        x=found.images[:, None] / 16 if images else found.data,
        y=found.target.astype("float64" if name == "diabetes" else "int64"),
        bounds=(0.0, 1.0) if images else None,
        labels=tuple(classes),
        features=() if images else tuple(map(str, found.feature_names)),
        task="regression" if name == "diabetes" else "classification",
    )
    if task in (None, raw.task):
        return raw
    if task == "binary" and raw.classes == 2:
        return replace(raw, task="binary")
    raise ValueError(f"{name} is a data set for {raw.task}. Leave out --task {task}.")
