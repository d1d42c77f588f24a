"""The report says what follows from the runs, and nothing that stands in them can harm a page."""

import html
import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from runs import EVIL, failed, record, three_seeds
from vicinal.report import compare, render, summary, verdict, write
from vicinal.report.exports import as_csv, as_json, latex, markdown
from vicinal.report.figures.chosen import finished
from vicinal.report.figures.curves import learning_curves
from vicinal.report.figures.panels import styles
from vicinal.report.numbers import deviation, differences, number, plus_minus
from vicinal.report.rows import line
from vicinal.report.words.findings import sentences
from vicinal.report.words.headline import headline
from vicinal.study import store
from vicinal.study.record import Record


def test_paired_differences_by_hand():
    (group,) = compare(three_seeds()).groups
    assert group.methods == ("erm", "mixup(alpha=0.2)")
    cell = group.cell("mixup(alpha=0.2)", "accuracy")
    assert cell.mean == pytest.approx(0.93333, abs=1e-5)
    assert cell.sd == pytest.approx(0.015275, abs=1e-6)
    found = cell.difference
    # t with 2 degrees of freedom at 97.5 %: 4.302653; sd of the differences 0.0152753
    assert (found.mean, found.low, found.high) == pytest.approx(
        (0.0233333, -0.0146125, 0.0612792), abs=1e-6
    )
    assert (found.count, found.words) == (3, "no difference shown")
    nll = group.cell("mixup(alpha=0.2)", "nll_before").difference
    assert (nll.low, nll.high) == pytest.approx((-0.0234841, -0.0185159), abs=1e-6)
    assert nll.words == "lower"
    assert group.metric("nll_before").phrase("lower") == "lower (better)"
    assert group.metric("accuracy").phrase("lower") == "lower (worse)"
    assert group.metric("temperature").phrase("lower") == "lower"


def test_only_seeds_that_both_have_are_paired():
    runs = [record("erm", s, 0.9) for s in (0, 1)] + [record("noise", s, 0.8) for s in (1, 2)]
    (group,) = compare(runs).groups
    found = group.cell("noise", "accuracy").difference
    assert (found.count, found.low) == (1, None)
    assert found.mean == pytest.approx(-0.1)
    assert group.missing == (("erm", 2), ("noise", 0))


def test_any_method_can_be_the_baseline():
    runs = [*three_seeds(), *(record("noise", s, 0.8 + s / 100) for s in range(3))]
    usual, other = compare(runs).groups[0], compare(runs, "mixup(alpha=0.2)").groups[0]
    assert other.methods == ("mixup(alpha=0.2)", "erm", "noise")
    found = usual.cell("mixup(alpha=0.2)", "accuracy").difference
    turned = other.cell("erm", "accuracy").difference
    assert (turned.mean, turned.low, turned.high) == (-found.mean, -found.high, -found.low)
    assert "Compared with mixup(alpha=0.2)" in {s.topic for s in sentences(other)}
    console = Console(width=120, file=io.StringIO())
    console.print(summary(compare(runs, "noise")))
    assert "minus noise [95%]" in console.file.getvalue()
    assert "Each method minus noise on the same seeds" in render(runs, baseline="noise")
    for export in (as_csv, as_json, latex, markdown):
        assert export(runs, baseline="erm") == export(runs)
    assert "minus noise on the same seeds" in markdown(runs, baseline="noise")
    assert "minus noise on the same seeds" in latex(runs, baseline="noise")
    assert json.loads(as_json(runs, baseline="noise"))["groups"][0]["baseline"] == "noise"


def test_a_baseline_without_runs_is_refused():
    rule = (
        r"no run of the baseline mixup\(alpha=2\) is among those of digits, cnn. Did you mean "
        r"mixup\(alpha=0.2\)\? Its methods: mixup\(alpha=0.2\), erm."
    )
    with pytest.raises(ValueError, match=rule):
        compare(three_seeds(), "mixup(alpha=2)")


def test_typed_records_and_their_json_say_the_same():
    runs = three_seeds()
    assert render([Record.from_json(run) for run in runs]) == render(runs)
    runs[1]["measured"]["calibration"]["before"]["nll"] = "0.3"
    for door in (compare, render, as_csv):
        with pytest.raises(ValueError, match=r"calibration.before.nll must be a number, got '0.3'"):
            door(runs)


def test_few_equal_differences_are_no_verdict():
    """Two seeds, each with one test image more of fifty: no spread, and no claim."""
    runs = [record("erm", s, a) for s, a in enumerate((0.88, 0.9))]
    runs += [record("noise", s, a + 0.02) for s, a in enumerate((0.88, 0.9))]
    comparison = compare(runs)
    found = comparison.groups[0].cell("noise", "accuracy").difference
    assert (found.low, found.shown) == (None, False)
    said = next(line for line in verdict(comparison) if line.startswith("Test accuracy"))
    assert said == "Test accuracy: Equal differences, so no interval, for noise."


def test_values_that_are_not_finite_are_left_out_and_counted():
    runs = three_seeds()
    runs[0]["measured"]["calibration"]["before"]["nll"] = None
    (group,) = compare(runs).groups
    cell = group.cell("mixup(alpha=0.2)", "nll_before")
    assert (cell.left_out, cell.seeds, cell.difference.count) == (1, (0, 1), 2)
    assert line(group, cell.metric).entries[1].words.endswith(", 1 not finite")


def test_settings_are_never_mixed():
    comparison = compare([record("erm", 0, epochs=2), record("erm", 0, 0.5, epochs=3)])
    assert [g.title for g in comparison.groups] == [
        "digits, cnn, epochs 2",
        "digits, cnn, epochs 3",
    ]
    assert all(not g.repeated for g in comparison.groups)


def test_comparison_is_json():
    comparison = compare([*three_seeds(), failed("noise", 0)])
    assert json.loads(json.dumps(comparison.to_json(), allow_nan=False))["groups"][0]["seeds"]


def test_verdict_names_failures_first_and_claims_no_more_than_the_intervals():
    told = verdict(compare([*three_seeds(), failed("noise", 0)]))
    assert told[0].startswith(
        "Failed runs: 1 run did not end and is left out: noise seed 0 (epoch 7"
    )
    text = "\n".join(told)
    assert "Test accuracy: No difference shown for mixup(alpha=0.2) [−1.46,\u00a0+6.13]." in text
    assert "0.0210 nats lower (better) [−0.0235,\u00a0−0.0185]" in text
    assert "FGSM and PGD disagree: mixup(alpha=0.2): FGSM says “higher”" in text
    assert "Not covered: other data sets" in text
    assert not re.search(r"no difference(?! shown)", text, re.IGNORECASE)


def robust(method, seed, near, far):
    """A run with these accuracies under PGD at ε = 0.1, of which the verdict speaks, and 0.2."""
    run = record(method, seed, pgd=near)
    run["measured"]["robustness"][1]["points"][2]["accuracy"] = far
    return run


def test_verdict_tells_where_other_sizes_of_the_attack_say_otherwise():
    seeds = range(3)
    erm = [robust("erm", s, 0.5, 0.3) for s in seeds]
    turns = [robust("turns", s, 0.6 + s / 100, 0.2 + s / 100) for s in seeds]
    same = [robust("same", s, 0.6 + s / 100, 0.4 + s / 100) for s in seeds]
    (group,) = compare([*erm, *turns, *same]).groups
    told = {s.topic: s.text for s in sentences(group)}
    assert told["PGD at other sizes"].replace("\u00a0", " ") == (
        "turns worse at l∞ ε = 0.2. What holds at one size need not at another."
    )
    topic, first_screen = headline(group)[-1]
    assert topic.startswith("Accuracy under PGD-20")
    assert first_screen == "better for both methods. PGD at other sizes: at some worse for turns"
    (group,) = compare([*erm, *same]).groups
    assert "PGD at other sizes" not in {s.topic for s in sentences(group)}
    assert headline(group)[-1][1] == "better for same"


def test_sizes_of_many_methods_are_named_by_method():
    seeds = range(3)
    erm = [robust("erm", s, 0.5, 0.3) for s in seeds]
    runs = [robust(f"m{k}", s, 0.5, 0.4 + s / 100) for k in range(5) for s in seeds]
    (group,) = compare([*erm, *runs]).groups
    told = {s.topic: s.text for s in sentences(group)}["PGD at other sizes"]
    assert told.startswith("better at some for m0, m1, m2, m3, m4 (intervals in the table)")


@pytest.mark.parametrize(
    ("methods", "reason"),
    [(("erm", "noise"), "No method shares two"), (("erm",), "Fewer than two methods")],
)
def test_one_seed_allows_no_claim(methods, reason):
    (told,) = verdict(compare([record(method, 0) for method in methods]))
    assert told.startswith(f"No claim can be made: {reason}")


@pytest.mark.parametrize(("seeds", "warned"), [(4, True), (5, False)])
def test_few_seeds_are_said_to_make_wide_intervals(seeds, warned):
    runs = [record(m, s, 0.9 + s / 100) for m in ("erm", "noise") for s in range(seeds)]
    assert any("Few seeds make wide" in text for text in verdict(compare(runs))) == warned


@pytest.mark.parametrize(
    ("values", "unit", "written"),
    [
        ((0.0123, -0.00456, 0.0301), "nats", ("+0.0123", "−0.0046", "+0.0301")),
        ((0.0062, 0.00002, 0.0124), "percent", ("+0.620", "+0.002", "+1.240")),
        ((0.0, None, None), "percent", ("0.00", "–", "–")),
    ],
)
def test_differences_show_on_which_side_of_zero_they_end(values, unit, written):
    assert differences(values, unit) == written


def test_numbers_are_written_with_three_digits():
    assert [number(v) for v in (0.12345, 12.345, 12345.6, -0.5, 0, None)] == [
        *("0.123", "12.3", "12346", "−0.500", "0", "–")
    ]
    assert plus_minus(0.9333, 0.0153, "percent") == "93.3 ± 1.5"
    assert deviation([0.90, 0.92, 0.91]) == pytest.approx(np.std([0.90, 0.92, 0.91], ddof=1))
    assert deviation([0.9]) is None


@pytest.mark.parametrize("width", [80, 100])
def test_terminal_table_fits_and_is_plain_when_piped(width):
    console = Console(width=width, file=io.StringIO())
    console.print(summary(compare([*three_seeds(), failed("[red]x", 0)])))
    text = console.file.getvalue()
    assert "\x1b" not in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "+2.33 [−1.46, +6.13]" in text
    assert "\n[red]x " in text  # a name is never markup


def page_without_vega(runs, **options):
    """The page without the inlined library, whose code mentions addresses that nobody calls."""
    page = render(runs, **options)
    start, end = re.search(r"<script>(.*?)</script>", page, re.DOTALL).span()
    return page[:start] + page[end:]


def test_names_are_text_everywhere():
    page = page_without_vega(
        [record(EVIL, s) for s in range(2)] + [failed("<b>erm</b>", 0)],
        command="vicinal compare '<script>'",
    )
    assert "<img src" not in page
    assert "<b>" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert page.count("<script") == 3  # the comparison, the specifications and our own script
    specs = re.search(r'id="specs">(.*?)</script>', page, re.DOTALL).group(1)
    assert EVIL in json.dumps(json.loads(specs))


def test_page_names_no_address_to_load_from():
    page = page_without_vega(three_seeds(), command="vicinal compare digits")
    assert re.findall(r"https?://[^\s\"'<]+", page) == []
    assert "default-src 'none'" in html.unescape(page)
    assert "not all made in the same environment" not in page
    assert len(page) < 300_000


def test_every_way_to_make_the_runs_is_shown():
    ways = ["vc.compare('<digits>')", "vicinal compare digits"]
    page = render(three_seeds(), command="first", ways=ways)
    shown = html.unescape(page.partition('id="reproduce">')[2])
    assert re.findall(r"<pre><code>(.*?)</code></pre>", shown) == ["first", *ways]
    assert "was not recorded" not in page
    assert "vc.compare(&#39;&lt;digits&gt;&#39;)" in page
    assert "The command that made these runs was not recorded." in render(three_seeds())


def test_where_all_runs_failed_there_is_no_empty_table():
    page = page_without_vega([failed("erm", 0), failed("noise", 0)])
    assert "No claim can be made" in page
    assert "Measurements</" not in page
    assert "Measurements</" in page_without_vega(three_seeds())


@pytest.mark.parametrize(("epochs", "ticks"), [(2, [1, 2]), (4, [1, 2, 3, 4]), (9, None)])
def test_ticks_stand_at_epochs(epochs, ticks):
    records = [record(m, s, epochs=epochs) for m in ("erm", "noise") for s in range(2)]
    group = compare(records).groups[0]
    figure = learning_curves(group, finished(group, records), styles(group.methods))
    for panel in figure.panels:
        axis = panel.spec()["layer"][0]["encoding"]["x"]["axis"]
        assert axis.get("values") == ticks


def test_hardest_examples_are_shown_for_one_seed():
    page = page_without_vega(three_seeds())
    assert page.count("3, taken for 5, 90 % sure") == 2  # once for each method
    assert "The test examples of seed 0" in page
    assert page.count("also with 1 other<") == 4
    runs = three_seeds()
    for run in runs:
        run["measured"]["hardest"][0]["picture"] = "https://example.org/x.png"
    assert "example.org" not in page_without_vega(runs)


def test_page_warns_when_versions_differ():
    runs = three_seeds()
    runs[0] = {**runs[0], "environment": {"python": "3.11.7", "torch": "2.12.0"}}
    page = render(runs)
    assert "not all made in the same environment" in page
    assert "2.12.0 (1 run), 2.13.0 (5 runs)" in page


def test_page_does_not_warn_of_how_runs_were_put_together():
    runs = three_seeds()
    for count, run in enumerate(runs):
        run["environment"] = {**run["environment"], "trained_together": 1 + count // 4}
    page = render(runs)
    assert "1 (4 runs), 2 (2 runs)" in page
    assert "not all made in the same environment" not in page


def test_write_skips_what_it_cannot_read_and_replaces_in_one_step(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    for run in three_seeds():
        (runs / f"{run['name']}.json").write_text(json.dumps(run))
    (runs / "broken.json").write_text("{")
    (runs / "other.json").write_text(json.dumps({**record("erm", 9), "format": 3}))
    odd = record("erm", 8)
    odd["measured"]["gap"] = 0.1
    store.save(runs, odd)
    out = tmp_path / "report.html"
    out.write_text("old")
    skipped = write(runs, out)
    assert [u.name for u in skipped] == sorted(["broken.json", "other.json", f"{odd['name']}.json"])
    assert "measured.gap must be an object, got 0.1" in out.read_text()
    assert str(skipped[-1]).startswith(
        "other.json: its format is 3, and this version of vicinal reads"
    )
    assert "broken.json" in out.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "runs"]
    assert len(store.load(runs)[0]) == 7


def test_write_says_when_there_is_nothing_to_show(tmp_path):
    with pytest.raises(ValueError, match="no run that can be read"):
        write(tmp_path, tmp_path / "report.html")


def test_report_imports_no_torch():
    code = "import sys, vicinal.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
