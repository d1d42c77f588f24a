"""What README.md and the documentation say of the studies is what was kept of them."""

import importlib.util
import sys
from pathlib import Path

import pytest

from vicinal.maths.statistics import paired

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("evidence", ROOT / "benchmarks" / "evidence.py")
evidence = importlib.util.module_from_spec(spec)
sys.modules["evidence"] = evidence
spec.loader.exec_module(evidence)
PAGES = {
    name: " ".join((ROOT / name).read_text("utf-8").split())
    for name in ("README.md", "docs/should-i-use-mixup.md")
}
NAMES = [study.name for study in evidence.STUDIES]


def test_the_table_of_the_readme_is_printed_from_what_is_kept():
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = readme.partition("<!-- evidence -->")[2].partition("<!-- /evidence -->")[0]
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    assert lines == [line for line in evidence.table().splitlines() if line]


@pytest.mark.parametrize("name", NAMES)
def test_reports_are_written_from_the_numbers(name):
    kept = evidence.load(name)
    assert (ROOT / "evidence" / f"{name}.md").read_text("utf-8") == evidence.report(kept)
    assert kept["command"] == evidence.told(next(s for s in evidence.STUDIES if s.name == name))
    assert len(kept["seeds"]) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_intervals_follow_from_the_values_of_the_seeds(name):
    kept = evidence.load(name)
    for cells in kept["methods"].values():
        for key, cell in cells.items():
            base = kept["methods"][kept["baseline"]][key]["values"]
            if cell["difference"] is None:
                continue
            found = paired([a - b for a, b in zip(cell["values"], base, strict=True)])
            near = pytest.approx((found.mean, found.low, found.high), rel=1e-3, abs=2e-5)
            assert tuple(cell["difference"]) == near


def times(key, word, among="", method=""):
    """How many rows of the table read so."""
    return sum(
        n
        for (study, name, found), n in evidence.counts()[key].items()
        if found == word and study.startswith(among) and name.endswith(method)
    )


def test_what_the_readme_says_of_the_table_is_counted():
    better, worse, neither = (times("accuracy", w) for w in ("better", "worse", "not shown"))
    rows = better + worse + neither
    after = rows - times("ece_after", "not shown")
    for told in (
        f"Of the {rows} rows of classes, accuracy was better in {better} (200 digits), worse in "
        f"{worse} (a CNN on 12,000 images), and not shown to differ in {neither}.",
        f"the ECE fell in {times('ece_before', 'better', 'fashion')} of 8 rows on Fashion-MNIST",
        f"rose in {times('ece_before', 'worse', 'digits')} of 4 on digits",
        f"after one temperature {after} of {rows} rows still differs",
        f"higher in {times('nll_after', 'worse', 'fashion')} of 8 rows on Fashion-MNIST",
        f"mixing helped in {times('robust', 'better')} rows and hurt in {times('robust', 'worse')}",
    ):
        assert told in PAGES["README.md"], told
    assert times("nll_after", "better", "digits", "mixup(alpha=0.2)") == 2
    assert times("nll_after", "better") == 2


def test_what_the_page_says_of_the_studies_is_counted():
    page = PAGES["docs/should-i-use-mixup.md"]
    keys = ("accuracy", "ece_before", "nll_after", "robust")
    safer, stronger = (
        [sum(times(key, word, "", method) for key in keys) for word in ("better", "worse")]
        for method in ("mixup(alpha=0.2)", "mixup(alpha=1)")
    )
    assert f"it was better in {safer[0]} and worse in {safer[1]}" in page
    assert f"α = 1 was better in {stronger[0]} and worse in {stronger[1]}" in page
    for name, said in (
        ("digits-200", "on 200 digits {} of {} methods"),
        ("digits", "digits {} of {} were"),
    ):
        kept = evidence.load(name)
        words = [evidence.written(kept, m, "accuracy") for m in kept["methods"]]
        good = sum("better" in word for word in words)
        assert said.format(good, len(words) - 1) in page
        smoothing = "label_smoothing(smoothing=0.1)"
        for key in (evidence.attacked(kept), "ece_before"):  # the largest of all
            means = {
                m: (cells[key]["difference"] or [0])[0] for m, cells in kept["methods"].items()
            }
            assert max(means, key=means.get) == smoothing
    kept = evidence.load("fashion-2k")
    words = [evidence.written(kept, m, "accuracy") for m in kept["methods"]]
    assert [sum(w in word for word in words) for w in ("better", "worse")] == [0, 3]
    words = [evidence.written(kept, m, "ece_before") for m in kept["methods"]]
    assert sum("better" in word for word in words) == 16
