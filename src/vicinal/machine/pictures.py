"""Small pictures of examples, as PNG in text, so that a record can carry what it speaks of."""

import base64
import struct
import zlib

import numpy as np
from jaxtyping import Float

LARGEST = 64  # pixels on a side; larger images are thinned out


def picture(x: Float[np.ndarray, "channels height width"], low: float, high: float) -> str:
    """An image of one or three channels as a data address (PNG, 8 bits).

    Args:
        x: the image; more than LARGEST pixels on a side are thinned out.
        low: value that is drawn black.
        high: value that is drawn white, above `low`.

    Returns:
        Text that begins with ``data:image/png;base64,``.

    Raises:
        ValueError: if there are neither one nor three channels.

    Example:
        >>> picture(np.zeros((1, 2, 2)), 0.0, 1.0)[:22]
        'data:image/png;base64,'
    """
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        raise ValueError(
            f"a picture needs shape (1 or 3, height, width), got {tuple(x.shape)}. Show tables as "
            "numbers."
        )
    step = max(1, -(-max(x.shape[1:]) // LARGEST))
    scaled = (x[:, ::step, ::step] - low) / (high - low)
    values = (255 * scaled.clip(0, 1)).round().astype(np.uint8)
    return "data:image/png;base64," + base64.b64encode(_png(values)).decode()


def _png(image: np.ndarray) -> bytes:
    channels, height, width = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    lines = b"".join(b"\0" + image[:, k].T.tobytes() for k in range(height))
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
