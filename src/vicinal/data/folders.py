"""Folders of images: one for each class, and above them those of parts."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vicinal.data.arrays import of_parts
from vicinal.data.images import read_images, stack, told
from vicinal.data.raw import Raw
from vicinal.data.targets import Task

ENDINGS = (
    ".bmp",
    ".gif",
    ".jfif",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation", "dev"),
}


def folder(path: Path, task: Task | None = None) -> Raw:
    """One folder of images for each class; all images of one size, scaled to [0, 1].

    Folders named train and test, or train and val, above them are the parts; the names may be
    written in other ways, see PARTS. Hidden files and folders are passed over. What else is not
    read is told.

    Raises:
        ValueError: if there are no images, or images of several sizes; see also `checked`.
    """
    places = _parts(path)
    where = places or {"train": path}
    left_out = Counter[str]()
    files = {part: _files(place, left_out) for part, place in where.items()}
    if places:
        others = [p for p in path.iterdir() if p not in places.values()]
        left_out.update(_kind(p, path) for p in others)
    every = [file for found in files.values() for file in found]
    images, changes = read_images(every)
    _refuse_unlike(path, every, images)
    pixels, arrays, start = stack(images), {}, 0
    for part, found in files.items():
        named = "" if part == "train" else f"_{part}"
        arrays[f"x{named}"] = pixels[start : start + len(found)]
        arrays[f"y{named}"] = np.array([file.parent.name for file in found])
        start += len(found)
    return of_parts(
        str(path),
        arrays,
        task=task,
        left_out=[
            f"{count} {what if count > 1 else what.replace('files', 'file', 1)}"
            for what, count in sorted(left_out.items())
        ],
        remarks=told(changes),
    )


def _parts(path: Path) -> dict[str, Path]:
    """The folders of parts; none where there is not one for training and another."""
    found: dict[str, Path] = {}
    for part, names in PARTS.items():
        places = [p for p in path.iterdir() if p.is_dir() and p.name.lower() in names]
        if len(places) > 1:
            raise ValueError(
                f"{path} has several folders for one part: "
                f"{', '.join(sorted(p.name for p in places))}. Keep one of them."
            )
        if places:
            found[part] = places[0]
    return found if "train" in found and len(found) > 1 else {}


def _files(path: Path, left_out: Counter[str]) -> list[Path]:
    """The images of all classes, sorted; what else is there is counted.

    Raises:
        ValueError: if there are none.
    """
    found = []
    for place in path.iterdir():
        if place.is_dir() and not _hidden(place):
            own = list(_of_class(place, left_out))
            if not own:
                left_out[f"folder without an image ({place.name})"] += 1
            found += own
        else:
            left_out[_kind(place, path)] += 1
    if not found:
        raise ValueError(
            f"{path} holds no images: it needs one folder for each class, with files that end in "
            f"{', '.join(ENDINGS)}."
        )
    return sorted(found)


def _of_class(place: Path, left_out: Counter[str]) -> Iterator[Path]:
    for file in place.iterdir():
        if file.is_file() and not _hidden(file) and file.suffix.lower() in ENDINGS:
            yield file
        else:
            left_out[_kind(file, place)] += 1


def _hidden(place: Path) -> bool:
    return place.name.startswith((".", "__MACOSX"))


def _kind(place: Path, above: Path) -> str:
    """What is said of a file or folder that is not read, after a number."""
    if _hidden(place):
        return f"hidden ({place.name})" if place.is_dir() else "hidden files"
    if place.is_dir():
        return f"folder below a class ({above.name}/{place.name})"
    return f"files {place.suffix or 'without an ending'} in {above.name}"


def _refuse_unlike(path: Path, files: list[Path], images: list[np.ndarray]) -> None:
    first = images[0].shape
    for file, image in zip(files, images, strict=True):
        if image.shape != first:
            raise ValueError(
                f"{path}: all images must have one size and kind. {files[0].name} has "
                f"{first[1]}×{first[2]} in {first[0]} channels, {file.name} "
                f"{image.shape[1]}×{image.shape[2]} in {image.shape[0]}. Resize them beforehand."
            )
