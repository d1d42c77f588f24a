"""The audit against closed forms of linear models, what is kept of it, and its command."""

import json
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
import torch
from torch import nn

from norms import dual
from vicinal.cli import app
from vicinal.maths.losses import bernoulli, bernoullis, categorical, gaussian, gaussians
from vicinal.models.reference import MODELS
from vicinal.report.pages import audited
from vicinal.study.audit import Case, audit, parts
from vicinal.study.audit.case import InUnits


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    for name, few in (
        ("robustness.attacks.apgd.STEPS", 20),
        ("robustness.attacks.fab.STEPS", 20),
        ("robustness.attacks.fmn.STEPS", 20),
        ("robustness.attacks.square.QUERIES", 30),
        ("robustness.signs.QUERIES", 30),
        ("robustness.signs.NOISES", 5),
        ("study.audit.outputs.RESAMPLES", 100),
    ):
        monkeypatch.setattr(f"vicinal.{name}", few)


THETA = torch.tensor([1.0, -2.0, 0.5])


def two(scale=4.0):
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(scale * torch.stack([-THETA / 2, THETA / 2]))
    return model


def case(model=None, **changes):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(120, 3, generator=g)
    y = (x @ THETA + 0.5 * torch.randn(120, generator=g) > 0).long()
    made = Case(
        model or two(), x[:60], y[:60], (x[60:90], y[60:90]), (x, y), categorical, None,
        None, None, {"linf": 0.2, "l2": 0.3}, None, 60, True, None, None, 0,
    )  # fmt: skip
    return replace(made, **changes)


def quiet(name, share):
    pass


def with_settings(case, record):
    settings = {"model": "m", "data": "d", "part": "test", "sizes": dict(case.sizes)}
    return record | {"settings": settings | {"tolerance": case.tolerance}}


def test_a_linear_model_is_found_as_the_closed_form_says(tmp_path):
    c = case()
    record = audit(c, tmp_path, quiet)
    margin = (2 * c.y - 1) * (c.x @ THETA)
    assert record["predictions"]["value"] == pytest.approx(float((margin > 0).double().mean()))
    for norm, eps in c.sizes.items():
        robust = float((margin > eps * dual(THETA, norm)).double().mean())
        found = record[f"ensemble {norm}"]
        assert found["points"][-1]["accuracy"] == pytest.approx(robust)
        assert found["complete"]
        nearest = (margin / dual(THETA, norm)).clamp(min=0)
        quantile = float(np.quantile(nearest, 0.5, method="inverted_cdf"))
        assert record[f"distances {norm}"]["quantiles"]["0.5"] == pytest.approx(quantile, rel=1e-2)
        assert record[f"distances {norm}"]["mean"] == pytest.approx(float(nearest.mean()), rel=1e-2)
    assert record["masking"]["failed"] == 0
    bound = record["bound"]
    assert not bound["guaranteed"]  # labels are noisy, inputs not centred
    assert bound["conditions"]["homogeneous"]["holds"]
    words = dict(audited.sentences(with_settings(c, record)))
    assert "Its conditions fail (centred, classified)" in words["Mixup's bound"]
    assert (
        "withstand every attack"
        in words["Worst case, l∞,\N{NO-BREAK SPACE}ε\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.2"]
    )


def test_units_of_columns_are_those_of_a_standardised_table(tmp_path):
    plain = audit(case(full=False), tmp_path / "a", quiet)
    unit = torch.tensor([10.0, 0.1, 3.0])
    c = case(full=False)
    raw = nn.Sequential(InUnits(c.model, 1 / unit))
    wide = lambda pair: (pair[0] * unit, pair[1])
    moved = replace(
        c, model=raw, x=c.x * unit, held=wide(c.held), trained=wide(c.trained), unit=unit
    )
    found = audit(moved, tmp_path / "b", quiet)
    for a, b in zip(plain["gradients"]["curves"], found["gradients"]["curves"], strict=True):
        assert [p["accuracy"] for p in a["points"]] == [p["accuracy"] for p in b["points"]]
        assert a["points"][-1]["accuracy"] < a["points"][0]["accuracy"]


def test_one_logit_is_audited_as_two_classes_are(tmp_path):
    two_classes = audit(case(), tmp_path / "a", quiet)
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(4 * THETA[None])
    one = audit(case(model, family=bernoulli), tmp_path / "b", quiet)
    for key in ("ensemble linf", "ensemble l2"):
        assert one[key]["points"] == two_classes[key]["points"]
    for key in ("mixup_loss", "adversarial_loss", "epsilon_mix"):
        assert one["bound"][key] == pytest.approx(two_classes["bound"][key], rel=1e-5)


def test_values_break_beyond_the_tolerance(tmp_path):
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(THETA[None])
    c = case(model, family=gaussian, tolerance=1.0)
    y = c.x @ THETA + torch.linspace(-1.5, 1.5, 60)
    record = audit(replace(c, y=y, held=(c.x, y), trained=(c.x, y)), tmp_path, quiet)
    left = 1.0 - (c.x @ THETA - y).abs() - 0.2 * dual(THETA, "linf")
    expected = float((left > 0).double().mean())
    assert record["ensemble linf"]["points"][-1]["accuracy"] == pytest.approx(expected)
    assert set(record) == {*parts(replace(c, y=y))}
    assert "calibration" not in record
    assert "tolerance of 1" in dict(audited.sentences(with_settings(c, record)))["Predictions"]


class Quantised(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = two()

    def forward(self, x):
        return (self.body(x) * 2).round() / 2


def test_a_masked_model_is_called_one(tmp_path):
    c = case(Quantised(), full=False, twin=two())
    with pytest.warns(UserWarning, match="did nothing|gradient is exactly 0"):
        record = audit(c, tmp_path, quiet)
    assert record["masking"]["failed"] >= 2
    assert "transfer" in record["masking"]["signs"]
    words = dict(audited.sentences(with_settings(c, record)))
    assert words["Masked gradients"].startswith("Signs of masked gradients:")
    assert "on which no claim can rest" in next(v for k, v in words.items() if "Under attack" in k)


def test_an_audit_that_was_stopped_goes_on(tmp_path, monkeypatch):
    whole = audit(case(), tmp_path / "whole", quiet)
    stopped, seen = [], []

    def stop(name, share):
        seen.append(name)
        if name == "ensemble linf" and share > 0 and not stopped:
            stopped.append(share)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(case(), tmp_path / "again", stop)
    assert list((tmp_path / "again").glob("*.attack"))

    def never(case):
        raise AssertionError("measured again")

    monkeypatch.setattr("vicinal.study.audit.theory.bound", never)
    again = audit(case(), tmp_path / "again", stop)
    same = lambda r: {k: {i: v for i, v in p.items() if i != "accounts"} for k, p in r.items()}
    assert same(again) == same(whole)
    assert not list((tmp_path / "again").glob("*.attack"))


def test_a_larger_budget_goes_on_and_another_model_begins_anew(tmp_path):
    short = audit(case(passes=25.0, sizes={"linf": 0.2}), tmp_path, quiet)
    assert not short["ensemble linf"]["complete"]
    assert (
        "The budget ended"
        in audited.sentences(with_settings(case(sizes={"linf": 0.2}), short))[1][1]
    )
    longer = audit(case(sizes={"linf": 0.2}), tmp_path, quiet)
    assert longer["ensemble linf"]["complete"]
    first, second = (a["accounts"][0] for a in (short["ensemble linf"], longer["ensemble linf"]))
    assert first == second  # taken over with its seconds
    other = audit(case(two(-4.0), sizes={"linf": 0.2}), tmp_path, quiet)
    assert other["predictions"]["value"] == pytest.approx(1 - longer["predictions"]["value"])


def test_what_is_kept_is_of_one_box_and_one_unit():
    c = case()
    unit = torch.full_like(c.x[0], 2.0)
    boxes = [replace(c, bounds=b) for b in (None, (-9.0, 9.0), (-9.0, 8.0))]
    others = [replace(boxes[0], unit=unit), replace(boxes[0], unit=2 * unit)]
    assert len({other.name for other in boxes + others}) == 5


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        app.meta(arguments, exit_on_error=False)
    return stopped.value.code


@pytest.fixture
def weights(tmp_path):
    from vicinal.data import load
    from vicinal.models.named import build_model

    split = load("iris", 0)
    model = build_model("linear", split, 0)
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(split.train.x), split.train.y).backward()
        optimizer.step()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    return [str(tmp_path / "weights.pt"), "--architecture", "linear", "--data", "iris"]


def columns(*scales):
    """A linear model with outputs in the direction of THETA, of several lengths."""
    model = nn.Linear(3, len(scales), bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.stack([scale * THETA for scale in scales]))
    return model


def test_a_label_written_twice_is_one_label(tmp_path):
    """Nothing that counts examples changes, nor what counts predictions, all of them doubled."""
    one = case(columns(4.0), family=bernoulli)
    twice = {
        name: torch.stack([y, y], 1).float()
        for name, y in (("y", one.y), ("held", one.held[1]), ("trained", one.trained[1]))
    }
    two_labels = replace(
        one, model=columns(4.0, 4.0), family=bernoullis, y=twice["y"],
        held=(one.held[0], twice["held"]), trained=(one.trained[0], twice["trained"]),
    )  # fmt: skip
    single, double = (audit(c, tmp_path / c.name, quiet) for c in (one, two_labels))
    assert "bound" not in double
    for part in ("predictions", "calibration"):
        for key, value in single[part].items():
            if isinstance(value, float):
                assert double[part][key] == pytest.approx(value, abs=1e-9), (part, key)
    for key in ("ece", "nll"):
        both = [found["calibration"][f"{key}_intervals"]["before"] for found in (single, double)]
        assert both[1] == pytest.approx(both[0], abs=1e-6)  # examples are what is resampled
    for norm in ("linf", "l2"):
        shares = [found[f"ensemble {norm}"]["points"][-1]["accuracy"] for found in (single, double)]
        assert shares[0] == shares[1]


def test_several_values_break_at_their_distance(tmp_path):
    found = case(columns(1.0, 2.0))
    y = torch.stack([found.model(found.x)[:, 0], found.model(found.x)[:, 1] + 1], 1).detach()
    changed = replace(found, family=gaussians, y=y, tolerance=1.2, full=True)
    record = audit(changed, tmp_path, quiet)
    assert record["predictions"]["rmse"] == pytest.approx(1.0, rel=1e-5)
    assert record["predictions"]["value"] == 1.0
    most = (
        1 + 5 * 0.2 * float(THETA.abs().sum())
    ) > 1.2  # of the first residual, squared and added
    assert most
    assert record["ensemble linf"]["points"][-1]["accuracy"] == 0.0


def test_the_command(weights, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(
        "audit", *weights, "--norms", "linf", "l1", "--eps", "0.3", "0.4", "--out", str(out)
    ) in (0, None)
    record = json.loads((out / "audit.json").read_text())
    assert record["settings"]["sizes"] == {"linf": 0.3, "l1": 0.4}
    assert {"predictions", "calibration", "masking", "ensemble l1", "distances l1"} <= set(record)
    page = (out / "audit.html").read_text()
    assert "default-src 'none'" in unescape(page)
    for words in ("Audit of", "What each attack did", "Signs of masked gradients", "Reliability"):
        assert words in page
    shown = capsys.readouterr().out
    assert "withstand every" in shown
    assert "What each attack did" in shown


BAD = [
    (["--norms", "linf", "linf"], "norms must name each norm once"),
    (["--eps", "0.1"], "one size for each norm"),
    (["--norms", "l1"], "no usual size in l1"),
    (["--norms", "linf", "--eps", "-1"], "eps must be positive"),
    (["--norms", "linf", "--eps", "nan"], "eps must be positive"),
    (["--seconds", "0"], "seconds must be positive"),
    (["--passes", "nan"], "passes must be positive"),
    (["--examples", "1"], "examples must be at least 2"),
    (["--tolerance", "0.5"], "tolerance is a deviation of predicted values"),
    (["--twin", "nowhere.pt"], "no file of weights"),
    (["--family", "bernoulli"], "one logit"),
]


@pytest.mark.parametrize(
    ("options", "rule"), BAD, ids=lambda v: v[0] if isinstance(v, list) else ""
)
def test_bad_input(options, rule, weights, tmp_path, capsys, unchecked):
    assert run("audit", *weights, *options, "--out", str(tmp_path / "out")) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert rule in said


def test_sizes_beyond_the_range_of_images_are_refused(tmp_path, capsys):
    torch.save(MODELS["linear"]((1, 8, 8), 10).state_dict(), tmp_path / "w.pt")
    options = ["--architecture", "linear", "--norms", "linf", "--eps", "8"]
    out = tmp_path / "out"
    assert run("audit", str(tmp_path / "w.pt"), *options, "--out", str(out)) == 2
    assert "eps=8.0 is not in [0, 1], the linf width" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (1280, "light")])
def test_page_is_drawn_accessible_and_asks_nothing(browser, tmp_path, width, scheme):
    from pages import markers, opened, violations  # where there is no browser, only this skips

    audited_case = case()
    record = with_settings(audited_case, audit(audited_case, tmp_path / "parts", quiet))
    out = tmp_path / "audit.html"
    out.write_text(audited.page(record, command="vicinal audit m"))
    page = opened(browser, out, width, scheme)
    assert (page.said, page.asked) == ([], [out.as_uri()])
    assert page.evaluate("document.documentElement.scrollWidth") == width
    drawn = markers(page)
    assert len(drawn) >= 8
    assert all(drawn), drawn
    assert violations(page) == []
    page.close()
