"""Attacks on models without gradients: refused, or called what they are, but never robustness."""

import numpy as np
import pytest
import torch
from torch import nn

from vicinal import (
    Adversarial,
    Fixed,
    accuracy_curve,
    adversarial_loss,
    apgd,
    bernoulli,
    fab,
    fgsm,
    fmn,
    linear_adversarial_loss,
    linear_bound,
    masking,
    minimal_distances,
    mixup_bound,
    noise,
    pgd,
    square,
    transfer,
    worst_case,
)

EPS = 0.1


def net():
    """The sign of the first input: every example is within 0.05 of the boundary."""
    linear = nn.Linear(4, 2)
    linear.weight.data = torch.tensor([[-1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    linear.bias.data = torch.tensor([0.5, -0.5])
    return linear


def data(n=24):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, 4, generator=generator)
    side = torch.arange(n) % 2
    x[:, 0] = 0.5 + torch.where(side == 1, 1, -1) * (0.01 + 0.04 * x[:, 0])
    return x, side


MODEL, (X, Y) = net(), data()


def by_numpy(x):
    weight, bias = MODEL.weight.detach().numpy(), MODEL.bias.detach().numpy()
    return torch.from_numpy(x.numpy() @ weight.T + bias)


def by_numpy_detached(x):
    return by_numpy(x.detach())


@torch.no_grad()
def without_graph(x):
    return MODEL(x)


CUT = {
    "detached": lambda x: MODEL(x).detach(),
    "no_grad": without_graph,
    "numpy": by_numpy,
    "numpy of what is detached": by_numpy_detached,
    "inputs cut": lambda x: MODEL(x.detach()),  # the outputs have a graph, to the weights
    "steps": lambda x: 3 * torch.stack((x[:, 0] < 0.5, x[:, 0] >= 0.5), 1).float(),
}
FLAT = {
    "rounded": lambda x: (MODEL(x) * 100).round(),
    "saturated": lambda x: 1e6 * MODEL(x),
    "clamped": lambda x: (1e6 * MODEL(x)).clamp(-1, 1),
}
ATTACKS = {
    "fgsm": lambda f: fgsm(f, X, Y, EPS),
    "pgd": lambda f: pgd(f, X, Y, EPS),
    "pgd restarted": lambda f: pgd(f, X, Y, EPS, restarts=2, rng=np.random.default_rng(0)),
    "apgd": lambda f: apgd(f, X, Y, EPS, steps=10),
    "apgd l2": lambda f: apgd(f, X, Y, EPS, steps=10, norm="l2"),
    "accuracy_curve fgsm": lambda f: accuracy_curve(f, X, Y, [EPS], attack="fgsm"),
    "accuracy_curve": lambda f: accuracy_curve(f, X, Y, [0.0, EPS / 2, EPS]),
    "transfer": lambda f: transfer(MODEL, f, X, Y, EPS),
}
NEAREST = {
    "fab": lambda f: fab(f, X, Y, steps=5),
    "fmn": lambda f: fmn(f, X, Y, steps=5),
    "minimal_distances": lambda f: minimal_distances(f, X, Y),
}


def broken(model, found):
    """The share of examples that an attack's result breaks."""
    if hasattr(found, "points"):
        return 1 - found.points[-1].accuracy
    z = getattr(found, "x", found)
    with torch.no_grad():
        return float((model(z).argmax(1) != Y).double().mean())


@pytest.mark.parametrize("attack", [*ATTACKS.values(), *NEAREST.values()],
                         ids=[*ATTACKS, *NEAREST])  # fmt: skip
def test_an_honest_model_is_broken_without_a_word(attack):
    assert broken(MODEL, attack(MODEL)) == 1.0


@pytest.mark.parametrize("model", CUT.values(), ids=CUT)
@pytest.mark.parametrize("attack", [*ATTACKS.values(), *NEAREST.values()],
                         ids=[*ATTACKS, *NEAREST])  # fmt: skip
def test_outputs_without_a_graph_are_refused(attack, model):
    with pytest.raises(ValueError, match="no gradient by its inputs.*vicinal.square"):
        attack(model)


@pytest.mark.parametrize("model", FLAT.values(), ids=FLAT)
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_gradients_of_0_are_called_no_attack(attack, model):
    with pytest.warns(UserWarning, match="did nothing.*gradient is exactly 0"):
        found = attack(model)
    assert getattr(found, "gradients", False) is False


@pytest.mark.parametrize("model", [FLAT["rounded"], FLAT["clamped"]], ids=["rounded", "clamped"])
@pytest.mark.parametrize("attack", NEAREST.values(), ids=NEAREST)
def test_margins_without_slope_are_called_no_search(attack, model):
    with pytest.warns(UserWarning, match="did nothing.*gradient is exactly 0"):
        found = attack(model)
    assert getattr(found, "gradients", False) is False


@pytest.mark.parametrize("attack", NEAREST.values(), ids=NEAREST)
def test_margins_do_not_saturate(attack):
    assert broken(MODEL, attack(FLAT["saturated"])) == 1.0
    assert broken(MODEL, apgd(FLAT["saturated"], X, Y, EPS, loss="dlr")) == 1.0


@pytest.mark.parametrize("model", [*CUT.values(), FLAT["rounded"], FLAT["clamped"]],
                         ids=[*CUT, "rounded", "clamped"])  # fmt: skip
def test_the_worst_case_still_searches_without_gradients_and_says_so(model):
    with pytest.warns(UserWarning, match="follow gradients did nothing.*Square"):
        found = worst_case(model, X, Y, EPS, norm="l2")
    assert not found.gradients
    assert found.success.any()
    assert set(found.by) <= {"noise", "square", ""}
    honest = worst_case(MODEL, X, Y, EPS, norm="l2")
    assert honest.gradients
    assert honest.success.all()


def test_one_example_with_a_slope_is_enough_and_wrong_ones_do_not_count():
    """20 examples of no slope before one that has it; then wrong examples alone have one."""
    z = X.clone()
    model = lambda x: torch.where(x[:, 3:] > 2, MODEL(x), MODEL(x).detach() + 0 * MODEL(x))
    z[-1, 3] = 3.0
    fgsm(model, z, Y, EPS, bounds=None)
    y = Y.clone()
    y[-1] = 1 - y[-1]
    with pytest.warns(UserWarning, match="every example that the model gets right"):
        fgsm(model, z, y, EPS, bounds=None)
    fgsm(model, z, 1 - Y, EPS, bounds=None)  # nothing is right, and there is nothing to attack


def test_a_random_start_may_have_a_slope_where_the_examples_have_none():
    """Flat at the examples themselves, as where a ReLU is dead, and steep a step away."""
    z = torch.full_like(X, 0.5)
    model = lambda x: (x - 0.5)[:, :2].abs() * torch.tensor([4.0, 1.0]) + torch.tensor([0.0, 0.1])
    y = torch.ones(len(z), dtype=torch.long)
    flat = lambda x: model(x) * ((x - 0.5).abs().amax(1, keepdim=True) > 1e-3)
    good = lambda x: flat(x) + torch.tensor([0.0, 0.1])
    with pytest.warns(UserWarning, match="did nothing"):
        pgd(good, z, y, EPS)
    pgd(good, z, y, EPS, rng=np.random.default_rng(0))


def test_attacks_without_gradients_take_any_model():
    rng = np.random.default_rng(0)
    for model in CUT.values():
        assert broken(model, square(model, X, Y, EPS, queries=50, rng=rng)) > 0.5
        noise(model, X, Y, EPS, rng=rng)


@pytest.mark.parametrize("model", [CUT["detached"], CUT["numpy"], FLAT["rounded"]])
def test_masking_warns_and_fails_the_sign(model):
    with pytest.warns(UserWarning, match="did nothing"):
        found = masking(model, X, Y, EPS, rng=np.random.default_rng(0))
    assert not found.signs["zero_gradients"].passed
    assert found.masked


def logit(f):
    return lambda x: f(x)[:, 1] - f(x)[:, 0]


THEORY = {
    "adversarial_loss": lambda f: adversarial_loss(f, X, Y, 0.1),
    "mixup_bound": lambda f: mixup_bound(f, X, Y, Fixed(0.3)),
    "linear_adversarial_loss": lambda f: linear_adversarial_loss(f, X, Y, 0.1),
    "linear_bound": lambda f: linear_bound(f, X, Y, Fixed(0.3), bernoulli),
}


@pytest.mark.parametrize("model", [CUT["detached"], CUT["no_grad"], CUT["numpy"]])
@pytest.mark.parametrize("measure", THEORY.values(), ids=THEORY)
def test_theory_needs_gradients(measure, model):
    measure(logit(MODEL))
    with pytest.raises(ValueError, match="no gradient by its inputs"):
        measure(logit(model))


@pytest.mark.parametrize("name", ["adversarial_loss", "mixup_bound"])
def test_theory_warns_of_gradients_of_0(name):
    with pytest.warns(UserWarning, match="exactly 0 for all examples"):
        THEORY[name](logit(FLAT["clamped"]))


def test_adversarial_training_needs_gradients_of_the_inputs():
    draw = Adversarial(EPS)(X, Y, np.random.default_rng(0))
    loss = lambda f, y: nn.functional.cross_entropy(f, y, reduction="none")
    assert not draw.inputs(MODEL, X, Y, loss).equal(draw.start)
    with pytest.raises(ValueError, match="no gradient by its inputs.*adversarial training"):
        draw.inputs(CUT["inputs cut"], X, Y, loss)


def test_looking_takes_no_random_number():
    """A model that draws at random draws the same in the attack, looked at or not."""
    before = torch.get_rng_state()
    fgsm(MODEL, X, Y, EPS)
    assert torch.get_rng_state().equal(before)
    rng = np.random.default_rng(3)
    pgd(MODEL, X, Y, EPS, steps=1, rng=rng)
    other = np.random.default_rng(3)
    other.uniform(size=X.shape)  # the start alone
    assert rng.random() == other.random()
