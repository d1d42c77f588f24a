"""What is said of the figures follows from the numbers; pages, pictures and tables are whole."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pytest

from reproductions import NAMES, made_up, records, reproduced
from vicinal import cli
from vicinal.maths.statistics import Paired
from vicinal.report.figures import still
from vicinal.report.reproduced import page
from vicinal.report.reproduced.claims import at_least, paragraph, towards, within


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


def between(low, high):
    return Paired((low + high) / 2, low, high, 5)


def test_words_follow_from_intervals():
    assert towards(between(0.1, 0.3), "higher") == "agrees"
    assert towards(between(0.1, 0.3), "lower") == "differs"
    assert towards(between(-0.1, 0.3), "lower") == "unclear"
    assert within(between(-0.1, 0.05), 0.1) == "agrees"
    assert within(between(0.11, 0.3), 0.1) == "differs"
    assert within(between(-0.3, -0.11), 0.1) == "differs"
    assert within(between(0.05, 0.3), 0.1) == "unclear"
    assert at_least(between(0.1, 0.3), 0.1) == "agrees"
    assert at_least(between(0.0, 0.09), 0.1) == "differs"
    assert at_least(between(0.0, 0.3), 0.1) == "unclear"
    one = Paired(5.0, None, None, 1)
    assert {towards(one, "higher"), within(one, 9), at_least(one, 0)} == {"unclear"}


def seeds(value, spread=0.001):
    """Three values around a mean, narrowly; others of another mean are not all as far away."""
    return (value - spread, value, value + spread * (1 + value))


BOUND = {
    f"{case}/{key}": value
    for case in ("linear", "relu", "shifted", "wrong", "biased")
    for key, value in (
        ("met", 4.0), ("met/violated", 0.0), ("unmet", 2.0), ("unmet/violated", 1.0),
        ("slack", seeds(0.1)), ("epsilon", seeds(0.1)), ("epsilon_mix", seeds(0.01)),
    )
}  # fmt: skip
GAPS = {
    "digits/0/gap": seeds(0.5), "digits/1/gap": seeds(0.3), "digits/4/gap": seeds(0.2),
    "digits/0/test": seeds(0.9), "digits/1/test": seeds(0.6), "digits/0/error": 0.1,
    "digits/1/error": 0.1, "bound/bound/0": 3.0, "bound/test loss/0": 0.5,
    "bound/best constant/0": 0.69,
}  # fmt: skip
CALIBRATION = {
    **{f"{way}/{when}/{key}": 0.1 for way in ("erm", "mixup") for when in ("before", "after")
       for key in ("ece", "nll", "signed_gap")},
    "gain/0.05": seeds(-0.05), "gain/1": seeds(0.05),
}  # fmt: skip
COSINE = {
    f"linear/{when}/{key}": value
    for when in ("start", "mixup", "erm")
    for key, value in (("median", seeds(0.1)), ("lowest", 0.05), ("epsilon_mix", 0.01))
}
ATTACKED = {
    f"{attack}/{way}/{eps}": seeds(0.5)
    for attack in ("fgsm", "pgd", "worst")
    for way in ("erm", "mixup")
    for eps in ("0", "0.1", "0.2")
}


@pytest.mark.parametrize(
    ("name", "facts", "change", "about", "verdicts"),
    [
        ("bound", BOUND, {"relu/met/violated": 1.0}, "where the conditions", "agrees differs"),
        ("bound", BOUND, {"relu/met": 0.0}, "where the conditions", "agrees unclear"),
        ("generalization", GAPS, {}, "mixup narrows", "agrees"),
        ("generalization", GAPS, {"digits/1/gap": seeds(0.8)}, "mixup narrows", "differs"),
        ("generalization", GAPS, {"digits/1/gap": seeds(0.5, 0.3)}, "mixup narrows", "unclear"),
        ("generalization", GAPS, {"digits/4/gap": seeds(0.4)}, "the more mixing", "differs"),
        ("generalization", GAPS, {"digits/1/test": seeds(1.6)}, "mixup lowers", "differs"),
        ("generalization", GAPS, {"bound/test loss/0": (0.5, 0.5, 9.0)}, "the bound", "differs"),
        ("calibration", CALIBRATION, {"mixup/before/ece": seeds(0.05)}, "mixup improves", "agrees"),
        ("calibration", CALIBRATION, {"mixup/before/ece": seeds(0.2)}, "mixup improves", "differs"),
        ("calibration", CALIBRATION, {"gain/1": seeds(-0.01)}, "in high dimension", "differs"),
        ("calibration", CALIBRATION, {"gain/1": seeds(-0.09)}, "the gain grows", "differs"),
        ("cosine", COSINE, {"linear/mixup/median": seeds(0.3)}, "training on mixup", "agrees"),
        ("cosine", COSINE, {"linear/start/median": seeds(0.3)}, "training on mixup", "differs"),
        ("cosine", COSINE, {}, "R_i is bounded", "agrees"),
        ("cosine", COSINE, {"linear/mixup/lowest": 0.001}, "R_i is bounded", "differs"),
        ("robustness", ATTACKED, {"fgsm/mixup/0.1": seeds(0.7)}, "mixup is more", "agrees beyond"),
        ("robustness", ATTACKED, {"fgsm/mixup/0.2": seeds(0.3)}, "mixup is more", "differs"),
        ("robustness", ATTACKED, {"fgsm/mixup/0.1": seeds(0.5, 0.2)}, "mixup is more", "unclear"),
    ],
)  # fmt: skip
def test_each_verdict_turns_with_the_numbers(name, facts, change, about, verdicts):
    claims = made_up(name, facts | change)
    found = [c.verdict for c in claims if c.statement.startswith(about)]
    assert found == verdicts.split()[: len(found)]
    assert found


def test_the_paragraph_groups_what_is_alike():
    claims = made_up("bound", BOUND | {"relu/met/violated": 1.0})
    text = paragraph(claims)
    assert text.startswith("Agrees with the talk: Where the conditions hold")
    assert "(linear model: 0 violations in 12 looks)" in text
    assert "Contradicts the talk: Where the conditions hold" in text
    assert "(ReLU net: 3 violations in 12 looks)" in text
    assert paragraph([]) == "Nothing measured."


def test_strategies_are_counted_by_their_intervals():
    keys = ("accuracy", "nll", "ece", "ece_after", "pgd", "gap")
    facts = {f"{m}/{k}": 0.5 for m in ("erm", "a", "b", "c") for k in keys}
    facts |= {"a/accuracy": seeds(0.6), "b/accuracy": seeds(0.4), "a/nll": seeds(0.4)}
    facts |= {"c/ece": (0.4, 0.7, 0.5)}
    found = {c.statement: c.text for c in made_up("variants", facts)}
    assert found["test accuracy: 1 of 3 better and 1 of 3 worse"] == "Better: a. Worse: b."
    assert found["NLL after temperature: 1 of 3 better"] == "Better: a."
    assert "ECE as trained: no difference shown for any of 3" in found
    first = {key: value[0] if isinstance(value, tuple) else value for key, value in facts.items()}
    one = page.Seeds(({"facts": first, "curves": []},))
    assert page.ROOMS["variants"].claims(one)[0].text == "One seed gives no interval."


def test_names_of_data_may_hold_any_sign():
    facts = {key.replace("digits", "idx:/a, b/c"): value for key, value in GAPS.items()}
    claims = made_up("generalization", facts)
    assert {c.subject for c in claims} == {"idx:/a, b/c", ""}
    assert len(claims) == 4


@pytest.mark.parametrize("name", NAMES)
def test_every_drawn_number_is_in_its_table_and_in_the_csv(name, folder):
    found = reproduced(name, folder)
    assert found.drawings
    assert found.claims
    for drawing in found.drawings:
        for panel in drawing.figure.panels:
            assert panel.rows
        drawn = sum(len(panel.rows) for panel in drawing.figure.panels)
        assert len(drawing.figure.table.rows) == drawn
        assert len({len(row) for row in drawing.figure.table.rows}) == 1
    rows = list(csv.DictReader(io.StringIO(page.table(found))))
    values = sum(len(c["y"]) for r in found.records for c in r["curves"])
    assert len(rows) == values + sum(len(r["facts"]) for r in found.records)
    assert {row["seed"] for row in rows} == {"0", "1"}
    whole = json.loads(page.as_json(found))
    assert whole["schema"] == page.SCHEMA
    assert len(whole["claims"]) == len(found.claims)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_valid_and_hold_every_panel(name, folder):
    found = reproduced(name, folder)
    picture = still.svg([(d.figure, d.looks) for d in found.drawings])
    root = ElementTree.fromstring(picture)
    panels = [panel for d in found.drawings for panel in d.figure.panels]
    assert len(root.findall("{*}g/{*}svg")) == len(panels)
    texts = [text.text for text in root.findall("{*}g/{*}text")]
    assert {p.title for p in panels} <= set(texts)
    assert "currentColor" not in picture
    wide = float(root.get("width"))
    for inner in root.iter("{http://www.w3.org/2000/svg}svg"):
        assert float(inner.get("x", 0)) + float(inner.get("width")) <= wide
    content = still.pdf(picture)
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")


def test_a_seed_that_failed_is_told(folder):
    done = records("cosine", folder)
    failed = {
        "configuration": {**done[0]["configuration"], "seed": 2},
        "environment": done[0]["environment"],
        "seconds": 0.1,
        "status": "failed",
        "failure": "<b>loss</b> not finite",
    }
    found = page.reproduced("cosine", [*done, failed])
    text = page.page(found, command="vicinal reproduce cosine")
    assert "Seed 2 did not end and is left out: &lt;b&gt;loss&lt;/b&gt; not finite" in text
    alone = page.reproduced("cosine", [failed])
    assert (alone.claims, alone.drawings) == ((), ())
    assert "Seed 2 did not end" in page.page(alone, command="x")


def run(capsys, *tokens):
    with pytest.raises(SystemExit) as caught:
        cli.app.meta([str(token) for token in tokens])
    out, err = capsys.readouterr()
    return caught.value.code or 0, " ".join(out.split()), " ".join(err.split())


def test_the_command_writes_pages_pictures_and_tables_and_measures_once(capsys, tmp_path):
    tokens = ("reproduce", "cosine", "--quick", "--seeds", 2, "--out", tmp_path)
    code, out, err = run(capsys, *tokens)
    assert (code, err) == (0, "")
    assert "The angle between inputs and gradients" in out
    assert "R_i grows" in out
    written = {path.suffix for path in tmp_path.glob("cosine.*")}
    assert written == {".html", ".svg", ".pdf", ".csv", ".json"}
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    assert len(stored) == 2
    assert run(capsys, *tokens)[1] == out
    assert {path: path.stat().st_mtime_ns for path in stored} == stored


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["robustnes"], "unknown figure 'robustnes'. Did you mean robustness?"),
        (["everything"], "Known: all, approximation, bound,"),
        (["bound", "--seeds", "0"], "seeds must be at least 1, got 0."),
        (["bound", "--data", "digit"], "unknown data set 'digit'. Did you mean digits?"),
        (["bound", "--data", "diabetes"], "diabetes has values for targets"),
        (["bound", "--data", "idx:nowhere"], "has no file train-images-idx3-ubyte"),
    ],
)
def test_bad_input_is_one_clear_sentence(tokens, message, capsys, tmp_path):
    out = tmp_path / "new"
    code, _, err = run(capsys, "reproduce", *tokens, "--out", out)
    assert code == 2
    assert message in err
    assert not out.exists()


def test_a_folder_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "reproduce", "bound", "--quick", "--out", tmp_path / "file")
    assert code == 2
    assert "Not a directory" in err or "File exists" in err
