"""The page as people meet it: drawn without errors or requests, usable by keyboard and reader."""

import csv
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from pages import markers, opened, playwright, violations
from runs import EVIL, failed, record, three_seeds
from vicinal.report import compare, render

COLOURS = """() => [...new Set(
    [...document.querySelectorAll(".plot svg [stroke], .plot svg [fill]")]
    .filter((e) => !e.closest(".background, .foreground"))
    .flatMap((e) => [e.getAttribute("stroke"), e.getAttribute("fill")]).filter(Boolean))]"""
WIDTHS, SCHEMES = (320, 1280, 3840), ("light", "dark")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A page with three methods, one of them with a hostile name, and a failed run."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    hostile = [record(EVIL, s, 0.8) for s in range(2)]
    out.write_text(render([*three_seeds(), *hostile, failed(EVIL, 2)]))
    return out


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_page_is_drawn_without_errors_requests_or_overflow(browser, written, width, scheme):
    page = opened(browser, written, width, scheme)
    assert (page.said, page.asked) == ([], [written.as_uri()])
    drawn = markers(page)
    assert len(drawn) > 20
    assert all(drawn), drawn
    assert page.evaluate("document.documentElement.scrollWidth") == width
    labels = page.locator("figure[data-name$=decomposition] .role-axis-label text:visible")
    shown = [e.text_content() for e in labels.all() if e.get_attribute("opacity") != "0"]
    assert {"R1", "R2", "R3", "remainder"} <= set(shown)  # none left out where room is scarce
    drawn_with = page.evaluate(COLOURS)
    assert len(drawn_with) > 2
    assert not {"#000", "black", "#888", "#333"} & set(drawn_with)  # unreadable in light or dark
    page.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_page_is_accessible(browser, written, scheme):
    """The rules of axe-core for WCAG 2.1 A and AA, with everything unfolded."""
    page = opened(browser, written, scheme=scheme)
    assert violations(page) == []
    page.close()


def test_methods_are_hidden_and_shown_by_keyboard(browser, written):
    page = opened(browser, written)
    figure = page.locator("figure", has=page.locator("button[data-method]")).first
    button = figure.locator("button[data-method]").nth(1)
    marks = figure.locator(".mark-symbol path")
    before = marks.count()
    button.focus()
    page.keyboard.press("Enter")
    playwright.expect(marks).to_have_count(before * 2 // 3)
    page.keyboard.press("Enter")
    playwright.expect(marks).to_have_count(before)
    page.close()


def test_tooltips_tell_method_and_numbers(browser, written):
    page = opened(browser, written)
    mark = page.locator("figure[data-name$=robustness] .plot .mark-symbol path").last
    mark.scroll_into_view_if_needed()
    mark.hover(force=True)
    tip = page.locator("#vg-tooltip-element.visible")
    playwright.expect(tip).to_contain_text("method")
    playwright.expect(tip).to_contain_text("ε")
    page.close()


def test_slider_reads_all_methods_off(browser, written):
    page = opened(browser, written)
    slider = page.locator(".slider").first
    slider.locator("input").focus()
    page.keyboard.press("End")
    head = slider.locator("thead").inner_text()
    assert "FGSM, l∞, ε = 0.2" in head
    assert "PGD-20, l∞, ε = 0.2" in head
    row = slider.locator("tbody tr", has_text="erm").inner_text().split("\t")
    assert row == ["erm", "25.0 %", "20.0 %"]  # half of 0.5 and of 0.4, as made up
    page.keyboard.press("Home")
    assert "100.0" not in slider.locator("tbody").inner_text()
    assert "91.0 %" in slider.locator("tbody").inner_text()  # the clean accuracy of erm
    page.close()


def test_nothing_from_users_is_run(browser, tmp_path):
    """Names of data, models, methods and classes stand in attributes, scripts and figures."""
    runs = [record(m, s, 0.8 + s / 100) for m in ("erm", EVIL) for s in range(3)]
    for run in runs:
        run["configuration"] |= {"data": EVIL, "model": EVIL}
        run["data"] |= {"labels": [EVIL] * 10}
        run["environment"] |= {"platform": EVIL}
    written = tmp_path / "report.html"
    written.write_text(render(runs, command=f"vicinal compare '{EVIL}'"))
    page = opened(browser, written)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.locator("[data-take=svg]").first.click()
    assert (page.said, page.asked, asked) == ([], [written.as_uri()], [])
    assert page.locator("img[onerror]").count() == 0
    assert page.locator("h1", has_text=EVIL).count() == 1
    assert page.locator("li", has_text=f"{EVIL}, taken for {EVIL}").count() > 0
    page.close()


def test_printed_page_is_black_on_white_and_has_no_controls(browser, written):
    page = opened(browser, written, scheme="dark")
    page.emulate_media(media="print")
    colours = page.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
    assert colours == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    for control in (".take", ".slider", "nav", "details:not([open])"):
        assert page.locator(control).first.is_hidden(), control
    assert page.locator(".plot svg").first.is_visible()
    assert page.pdf().startswith(b"%PDF-")
    page.close()


def test_printed_tables_fit_the_paper(browser, tmp_path):
    methods = ["erm", *(f"mixup(alpha={k}.25)" for k in range(1, 8))]
    written = tmp_path / "report.html"
    written.write_text(render([record(m, s, 0.9 + s / 99) for m in methods for s in range(3)]))
    page = opened(browser, written, width=718)  # of A4 without its margins
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") == 718  # so nothing is shrunk
    page.close()


def test_every_control_shows_where_the_keyboard_is(browser, written):
    page = opened(browser, written)
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            """(e => [e.tagName, e.matches(":focus-visible"), getComputedStyle(e).outlineStyle,
            parseFloat(getComputedStyle(e).outlineWidth)])(document.activeElement)"""
        )
        if focus[0] == "BODY":  # past the last control
            break
        seen.add(focus[0])
        assert focus[1:3] == [True, "solid"], focus
        assert focus[3] >= 2, focus
    assert {"A", "BUTTON", "SUMMARY", "DIV"} <= seen  # DIV: tables that scroll
    page.close()


def test_words_are_explained_under_every_figure(browser, written):
    page = opened(browser, written)
    figures = page.locator("figure")
    assert figures.count() >= 6
    assert page.locator("figure:has(details.words-used)").count() == figures.count()
    assert page.locator("figure:has(details .numbers)").count() == figures.count()
    page.close()


def taken(page, button, folder):
    with page.expect_download() as waiting:
        button.click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_what_is_taken_from_the_page_is_whole(browser, written, tmp_path):
    page = opened(browser, written)
    figure = page.locator("figure[data-name$=robustness]")
    numbers = taken(page, figure.locator("[data-take=csv]"), tmp_path)
    rows = list(csv.reader(numbers.read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["Attack", "Norm", "Method", "ε", "Accuracy %", "95% interval"]
    assert ["FGSM", "l∞", EVIL, "0.1", "50.0"] in [row[:5] for row in rows]
    picture = taken(page, figure.locator("[data-take=svg]"), tmp_path).read_text()
    root = ElementTree.fromstring(picture)
    assert len(root.findall("{*}svg")) == 2  # one panel for each attack
    assert EVIL in [text.text for text in root.findall("{*}text")]
    whole = json.loads(taken(page, page.locator("[data-take=json]"), tmp_path).read_text())
    truth = json.loads(json.dumps(compare([*three_seeds()]).to_json()))
    assert whole["schema"] == truth["schema"]
    accuracy = [c for c in whole["groups"][0]["cells"] if c["metric"]["key"] == "accuracy"]
    assert [c["values"] for c in accuracy if c["method"] == "erm"] == [[0.90, 0.92, 0.91]]
    runs = taken(page, page.locator("[data-take=runs]"), tmp_path).read_text()
    runs = list(csv.reader(runs.splitlines()))
    assert ["digits, cnn", "erm", "1", "Test accuracy", "0.92"] in runs
    page.close()


def test_page_of_a_large_study_is_small_enough(tmp_path):
    """Five methods by ten seeds stay below 2 MB."""
    methods = ["erm", *(f"mixup(alpha={k})" for k in range(1, 5))]
    page = render([record(m, s, 0.9 + s / 1000, epochs=100) for m in methods for s in range(10)])
    assert len(page.encode()) < 2_000_000
    assert re.search(r'<meta name="vicinal-schema" content="\d+">', page)
