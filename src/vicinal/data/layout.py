"""Which axis of an array of images is which."""

import numpy as np
from jaxtyping import Shaped

CHANNELS = (1, 3, 4)  # of grey, colours, and colours with transparency
LONGEST = 4  # times as high as wide, or as wide as high, as images are


def channels_first(
    name: str, x: Shaped[np.ndarray, "n *rest"]
) -> tuple[Shaped[np.ndarray, "n c h w"], str]:
    """Images as (n, C, H, W), and what was done to have them so.

    Four axes are (n, C, H, W) unless they are plainly (n, H, W, C), as in Keras: the last is 1, 3
    or 4 (or shorter than two equal ones before it) and the second no number of channels.

    Args:
        name: what errors call the data.
        x: of four axes; of three as well where the values are of 8 bits.

    Returns:
        Images of the same values, and a sentence, or nothing where all is as usual.

    Raises:
        ValueError: where both readings are as likely.
    """
    if x.ndim == 3:
        return x[
            :, None
        ], f"Read as grey images of {x.shape[1]}×{x.shape[2]} without a channel axis."
    second, third, last = x.shape[1:]
    usual = f"(n, C, H, W), images of {third}×{last} in {second} channels"
    other = f"(n, H, W, C), images of {second}×{third} in {last} channels"
    if third == last:
        return x, ""
    if second == third and second in CHANNELS and last in CHANNELS and second > 1:
        raise ValueError(
            f"{name}: the shape {x.shape} may be {usual}, or {other}. Pass (n, C, H, W) with other "
            "sizes, such as images with a border."
        )
    image = second <= LONGEST * third and third <= LONGEST * second
    turned = last in CHANNELS and second not in (*CHANNELS, 2) and second > last and image
    if turned or (second == third and last < second):
        return np.ascontiguousarray(
            x.transpose(0, 3, 1, 2)
        ), f"Read as {other}, and turned round to (n, C, H, W)."
    if last in CHANNELS and second not in CHANNELS:
        return x, f"Read as {usual}."
    return x, ""
