"""A study on images of one's own, a folder for each class, with a model of one's own.

The same from the command line:

    vicinal compare shapes/ --model own_images:Network --methods erm cutmix "mixup(alpha=1)"
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor, nn

from vicinal import cli


class Network(nn.Module):
    """Takes what every factory is given: the shape of an image, and the number of outputs."""

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(shape[0], 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, stride=2), nn.ReLU(),
            nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(64, outputs),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Logits; pixels come in [0, 1]."""
        return self.layers(x - 0.5)


def write_images(folder: Path) -> None:
    """Noisy bright discs and crosses of 12×12 pixels, 80 of each."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:12, :12]
    for kind in ("disc", "cross"):
        (folder / kind).mkdir()
        for k in range(80):
            (top, left), size = rng.uniform(3, 9, 2), rng.uniform(2, 4)
            far = (rows - top) ** 2 + (columns - left) ** 2
            thin = np.minimum(abs(rows - top), abs(columns - left)) < 1
            inside = far < (size**2 if kind == "disc" else 1.5 * size**2 * thin)
            image = 120 * inside + rng.normal(60, 15, (12, 12))
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / kind / f"{k}.png")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "shapes"
        images.mkdir()
        write_images(images)
        options = ["--model", f"{__name__}:Network", "--seeds", "2", "--epochs", "40"]
        methods = ["--methods", "erm", "cutmix", "mixup(alpha=1)", "--out", folder]
        cli.app(["compare", str(images), *options, *methods], result_action="return_value")


if __name__ == "__main__":
    main()
