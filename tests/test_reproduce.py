"""The figures of the talk: each measured tiny, and held against laws that need no other run."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from reproductions import FIGURES, measured
from vicinal.calibration import calibration_of_positive
from vicinal.machine import files
from vicinal.maths.laws import Fixed, Uniform
from vicinal.maths.randomness import generator
from vicinal.robustness.theory.alignment import alignment
from vicinal.study.reproduce import approximation, bound, calibration, cosine, robustness, run
from vicinal.study.reproduce.measured import Curve, Measured, Size, looked_at
from vicinal.study.reproduce.networks import Diverged, lenet, linear, relu
from vicinal.study.reproduce.sets import MOONS, exactly_centred, sized, two_classes


def series(name, drawing):
    """(panel, series) → x, y for both seeds of a figure."""
    return [
        {(c.panel, c.series): (c.x, c.y) for c in found.curves if c.drawing == drawing}
        for found in measured(name)
    ]


def test_errors_of_the_expansions_vanish_with_the_logits():
    """The remainder is of third order for the linear model; kinks leave one of first order."""
    for found in series("approximation", "scale"):
        for (model, line), (scales, errors) in found.items():
            assert abs(errors[0]) < 5e-3
            order = np.log2(abs(errors[1] / errors[0])) / np.log2(scales[1] / scales[0])
            least = 2.8 if model == approximation.MODELS["logistic"] else 0.7
            assert order > least, (model, line, order)


def test_before_training_all_ways_start_alike():
    for found in series("approximation", "instead"):
        for panel in approximation.MODELS.values():
            first = {y[0] for (name, _), (_, y) in found.items() if name == panel}
            assert len(first) == 1


def test_cosines_are_those_of_the_definition():
    x = torch.randn(20, 7, dtype=torch.float64)
    model = linear((7,), 1, bias=False).double()
    theta = model[1].weight.detach()[0].numpy()
    flat = x.numpy()
    by_hand = abs(flat @ theta) / (np.linalg.norm(flat, axis=1) * np.linalg.norm(theta))
    found = alignment(model, x, Uniform())
    np.testing.assert_allclose(found.cosines, by_hand, rtol=1e-12)
    smallest = np.linalg.norm(flat, axis=1).min() / 7**0.5
    np.testing.assert_allclose(found.radii, by_hand * smallest / 3, rtol=1e-12)


def test_shares_of_cosines_add_up_and_radii_are_sorted():
    for shares, radii, told in zip(
        series("cosine", "cosine"), series("cosine", "radius"), measured("cosine"), strict=True
    ):
        assert len(shares) == 9  # three models, three times
        for _, y in shares.values():
            assert sum(y) == pytest.approx(1)
        for _, y in radii.values():
            assert list(y) == sorted(y)
        for key, label in cosine.MODELS.items():
            lowest = radii[label, cosine.WHEN["mixup"]][1][0]
            assert lowest == pytest.approx(told.facts[f"{key}/mixup/epsilon_mix"])


def test_accuracy_never_rises_and_the_worst_case_is_the_worst():
    for found in series("robustness", "accuracy"):
        for _, accuracies in found.values():
            assert list(accuracies) == sorted(accuracies, reverse=True)
        for way in robustness.WAYS:
            fgsm, pgd, worst = (found[label, way][1] for label in robustness.ATTACKS.values())
            assert fgsm[0] == pgd[0] == worst[0]
            assert all(w <= p for w, p in zip(worst, pgd, strict=True))


def test_the_bound_holds_wherever_its_conditions_do():
    for found in measured("bound"):
        for case in ("linear", "relu"):
            assert found.facts[f"{case}/met"] > 0
            assert found.facts[f"{case}/met/violated"] == 0
        for case in ("shifted", "wrong", "biased"):
            assert found.facts[f"{case}/met"] == 0
        assert found.facts["wrong/unmet/violated"] > 0


def test_cases_break_the_condition_that_they_name():
    split = two_classes(sized("digits", 0, Size(1, 1, 200, 50)))
    parts = {key: bound._part(split.train, case, 0) for key, case in bound.CASES.items()}
    for key in ("linear", "relu", "wrong", "biased"):
        assert float(parts[key].x.mean(0).abs().max()) < 1e-12
    assert float(parts["shifted"].x.mean()) == pytest.approx(1)
    turned = (parts["wrong"].y != split.train.y).double().mean()
    assert abs(float(turned) - bound.WRONG) < 5 * (0.3 * 0.7 / len(split.train)) ** 0.5


def test_gaps_are_differences_and_the_bound_lies_above():
    for found in measured("generalization"):
        for key, value in found.facts.items():
            if key.endswith("/gap"):
                prefix = key.removesuffix("gap")
                difference = found.facts[f"{prefix}test"] - found.facts[f"{prefix}train"]
                assert value == pytest.approx(difference)
            if key.startswith("bound/bound"):
                assert value > found.facts[key.replace("/bound/", "/test loss/")]


def test_the_gaussian_model_gains_nothing_from_a_law_that_never_mixes():
    plain, mixed = calibration.simulated(0.5, 0, Fixed(1.0))
    assert plain == mixed


def test_the_gaussian_model_averages_over_all_mixed_pairs():
    """ECE under a law is that of the mean of ỹ x̃ over all pairs, summed here one by one."""
    lam, ratio, seed = 0.7, 0.05, 3
    rng = generator(seed, "dimension", round(1000 * ratio))
    p, n = 10, calibration.EXAMPLES
    y, new = (2.0 * rng.integers(2, size=k) - 1 for k in (n, calibration.TESTED))
    x, x_new = (s[:, None] * np.eye(p)[0] + rng.standard_normal((len(s), p)) for s in (y, new))
    total = np.zeros(p)
    for i in range(n):
        for j in range(n):
            total += (lam * y[i] + (1 - lam) * y[j]) * (lam * x[i] + (1 - lam) * x[j])
    labels = torch.from_numpy((new > 0).astype(int))
    by_hand = calibration_of_positive(torch.from_numpy(2 * x_new @ (total / n**2)), labels).ece
    assert calibration.simulated(ratio, seed, Fixed(lam))[1] == pytest.approx(by_hand)


def test_reliability_counts_every_example():
    for found in measured("calibration"):
        counts = [c for c in found.curves if c.drawing == "reliability/count"]
        assert len(counts) == 4
        assert {sum(c.y) for c in counts} == {100}


def test_variants_are_measured_alike():
    for found in measured("variants"):
        names = {key.rsplit("/", 1)[0] for key in found.facts}
        assert names == {"erm", "mixup(0.2)", "mixup(1)"}
        assert all(0 <= found.facts[f"{n}/pgd"] <= found.facts[f"{n}/accuracy"] for n in names)


@pytest.mark.parametrize("make", [linear, relu, lenet])
def test_models_without_biases_are_homogeneous(make):
    model = make((1, 8, 8), 3, bias=False).double()
    x = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(model(2.5 * x), 2.5 * model(x))


def test_two_classes_are_centred_and_of_unit_size():
    split = two_classes(sized("digits", 0, Size(1, 1, 400, 50)))
    assert split.labels == ("3", "8")
    assert set(split.train.y.tolist()) == {0, 1}
    x = exactly_centred(split.train.x)
    assert float(x.mean(0).abs().max()) < 1e-12
    assert float(x.square().mean()) == pytest.approx(1, rel=1e-5)
    assert two_classes(sized("iris", 0, Size(1, 1, 60, 50))).labels == ("versicolor", "virginica")


def test_sets_are_cut_to_size():
    size = Size(1, 1, train=40, test=30)
    for name in ("digits", MOONS):
        split = sized(name, 3, size)
        assert (len(split.train), len(split.test)) == (40, 30)
    with pytest.raises(ValueError, match="diabetes has values for targets"):
        sized("diabetes", 0, size)


def test_looks_begin_before_training_and_end_after():
    assert looked_at(100, 5) == (0, 6, 25, 56, 100)
    assert looked_at(7, 1) == (7,)
    assert looked_at(2, 9) == (0, 1, 2)


class Fake:
    """A figure that counts how often it was measured."""

    NAME, DATA = "fake", "nothing"
    QUICK = FULL = Size(1, 1, 1, 1)

    def __init__(self):
        self.calls = []

    def measure(self, seed, size, data):
        self.calls.append(seed)
        if seed == 7:
            raise Diverged(3)
        if seed == 9:
            raise KeyboardInterrupt
        return Measured((Curve("d", "p", "s", (0.0,), (float("nan"),)),), {"fact": 1.5})


def stored(figure, seeds, folder, size=Fake.FULL, said=()):
    told = list(said)
    found = run.records(
        figure, seeds, size, "nothing", folder, advance=lambda: None, say=told.append
    )
    return found, told


def test_what_is_stored_is_not_measured_again(tmp_path):
    figure = Fake()
    first, _ = stored(figure, range(2), tmp_path)
    again, _ = stored(figure, range(3), tmp_path, replace(Fake.FULL, seeds=3))
    assert figure.calls == [0, 1, 2]  # a seed is the same, however many there are
    assert again[:2] == first
    assert first[0]["curves"][0]["y"] == [None]
    stored(figure, range(1), tmp_path, replace(Fake.FULL, epochs=2))
    assert figure.calls == [0, 1, 2, 0]  # another configuration is another record


def test_an_interrupted_figure_goes_on_with_the_seed_that_is_missing(tmp_path):
    figure = Fake()
    with pytest.raises(KeyboardInterrupt):
        stored(figure, (0, 9), tmp_path)
    stored(figure, (0, 1), tmp_path)
    assert figure.calls == [0, 9, 1]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}


@pytest.mark.parametrize(
    "damage",
    ["{", "[]", '{"format": 1}', '{"format": 0}'],
)
def test_a_damaged_record_is_set_aside_and_measured_again(damage, tmp_path):
    figure = Fake()
    whole, _ = stored(figure, (0,), tmp_path)
    (path,) = tmp_path.glob("*.json")
    path.write_text(damage)
    again, told = stored(figure, (0,), tmp_path)
    assert figure.calls == [0, 0]
    assert "could not be read" in told[0]
    assert again[0]["facts"] == whole[0]["facts"]
    assert json.loads(path.read_text()) == again[0]


def test_a_seed_that_diverges_is_a_record_too(tmp_path):
    found, _ = stored(Fake(), (0, 7), tmp_path)
    assert [r["status"] for r in found] == ["done", "failed"]
    assert found[1]["failure"] == "the training loss was not finite in epoch 3"


def test_records_are_plain_numbers(tmp_path):
    for name in ("approximation", "calibration"):
        for found in measured(name):
            json.dumps(files.plain({"m": found}), allow_nan=False)


def test_quick_is_less_than_full():
    for figure in FIGURES:
        for key in ("epochs", "train", "test", "looks"):
            assert getattr(figure.QUICK, key) <= getattr(figure.FULL, key)
        assert 3 <= figure.QUICK.seeds <= figure.FULL.seeds
