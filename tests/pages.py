"""Pages in a real browser. Where it or its tools are absent people skip these tests, CI never."""

import importlib
import os

import pytest

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


def needed(name):
    """A module that the tests of pages need."""
    return importlib.import_module(name) if os.environ.get("CI") else pytest.importorskip(name)


axe = needed("axe_playwright_python.sync_playwright")
playwright = needed("playwright.sync_api")


def opened(browser, written, width=1280, scheme="light"):
    """A page whose figures are drawn; it knows what the console said and what was asked for."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(written.as_uri())
    page.wait_for_selector("html[data-figures=drawn]", timeout=30_000)
    return page


def markers(page):
    """How many marks each figure has."""
    count = "plots => plots.map(p => p.querySelectorAll('.mark-symbol path').length)"
    return page.eval_on_selector_all(".plot", count)


def violations(page, unfolded=True):
    """What breaks the rules of axe-core for WCAG 2.1 A and AA."""
    if unfolded:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    return [
        (v["id"], node["html"][:120], node["failureSummary"][:300])
        for v in axe.Axe().run(page, options=RULES).response["violations"]
        for node in v["nodes"][:2]
    ]
