"""What README.md and the documentation say of the studies is what was kept of them."""

import importlib.util
import sys
from pathlib import Path

import pytest

from vicinal.statistics import paired

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("evidence", ROOT / "benchmarks" / "evidence.py")
evidence = importlib.util.module_from_spec(spec)
sys.modules["evidence"] = evidence
spec.loader.exec_module(evidence)
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
