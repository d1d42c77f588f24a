"""Exports say what the page says, and no name in them is read as a command."""

import csv
import io
import json

import pytest

from runs import EVIL, record, three_seeds
from vicinal.report import compare, write
from vicinal.report.exports import EXPORTS, as_csv, as_json, latex, markdown
from vicinal.report.words.headline import glance, headline
from vicinal.study import store


def test_glance_reads_the_intervals():
    (group,) = compare(three_seeds()).groups
    found = glance(group)
    ((method, marks),) = found.lines
    words = dict(zip((m.key for m in found.metrics), (m.word for m in marks), strict=True))
    assert method == "mixup(alpha=0.2)"
    # by hand: the interval of accuracy contains 0, that of NLL does not and lower is better
    assert words["accuracy"] == "not shown"
    assert words["nll_before"] == "better"
    assert {m.kind for m in marks if m.word == "better"} == {"good"}
    assert marks[0].size == "+2.33"
    assert marks[0].interval == "[−1.46,\N{NO-BREAK SPACE}+6.13]"


def test_headline_counts_methods():
    runs = three_seeds() + [record("cutmix", s, 0.5 + s / 100, nll=0.9 + s / 50) for s in range(3)]
    (group,) = compare(runs).groups
    told = dict(headline(group))
    assert told["Test accuracy"] == "worse for cutmix; no difference shown for mixup(alpha=0.2)"
    assert headline(compare([record("erm", 0), record("mixup", 0)]).groups[0]) == ()


def test_csv_has_every_value():
    rows = list(csv.DictReader(io.StringIO(as_csv(three_seeds()))))
    accuracy = [float(r["value"]) for r in rows if r["key"] == "accuracy" and r["method"] == "erm"]
    assert accuracy == [0.90, 0.92, 0.91]
    (group,) = compare(three_seeds()).groups
    assert len(rows) == sum(len(cell.values) for cell in group.cells)


def test_json_is_the_comparison():
    found = json.loads(as_json(three_seeds()))
    assert found["schema"] == 1
    assert found == json.loads(json.dumps(compare(three_seeds()).to_json()))


def test_markdown_keeps_names_as_text():
    text = markdown([*three_seeds(), *(record(EVIL + "|*_", s, 0.8) for s in range(2))])
    assert "<img" not in text
    table = [row for row in text.splitlines() if row.startswith("|")]
    import re

    cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table}
    assert cells == {5}  # a name with a pipe makes no column
    assert "Test accuracy (%, higher is better)" in text
    assert "+2.33 \\[−1.46, +6.13\\]" in text


def test_latex_is_balanced_and_escaped():
    text = latex([*three_seeds(), *(record(r"\input{/etc/passwd}_%&#$^~", s, 0.8) for s in (0, 1))])
    assert r"\input" not in text
    assert (
        r"\textbackslash{}input\{/etc/passwd\}\_\%\&\#\$\textasciicircum{}\textasciitilde{}" in text
    )
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    columns = text.split(r"\begin{tabular}{")[1].split("}")[0]
    assert {row.replace(r"\&", "").count("&") + 1 for row in body} == {len(columns)}
    assert r"NLL\\before temperature\\(nats, lower is better)\end{tabular}" in text
    assert text.isascii()


@pytest.mark.parametrize("ending", EXPORTS)
def test_the_ending_chooses_what_is_written(ending, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    for run in three_seeds():
        store.save(runs, run)
    write(runs, tmp_path / f"out{ending}")
    made = EXPORTS[ending](store.load(runs)[0])
    written = (tmp_path / f"out{ending}").read_bytes()
    assert written == (made if isinstance(made, bytes) else made.encode())
    with pytest.raises(ValueError, match=r"must be one of .html, .csv, .*, .tex, got .doc"):
        write(runs, tmp_path / "out.doc")
