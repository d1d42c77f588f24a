# ruff: noqa: E501
"""Odd arguments at the doors of measuring: a sentence or a right value, never an inner error."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import vicinal as vc
from vicinal.calibration import constant_answer, recalls

MODEL = nn.Linear(3, 2)
ONE = nn.Linear(3, 1)
X, Y = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2
Z = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
THETA, VALUES = torch.tensor([0.1, 0.2, 0.3]), torch.linspace(0, 1, 6)


def rng():
    return np.random.default_rng(0)


ODD = {
    "numpy": np.zeros((6, 3), np.float32),
    "numpy ids": np.zeros(6, np.int64),
    "none": None,
    "list": [[0.1, 0.2, 0.3]] * 6,
    "text": "abc",
    "number": 0.5,
    "complex number": 1j,
    "huge": 10**400,
    "minus": -1,
    "nan": float("nan"),
    "infinite": float("inf"),
    "true": True,
    "no rows": torch.zeros(0, 3),
    "no columns": torch.zeros(6, 0),
    "one row": torch.rand(1, 3),
    "one entry": torch.tensor(0.5),
    "flat": torch.rand(6),
    "deep": torch.rand(6, 3, 2),
    "wide": torch.rand(6, 5),
    "ids": torch.arange(6),
    "negative ids": -torch.arange(6),
    "no ids": torch.zeros(0, dtype=torch.int64),
    "bool": torch.ones(6, dtype=torch.bool),
    "int8": torch.zeros(6, 3, dtype=torch.int8),
    "half": torch.rand(6, 3).half(),
    "double": torch.rand(6, 3).double(),
    "complex": torch.zeros(6, 3, dtype=torch.complex64),
    "nan tensor": torch.full((6, 3), torch.nan),
    "infinite tensor": torch.full((6, 3), torch.inf),
    "dict": {"x": X},
    "tuple": (X, Y),
    "empty tuple": (),
    "class": vc.Beta,
    "law": vc.Beta(0.2),
    "family": vc.poisson,
    "module": nn.Linear(5, 2),
    "function": lambda x: x,
    "pair model": lambda x: (MODEL(x), x),
    "dict model": lambda x: {"out": MODEL(x)},
    "none model": lambda x: None,
    "list model": lambda x: [[0.0]],
    "numpy model": lambda x: np.zeros((len(x), 2)),
}
CALLS = {
    "fgsm": (vc.fgsm, {"model": MODEL, "x": X, "y": Y, "eps": 0.1, "norm": "linf", "bounds": (0.0, 1.0), "family": vc.categorical}),
    "pgd": (vc.pgd, {"model": MODEL, "x": X, "y": Y, "eps": 0.1, "bounds": None, "steps": 2, "restarts": 1, "rng": None}),
    "apgd": (vc.apgd, {"model": MODEL, "x": X, "y": Y, "eps": 0.1, "steps": 3, "loss": "dlr", "tolerance": None, "rng": None}),
    "square": (partial(vc.square, rng=rng()), {"model": MODEL, "x": X, "y": Y, "eps": 0.1, "queries": 4}),
    "noise": (vc.noise, {"model": MODEL, "x": X, "y": Y, "eps": 0.1, "draws": 2, "rng": rng()}),
    "fab": (vc.fab, {"model": MODEL, "x": X, "y": Y, "steps": 2, "scale": None}),
    "fmn": (vc.fmn, {"model": MODEL, "x": X, "y": Y, "steps": 2, "scale": None, "bounds": None}),
    "transfer": (vc.transfer, {"model": MODEL, "source": MODEL, "x": X, "y": Y, "eps": 0.1}),
    "worst_case": (partial(vc.worst_case, passes=20), {"model": MODEL, "x": X, "y": Y, "eps": 0.1, "seconds": None, "rng": None, "twin": None}),
    "accuracy_curve": (vc.accuracy_curve, {"model": MODEL, "x": X, "y": Y, "epsilons": [0.1], "steps": 2, "rng": None}),
    "mixup_bound": (vc.mixup_bound, {"model": ONE, "x": X, "y": Y, "law": vc.Beta(1), "family": vc.bernoulli}),
    "adversarial_loss": (vc.adversarial_loss, {"model": ONE, "x": X, "y": Y, "radius": 0.1}),
    "linear_bound": (vc.linear_bound, {"model": MODEL, "x": X, "y": Y, "law": vc.Beta(1)}),
    "linear_adversarial_loss": (vc.linear_adversarial_loss, {"model": ONE, "x": X, "y": Y, "radius": 0.1, "norm": "l2"}),
    "paired_accuracy": (vc.paired_accuracy, {"first": Y > 0, "second": Y > 0}),
    "expand": (vc.expand, {"model": MODEL, "x": X, "y": Y, "law": vc.Beta(1), "family": vc.categorical, "partners": 2, "rng": rng()}),
    "vicinal_risk": (vc.vicinal_risk, {"model": MODEL, "x": X, "y": Y, "law": vc.Beta(1), "family": vc.categorical, "pairs": 8, "rng": rng()}),
    "taylor_terms": (vc.taylor_terms, {"model": MODEL, "x": X, "y": Y, "partner": Y, "spread": 0.1}),
    "expand_shrunk": (vc.expand_shrunk, {"model": MODEL, "x": X, "y": Y, "law": vc.Beta(1), "family": vc.categorical}),
    "expand_noise": (vc.expand_noise, {"model": MODEL, "x": X, "y": Y, "deviation": 0.1, "family": vc.categorical}),
    "expand_strategy": (vc.expand_strategy, {"model": MODEL, "x": X, "y": Y, "strategy": vc.Mixup(1.0), "family": vc.categorical, "draws": 2, "rng": rng()}),
    "explain": (partial(vc.explain, pairs=8), {"model": MODEL, "x": X, "y": Y, "alphas": [1.0], "shown": 1, "rng": rng()}),
    "expand_stream": (partial(vc.expand_stream, law=vc.Beta(1), family=vc.categorical), {"model": MODEL, "batches": [(X, Y)], "partners": 2, "reservoir": 4}),
    "risk_stream": (vc.risk_stream, {"model": MODEL, "batches": [(X, Y)], "law": vc.Beta(1), "family": vc.categorical, "partners": 2}),
    "generalization_gap": (vc.generalization_gap, {"model": MODEL, "train": (X, Y), "test": (X + 1, Y), "family": vc.categorical, "level": 0.95}),
    "glm_regulariser": (vc.glm_regulariser, {"theta": THETA, "x": X, "law": vc.Beta(3), "family": vc.gaussian, "divide": "own"}),
    "glm_complexity": (vc.glm_complexity, {"theta": THETA, "x": X, "family": vc.gaussian}),
    "ranks": (vc.ranks, {"x": X}),
    "glm_bound": (vc.glm_bound, {"theta": THETA, "x": X, "y": VALUES, "family": vc.bernoulli, "x_bound": 2.0, "theta_bound": 2.0, "gammas": 4.0, "delta": 0.05, "y_bounds": (0.0, 1.0), "held_out": X, "rank": None}),
    "hidden_regulariser": (vc.hidden_regulariser, {"theta": THETA, "features": X, "law": vc.Beta(3)}),
    "hidden_complexity": (vc.hidden_complexity, {"features": X, "gamma": 1.0}),
    "hidden_bound": (vc.hidden_bound, {"theta": THETA, "features": X, "y": VALUES, "feature_bound": 2.0, "theta_bound": 2.0, "gammas": 1.0, "y_bounds": (0.0, 1.0), "lift": None}),
    "glm_coefficient": (vc.glm_coefficient, {"law": vc.Beta(3)}),
    "beta": (vc.Beta, {"alpha": 1.0, "beta": None}),
    "fixed": (vc.Fixed, {"lam": 0.5}),
    "nodes": (vc.Beta(1.0).nodes, {"count": 3}),
    "sample": (vc.Beta(1.0).sample, {"size": 3, "rng": rng()}),
    "calibration": (vc.calibration, {"logits": Z, "y": Y, "bins": 5, "equal": "width"}),
    "calibration_of_positive": (vc.calibration_of_positive, {"logit": Z[:, 0], "y": Y, "bins": 5}),
    "calibration_of_prediction": (vc.calibration_of_prediction, {"logit": Z[:, 0], "y": Y}),
    "calibration_of_probabilities": (vc.calibration_of_probabilities, {"probabilities": Z.softmax(1), "y": Y}),
    "classwise": (vc.classwise, {"logits": Z, "y": Y, "bins": 5}),
    "smooth_ece": (vc.smooth_ece, {"logits": Z, "y": Y}),
    "fit_temperature": (vc.fit_temperature, {"logits": Z, "y": Y}),
    "fit_vector": (vc.fit_vector, {"logits": Z, "y": Y}),
    "fit_platt": (vc.fit_platt, {"logit": Z[:, 0], "y": Y}),
    "recalibrated": (vc.recalibrated, {"validation": (Z, Y), "test": (Z + 1, Y), "scaling": "temperature"}),
    "coverage": (vc.coverage, {"mean": VALUES, "deviation": VALUES + 1, "y": VALUES, "levels": (0.5,)}),
    "bootstrap": (partial(vc.bootstrap, resamples=100), {"measure": lambda z, y: float(z.double().mean()), "logits": Z, "y": Y, "rng": rng(), "level": 0.9}),
    "recalls": (recalls, {"outputs": Z, "y": Y}),
    "constant_answer": (constant_answer, {"y": Y, "classes": 2, "fitted_on": None}),
}  # fmt: skip
PAIRS = [(name, argument) for name, (_, given) in CALLS.items() for argument in given]


def tried(name, **odd):
    """None where the call was answered or refused; anything else than a sentence is raised."""
    call, given = CALLS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(**(given | odd))
        except (ValueError, TypeError) as error:
            return error


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", CALLS)
def test_the_calls_themselves_are_right(name):
    assert not isinstance(tried(name), Exception), tried(name)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_one_odd_argument(name, argument):
    wrong = []
    for kind, value in ODD.items():
        try:
            said = tried(name, **{argument: value})
            if isinstance(said, Exception) and len(str(said)) < 25:
                wrong.append(f"{kind}: no sentence: {said}")
        except Exception as error:  # any other is what this test is for
            wrong.append(f"{kind}: {type(error).__name__}: {str(error)[:100]}")
    assert not wrong, "\n".join(wrong)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_several_odd_arguments(data, unchecked):
    name = data.draw(st.sampled_from(sorted(CALLS)))
    given = CALLS[name][1]
    odd = data.draw(st.dictionaries(st.sampled_from(sorted(given)), st.sampled_from(sorted(ODD))))
    tried(name, **{argument: ODD[kind] for argument, kind in odd.items()})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", [n for n, (_, given) in CALLS.items() if "x" in given])
def test_arrays_are_refused_with_what_to_pass(name):
    for argument in ("x", "y"):
        if argument in CALLS[name][1]:
            found = tried(name, **{argument: CALLS[name][1][argument].numpy()})
            assert isinstance(found, TypeError)
            assert f"{argument} must be a torch.Tensor" in str(found)
            assert "torch.as_tensor" in str(found)


@pytest.mark.parametrize("wrap", [lambda z: {"logits": z}, lambda z: Named(z)])
def test_outputs_of_other_libraries_are_unwrapped(wrap):
    model = lambda x: wrap(MODEL(x))
    assert vc.fgsm(model, X, Y, 0.1).equal(vc.fgsm(MODEL, X, Y, 0.1))
    options = {"law": vc.Beta(1), "family": vc.categorical}
    assert vc.expand(model, X, Y, **options).total == pytest.approx(
        vc.expand(MODEL, X, Y, **options).total
    )
    assert vc.vicinal_risk(model, X, Y, **options).value == pytest.approx(
        vc.vicinal_risk(MODEL, X, Y, **options).value
    )
    gap = partial(vc.generalization_gap, train=(X, Y), test=(X + 1, Y), family=vc.categorical)
    assert gap(model) == gap(MODEL)


class Named:
    """What Hugging Face returns: an object with logits among other things."""

    def __init__(self, logits):
        self.logits = logits
