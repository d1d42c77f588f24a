"""The mixup bound by random trial, with its conditions and without; exact cases by brute force."""

import math

import pytest
import torch
from torch import nn

from norms import NORMS, length
from vicinal.explanation.risk import vicinal_risk
from vicinal.maths.laws import Beta, Fixed, Uniform
from vicinal.maths.losses import bernoulli, categorical, gaussian, poisson
from vicinal.robustness.theory.bound import mixup_bound
from vicinal.robustness.theory.linear import linear_adversarial_loss, linear_bound
from vicinal.robustness.theory.second_order import adversarial_loss


def relu_net(g, d):
    """Without biases, so that f(x) = ∇f(x)'x."""
    weights = [
        torch.randn(12, d, generator=g),
        torch.randn(8, 12, generator=g),
        torch.randn(8, generator=g),
    ]
    a, b, c = (w.double() for w in weights)
    return lambda x: (x @ a.T).relu().matmul(b.T).relu() @ c


def trial(g, *, net, centred=True, errors=0.0):
    """A model, random inputs, and the labels it gives, some of them turned over."""
    d = int(torch.randint(1, 6, (), generator=g))
    n = int(torch.randint(4, 30, (), generator=g))
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    x = x - x.mean(0) if centred else x + 2 * torch.randn(d, generator=g, dtype=torch.float64)
    theta = 10 ** (2 * torch.rand((), generator=g) - 1) * torch.randn(d, generator=g)
    model = relu_net(g, d) if net else lambda x: x @ theta.double()
    y = (model(x) > 0).long()
    turned = torch.rand(n, generator=g) < errors
    return model, x, torch.where(turned, 1 - y, y)


def violations(count, **kind):
    g = torch.Generator().manual_seed(0)
    bounds = [mixup_bound(*trial(g, **kind), Beta(1)) for _ in range(count)]
    return sum(not b.holds for b in bounds), bounds


@pytest.mark.parametrize("net", [False, True])
def test_never_violated_where_the_conditions_hold(net):
    count, bounds = violations(100, net=net)
    assert all(b.guaranteed for b in bounds)
    assert count == 0


@pytest.mark.parametrize(
    ("kind", "condition", "least"),
    [({"centred": False}, "centred", 15), ({"errors": 0.3}, "classified", 40)],
)
def test_often_violated_without_a_condition_and_the_condition_says_so(kind, condition, least):
    count, bounds = violations(80, net=False, **kind)
    assert count >= least
    for bound in bounds:
        if not bound.holds:
            assert not bound.conditions[condition].holds
            assert not bound.guaranteed


def test_each_side_from_its_definition():
    g = torch.Generator().manual_seed(1)
    model, x, y = trial(g, net=True)
    law, d, n = Beta(0.7, 2.0), x.shape[1], len(x)
    bound = mixup_bound(model, x, y, law)
    spread, sign = law.spread, 2 * y - 1
    total, radii, pieces = 0.0, [], []
    for i in range(n):
        f, grad = (
            model(x[i : i + 1])[0],
            torch.autograd.functional.jacobian(model, x[i : i + 1])[0, 0],
        )
        p = torch.sigmoid(f)
        cosine = abs(grad @ x[i]) / (grad.norm() * x[i].norm())
        radii.append(cosine * min(x.norm(dim=1)) / math.sqrt(d) * 2 * spread)
        loss = -torch.log(torch.sigmoid(sign[i] * f))
        pieces.append((loss, abs(p - y[i]) * grad.norm(), p * (1 - p) * grad.norm() ** 2))
        along = (x - x[i]) @ grad
        total += (
            loss + (2 * spread * (p - y[i]) * along + spread / 2 * p * (1 - p) * along**2).mean()
        )
    assert bound.mixup_loss == pytest.approx(float(total / n))
    torch.testing.assert_close(bound.radii, torch.stack(radii))
    at = lambda r: float(
        sum(a + e * b + e**2 / 2 * c for (a, b, c), e in zip(pieces, r, strict=True)) / n
    )
    assert bound.adversarial_loss == pytest.approx(at([r * math.sqrt(d) for r in radii]))
    assert bound.adversarial_loss_mix == pytest.approx(at([min(radii) * math.sqrt(d)] * n))
    assert bound.epsilon_mix == pytest.approx(float(min(radii)))


def test_conditions_are_measured():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([1, 0])
    failing = lambda model, x=x, y=y: {
        name for name, c in mixup_bound(model, x, y, Uniform()).conditions.items() if not c.holds
    }
    assert failing(lambda x: x[:, 0]) == set()
    assert failing(lambda x: x[:, 0] + 0.1) == {"homogeneous"}
    assert failing(lambda x: -x[:, 0]) == {"classified"}
    assert failing(lambda x: x[:, 0] + 0.3 * x[:, 0] ** 3) == {"homogeneous", "straight"}
    assert failing(lambda x: x[:, 0], x + torch.tensor([0.5, 0.0])) == {"centred"}
    assert failing(lambda x: x[:, 0], y=torch.tensor([0.9, 0.0])) == {"binary_labels"}
    three = torch.cat([x, torch.zeros(1, 2, dtype=torch.float64)])
    assert failing(lambda x: x[:, 0], three, torch.tensor([1, 0, 0])) == {"away_from_zero"}
    bound = mixup_bound(lambda x: x[:, 0], x, y, Uniform())
    assert any("linf" in sentence for sentence in bound.says_not)
    assert bound.share_of(torch.tensor([1.0, 1.0])) == pytest.approx(
        1 / 3
    )  # ε √d = 2κ, boundary at 1


def test_second_order_adversarial_loss_is_exact_for_small_radii():
    """Against the exact loss of a linear model: the remainder is of third order in the radius."""
    g = torch.Generator().manual_seed(2)
    model, x, y = trial(g, net=False, errors=0.3)
    gap = lambda r: (
        (linear_adversarial_loss(model, x, y, r) - adversarial_loss(model, x, y, r)).abs().max()
    )
    assert float(gap(0.02) / gap(0.01)) == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", [bernoulli, gaussian, poisson], ids=lambda f: f.name)
def test_exact_adversarial_loss_of_linear_models_by_brute_force(norm, family):
    theta = torch.tensor([0.4, -0.9], dtype=torch.float64)
    model = lambda x: x @ theta + 0.2
    x = torch.randn(3, 2, dtype=torch.float64)
    y = torch.tensor([1.0, 0.0, 0.3], dtype=torch.float64)
    angle = torch.linspace(0, 2 * math.pi, 20_001, dtype=torch.float64)
    edge = torch.stack([angle.cos(), angle.sin()], 1)
    edge = edge / length(edge, norm)[:, None]
    radius = torch.tensor([0.5, 1.0, 0.0], dtype=torch.float64)
    found = linear_adversarial_loss(model, x, y, radius, family, norm=norm)
    for i in range(3):
        worst = family(model(x[i] + radius[i] * edge), y[i].expand(len(edge))).max()
        assert float(found[i]) == pytest.approx(float(worst), abs=1e-6)


@pytest.mark.parametrize(
    "family", [categorical, bernoulli, gaussian, poisson], ids=lambda f: f.name
)
def test_linear_bound_is_below_the_mixup_loss(family):
    g = torch.Generator().manual_seed(3)
    for law in (Uniform(), Beta(0.4, 3), Fixed(0.8)):
        for _ in range(5):
            x = torch.randn(12, 3, generator=g, dtype=torch.float64) + 1
            k = 4 if family is categorical else 1
            weight = torch.randn(3, k, generator=g, dtype=torch.float64)
            model = lambda x, weight=weight: x @ weight + 0.3
            y = (
                torch.randint(k, (12,), generator=g)
                if k > 1
                else torch.rand(12, generator=g).double()
            )
            bound = linear_bound(model, x, y, law, family)
            assert bound.loss <= vicinal_risk(model, x, y, law, family).value + 1e-9


def test_linear_bound_is_an_adversarial_loss_where_its_conditions_hold():
    g = torch.Generator().manual_seed(4)
    model, x, y = trial(g, net=False)
    bound = linear_bound(model, x, y, Uniform(), bernoulli)
    assert bound.why == ""
    exact = linear_adversarial_loss(model, x, y, bound.radii)
    assert bound.loss == pytest.approx(float(exact.mean()))
    off = linear_bound(lambda x: model(x) + 5, x, 1 - y, Uniform(), bernoulli)
    assert off.radii is None
    assert "bias" in off.why
    assert "misclassified" in off.why


def test_bad_input(unchecked):
    x, y = torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    two = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="proved for the Bernoulli loss"):
        mixup_bound(two, x, y, Uniform(), categorical)
    with pytest.raises(ValueError, match="not affine"):
        linear_bound(lambda x: x[:, 0] ** 2, x, y, Uniform(), bernoulli)
    with pytest.raises(ValueError, match="known for one output"):
        linear_adversarial_loss(two, x, y, 0.1, categorical)
    with pytest.raises(ValueError, match="norm must be"):
        linear_adversarial_loss(nn.Linear(2, 1), x, y, 0.1, norm="l7")
    for radius in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="radius must be 0 or more"):
            adversarial_loss(nn.Linear(2, 1), x, y, radius)
