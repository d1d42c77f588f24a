"""Laws of λ against numerical integration, closed forms and Kolmogorov-Smirnov tests."""

from math import comb, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from vicinal.maths.laws import Beta, Fixed, Law, Tilted, Uniform, glm_coefficient, mean_larger_share

SHAPES = st.floats(0.05, 20)
LAWS = [Beta(0.2), Beta(1), Beta(0.3, 0.7), Beta(4, 2), Uniform(), Fixed(0.7), Fixed(1.0)]


def moment(law, power):
    """E[λ^power] without quadrature nodes."""
    match law:
        case Beta(alpha=a, beta=b):
            return prod((a + k) / (a + b + k) for k in range(power))
        case Uniform():
            return 1 / (power + 1)
        case Fixed(lam=lam):
            return lam**power


def tilted_moment(law, power):
    """E[λ · λ^k + (1-λ)(1-λ)^k] by the definition, expanded into moments of the law."""
    flipped = sum((-1) ** k * comb(power + 1, k) * moment(law, k) for k in range(power + 2))
    return moment(law, power + 1) + flipped


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_nodes_are_exact_to_the_degree_promised(law, count):
    for degree in range(2 * count):
        lam, weight = law.nodes(count)
        np.testing.assert_allclose(weight @ lam**degree, moment(law, degree), rtol=1e-11)
        lam, weight = law.tilted().nodes(count)
        np.testing.assert_allclose(weight @ lam**degree, tilted_moment(law, degree), rtol=1e-10)
        assert len(lam) <= count


@given(SHAPES, SHAPES)
def test_spread_is_the_expectation_of_lam_times_one_minus_lam(a, b):
    lam, weight = Beta(a, b).nodes(2)
    np.testing.assert_allclose(Beta(a, b).spread, weight @ (lam * (1 - lam)), rtol=1e-9)


@given(SHAPES, SHAPES)
def test_moments_of_the_tilted_law(a, b):
    law = Beta(a, b)
    lam, weight = law.tilted().nodes(3)
    np.testing.assert_allclose(weight @ (1 - lam), 2 * law.spread, rtol=1e-9)
    np.testing.assert_allclose(weight @ (1 - lam) ** 2, law.spread, rtol=1e-9)
    np.testing.assert_allclose(law.tilted().spread, weight @ (lam * (1 - lam)), rtol=1e-9)


def test_tilted_beta_is_the_mixture_of_two_betas():
    a, b = 0.3, 0.7
    mixture = [(a / (a + b), Beta(a + 1, b)), (b / (a + b), Beta(b + 1, a))]
    lam, weight = Beta(a, b).tilted().nodes(6)
    for degree in range(12):
        exact = sum(w * moment(part, degree) for w, part in mixture)
        np.testing.assert_allclose(weight @ lam**degree, exact, rtol=1e-10)


@pytest.mark.parametrize("law", [Beta(0.2), Beta(0.3, 0.7), Beta(4, 2), Uniform()], ids=repr)
def test_samples_follow_the_law(law):
    rng = np.random.default_rng(0)
    shapes = (law.alpha, law.beta) if isinstance(law, Beta) else (1, 1)
    a, b = shapes
    assert stats.kstest(law.sample(20_000, rng), stats.beta(a, b).cdf).pvalue > 1e-4

    def cdf(t):
        first, second = stats.beta(a + 1, b).cdf(t), stats.beta(b + 1, a).cdf(t)
        return (a * first + b * second) / (a + b)

    assert stats.kstest(law.tilted().sample(20_000, rng), cdf).pvalue > 1e-4


def test_fixed_samples_and_its_tilted_law():
    rng = np.random.default_rng(0)
    assert (Fixed(0.7).sample(5, rng) == 0.7).all()
    tilted = Fixed(0.7).tilted().sample(10_000, rng)
    assert set(tilted.round(12)) == {0.7, 0.3}
    assert abs((tilted > 0.5).mean() - 0.7) < 5 * (0.21 / 10_000) ** 0.5


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.5), (3, 3), (2, 5)])
def test_glm_coefficient_is_the_integral_under_the_tilted_law(a, b):
    def integrand(t):
        density = a * stats.beta(a + 1, b).pdf(t) + b * stats.beta(b + 1, a).pdf(t)
        return (1 - t) ** 2 / t**2 * density / (a + b)

    np.testing.assert_allclose(glm_coefficient(Beta(a, b)), quad(integrand, 0, 1)[0], rtol=1e-6)


def test_glm_coefficient_of_a_fixed_lam():
    lam = 0.7  # the tilted law takes 0.7 with probability 0.7
    expected = 0.7 * (0.3 / 0.7) ** 2 + 0.3 * (0.7 / 0.3) ** 2
    np.testing.assert_allclose(glm_coefficient(Fixed(lam)), expected)


@pytest.mark.parametrize("law", [Beta(1), Beta(0.2), Beta(5, 1), Uniform(), Fixed(0.0), Fixed(1.0)])
def test_glm_coefficient_refuses_where_infinite(law):
    with pytest.raises(ValueError, match="is infinite"):
        glm_coefficient(law)


@pytest.mark.parametrize("bad", [0.0, -0.5, float("nan"), float("inf")])
def test_beta_rejects_shapes(bad):
    with pytest.raises(ValueError, match="alpha must be positive"):
        Beta(bad)
    with pytest.raises(ValueError, match="beta must be positive"):
        Beta(1.0, bad)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_fixed_rejects_weights(bad):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        Fixed(bad)


@pytest.mark.parametrize("law", [Beta(1), Beta(0.3), Beta(0.3, 2), Beta(4, 1.5)], ids=repr)
def test_mean_larger_share(law):
    """By integration on either side of the kink; the density may be infinite at 0 and 1."""
    density = stats.beta(law.alpha, law.beta).pdf
    above, below = (
        quad(lambda t: t * density(t), 0.5, 1),
        quad(lambda t: t * density(1 - t), 0.5, 1),
    )
    np.testing.assert_allclose(mean_larger_share(law), above[0] + below[0], rtol=1e-6)
    assert mean_larger_share(Tilted(law)) == mean_larger_share(law)


def test_mean_larger_share_of_other_laws():
    assert mean_larger_share(Uniform()) == pytest.approx(mean_larger_share(Beta(1)), rel=1e-14)
    assert mean_larger_share(Fixed(0.2)) == 0.8

    class Mine:
        """λ is 0.1 or 0.7."""

        spread = (0.09 + 0.21) / 2
        sample = tilted = lambda *_: None
        nodes = lambda self, count: (np.array([0.1, 0.7]), np.array([0.5, 0.5]))

    assert isinstance(Mine(), Law)
    assert mean_larger_share(Mine()) == pytest.approx(0.8)


@pytest.mark.parametrize(
    "law", [Beta(1e-6), Beta(2e3, 0.3), Beta(1e5, 3), Beta(0.3, 0.7), Beta(1e9)]
)
@pytest.mark.parametrize("count", [2, 64])
def test_nodes_of_extreme_laws_keep_their_digits(law, count):
    lam, weight = law.nodes(count)
    np.testing.assert_allclose(weight @ (lam * (1 - lam)), law.spread, rtol=1e-8)
    for degree in range(4):
        np.testing.assert_allclose(weight @ lam**degree, moment(law, degree), rtol=1e-12)


@pytest.mark.parametrize("law", [Beta(1), Fixed(0.3), Beta(0.3, 2).tilted(), Fixed(0.3).tilted()])
def test_nodes_rejects_no_nodes(law):
    with pytest.raises(ValueError, match="at least 1 node, got 0"):
        law.nodes(0)
