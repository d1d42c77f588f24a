"""Images as arrays: what Pillow reads, and files in the format of MNIST."""

import gzip
import math
import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.arrays import from_arrays
from vicinal.data.raw import Raw
from vicinal.data.targets import Task

WHITE = (255, 255, 255, 255)  # what is behind transparent pixels
TURNED = "turned as their cameras say (EXIF)"
COMPOSED = "laid over white where they are transparent"
FIRST = "of several frames, of which the first was read"


def read_images(files: Sequence[Path]) -> tuple[list[np.ndarray], Counter[str]]:
    """Images from files, and how many of them were not taken as they are.

    Raises:
        ValueError: if Pillow is missing, or with the name of a file that cannot be read.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError(
            f'reading the images of {files[0].parent} needs Pillow: pip install "vicinal[images]".'
        ) from error
    images, changes = [], Counter[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tags that are damaged beside sound pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for file in files:
            try:
                with Image.open(file) as image:
                    image.verify()  # the sums of PNG, which nothing else compares
                with Image.open(file) as image:
                    pixels, changed = decoded(image)
            except Exception as error:  # readers raise many kinds for damaged files
                raise ValueError(f"{file} cannot be read as an image: {error}") from error
            images.append(pixels)
            changes.update(changed)
    return images, changes


def decoded(image: Any) -> tuple[np.ndarray, list[str]]:
    """An image of Pillow as (channels, height, width), and what was changed on the way.

    Values are 8 bits, or floats in [0, 1] from 16 bits. Transparent images are laid over white, and
    images are turned as their EXIF tag says.

    Raises:
        ValueError: for floats without a range, and images that show nothing over white.
    """
    from PIL import ImageOps

    several = image.format != "MPO" and getattr(image, "n_frames", 1) > 1  # MPO has previews
    changed = [FIRST] if several else []
    if _orientation(image) in range(2, 9):
        image, changed = ImageOps.exif_transpose(image), [*changed, TURNED]
    if image.mode == "F":
        raise ValueError("its pixels are floats without a range. Save it with 8 or 16 bits")
    if _transparent(image):
        image, changed = _over_white(image), [*changed, COMPOSED]
    return pixels_of(image), changed


def _orientation(image: Any) -> object:
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # a damaged tag says nothing, and the pixels may be sound
        return 1


def _transparent(image: Any) -> bool:
    """Whether a pixel can be seen through."""
    possible = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    if not possible or image.mode.startswith("I"):
        return False
    return bool(image.convert("RGBA").getchannel("A").getextrema()[0] < 255)


def _over_white(image: Any) -> Any:
    from PIL import Image

    seen = image.convert("RGBA")
    composed = Image.alpha_composite(Image.new("RGBA", seen.size, WHITE), seen).convert("RGB")
    low, high = np.asarray(seen)[..., 3].min(), np.asarray(seen)[..., 3].max()
    if low < high and len(np.unique(np.asarray(composed).reshape(-1, 3), axis=0)) == 1:
        raise ValueError(
            "it is white on transparent, of which nothing is left over white. Lay it over another "
            "colour beforehand"
        )
    return composed.convert("L") if image.mode in ("1", "L") else composed


def pixels_of(image: Any) -> np.ndarray:
    """An opaque image as (channels, height, width): 8 bits, or floats in [0, 1] from 16 bits."""
    if image.mode.startswith("I"):  # Pillow would cut off 16 bits at 255
        values = np.asarray(image)
        if not 0 <= values.min() <= values.max() <= 65535:
            raise ValueError(f"its pixels, up to {values.max()}, are not of 16 bits")
        return values.astype(np.float32)[None] / np.float32(65535)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[None]
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def told(changes: Counter[str]) -> list[str]:
    """A sentence on images that were not taken as they are, if there are some."""
    parts = [f"{count} are {what}" for what, count in sorted(changes.items())]
    return [f"Of the images {', '.join(parts)}."] if parts else []


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
        x, y = (
            _idx(path, f"{part}-images-idx3-ubyte", 3),
            _idx(path, f"{part}-labels-idx1-ubyte", 1),
        )
        parts += [x[:, None], y.astype(np.int64)]
    return from_arrays(str(path), *parts, task=task)


def _idx(path: Path, name: str, axes: int) -> np.ndarray:
    found = [file for file in (path / name, path / f"{name}.gz") if file.is_file()]
    if not found:
        raise ValueError(f"{path} has no file {name} or {name}.gz.")
    try:
        raw = found[0].read_bytes()
        content = gzip.decompress(raw) if found[0].suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise ValueError(f"{found[0]} cannot be unpacked: {error}") from error
    # two zero bytes, 8 for unsigned bytes, the number of axes, then the axes (big endian)
    head = 4 + 4 * axes
    shape = np.frombuffer(content[4:head], ">u4").tolist() if len(content) >= head else []
    whole = content[:4] == bytes((0, 0, 8, axes)) and math.prod(shape) == len(content) - head
    if not shape or not whole:
        raise ValueError(
            f"{found[0]} is not a whole file of unsigned bytes in IDX format, with {axes} axes."
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)
