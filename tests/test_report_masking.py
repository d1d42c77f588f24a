"""Signs of masked gradients and the worst case in the report."""

import copy

from runs import EVIL, record
from vicinal.report import comparison
from vicinal.report.figures.chosen import finished
from vicinal.report.figures.masking import CHECKS, masking
from vicinal.report.figures.panels import styles
from vicinal.report.figures.perturbed import robustness
from vicinal.report.pages import page
from vicinal.report.words.findings import sentences
from vicinal.report.words.headline import glance
from vicinal.robustness import masking as masking_of_models
from vicinal.robustness import signs


def sign(passed, words="it breaks 9 %"):
    return {"passed": passed, "measured": {}, "words": words}


def strong(method, seed, accuracy, *, failed=()):
    made = record(method, seed)
    points = [
        {"eps": 0.0, "accuracy": 0.9, "low": None, "high": None},
        {"eps": 0.1, "accuracy": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.1},
    ]
    ensemble = {"attack": "ensemble", "norm": "linf", "steps": 1, "examples": 20, "points": points}
    signs = {name: sign(name not in failed) for name in ("black_box", "rising")}
    made["measured"]["robustness"].append(ensemble)
    made["measured"]["masking"] = {
        "signs": signs,
        "failed": len(failed),
        "verdict": "",
        "examples": 20,
        "norm": "linf",
        "eps": 0.1,
    }
    return made


def runs():
    erm = [strong("erm", s, 0.30 + 0.01 * s) for s in range(3)]
    mixed = [strong(EVIL, s, 0.20 + 0.02 * s, failed=["black_box"][: s % 2]) for s in range(3)]
    return erm + mixed


def test_the_table_counts_runs_that_pass():
    records = runs()
    group = comparison.compare(records).groups[0]
    figure = masking(group, finished(group, records), styles(group.methods))
    assert figure.table.headers == ("Check", "erm", EVIL)
    assert figure.table.rows == (
        (CHECKS["black_box"], "3 of 3 pass", "2 of 3 pass"),
        (CHECKS["rising"], "3 of 3 pass", "3 of 3 pass"),
    )
    assert f"{EVIL}: it breaks 9 %." in figure.text
    assert not figure.panels


def test_the_first_screen_leaves_out_one_step_where_more_were_taken():
    group = comparison.compare(runs()).groups[0]
    attacks = [m.threat.attack for m in glance(group).metrics if m.threat is not None]
    assert attacks == ["pgd", "ensemble"]
    weak = [record(m, s) for m in ("erm", EVIL) for s in range(2)]
    for run in weak:
        del run["measured"]["robustness"][1]
    group = comparison.compare(weak).groups[0]
    attacks = [m.threat.attack for m in glance(group).metrics if m.threat is not None]
    assert attacks == ["fgsm"]


def test_attacks_in_one_norm_share_the_axis_of_sizes():
    records = runs()
    group = comparison.compare(records).groups[0]
    figure = robustness(group, finished(group, records), styles(group.methods))
    titles = ["Worst case, l∞", "FGSM, l∞", "PGD-20, l∞"]
    assert [panel.title for panel in figure.panels] == titles
    for panel in figure.panels:
        axis = panel.spec()["layer"][0]["encoding"]["x"]
        assert axis["scale"] == {"domain": [0, 0.2]}


def test_a_figure_without_panels_shows_its_table_and_offers_no_picture():
    written = page.render(runs())
    figure = written.partition('data-name="group-1-masking"')[2].partition("</figure>")[0]
    assert "<details open><summary>Numbers</summary>" in figure
    assert 'data-take="csv"' in figure
    assert 'data-take="svg"' not in figure


def test_without_checks_there_is_no_figure():
    records = [record("erm", 0)]
    group = comparison.compare(records).groups[0]
    assert masking(group, finished(group, records), styles(group.methods)) is None
    quiet = copy.deepcopy(runs()[:3])
    group = comparison.compare(quiet).groups[0]
    figure = masking(group, finished(group, quiet), styles(group.methods))
    assert "does not prove" in figure.text[-1]


def test_the_worst_case_leads_the_verdict():
    group = comparison.compare(runs()).groups[0]
    told = {s.topic: s.text for s in sentences(group)}
    topics = list(told)
    worst = next(t for t in topics if "worst case" in t)
    assert topics.index(worst) < topics.index(
        "Accuracy under PGD-20, l∞, ε\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.1"
    )
    assert f"{EVIL} 9.00 points lower (worse)" in told[worst]
    assert told["Signs of masked gradients"].startswith(f"{EVIL} in 1 of 3 runs.")


def test_the_page_shows_names_as_text():
    html = page.render(runs())
    assert "Signs of masked gradients" in html
    assert "2 of 3 pass" in html
    assert "<img src=x" not in html
    assert "A claim of robustness needs stronger" not in html


def test_every_check_has_its_words():
    import inspect

    source = inspect.getsource(masking_of_models) + inspect.getsource(signs)
    assert all(f'"{name}"' in source for name in CHECKS)
