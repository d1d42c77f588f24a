"""The mixup loss against a double sum with adaptive quadrature."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from torch import nn

from reference import dense
from vicinal.explanation.pairs.every import over_all_pairs, pair_losses, unordered
from vicinal.explanation.pairs.linear import is_affine
from vicinal.explanation.risk import vicinal_risk
from vicinal.maths.laws import Beta, Fixed, Uniform
from vicinal.maths.losses import bernoulli, bernoullis, categorical, gaussian, gaussians, poisson

FAMILIES = [categorical, bernoulli, gaussian, poisson, bernoullis, gaussians]


def case(family, n=5, d=3, hidden=8, activation=nn.Tanh):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        k = 1 if family.scalar else 4
        x = torch.randn(n, d, dtype=torch.float64)
        model = nn.Sequential(nn.Linear(d, hidden), activation(), nn.Linear(hidden, k)).double()
        y = {
            "categorical": torch.randint(4, (n,)),
            "bernoulli": torch.randint(2, (n,)),
            "gaussian": torch.randn(n, dtype=torch.float64),
            "poisson": torch.rand(n, dtype=torch.float64) * 3,
            "bernoullis": torch.rand(n, 4, dtype=torch.float64),
            "gaussians": torch.randn(n, 4, dtype=torch.float64),
        }[family.name]
    return model.requires_grad_(False), x, y


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("shapes", [(1.0, 1.0), (2.0, 5.0)])
def test_all_pairs_equal_the_double_sum_and_the_tilted_form(family, shapes):
    model, x, y = case(family)
    density = stats.beta(*shapes).pdf
    risk = vicinal_risk(model, x, y, Beta(*shapes), family)
    assert risk.standard_error == 0
    reference = dense.mixup_loss(model, x, y, density, family)
    np.testing.assert_allclose(risk.value, reference, rtol=1e-7)
    np.testing.assert_allclose(
        dense.tilted_loss(model, x, y, density, family), reference, rtol=1e-7
    )


def test_fixed_lam_is_a_plain_double_sum():
    model, x, y = case(categorical)
    onehot = nn.functional.one_hot(y, 4).double()
    total = 0.0
    for i in range(5):
        for j in range(5):
            mixed = 0.3 * x[i] + 0.7 * x[j]
            label = 0.3 * onehot[i] + 0.7 * onehot[j]
            total += float(categorical(model(mixed[None]), label[None]))
    risk = vicinal_risk(model, x, y, Fixed(0.3), categorical)
    np.testing.assert_allclose(risk.value, total / 25, rtol=1e-12)
    assert risk.quadrature_error == 0


def test_uniform_is_beta_one_and_order_of_shapes_does_not_matter():
    model, x, y = case(bernoulli)
    a = vicinal_risk(model, x, y, Uniform(), bernoulli).value
    np.testing.assert_allclose(a, vicinal_risk(model, x, y, Beta(1), bernoulli).value, rtol=1e-12)
    b, c = (vicinal_risk(model, x, y, Beta(*s), bernoulli).value for s in ((0.4, 2), (2, 0.4)))
    np.testing.assert_allclose(b, c, rtol=1e-10)


@pytest.mark.parametrize("law", [Beta(0.2), Beta(0.5, 2), Fixed(0.4)], ids=repr)
def test_sampled_pairs_agree_within_five_standard_errors(law):
    model, x, y = case(categorical)
    exact = vicinal_risk(model, x, y, law, categorical).value
    estimate = vicinal_risk(
        model, x, y, law, categorical, pairs=20_000, rng=np.random.default_rng(0)
    )
    assert 0 < estimate.standard_error < 0.02
    assert abs(estimate.value - exact) < 5 * estimate.standard_error


def test_standard_error_is_the_spread_of_repeated_estimates():
    model, x, y = case(categorical)
    estimates = [
        vicinal_risk(model, x, y, Beta(1), categorical, pairs=200, rng=np.random.default_rng(k))
        for k in range(100)
    ]
    spread = np.std([e.value for e in estimates], ddof=1)
    claimed = np.mean([e.standard_error for e in estimates])
    assert abs(spread / claimed - 1) < 5 / np.sqrt(2 * 100)


def test_kinks_are_told_by_the_quadrature_error():
    model, x, y = case(categorical, activation=nn.ReLU)
    smooth, *_ = case(categorical)
    assert vicinal_risk(smooth, x, y, Beta(1), categorical).quadrature_error < 1e-6
    risk = vicinal_risk(model, x, y, Beta(1), categorical)
    grid = (np.arange(4000) + 0.5) / 4000  # the midpoint rule does not mind kinks
    equal = np.full(4000, 1 / 4000)
    reference = over_all_pairs(model, x, y, categorical, grid, equal, lambda share: None)
    assert 1e-8 < abs(risk.value - reference) < 10 * risk.quadrature_error


@pytest.mark.parametrize("n", [2, 3, 7, 50])
def test_pairs_are_enumerated_once(n):
    i, j = unordered(torch.arange(n * (n - 1) // 2), n)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [
        (a, b) for a in range(n) for b in range(a + 1, n)
    ]


def test_pairs_are_right_for_many_examples():
    n = 200_003
    last = n * (n - 1) // 2 - 1
    i, j = unordered(torch.tensor([0, n - 2, n - 1, last - 1, last]), n)
    assert i.tolist() == [0, 0, 1, n - 3, n - 2]
    assert j.tolist() == [1, n - 1, 2, n - 1, n - 1]


def test_bad_input():
    model, x, y = case(categorical)
    with pytest.raises(ValueError, match="pass rng="):
        vicinal_risk(model, x, y, Beta(1), categorical, pairs=10)
    with pytest.raises(ValueError, match="at least 2"):
        vicinal_risk(model, x, y, Beta(1), categorical, pairs=1, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.3"):
        vicinal_risk(model, x, y + 3, Beta(1), categorical)


def linear(family, n=30, gain=1.0):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        k = 1 if family.scalar else 4
        model = nn.Sequential(nn.Flatten(), nn.Linear(6, k)).double().requires_grad_(False)
        for p in model.parameters():
            p *= gain
        x = torch.randn(n, 2, 3, dtype=torch.float64)
        y = {
            "categorical": torch.randint(4, (n,)),
            "bernoulli": torch.rand(n, dtype=torch.float64),
            "gaussian": torch.randn(n, dtype=torch.float64),
            "poisson": torch.rand(n, dtype=torch.float64) * 3,
            "bernoullis": torch.rand(n, 4, dtype=torch.float64),
            "gaussians": torch.randn(n, 4, dtype=torch.float64),
        }[family.name]
    return model, x, y


def by_pairs(model, x, y, family, law, count=64):
    return over_all_pairs(model, x, y, family, *law.nodes(count), lambda share: None)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("law", [Beta(1), Beta(0.4, 3), Fixed(0.3), Beta(0.05)], ids=repr)
def test_mixed_logits_equal_mixed_inputs(family, law):
    model, x, y = linear(family)
    risk = vicinal_risk(model, x, y, law, family)
    assert "by their logits" in risk.method
    np.testing.assert_allclose(risk.value, by_pairs(model, x, y, family, law), rtol=1e-9)


def test_mixed_logits_of_soft_labels_and_single_columns():
    model, x, _ = linear(categorical)
    y = torch.rand(30, 4, dtype=torch.float64).softmax(1)
    value = vicinal_risk(model, x, y, Beta(1), categorical).value
    np.testing.assert_allclose(value, by_pairs(model, x, y, categorical, Beta(1)), rtol=1e-10)
    flat = lambda z: z.sum((1, 2))
    y = torch.arange(30) % 2
    value = vicinal_risk(flat, x, y, Beta(1), bernoulli).value
    np.testing.assert_allclose(value, by_pairs(flat, x, y, bernoulli, Beta(1)), rtol=1e-7)


@pytest.mark.parametrize("family", [categorical, bernoulli], ids=lambda family: family.name)
def test_mixed_logits_of_huge_weights_do_not_vanish(family):
    """Logits thousands apart: their exponentials underflow, the loss must not."""
    model, x, y = linear(family, gain=4000.0)
    risk = vicinal_risk(model, x, y, Fixed(0.45), family)
    np.testing.assert_allclose(risk.value, by_pairs(model, x, y, family, Fixed(0.45)), rtol=1e-9)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.Softplus, nn.Hardtanh])
def test_nets_are_not_taken_for_linear(activation):
    model, x, _ = case(categorical, n=20, activation=activation)
    assert not is_affine(model, x)
    assert not is_affine(model.float(), x.float())
    # almost straight on the data, but not beyond them
    model[0].bias.fill_(2.0)
    model[0].weight.mul_(0.3)
    assert not is_affine(model, x.float())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_nets_of_16_bits_are_summed_over_pairs(kind):
    """Their rounding is as large as a bend, and a mean of rounded losses off in the third digit."""
    model, x, y = case(categorical, n=20, activation=nn.ReLU)
    model, x = model.to(kind), x.to(kind)
    risk = vicinal_risk(model, x, y, Beta(1), categorical)
    assert risk.method == "all pairs"
    wide = vicinal_risk(model.double(), x.double(), y, Beta(1), categorical)
    assert abs(risk.value / wide.value - 1) < 4 * torch.finfo(kind).eps / 20**0.5
    assert not is_affine(nn.Linear(x.shape[1], 2).to(kind), x)


def test_linear_models_are_found_in_single_precision():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for d in (2, 784):
            x = torch.rand(40, d)
            assert is_affine(
                nn.Sequential(nn.Linear(d, 30), nn.Linear(30, 10)).requires_grad_(False), x
            )
    assert is_affine(lambda z: z.new_zeros(len(z), 3), x)
    assert is_affine(lambda z: 1e6 + z[:, :3], x)


@pytest.mark.parametrize("shape", [0.05, 0.2, 1.0, 20.0])
def test_nodes_integrate_every_law(shape):
    """One logit per example, two examples: one integral over λ, done adaptively with weight."""
    x = torch.tensor([[-3.0], [5.0]], dtype=torch.float64)
    y = torch.tensor([0.0, 1.0], dtype=torch.float64)
    risk = vicinal_risk(lambda z: z[:, 0].sin() * 2, x, y, Beta(shape), bernoulli)

    def loss(lam):
        f = 2 * np.sin(-3 * lam + 5 * (1 - lam))
        return np.logaddexp(0, f) - (1 - lam) * f

    # the singular ends of the density are weights of the quadrature, not of the integrand
    norm = quad(lambda t: 1, 0, 1, weight="alg", wvar=(shape - 1, shape - 1))[0]
    mixed = quad(loss, 0, 1, weight="alg", wvar=(shape - 1, shape - 1))[0] / norm
    expected = mixed / 2 + (loss(1.0) + loss(0.0)) / 4
    np.testing.assert_allclose(risk.value, expected, rtol=1e-6)
    assert risk.quadrature_error < 1e-6


@pytest.mark.parametrize("law", [Beta(0.05), Beta(1), Beta(3, 0.5)], ids=repr)
def test_samples_run_until_the_error_is_reached(law):
    model, x, y = case(categorical, n=24)
    exact = vicinal_risk(model, x, y, law, categorical).value
    seen = []
    estimate = vicinal_risk(
        model,
        x,
        y,
        law,
        categorical,
        target_error=2e-3,
        rng=np.random.default_rng(1),
        progress=seen.append,
    )
    assert estimate.standard_error <= 2e-3
    assert abs(estimate.value - exact) < 5 * estimate.standard_error + estimate.quadrature_error
    assert seen[-1] == 1


@pytest.mark.parametrize("law", [Beta(1), Beta(1, 3)], ids=repr)
def test_the_expansion_as_control_variate(law):
    """Where it explains the pairs, the error falls; it stays honest and the value unbiased."""
    model, x, y = case(categorical, n=40)
    x = 0.2 * x
    exact = vicinal_risk(model, x, y, law, categorical).value
    found = [
        vicinal_risk(model, x, y, law, categorical, pairs=3000, rng=np.random.default_rng(k))
        for k in range(40)
    ]
    assert all("control variate" in f.method for f in found)
    values = np.array([f.value for f in found])
    spread = values.std(ddof=1)
    assert abs(values.mean() - exact) < 5 * spread / 40**0.5
    claimed = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert abs(spread / claimed - 1) < 5 / np.sqrt(2 * 40)
    rng = np.random.default_rng(0)
    i, j = (torch.from_numpy(rng.integers(40, size=3000)) for _ in range(2))
    lam = torch.from_numpy(law.sample(3000, rng))
    alone = float(pair_losses(model, x, y, categorical, i, j, lam).std()) / 3000**0.5
    assert claimed < alone / 5


def test_kinks_do_without_the_expansion():
    model, x, y = case(categorical, n=40, activation=nn.ReLU)
    risk = vicinal_risk(
        model, 3 * x, y, Beta(1), categorical, pairs=3000, rng=np.random.default_rng(0)
    )
    assert risk.method == "sampled pairs"


def test_more_bad_input(unchecked):
    model, x, y = case(categorical)
    with pytest.raises(TypeError, match="affine in the label"):
        vicinal_risk(model, x, y, Beta(1), nn.functional.cross_entropy)
    for target in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="target_error must be positive"):
            vicinal_risk(
                model,
                x,
                y,
                Beta(1),
                categorical,
                target_error=target,
                rng=np.random.default_rng(0),
            )
    with pytest.raises(ValueError, match="pass rng="):
        vicinal_risk(model, x, y, Beta(1), categorical, target_error=0.1)


def test_values_that_are_not_finite_are_refused():
    _, x, y = case(poisson, n=12)
    far = x.clone()
    far[-1] = 1e6
    with pytest.raises(ValueError, match="not finite"):
        vicinal_risk(lambda z: z.sum(1), far, y, Beta(1), poisson)
