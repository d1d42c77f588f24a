"""The page of one explained model: what it says, shows and leaves out."""

import re
from html import unescape

import numpy as np
import pytest

from vicinal.report.figures import still
from vicinal.report.figures.strengths import figures, missed
from vicinal.report.pages import explained

EVIL = "<script>alert(1)</script>"


def point(alpha, risk, *, error=0.0, first=(0.5, 0.1, 0.3, 0.05), shrunk=0.9):
    loss, r1, r2, r3 = first
    return {
        "alpha": alpha,
        "risk": {"value": risk, "standard_error": error, "quadrature_error": None},
        "expansion": {
            **dict(zip(("loss", "r1", "r2", "r3"), first, strict=True)),
            "total": loss + r1 + r2 + r3,
            "standard_errors": dict.fromkeys(("loss", "r1", "r2", "r3", "total"), 0.0),
        },
        "shrunk": {"total": shrunk},
    }


def record(*curve, r3=0.2, model="net"):
    example = {"index": 4, "loss": 1.0, "r1": 0.1, "r2": 0.3, "r3": r3, "remainder": -0.4}
    carried = {key: [example] for key in ("r2", "r3", "remainder")}
    return {
        "examples": 10,
        "family": "categorical",
        "engine": "forward propagation",
        "method": "all pairs",
        "curve": list(curve),
        "carriers": carried,
        "settings": {"model": model, "data": "mine"},
    }


def examples(row, **options):
    return explained.Examples({4: row}, {4: "cat"}, {4: 104}, **options)


@pytest.mark.parametrize(
    ("risk", "error", "words"),
    [
        (0.951, 0.0, "it is close"),
        (0.960, 0.01, "within the error of sampling"),
        (0.51, 0.3, "within the error of sampling, as is what mixing adds: more --pairs"),
        (1.02, 0.0, "13.5 % of what mixing adds: its terms tell the direction, and the size"),
        (2.5, 0.0, "77.5 % of what mixing adds: this model is outside the regime"),
        (0.5, 0.01, "where mixing adds nothing that shows"),
    ],
)
def test_the_verdict_is_measured_against_what_mixing_adds(risk, error, words):
    """Standard loss 0.5, terms 0.45: the expansion gives 0.95."""
    said = dict(explained.sentences(record(point(1.0, risk, error=error))))
    assert words in said["Expansion at the examples"]


def test_the_strength_that_is_told_is_the_nearest_to_one():
    said = explained.sentences(record(point(0.05, 0.6), point(0.9, 0.8), point(4.0, 1.0)))
    assert said[0][0] == "Mixing at α = 0.9"
    assert "0.300 above the loss without mixing" in said[0][1]
    below = explained.sentences(record(point(1.0, 0.45)))
    assert "0.0500 below the loss without mixing" in below[0][1]


@pytest.mark.parametrize(
    ("risk", "error", "told"),
    [
        (0.8, 1e-16, "the mixup loss is 0.800 nats, summed exactly, 0.300 above the loss without"),
        (0.8, 0.01, "the mixup loss is 0.800 ± 0.0196 nats, 0.300 above the loss without mixing."),
        (0.501, 0.01, "above the loss without mixing, which is within the error of sampling."),
    ],
)
def test_what_mixing_adds_is_told_with_its_error(risk, error, told):
    assert told in explained.sentences(record(point(1.0, risk, error=error)))[0][1]


def test_how_far_expansions_are_off_is_drawn_where_mixing_adds_something():
    (drawn, _), _ = figures(record(point(1.0, 0.8, error=0.01)))
    assert [panel.title for panel in drawn.panels][1:] == ["How far the expansions are off"]
    (drawn, _), _ = figures(record(point(1.0, 0.501, error=0.01)))
    assert len(drawn.panels) == 1


def test_terms_and_remainder_stack_up_to_what_mixing_adds():
    (_, _), (terms, _) = figures(record(point(1.0, 1.3)))
    values = {row["method"]: row["value"] for row in terms.panels[0].rows}
    added = values.pop("what mixing adds")
    assert added == pytest.approx(0.8)
    assert sum(values.values()) == pytest.approx(added)
    assert missed(point(1.0, 1.3)) == pytest.approx((-0.35 / 0.8, -0.4 / 0.8))
    assert missed(point(1.0, 0.51, error=0.1)) == (None, None)


def test_examples_are_shown_as_they_are():
    table = explained.page(
        record(point(1.0, 1.0)),
        examples(np.arange(8.0), features=["age", "height", *"cdefgh"]),
        command="vicinal explain",
    )
    assert "<b>104</b>: cat" in table
    assert "<dt>height</dt><dd>1.00</dd>" in table
    assert "2 more" in table
    image = explained.page(
        record(point(1.0, 1.0), r3=0.0),
        examples(np.zeros((3, 4, 4)), bounds=(0.0, 1.0)),
        command="",
    )
    assert image.count("data:image/png;base64,") == 2
    assert "Largest in R3" in table
    assert "Largest in R3" not in image


def test_nothing_that_is_told_becomes_markup():
    hostile = record(point(1.0, 1.0), model=EVIL)
    shown = explained.Examples({4: np.zeros(2)}, {4: EVIL}, {4: 0}, features=[EVIL, "b"])
    page = explained.page(hostile, shown, command=EVIL)
    assert EVIL not in page
    assert unescape(page).count(EVIL) >= 4
    picture = still.svg(figures(hostile))
    assert re.findall(r"<script", picture) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_page_is_drawn_accessible_and_asks_nothing(browser, tmp_path, scheme, width):
    from pages import markers, opened, violations  # where there is no browser, only this skips

    out = tmp_path / "page.html"
    row = np.random.default_rng(0).random((1, 8, 8))
    curve = [point(a, 0.5 + 0.2 * a, error=0.01) for a in (0.2, 1.0, 4.0)]
    out.write_text(explained.page(record(*curve), examples(row, bounds=(0, 1)), command="c"))
    page = opened(browser, out, width, scheme)
    assert (page.said, page.asked) == ([], [out.as_uri()])
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert markers(page) == [9, 9, 3]
    assert violations(page) == []
    page.close()
