"""Pages of the figures as people meet them, in a real browser."""

import pytest

from pages import markers, opened, playwright, violations
from reproductions import NAMES, reproduced
from vicinal.report.reproduced import page


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
    drawn = markers(seen)
    assert all(drawn), drawn
    assert bool(drawn) == (name != "index")
    assert seen.locator("figure:has(details.words-used)").count() == seen.locator("figure").count()
    # tables are alike, and axe looks at every cell
    assert violations(seen, unfolded=name == "robustness") == []
    seen.close()


def test_series_are_hidden_by_their_buttons(browser, pages):
    seen = opened(browser, pages / "bound.html")
    marks = seen.locator("figure .mark-symbol path")
    before = marks.count()
    seen.locator("button[data-method]").first.click()
    playwright.expect(marks).to_have_count(before * 3 // 4)
    seen.close()
