"""The other expansions: about shrunk examples, under masks, under noise, and over all laws."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import beta
from torch import nn

from reference import dense
from vicinal.explanation.expansions.expanded import Expanded, least_loss
from vicinal.explanation.expansions.masked import expand_strategy
from vicinal.explanation.expansions.noise import expand_noise
from vicinal.explanation.expansions.shrunk import expand_shrunk
from vicinal.explanation.risk import vicinal_risk
from vicinal.explanation.terms import expand, taylor_terms
from vicinal.maths.laws import Beta, Fixed, Uniform
from vicinal.maths.losses import bernoulli, bernoullis, categorical, gaussian, gaussians, poisson
from vicinal.mixing.cutting import CutMix, HMix
from vicinal.mixing.draw import Draw
from vicinal.mixing.fmix import FMix
from vicinal.mixing.gaussian import GMix
from vicinal.mixing.labels import vicinal_losses
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.noisy import NoisyFeatureMixup

FAMILIES = [categorical, bernoulli, gaussian, poisson, bernoullis, gaussians]
LAWS = [Beta(1), Beta(0.3), Beta(0.5, 2), Beta(4, 1.5)]


def case(family, n=6, scale=1.0, activation=nn.GELU):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        k = 1 if family.scalar else 4
        model = nn.Sequential(
            nn.Linear(3, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, k)
        )
        x = 0.5 + scale * torch.randn(n, 3, dtype=torch.float64)
        y = {
            "categorical": torch.randint(4, (n,)),
            "bernoulli": torch.rand(n, dtype=torch.float64),
            "gaussian": torch.randn(n, dtype=torch.float64),
            "poisson": torch.rand(n, dtype=torch.float64) * 3,
            "bernoullis": torch.rand(n, 4, dtype=torch.float64),
            "gaussians": torch.randn(n, 4, dtype=torch.float64),
        }[family.name]
    return model.double().requires_grad_(False), x, y


def theta(law):
    """E θ and E θ² of θ = max(λ, 1-λ) by adaptive quadrature."""
    p = beta(law.alpha, law.beta).pdf
    return [
        sum(
            quad(lambda t, k=k: t**k * p(t), 0.5, 1)[0]
            + quad(lambda t, k=k: (1 - t) ** k * p(t), 0, 0.5)[0]
            for _ in (0,)
        )
        for k in (1, 2)
    ]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("law", LAWS[:3], ids=repr)
def test_shrunk_expansion_equals_dense_hessians(family, law):
    model, x, y = case(family)
    got = expand_shrunk(model, x, y, law, family)
    reference = dense.shrunk(model, x, y, theta(law), family)
    np.testing.assert_allclose(got.total, reference, rtol=1e-6)
    assert got.total == pytest.approx(got.loss + got.curvature + got.residual + got.covariance)
    assert set(got.standard_errors.values()) == {0.0}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_shrunk_remainder_is_third_order(family):
    """In the deviations of inputs and labels together, so the labels draw close as well."""
    errors = []
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 4)))
    for scale in (0.1, 0.05, 0.025):
        model, x, _ = case(family, scale=scale)
        y = 0.5 + scale * (noise[:, 0] if family.scalar else noise).tanh()
        if family is categorical:
            y = (scale * noise).softmax(1)
        exact = vicinal_risk(model, x, y, Fixed(0.7), family).value
        errors.append(abs(exact - expand_shrunk(model, x, y, Fixed(0.7), family).total))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 2.7).all(), (errors, orders)


def test_sampled_shrunk_expansion_has_an_honest_error():
    model, x, y = case(categorical)
    exact = expand_shrunk(model, x, y, Beta(1), categorical)
    found = [
        expand_shrunk(model, x, y, Beta(1), categorical, partners=4, rng=np.random.default_rng(k))
        for k in range(60)
    ]
    for name in ("curvature", "residual", "covariance", "total"):
        values = np.array([getattr(f, name) for f in found])
        spread = values.std(ddof=1)
        assert abs(values.mean() - getattr(exact, name)) < 5 * spread / 60**0.5
        claimed = np.sqrt(np.mean([f.standard_errors[name] ** 2 for f in found]))
        # few examples: the error is widened, by less than t with one of 3 degrees of freedom
        assert 1 / 1.63 - 5 / np.sqrt(2 * 60) < spread / claimed < 1 + 5 / np.sqrt(2 * 60)


class AllPairs:
    """Mixup of every ordered pair, one shift of the data per draw, with one λ: nothing random."""

    def __init__(self, lam):
        self.lam, self.shift = lam, 0

    def __call__(self, x, y, rng):
        partner = (torch.arange(len(x)) + self.shift) % len(x)
        self.shift += 1
        share = torch.full((len(x),), self.lam, dtype=x.dtype)
        return Draw(partner, keep=share.reshape(-1, *[1] * (x.ndim - 1)), share=share)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_expansion_of_a_strategy_is_that_of_its_law(family):
    model, x, y = case(family)
    rng = np.random.default_rng(0)
    got = expand_strategy(model, x, y, AllPairs(0.3), family, draws=len(x), rng=rng)
    expected = expand(model, x, y, Fixed(0.3), family)
    for name in ("loss", "r1", "r2", "r3", "total"):
        assert getattr(got, name) == pytest.approx(getattr(expected, name), rel=1e-9), name
    assert got.risk == pytest.approx(vicinal_risk(model, x, y, Fixed(0.3), family).value, rel=1e-9)
    assert got.remainder == pytest.approx(got.risk - got.total)


def test_mixup_as_a_strategy_agrees_within_its_errors():
    model, x, y = case(categorical)
    got = expand_strategy(
        model, x, y, Mixup(1.0), categorical, draws=200, rng=np.random.default_rng(0)
    )
    expected = expand(model, x, y, Beta(1), categorical)
    for name in ("loss", "r1", "r2", "r3", "total"):
        error = abs(getattr(got, name) - getattr(expected, name))
        assert error < 5 * got.standard_errors[name] + 1e-12, name


class OneMask:
    """The same mask for all, every ordered pair once: the moments of the mask are known."""

    def __init__(self, mask, share):
        self.mask, self.share, self.shift = mask, share, 0

    def __call__(self, x, y, rng):
        partner = (torch.arange(len(x)) + self.shift) % len(x)
        self.shift += 1
        keep = self.mask.expand_as(x).clone()
        return Draw(partner, keep=keep, share=torch.full((len(x),), self.share, dtype=x.dtype))


def test_masked_terms_equal_the_formula_with_moments_of_the_mask():
    model, x, y = case(categorical)
    mask, share, n = torch.tensor([1.0, 0.0, 0.25], dtype=torch.float64), 0.6, len(x)
    got = expand_strategy(
        model, x, y, OneMask(mask, share), categorical, draws=n, rng=np.random.default_rng(0)
    )
    first, second = seen(mask[None], torch.tensor([share]))
    np.testing.assert_allclose([got.r1, got.r2, got.r3], by_moments(model, x, y, first, second))


def seen(keep, share):
    """Moments of the mask as an example meets it: its own with the share, else the opposite."""
    keep, share = keep.flatten(1), share[:, None]
    first = (share * (1 - keep) + (1 - share) * keep).mean(0)
    own, other = (share**0.5 * (1 - keep), (1 - share) ** 0.5 * keep)
    return first, (own.T @ own + other.T @ other) / len(keep)


def by_moments(model, x, y, first, second):
    """R1, R2 and R3 by the formula, for one or several moments of the mask."""
    a, b, c = weights_of_moments(model, x, y)
    return torch.stack([first @ a, (second * b).sum((-2, -1)), (second * c).sum((-2, -1))], -1)


def weights_of_moments(model, x, y):
    """What the moments are multiplied by, from dense Jacobians and Hessians."""
    flat, d = x.flatten(1), x[0].numel()
    a, b, c = torch.zeros(d), torch.zeros(d, d), torch.zeros(d, d)
    centre = flat.mean(0)
    covariance = (flat - centre).T @ (flat - centre) / len(x)
    for i, z in enumerate(flat):
        single = lambda z: model(z.reshape(1, *x.shape[1:]))[0]
        p = single(z).softmax(0)
        residual = p - nn.functional.one_hot(y[i], len(p))
        jacobian = torch.autograd.functional.jacobian(single, z)
        about = covariance + torch.outer(centre - z, centre - z)
        a = a + (residual @ jacobian) * (centre - z) / len(x)
        a2 = torch.diag(p) - torch.outer(p, p)
        b = b + jacobian.T @ a2 @ jacobian * about / (2 * len(x))
        for k in range(len(p)):
            hessian = torch.autograd.functional.hessian(lambda z, k=k, f=single: f(z)[k], z)
            c = c + residual[k] * hessian * about / (2 * len(x))
    return a, b, c


def small_images(scale):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(64, 3)
        )
        x = scale * torch.rand(20, 1, 4, 4, dtype=torch.float64)
    return model.double().requires_grad_(False), x, torch.arange(20) % 3


MASKED = [CutMix(1.0), HMix(1.0), GMix(1.0), FMix(1.0), Mixup(1.0)]


@pytest.mark.parametrize("strategy", MASKED, ids=lambda strategy: type(strategy).__name__)
def test_terms_of_strategies_equal_the_formula_with_sampled_moments(strategy):
    """Masks of other draws, averaged into moments, in place of the draws that were expanded."""
    model, x, y = small_images(1.0)
    rng = np.random.default_rng(0)
    got = expand_strategy(model, x, y, strategy, categorical, draws=60, rng=rng)
    blank, found = torch.zeros(40, 1, 4, 4, dtype=torch.float64), []
    for _ in range(60):
        draw = strategy(blank, torch.zeros(40, dtype=torch.int64), rng)
        found.append(seen(draw.keep.double().expand_as(blank), draw.share.double()))
    first, second = (torch.stack(moments) for moments in zip(*found, strict=True))
    terms = by_moments(model, x, y, first, second)
    expected, spread = terms.mean(0).tolist(), (terms.std(0) / 60**0.5).tolist()
    for name, value, error in zip(("r1", "r2", "r3"), expected, spread, strict=True):
        off = abs(getattr(got, name) - value)
        assert off < 5 * np.hypot(got.standard_errors[name], error), name


@pytest.mark.parametrize("strategy", MASKED, ids=lambda strategy: type(strategy).__name__)
def test_strategies_explain_their_own_loss_on_small_images(strategy):
    model, x, y = small_images(0.1)
    got = expand_strategy(model, x, y, strategy, categorical, draws=8, rng=np.random.default_rng(0))
    left = abs(got.remainder) - 5 * got.standard_errors["remainder"]
    assert left < 0.02 * abs(got.risk - got.loss)


def test_noise_on_the_inputs_adds_its_own_terms():
    """Noisy Feature Mixup beside mixup: E[b²] = 6/56 for b ~ Beta(2, 5)."""
    model, x, y = case(categorical)
    level, rng = 0.8, np.random.default_rng(0)
    noisy = NoisyFeatureMixup(layers=("",), alpha=1.0, additive=level, multiplicative=0.0)
    many = (x.repeat(50, 1), y.repeat(50))
    got = expand_strategy(model, *many, noisy, categorical, draws=150, rng=rng)
    plain = expand(model, x, y, Beta(1), categorical)
    noise = expand_noise(model, x, y, level * (6 / 56) ** 0.5, categorical)
    assert abs(got.r1 - plain.r1) < 5 * got.standard_errors["r1"]
    for name, term in (("r2", noise.curvature), ("r3", noise.residual)):
        error = got.standard_errors[name]
        assert abs(getattr(got, name) - getattr(plain, name) - term) < 5 * error, name
    assert noise.curvature > 10 * got.standard_errors["r2"]  # the noise is what is seen
    with pytest.raises(TypeError, match="draws more than masks"):
        expand_strategy(model, x, y, NoisyFeatureMixup(), categorical, rng=rng)


def test_other_draws_are_refused():
    model, x, y = case(categorical)
    with pytest.raises(TypeError, match="draws more than masks and shares"):
        expand_strategy(model, x, y, lambda *_: None, categorical, rng=np.random.default_rng(0))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_noise_equals_the_trace_of_dense_hessians(family):
    model, x, y = case(family)
    got = expand_noise(model, x, y, 0.3, family)
    np.testing.assert_allclose(got.total, dense.noise(model, x, y, 0.3, family), rtol=1e-9)
    sampled = [
        expand_noise(model, x, y, 0.3, family, directions=4, rng=np.random.default_rng(k))
        for k in range(60)
    ]
    values = np.array([s.total for s in sampled])
    spread = values.std(ddof=1)
    assert abs(values.mean() - got.total) < 5 * spread / 60**0.5
    claimed = np.sqrt(np.mean([s.standard_errors["total"] ** 2 for s in sampled]))
    assert abs(spread / claimed - 1) < 5 / np.sqrt(2 * 60)


def test_noise_is_what_noise_does():
    model, x, y = case(categorical)
    noise = 0.02 * torch.from_numpy(np.random.default_rng(0).normal(size=(2000, *x.shape)))
    losses = [
        (categorical(model(x + e), y) + categorical(model(x - e), y)).mean().item() / 2
        for e in noise
    ]
    effect = np.mean(losses) - categorical(model(x), y).mean().item()
    error = np.std(losses) / 2000**0.5
    got = expand_noise(model, x, y, 0.02, categorical)
    assert abs(effect - got.total) < 5 * error + 0.01 * abs(got.total)


@pytest.mark.parametrize("law", [*LAWS, Fixed(0.7), Uniform()], ids=repr)
def test_one_computation_gives_every_law(law):
    model, x, y = case(categorical)
    curve = expand(model, x, y, Beta(0.4), categorical, partners=4, rng=np.random.default_rng(0))
    got = curve.at(law)
    expected = expand(model, x, y, law, categorical, partners=4, rng=np.random.default_rng(0))
    for name in ("loss", "r1", "r2", "r3", "total", "spread"):
        assert getattr(got, name) == pytest.approx(getattr(expected, name)), name
    assert got.standard_errors == pytest.approx(expected.standard_errors)


def test_the_curve_over_alpha():
    model, x, y = case(categorical)
    found = expand(model, x, y, Beta(1), categorical)
    curve = found.curve([0.1, 1.0, 8.0])
    assert curve[1].total == pytest.approx(found.total)
    assert [c.spread for c in curve] == [Beta(a).spread for a in (0.1, 1.0, 8.0)]
    with pytest.raises(ValueError, match="spread 0"):
        expand(model, x, y, Fixed(1), categorical).at(Beta(1))


def test_bad_input():
    model, x, y = case(categorical)
    rng = np.random.default_rng(0)
    for function in (
        lambda **k: expand_shrunk(model, x, y, Beta(1), categorical, **k),
        lambda **k: expand_noise(
            model, x, y, 0.1, categorical, **{"directions": k.pop("partners"), **k}
        ),
    ):
        with pytest.raises(ValueError, match="pass rng="):
            function(partners=4)
        with pytest.raises(ValueError, match="at least 2"):
            function(partners=1, rng=rng)
    with pytest.raises(ValueError, match="at least 2"):
        expand_strategy(model, x, y, Mixup(), categorical, draws=1, rng=rng)
    for deviation in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="deviation must be 0 or more"):
            expand_noise(model, x, y, deviation, categorical)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_expanded_objective_is_the_expansion_and_trains(family):
    model, x, y = case(family)
    model.requires_grad_(True)
    x = 0.1 * x  # well within the regime
    draw = Expanded(1.0)(x, y, np.random.default_rng(0))
    losses = vicinal_losses(model, x, y, draw, family)
    expected = sum(taylor_terms(model, x, y, draw.partner, 1 / 6, family))
    torch.testing.assert_close(losses, expected)
    weight = model[2].weight
    (gradient,) = torch.autograd.grad(losses.sum(), weight)
    step = 1e-6 * torch.from_numpy(np.random.default_rng(1).normal(size=tuple(weight.shape)))
    values = []
    for sign in (1, -2, 1):
        with torch.no_grad():
            weight += sign * step
        values.append(vicinal_losses(model, x, y, draw, family).sum().item())
    assert float((gradient * step).sum()) == pytest.approx((values[0] - values[1]) / 2, rel=1e-5)


def test_the_expanded_objective_is_never_negative_for_classes():
    model, x, y = case(categorical, n=60, scale=3)
    steep = lambda z: 40 * model(z)
    draw = Expanded(1.0)(x, y, np.random.default_rng(0))
    plain = sum(taylor_terms(steep, x, y, draw.partner, 1 / 6))
    assert (plain < 0).any()
    losses = vicinal_losses(steep, x, y, draw, categorical)
    assert (losses >= 0).all()
    torch.testing.assert_close(losses[plain < 0], categorical(steep(x), y)[plain < 0])
    torch.testing.assert_close(losses[plain >= 0], plain[plain >= 0])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_output_has_less_than_the_least_loss(family):
    model, x, y = case(family, n=40)
    best = {"gaussian": y, "gaussians": y, "poisson": y.log()}.get(family.name)
    least = least_loss(family, y, torch.zeros(40, dtype=torch.float64))
    if best is not None:
        torch.testing.assert_close(family(best, y), least)
    for k in range(20):
        assert (family((1 + k) * model(x + k), y) >= least - 1e-12).all()


@pytest.mark.parametrize("family", [gaussian, poisson], ids=lambda family: family.name)
def test_the_expanded_objective_of_values_is_never_below_the_least_loss(family):
    """Where the expansion says less than the best output could reach, the plain loss stands."""
    model, x, y = case(family, n=60, scale=3)
    steep = lambda z: 6 * (2 * model(z)).sin()
    draw = Expanded(1.0)(x, y, np.random.default_rng(0))
    plain = sum(taylor_terms(steep, x, y, draw.partner, 1 / 6, family))
    outputs = torch.linspace(-16, 8, 200_001, dtype=torch.float64)
    least = torch.stack([family(outputs, v.expand(len(outputs))).min() for v in y])
    below = plain < least - 1e-6
    assert 2 < below.sum() < 50
    losses = vicinal_losses(steep, x, y, draw, family)
    assert (losses >= least - 1e-6).all()
    torch.testing.assert_close(losses[below], family(steep(x), y)[below])
    above = plain > least + 1e-6
    torch.testing.assert_close(losses[above], plain[above])


def test_training_on_the_expansion_of_values_stays_finite():
    """A smooth net is not rewarded for curving without end, which R3 alone would do."""
    model, x, y = case(gaussian, n=40, scale=1)
    rng = np.random.default_rng(0)
    optimiser = torch.optim.AdamW(model.requires_grad_(True).parameters(), lr=0.03)
    for _ in range(150):
        optimiser.zero_grad()
        vicinal_losses(model, x, y, Expanded(1.0)(x, y, rng), gaussian).mean().backward()
        optimiser.step()
    with torch.no_grad():
        fitted = (gaussian(model(x), y) + y**2 / 2).mean()
    assert fitted < (y**2 / 2).mean()


def test_the_expanded_objective_refuses_batch_statistics_and_other_losses(unchecked):
    _, x, y = case(categorical)
    draw = Expanded()(x, y, np.random.default_rng(0))
    tied = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    with pytest.raises(ValueError, match="statistics of the batch"):
        vicinal_losses(tied, x, y, draw, categorical)
    with pytest.raises(TypeError, match="affine in the label"):
        vicinal_losses(nn.Linear(3, 4).double(), x, y, draw, nn.functional.cross_entropy)
    with pytest.raises(ValueError, match="alpha must be positive"):
        Expanded(-1.0)
    assert draw.draw.share.eq(1).all()
    assert draw.to("cpu").partner.equal(draw.partner)
