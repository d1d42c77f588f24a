"""The gallery from `vicinal reproduce all`: python docs/gallery.py FOLDER.

Pictures for light and dark pages, and what was found in the words of the command, become
docs/gallery.md and docs/_static/gallery.
"""

import json
import re
import sys
from io import BytesIO
from pathlib import Path

import vl_convert
from PIL import Image

from vicinal.cli.reproduce import FIGURES
from vicinal.report.reproduced.claims import WORDS

DOCS = Path(__file__).parent
PICTURES = DOCS / "_static" / "gallery"
WIDTH = 1100  # pixels
DARK = {  # instead of the colours of vicinal.report.figures.still
    'fill="white"': 'fill="#131416"',
    "#1c1e21": "#e7e6e2",
    "#e4e4e0": "#2e3136",
    "#9a9a94": "#74787d",
}
OPENING = """# Gallery

The figures of the talk by the authors of arXiv:2010.04819, each measured from scratch with
intervals over seeds by

```sh
vicinal reproduce all
```

which also writes each as a page, SVG, PDF and CSV; {minutes} minutes on one busy core. Below
each picture is what the command itself says about it: what agrees with the talk, what does not, and
what is not shown either way.
"""
WHAT = {
    "approximation": "Loss against epochs, of models trained on mixup, on its expansion, and "
    "without mixing; the error of the expansion against the size of the logits.",
    "cosine": "Histograms of the cosine between inputs and gradients, before and after training, "
    "and the radii of the bound, sorted.",
    "robustness": "Accuracy against ε with and without mixup, under FGSM, PGD and the worst case.",
    "bound": "The mixup loss, its expansion and two adversarial losses through training, where "
    "the conditions of the bound can hold and where one is broken.",
    "generalization": "Training and test losses through training and against α on three data "
    "sets, and the bound for linear models.",
    "calibration": "Reliability before and after one temperature; the expected calibration error "
    "against the dimension.",
    "variants": "Each strategy minus training without mixing, for six measures.",
}


def main(folder: Path) -> None:
    """Convert every figure and write the page."""
    PICTURES.mkdir(exist_ok=True)
    found = {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name in FIGURES}
    seconds = sum(
        json.loads(path.read_text("utf-8"))["seconds"]
        for path in (folder / "records").glob("*.json")
    )
    parts = [OPENING.format(minutes=round(seconds / 60))]
    for name in FIGURES:
        light = (folder / f"{name}.svg").read_text("utf-8")
        dark = light
        for colour, other in DARK.items():
            dark = dark.replace(colour, other)
        _save(light, PICTURES / f"{name}.webp")
        _save(dark, PICTURES / f"{name}-dark.webp")
        parts.append(f"## {name.capitalize()}\n\n{_shown(name)}{_told(found[name]['paragraph'])}\n")
    (DOCS / "gallery.md").write_text("\n".join(parts), encoding="utf-8")


def _told(paragraph: str) -> str:
    """What was found, a line for each kind of it."""
    plain = paragraph.replace("\N{NO-BREAK SPACE}", " ").replace("*", "\\*")
    return re.sub(rf" ?({'|'.join(WORDS.values())}): ", r"\n* **\1:** ", plain).lstrip()


def _save(svg: str, path: Path) -> None:
    png = vl_convert.svg_to_png(svg, scale=2)
    image = Image.open(BytesIO(png)).convert("RGB")
    height = round(image.height * WIDTH / image.width)
    image.resize((WIDTH, height), Image.Resampling.LANCZOS).save(path, quality=40, method=6)


def _shown(name: str) -> str:
    """Both pictures; the theme shows one of them."""
    return "".join(
        f"```{{image}} _static/gallery/{name}{ending}.webp\n:alt: {WHAT[name]}\n"
        f":class: shot only-{scheme}\n```\n\n"
        for scheme, ending in (("light", ""), ("dark", "-dark"))
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
