"""The pictures of a report: python docs/picture.py demo/report.html docs/_static.

Two parts of the page as Chromium shows it, one below the other: the verdict, and the differences;
report.webp for light pages, report-dark.webp for dark ones.
"""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH = 1100
PARTS = (
    ("main, body", ".glance"),
    ("h3:has-text('Differences to')", "figure[data-name$=differences] svg"),
)


def part(page: Page, first: str, last: str) -> Image.Image:
    """From the top of one element to the end of another."""
    top = page.locator(first).first.bounding_box()
    end = page.locator(last).last.bounding_box()
    assert top is not None
    assert end is not None
    clip = {"x": 0, "y": top["y"], "width": WIDTH, "height": end["y"] + end["height"] - top["y"]}
    return Image.open(BytesIO(page.screenshot(clip=clip, full_page=True))).convert("RGB")


def main(report: Path, out: Path) -> None:
    """Open the page in light and dark, and save both pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        for scheme, name in (("light", "report"), ("dark", "report-dark")):
            size = {"width": WIDTH, "height": 800}
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.goto(report.resolve().as_uri())
            page.wait_for_selector("html[data-figures=drawn]")
            joined([part(page, *ends) for ends in PARTS]).save(
                out / f"{name}.webp", quality=60, method=6
            )
        browser.close()


def joined(images: list[Image.Image]) -> Image.Image:
    """Parts of one page below each other."""
    whole = Image.new("RGB", (WIDTH, sum(i.height for i in images) + 40 * len(images)), "white")
    at = 0
    for image in images:
        whole.paste(image.getpixel((0, 0)), (0, at, WIDTH, whole.height))
        whole.paste(image, (0, at))
        at += image.height + 40
    return whole


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
