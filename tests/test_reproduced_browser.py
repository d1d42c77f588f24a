"""Pages of the figures as people meet them, in a real browser."""

import pytest

from reproductions import NAMES, reproduced
from test_report_browser import axe, opened
from vicinal.report.reproduced import page

playwright = pytest.importorskip("playwright.sync_api")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduced")
    found = [reproduced(name, out) for name in NAMES]
    for one in found:
        (out / f"{one.name}.html").write_text(page.page(one, command="vicinal reproduce all"))
    (out / "index.html").write_text(page.overview(found, command="vicinal reproduce all"))
    return out


@pytest.mark.parametrize("name", [*NAMES, "index"])
def test_pages_are_drawn_without_errors_requests_or_overflow(browser, pages, name):
    path = pages / f"{name}.html"
    seen = opened(browser, path, 320, "dark")
    assert (seen.said, seen.asked) == ([], [path.as_uri()])
    assert seen.evaluate("document.documentElement.scrollWidth") == 320
    marks = "plots => plots.map(p => p.querySelectorAll('.mark-symbol path').length)"
    drawn = seen.eval_on_selector_all(".plot", marks)
    assert all(drawn), drawn
    assert bool(drawn) == (name != "index")
    assert seen.locator("figure:has(details.words-used)").count() == seen.locator("figure").count()
    if name == "robustness":  # tables are alike, and axe looks at every cell
        seen.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe.Axe().run(seen, options=RULES).response["violations"]
    told = [(v["id"], n["html"][:120], n["failureSummary"]) for v in found for n in v["nodes"][:2]]
    assert told == []
    seen.close()


def test_series_are_hidden_by_their_buttons(browser, pages):
    seen = opened(browser, pages / "bound.html")
    markers = seen.locator("figure .mark-symbol path")
    before = markers.count()
    seen.locator("button[data-method]").first.click()
    playwright.expect(markers).to_have_count(before * 3 // 4)
    seen.close()
