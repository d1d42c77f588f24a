"""The gallery from `vicinal reproduce all`: python docs/gallery.py FOLDER.

Pictures, and what was found in the words of the command, become docs/gallery.md and
docs/_static/gallery.
"""

import json
import sys
from io import BytesIO
from pathlib import Path

import vl_convert
from PIL import Image

from vicinal.cli.reproduce import FIGURES

DOCS = Path(__file__).parent
PICTURES = DOCS / "_static" / "gallery"
WIDTH = 1400  # pixels
OPENING = """# Gallery

The figures of the talk by the authors of arXiv:2010.04819, each measured from scratch with
intervals over seeds by

```sh
vicinal reproduce all
```

which also writes each as a page, SVG, PDF and CSV. Below each picture is what the command itself
says about it: what agrees with the talk, what does not, and what is not shown either way.
"""


def main(folder: Path) -> None:
    """Convert every figure and write the page."""
    PICTURES.mkdir(exist_ok=True)
    parts = [OPENING]
    for name in FIGURES:
        found = json.loads((folder / f"{name}.json").read_text("utf-8"))
        png = vl_convert.svg_to_png((folder / f"{name}.svg").read_text("utf-8"), scale=2)
        image = Image.open(BytesIO(png)).convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        height = round(image.height * WIDTH / image.width)
        white.convert("RGB").resize((WIDTH, height)).save(PICTURES / f"{name}.webp", quality=75)
        text = found["paragraph"].replace("\N{NO-BREAK SPACE}", " ").replace("*", "\\*")
        parts.append(
            f"## {name.capitalize()}\n\n```{{image}} _static/gallery/{name}.webp\n"
            f":alt: The figures of {name}, described below.\n:class: shot\n```\n\n{text}\n"
        )
    (DOCS / "gallery.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
