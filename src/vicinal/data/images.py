"""Images: a folder for each class, or files in the format of MNIST."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.raw import Raw
from vicinal.data.tables import from_arrays
from vicinal.data.targets import Task

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


def folder(path: Path, task: Task | None = None) -> Raw:
    """One folder of images for each class; all images of one size, scaled to [0, 1].

    Folders named train and test above them, where both are there, are respected.

    Raises:
        ValueError: if there are no images, or images of several sizes; see also `checked`.
    """
    if (path / "train").is_dir() and (path / "test").is_dir():
        return from_arrays(str(path), *_read(path / "train"), *_read(path / "test"), task=task)
    return from_arrays(str(path), *_read(path), task=task)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError(
            f'reading the images of {path} needs Pillow: pip install "vicinal[images]".'
        ) from error
    files = sorted(
        file for file in path.glob("*/*") if file.suffix.lower() in ENDINGS and file.is_file()
    )
    if not files:
        raise ValueError(
            f"{path} holds no images: it needs one folder for each class, with files that end in "
            f"{', '.join(ENDINGS)}."
        )
    images, first = [], None
    for file in files:
        try:
            with Image.open(file) as image:
                pixels = pixels_of(image)
        except OSError as error:
            raise ValueError(f"{file} cannot be read as an image: {error}") from error
        first = pixels.shape if first is None else first
        if pixels.shape != first:
            raise ValueError(
                f"{path}: all images must have one size and kind. {files[0].name} has "
                f"{first[1]}×{first[2]} in {first[0]} channels, {file.name} "
                f"{pixels.shape[1]}×{pixels.shape[2]} in {pixels.shape[0]}. Resize them beforehand."
            )
        images.append(pixels)
    return stack(images), np.array([file.parent.name for file in files])


def pixels_of(image: Any) -> np.ndarray:
    """An image of Pillow as (channels, height, width): 8 bits, or floats in [0, 1] from 16 bits."""
    if image.mode.startswith("I"):  # Pillow would cut off 16 bits at 255
        return np.asarray(image).astype(np.float32)[None] / np.float32(65535)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[None]
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def stack(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images of one shape; all as floats in [0, 1] where some of them are."""
    if len({image.dtype for image in images}) > 1:
        images = [image / np.float32(255) if image.dtype == np.uint8 else image for image in images]
    return np.stack(images)


def idx(path: Path, task: Task | None = None) -> Raw:
    """The four files of MNIST, Fashion-MNIST and their kin, packed or not.

    Raises:
        ValueError: if a file is missing or is not what its name says.
    """
    parts = []
    for part in ("train", "t10k"):
        x, y = _idx(path, f"{part}-images-idx3-ubyte"), _idx(path, f"{part}-labels-idx1-ubyte")
        parts += [x[:, None], y.astype(np.int64)]
    return from_arrays(str(path), *parts, task=task)


def _idx(path: Path, name: str) -> np.ndarray:
    found = [file for file in (path / name, path / f"{name}.gz") if file.is_file()]
    if not found:
        raise ValueError(f"{path} has no file {name} or {name}.gz.")
    raw = found[0].read_bytes()
    content = gzip.decompress(raw) if found[0].suffix == ".gz" else raw
    # two zero bytes, 8 for unsigned bytes, the number of axes, then the axes (big endian)
    axes = content[3] if len(content) > 3 else 0
    shape = np.frombuffer(content[4 : 4 + 4 * axes], ">u4").astype(np.int64)
    values = np.frombuffer(content, np.uint8, offset=min(len(content), 4 + 4 * axes))
    if content[:3] != b"\0\0\x08" or not axes or shape.prod() != len(values):
        raise ValueError(f"{found[0]} is not a whole file of unsigned bytes in IDX format.")
    return values.reshape(shape)
