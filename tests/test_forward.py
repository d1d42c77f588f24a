"""Measuring leaves the model as it was, whatever happens."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import vicinal
from vicinal.explanation.expansions.masked import expand_strategy
from vicinal.explanation.expansions.noise import expand_noise
from vicinal.explanation.expansions.shrunk import expand_shrunk
from vicinal.explanation.recorder import Recorder
from vicinal.explanation.risk import vicinal_risk
from vicinal.explanation.streams.expand import expand_stream
from vicinal.explanation.streams.risk import risk_stream
from vicinal.explanation.summary import explain
from vicinal.explanation.terms import expand, taylor_terms
from vicinal.maths.laws import Beta
from vicinal.maths.losses import categorical
from vicinal.mixing.mixup import Mixup
from vicinal.models.forward import LogitsAt, check_targets, logits_of, unchanged
from vicinal.robustness import accuracy_curve
from vicinal.robustness.attacks.fgsm import fgsm
from vicinal.robustness.attacks.pgd import pgd


class Counting(nn.Module):
    """Writes to a buffer and draws randomness at every call, also in eval mode."""

    def __init__(self, last=None):
        super().__init__()
        self.last = last or nn.Identity()
        self.register_buffer("calls", torch.zeros(()))
        self.body = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))

    def forward(self, x):
        self.calls += 1
        torch.rand(1)
        return self.last(self.body(x))


def hidden(z):
    """A function that autograd cannot follow, so that central differences must."""
    return torch.from_numpy(np.tanh(z.detach().numpy()))


def state(model):
    return (
        [module.training for module in model.modules()],
        {name: value.clone() for name, value in model.state_dict().items()},
        [(p.grad.clone(), p.requires_grad) for p in model.parameters()],
        torch.get_rng_state(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
    )


def assert_same(before, after):
    assert before[0] == after[0]
    assert all(before[1][name].equal(after[1][name]) for name in before[1])
    for (gradient, asked), (gradient_after, asked_after) in zip(before[2], after[2], strict=True):
        assert gradient.equal(gradient_after)
        assert asked == asked_after
    assert before[3].equal(after[3])
    assert before[4] == after[4]


MEASUREMENTS = {
    "vicinal_risk": lambda m, x, y: vicinal_risk(m, x, y, Beta(1), categorical),
    "expand": lambda m, x, y: expand(m, x, y, Beta(1), categorical),
    "sampled risk": lambda m, x, y: vicinal_risk(
        m, x, y, Beta(1), categorical, pairs=100, rng=np.random.default_rng(0)
    ),
    "expand, twice backward": lambda m, x, y: expand(m, x, y, Beta(1), categorical),
    "expand, differences": lambda m, x, y: expand(m, x, y, Beta(1), categorical),
    "taylor_terms": lambda m, x, y: taylor_terms(m, x, y, torch.arange(8).flip(0), 1 / 6),
    "taylor_terms, without gradients": torch.no_grad()(
        lambda m, x, y: taylor_terms(m, x, y, torch.arange(8).flip(0), 1 / 6)
    ),
    "Recorder": lambda m, x, y: Recorder(x, y, pairs=100)(m, 1),
    "expand_shrunk": lambda m, x, y: expand_shrunk(m, x, y, Beta(1), categorical),
    "expand_noise": lambda m, x, y: expand_noise(m, x, y, 0.1, categorical),
    "expand_strategy": lambda m, x, y: expand_strategy(
        m, x, y, Mixup(), categorical, rng=np.random.default_rng(0)
    ),
    "expand_stream": lambda m, x, y: expand_stream(m, [(x, y)], Beta(1), categorical),
    "risk_stream": lambda m, x, y: risk_stream(m, [(x, y)], Beta(1), categorical),
    "explain": lambda m, x, y: explain(
        m, x, y, alphas=(1.0,), pairs=100, rng=np.random.default_rng(0)
    ),
    "fgsm": lambda m, x, y: fgsm(m, x, y, 0.1),
    "pgd": lambda m, x, y: pgd(m, x, y, 0.1, rng=np.random.default_rng(0)),
    "accuracy_curve": lambda m, x, y: accuracy_curve(m, x, y, [0.0, 0.1]),
}


@pytest.mark.parametrize("name", MEASUREMENTS)
@pytest.mark.parametrize("fails", [False, True], ids=["", "fails"])
def test_the_model_is_left_as_it_was(name, fails):
    lasts = {"expand, twice backward": torch.special.i0, "expand, differences": hidden}
    model = Counting(lasts.get(name)).train()
    model.body[2].eval()  # a mixture of modes must come back as a mixture
    if name.startswith("taylor_terms"):  # which are differentiable, so it refuses to change this
        with pytest.raises(ValueError, match="normalises by the statistics of the batch"):
            MEASUREMENTS[name](model, torch.rand(8, 3), torch.arange(8) % 2)
        model.body.train()[1].eval()
    for k, parameter in enumerate(model.parameters()):
        parameter.grad = torch.rand_like(parameter)
        parameter.requires_grad_(k % 2 == 0)
    x, y = torch.rand(8, 3), torch.arange(8) % 2
    before = state(model)
    if fails:
        calls = []

        def interrupt(*_):
            calls.append(1)
            if len(calls) == (6 if name in lasts else 1 if name.startswith("taylor") else 2):
                raise KeyboardInterrupt

        hook = model.body[3].register_forward_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            MEASUREMENTS[name](model, x, y)
        hook.remove()
    else:
        found = MEASUREMENTS[name](model, x, y)
        if name in lasts:
            assert found.engine.startswith(
                name.removeprefix("expand, ").replace("dif", "central dif")
            )
    assert_same(before, state(model))


def test_every_explanation_is_among_the_measurements():
    explaining = {"taylor", "expansions", "stream", "risk", "explanation", "recorder"}
    entries = set()
    for name in dir(vicinal):
        entry = getattr(vicinal, name)
        room = getattr(entry, "__module__", "").split(".")[1:2]
        if room and room[0] in explaining:
            call = vars(entry).get("__call__") if inspect.isclass(entry) else entry
            if inspect.isfunction(call) and "model" in inspect.signature(call).parameters:
                entries.add(name)
    assert {"expand", "taylor_terms", "Recorder", "risk_stream"} <= entries
    assert entries <= set(MEASUREMENTS)


def test_batch_statistics_are_refused_or_not_used():
    """Functions that measure run in eval mode; those with a part in training refuse train mode."""
    x, y = torch.rand(8, 3), torch.arange(8) % 2
    for name, measure in MEASUREMENTS.items():
        stateless = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False))
        with pytest.raises(ValueError, match="normalises by the statistics of the batch"):
            measure(stateless, x, y)
        if name.startswith("taylor_terms"):
            continue
        model = Counting().train()
        found = measure(model, x, y)
        assert repr(found) == repr(measure(model.eval(), x, y))


def test_eval_mode_inside():
    model = nn.Dropout(0.5).train()
    with unchanged(model) as f:
        assert f(torch.ones(100, 1)).eq(1).all()
    assert model.training


def test_logits_are_unwrapped_or_refused():
    x = torch.zeros(2, 3)

    class Output:
        logits = x

    assert logits_of(lambda x: {"logits": x}, x) is x
    assert logits_of(lambda x: Output(), x) is x
    with pytest.raises(TypeError, match=r"pass vicinal.LogitsAt\(model, 0\)"):
        logits_of(lambda x: (x, x), x)
    with pytest.raises(ValueError, match=r"2 went in, outputs of shape \(1, 3\) came out"):
        logits_of(lambda x: x[:1], x)


def test_targets_are_checked_before_the_work():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="as many examples, at least 1, got 3, 2"):
        check_targets(lambda x: x, x, torch.tensor([0, 1]), categorical)
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.1"):
        check_targets(lambda x: x, x, torch.tensor([0, 1, 2]), categorical)


def test_logits_at_an_entry_of_a_tuple_or_mapping():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)
            )

        def forward(self, x):
            return {"hidden": x, "scores": self.body(x)}

    model = Two().train()
    x, y = torch.rand(9, 3), torch.arange(9) % 2
    with pytest.raises(TypeError, match="keys hidden, scores.*vicinal.LogitsAt"):
        expand(model, x, y, Beta(1), categorical)
    found = expand(LogitsAt(model, "scores"), x, y, Beta(1), categorical)
    assert found.total == expand(model.body, x, y, Beta(1), categorical).total
    assert all(module.training for module in model.modules())
    assert logits_of(LogitsAt(lambda z: (0, z), 1), x) is x


def test_losses_that_are_not_affine_in_the_label_are_refused(unchecked):
    x, y = torch.rand(4, 3), torch.arange(4) % 2
    for measure in (vicinal_risk, expand):
        with pytest.raises(
            TypeError, match="affine in the label, .*got cross_entropy|got cross_entropy"
        ):
            measure(nn.Linear(3, 2), x, y, Beta(1), nn.functional.cross_entropy)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_refused(value):
    x, y = torch.rand(4, 3), torch.arange(4) % 2
    for measure in (vicinal_risk, expand):
        with pytest.raises(ValueError, match="not finite"):
            measure(lambda z: z + value, x, y, Beta(1), categorical)
        late = torch.cat((torch.rand(10, 3), torch.full((1, 3), value)))
        with pytest.raises(ValueError, match="not finite"):
            measure(nn.Linear(3, 2), late, torch.arange(11) % 2, Beta(1), categorical)


def test_probabilities_in_place_of_logits_are_pointed_out():
    x, y = torch.rand(4, 3), torch.arange(4) % 2
    for measure in (vicinal_risk, expand):
        with pytest.warns(UserWarning, match="seem to be probabilities") as warned:
            measure(lambda z: z.softmax(1), x, y, Beta(1), categorical)
        assert warned[0].filename == __file__  # the line that called, not one of this package
        measure(lambda z: z.log_softmax(1), x, y, Beta(1), categorical)


def test_models_that_mix_examples_are_refused():
    x, y = torch.rand(6, 3), torch.arange(6) % 2
    for model in (
        lambda z: z - z.mean(0),
        lambda z: z + torch.rand(()),
        lambda z: z.flip(0),
    ):
        with pytest.raises(ValueError, match="when others left the batch"):
            expand(model, x, y, Beta(1), categorical)
