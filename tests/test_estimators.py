"""Estimators against slow sums over pairs, scikit-learn's own models and checks, closed forms."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_iris, make_circles
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from vicinal.estimators import MixupClassifier, MixupRegressor
from vicinal.explanation.terms import expand
from vicinal.maths.laws import Beta
from vicinal.maths.losses import bernoulli, categorical, gaussian, poisson

WEIGHTED = {
    "check_sample_weight_equivalence_on_dense_data": "weights choose which examples are drawn, "
    "so a repeated example meets other random numbers"
}

BALANCED = {
    "check_class_weight_classifiers": "every example meets one of the other class, whatever their "
    "weights, so that mixing restores the balance that weights should move"
}


def table(seed=0, n=60, d=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.logspace(-2, 2, d)  # badly scaled on purpose
    return rng, x, (x / np.logspace(-2, 2, d)) @ rng.normal(size=d)


def slow(x, labels, coef, intercept, law, family, kernel):
    """The mixup loss, pair by pair and node by node: kernel is the weight of each pair."""
    lam, weight = (torch.from_numpy(v)[:, None, None] for v in law.nodes(80))
    x, labels = torch.from_numpy(x), torch.from_numpy(labels)
    total = 0.0
    for i in range(len(x)):
        z = (lam * x[i] + (1 - lam) * x) @ coef + intercept
        soft = lam * labels[i] + (1 - lam) * labels
        z, soft = (v.reshape(-1) if family.scalar else v.flatten(0, 1) for v in (z, soft))
        loss = family(z, soft).reshape(len(lam), len(x))
        total = total + (weight[:, :, 0] * loss).sum(0) @ torch.from_numpy(kernel[i])
    return total


def check_is_minimum(fitted, x, labels, law, family, kernel, l2):
    """The slow loss has the value found, and no slope there."""
    coef = torch.from_numpy(fitted.coefs_[0]).requires_grad_()
    intercept = torch.from_numpy(fitted.intercepts_[0]).requires_grad_()
    value = slow(x, labels, coef, intercept, law, family, kernel)
    value = value + l2 / 2 * coef.square().sum()
    np.testing.assert_allclose(fitted.objective_value_, value.item(), rtol=0, atol=1e-6)
    slopes = torch.autograd.grad(value, (coef, intercept))
    assert np.abs(slopes[0].numpy() / x.std(0)[:, None]).max() < 1e-6  # per deviation
    assert slopes[1].abs().max() < 1e-6


LAWS = [Beta(0.2), Beta(1.0), Beta(2.0, 0.5)]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("pairing", ["all", "same_class", "other_class"])
@pytest.mark.parametrize("classes", [2, 3])
def test_exact_is_the_minimum_over_pairs(law, pairing, classes):
    rng, x, z = table(n=31)
    y = (z + rng.normal(size=len(z)) > 0).astype(int) + (classes == 3) * (z > 1)
    w = rng.uniform(0.5, 2, len(y))
    fitted = MixupClassifier(alpha=law.alpha, beta=law.beta, pairing=pairing, l2=1e-3).fit(x, y, w)
    same = y[:, None] == y
    allowed = {"all": np.ones_like(same), "same_class": same, "other_class": ~same}[pairing]
    kernel = w * allowed
    kernel = w[:, None] / w.sum() * kernel / kernel.sum(1, keepdims=True)
    labels = np.eye(classes)[y]
    family = categorical if classes == 3 else bernoulli
    labels = labels if classes == 3 else labels[:, 1:]
    check_is_minimum(fitted, x, labels, law, family, kernel, 1e-3)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("bandwidth", [None, 0.3])
@pytest.mark.parametrize("family", [poisson, gaussian])
def test_exact_regression_is_the_minimum_over_pairs(law, bandwidth, family):
    rng, x, z = table(1, n=41)
    y = rng.poisson(np.exp(0.5 * z)).astype(float)
    if family is gaussian:
        y = (y - y.mean()) / y.std()  # the units in which the value is compared
    pairing = "all" if bandwidth is None else "similar"
    fitted = MixupRegressor(
        alpha=law.alpha, beta=law.beta, family=family.name, pairing=pairing,
        bandwidth=bandwidth or 1.0, l2=1e-3,
    ).fit(x, y)  # fmt: skip
    sigma = np.inf if bandwidth is None else bandwidth * y.std()
    kernel = np.exp(-((y[:, None] - y) ** 2) / (2 * sigma**2))
    kernel /= len(y) * kernel.sum(1, keepdims=True)
    check_is_minimum(fitted, x, y[:, None], law, family, kernel, 1e-3)


def test_the_objective_of_values_does_not_depend_on_their_units():
    rng, x, z = table(3, n=20)
    y = z + rng.normal(size=len(z))
    values = [MixupRegressor(l2=1e-3).fit(x, t).objective_value_ for t in (y, 7 * y + 3)]
    np.testing.assert_allclose(values[1], values[0], rtol=1e-9)


def test_many_examples_are_interpolated_without_loss():
    """With n beyond the number of points no pair is formed; the slow loss knows nothing of it."""
    rng, x, z = table(2, n=150)
    y = (z + rng.logistic(size=len(z)) > 0).astype(int)
    fitted = MixupClassifier(alpha=1.0).fit(x, y)
    kernel = np.full((len(y), len(y)), 1 / len(y) ** 2)
    check_is_minimum(fitted, x, y[:, None].astype(float), Beta(1.0), bernoulli, kernel, 1e-4)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_least_squares_is_ridge_with_a_larger_penalty(alpha):
    """Mixing shrinks both moments by 1-2κ, which leaves (1-2κ)Σ + l2 to be inverted."""
    rng, x, z = table(3)
    y = 5 + z + rng.normal(size=len(z))
    l2, kept = 0.1, 1 - 2 * Beta(alpha).spread
    fitted = MixupRegressor(alpha=alpha, l2=l2).fit(x, y)
    ridge = Ridge(alpha=l2 * len(y) / kept, solver="cholesky").fit(x, y)
    np.testing.assert_allclose(fitted.predict(x), ridge.predict(x), atol=1e-8)
    np.testing.assert_allclose(fitted.coef_, ridge.coef_, rtol=1e-6)
    np.testing.assert_allclose(fitted.scale_, np.std(y - ridge.predict(x)), rtol=1e-6)


def test_hardly_any_mixing_is_maximum_likelihood():
    rng, x, z = table(4, n=200)
    x = x / np.logspace(-2, 2, 4)  # scikit-learn's solver wants it scaled
    y = (z + rng.logistic(size=len(z)) > 0).astype(int)
    plain = LogisticRegression(C=1 / (len(y) * 1e-2), tol=1e-10).fit(x, y)
    mixed = MixupClassifier(alpha=1e-7, l2=1e-2).fit(x, y)
    np.testing.assert_allclose(mixed.predict_proba(x), plain.predict_proba(x), atol=1e-5)
    np.testing.assert_array_equal(mixed.predict(x), plain.predict(x))
    rates = rng.poisson(np.exp(0.3 * z))
    plain = PoissonRegressor(alpha=1e-2, tol=1e-10, max_iter=1000).fit(x, rates)
    mixed = MixupRegressor(alpha=1e-7, family="poisson", l2=1e-2).fit(x, rates)
    np.testing.assert_allclose(mixed.predict(x), plain.predict(x), rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_expanded_minimises_the_expansion(classes):
    rng, x, z = table(5)
    y = (z + rng.normal(size=len(z)) > 0).astype(int) + (classes == 3) * (z > 1)
    law, family = Beta(0.5, 1.5), categorical if classes == 3 else bernoulli
    fitted = MixupClassifier("expanded", alpha=0.5, beta=1.5, l2=1e-2).fit(x, y)

    def total(coef, intercept):
        model = lambda x: x @ torch.from_numpy(coef) + torch.from_numpy(intercept)
        found = expand(model, torch.from_numpy(x), torch.from_numpy(y), law, family)
        return found.total + 1e-2 / 2 * (coef**2).sum()

    coef, intercept = fitted.coefs_[0], fitted.intercepts_[0]
    np.testing.assert_allclose(fitted.objective_value_, total(coef, intercept), atol=1e-9)
    for _ in range(5):
        step = 1e-3 * rng.normal(size=coef.shape) / x.std(0)[:, None]
        assert total(coef + step, intercept) > fitted.objective_value_


def test_sampling_comes_near_the_exact_solution():
    _, x, z = table(6, n=300)
    y = (z > 0).astype(int)  # separable: without mixing the coefficients are much larger
    exact = MixupClassifier(alpha=1.0, l2=1e-3).fit(x, y).predict_proba(x)
    sampled = MixupClassifier("sampled", alpha=1.0, l2=1e-3, epochs=200, random_state=0)
    plain = MixupClassifier(alpha=1e-7, l2=1e-3).fit(x, y).predict_proba(x)
    error = np.abs(sampled.fit(x, y).predict_proba(x) - exact).mean()
    assert error < 0.02
    assert error < np.abs(plain - exact).mean() / 2  # and that is not where any fit would be


def test_sampled_c_mixup_comes_near_the_exact_solution():
    rng, x, z = table(7, n=300)
    y = z**2 + rng.normal(size=len(z))
    options = {"alpha": 2.0, "pairing": "similar", "bandwidth": 0.3, "l2": 1e-3}
    exact = MixupRegressor(**options).fit(x, y).predict(x)
    sampled = MixupRegressor("sampled", **options, epochs=200, random_state=0).fit(x, y)
    assert np.abs(sampled.predict(x) - exact).mean() < 0.05 * y.std()


def test_hidden_layers_separate_what_no_line_does():
    x, y = make_circles(200, noise=0.05, factor=0.5, random_state=0)
    net = MixupClassifier("sampled", hidden=(64,), epochs=60, random_state=0).fit(x, y)
    assert net.score(x, y) > 0.95 > 0.7 > MixupClassifier().fit(x, y).score(x, y)
    assert not hasattr(net, "coef_")
    values = MixupRegressor("sampled", hidden=(32, 16), epochs=60, random_state=0)
    assert values.fit(x, (x**2).sum(1)).score(x, (x**2).sum(1)) > 0.9


def test_the_same_answer_every_time_and_after_pickling():
    x, y = load_iris(return_X_y=True)
    for estimator in (MixupClassifier(), MixupClassifier("sampled", epochs=5, random_state=3)):
        first, second = (estimator.fit(x, y).predict_proba(x) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        copy = pickle.loads(pickle.dumps(estimator))
        np.testing.assert_array_equal(copy.predict_proba(x), first)


def test_pipelines_grids_and_names():
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    grid = GridSearchCV(
        make_pipeline(StandardScaler(), MixupClassifier()),
        {"mixupclassifier__alpha": [0.2, 1.0], "mixupclassifier__l2": [1e-3, 1e-1]},
        cv=3, scoring="neg_log_loss",
    )  # fmt: skip
    best = grid.fit(x, names).best_estimator_[-1]
    assert best.coef_.shape == (3, 4)
    assert best.intercept_.shape == (3,)
    assert set(grid.predict(x)) == set(names)
    np.testing.assert_allclose(grid.predict_log_proba(x), np.log(grid.predict_proba(x)), atol=1e-12)


@pytest.mark.parametrize("weights", ["balanced", {0: 1.0, 1: 3.0}])
def test_class_weights_are_sample_weights(weights):
    rng, x, z = table(8)
    y = (z + rng.normal(size=len(z)) > 0.7).astype(int)
    one = {0: 1.0, 1: 3.0}
    if weights == "balanced":
        one = {c: len(y) / (2 * (y == c).sum()) for c in (0, 1)}
    a = MixupClassifier(class_weight=weights).fit(x, y)
    b = MixupClassifier().fit(x, y, [one[c] for c in y])
    np.testing.assert_allclose(a.predict_proba(x), b.predict_proba(x), atol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "excused"),
    [
        (MixupClassifier(), {}),
        (MixupClassifier("expanded"), {}),
        (MixupClassifier("sampled", epochs=40), WEIGHTED),
        (MixupClassifier("sampled", hidden=(8,), epochs=40), WEIGHTED),
        (MixupClassifier(pairing="same_class"), {}),
        (MixupClassifier(pairing="other_class"), BALANCED),
        (MixupRegressor(), {}),
        (MixupRegressor("expanded"), {}),
        (MixupRegressor("sampled", hidden=(8,), epochs=40), WEIGHTED),
        (MixupRegressor(family="poisson"), {}),
        (MixupRegressor("expanded", family="poisson"), {}),
        (MixupRegressor("sampled", family="poisson", epochs=40), WEIGHTED),
        (MixupRegressor("expanded", pairing="similar"), {}),
        (MixupRegressor("sampled", pairing="similar", epochs=40), WEIGHTED),
        (MixupRegressor(pairing="similar"), {}),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_scikit_learns_own_checks(estimator, excused):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skipped checks, and fits of labels at random
        check_estimator(estimator, expected_failed_checks=excused)


X, Y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha must be positive"),
        ({"alpha": float("nan")}, "alpha must be positive"),
        ({"alpha": "0.2"}, "alpha must be a positive number, got '0.2'"),
        ({"alpha": None}, "alpha must be a positive number, got None"),
        ({"beta": 0.0}, "beta must be positive"),
        ({"beta": -1.0}, "beta must be positive"),
        ({"objective": "best"}, "objective must be one of exact, expanded, sampled, got 'best'"),
        ({"pairing": "some"}, "pairing must be one of all"),
        ({"l2": -1.0}, "l2 must be 0 or more"),
        ({"l2": float("nan")}, "l2 must be 0 or more"),
        ({"tol": 0.0}, "tol must be positive"),
        ({"max_iter": 0}, "max_iter must be a whole number"),
        ({"hidden": (8,)}, "pass objective='sampled'"),
        ({"hidden": (0,), "objective": "sampled"}, "hidden must hold sizes"),
        ({"hidden": 64, "objective": "sampled"}, r"such as \(64,\), got 64"),
        ({"learning_rate": 1e300, "hidden": (4,), "objective": "sampled"}, "diverged in epoch"),
    ],
)
@pytest.mark.parametrize("kind", [MixupClassifier, MixupRegressor])
def test_bad_options(kind, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        kind(**options).fit(X, Y)


def test_bad_data(unchecked):
    with pytest.raises(TypeError, match=r"dense data is required"):
        MixupClassifier().fit(scipy.sparse.csr_array(X), Y)
    with pytest.raises(ValueError, match="NaN"):
        MixupClassifier().fit(X * np.nan, Y)
    with pytest.raises(ValueError, match="one class only, 1"):
        MixupClassifier().fit(X, np.ones(4, dtype=int))
    with pytest.raises(ValueError, match="one class only, 1"):
        MixupClassifier().fit(X, Y, sample_weight=Y)
    with pytest.raises(ValueError, match="sample_weight must be 0 or more"):
        MixupClassifier().fit(X, Y, sample_weight=-Y)
    with pytest.raises(ValueError, match="family must be one of gaussian, poisson"):
        MixupRegressor(family="gamma").fit(X, Y)
    with pytest.raises(ValueError, match="needs y of 0 or more"):
        MixupRegressor(family="poisson").fit(X, -Y)
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        MixupRegressor(pairing="similar", bandwidth=float("nan")).fit(X, Y)


@pytest.mark.parametrize("kind", [MixupClassifier, MixupRegressor])
def test_bad_inputs_of_both(kind, unchecked):
    with pytest.raises(TypeError, match="dense data is required"):
        kind().fit(scipy.sparse.csr_array(X), Y)
    with pytest.raises(ValueError, match="contains NaN"):
        kind().fit(X * np.nan, Y)
    with pytest.raises(ValueError, match="contains infinity"):
        kind().fit(np.where(X > 2, np.inf, X), Y)
    with pytest.raises(ValueError, match=r"too large, at most 3.0e\+200 in size: .* overflow"):
        kind().fit(X * 1e200, Y)
    with pytest.raises(ValueError, match=r"too small, at most 3.0e-200 in size: .* vanish"):
        kind().fit(X * 1e-200, Y)
    with pytest.raises(ValueError, match="at least one non-zero number|sample_weight is 0 for all"):
        kind().fit(X, Y, sample_weight=0 * Y)
    with pytest.raises(TypeError, match="dense data is required"):
        kind().fit(X, Y).predict(scipy.sparse.csr_array(X))
    with pytest.raises(ValueError, match="expecting 1 features"):
        kind().fit(X, Y).predict(np.hstack([X, X]))


def test_too_few_iterations_are_told():
    x, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="Raise max_iter"):
        MixupClassifier(max_iter=2).fit(x, y)


def test_constant_columns_and_constant_targets_do_no_harm():
    rng, x, z = table(9)
    y = (z + rng.normal(size=len(z)) > 0).astype(int)
    wide = np.hstack([x, np.ones((len(x), 1))])
    narrow = MixupClassifier().fit(x, y)
    assert abs(MixupClassifier().fit(wide, y).coef_[0, -1]) < 1e-12
    np.testing.assert_allclose(
        MixupClassifier().fit(wide, y).predict_proba(wide), narrow.predict_proba(x), atol=1e-9
    )
    np.testing.assert_allclose(MixupRegressor().fit(x, np.full(len(x), 7.0)).predict(x), 7.0)
    MixupClassifier(l2=0.0).fit(np.ones((4, 1)), Y)


def test_data_frames_are_taken_without_a_warning():
    """pandas hands out arrays that may not be written to; warnings are errors here."""
    from sklearn.datasets import load_iris

    frame, y = load_iris(return_X_y=True, as_frame=True)
    x = frame.to_numpy()
    x.setflags(write=False)
    chances = []
    for own in (frame, x):
        found = MixupClassifier().fit(own, y)
        assert found.score(own, y) > 0.9
        chances.append(found.predict_proba(own))
    assert chances[0] == pytest.approx(chances[1])
