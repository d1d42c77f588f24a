"""Estimators on tables, and what an exact fit costs: python benchmarks/estimators.py."""

import resource
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vicinal.calibration import calibration, coverage, fit_temperature
from vicinal.estimators import MixupClassifier, MixupRegressor
from vicinal.maths.statistics import paired

FOLDS, L2 = 5, 1e-3
OBJECTIVES = ("exact", "expanded", "sampled")


def large() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5000, 100))
    y = x @ rng.standard_normal(100) / 3 + rng.logistic(size=5000) > 0
    for alpha in (0.2, 1.0):
        start = time.perf_counter()
        fitted = MixupClassifier(alpha=alpha).fit(x, y)
        spent = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        cost = f"{spent:.2f} s, {fitted.n_iter_} iterations, {fitted.nodes_} nodes"
        print(f"n = 5,000, d = 100, 2 classes, α = {alpha}: {cost}, peak {memory:.2f} GB")
    print("bar: 20 s, 1 GB")


def log_probabilities(model: object, x: np.ndarray) -> torch.Tensor:
    """Logits up to a common number: they are calibrated, before and after a temperature."""
    return torch.from_numpy(model.predict_log_proba(x)).clamp(min=-700)


def classified(name: str, x: np.ndarray, y: np.ndarray) -> None:
    n = len(y) * (FOLDS - 1) // FOLDS * 4 // 5
    models = {"ERM": LogisticRegression(C=1 / (n * L2), max_iter=10_000)}
    models |= {f"mixup, {o}": MixupClassifier(o, 0.2, l2=L2, random_state=0) for o in OBJECTIVES}
    baseline: list[list[float]] = []
    for title, model in models.items():
        found = []
        for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y):
            fit, held = train_test_split(train, test_size=0.2, stratify=y[train], random_state=0)
            start = time.perf_counter()
            fitted = make_pipeline(StandardScaler(), model).fit(x[fit], y[fit])
            spent = time.perf_counter() - start
            z, labels = log_probabilities(fitted, x[test]), torch.from_numpy(y[test])
            before = calibration(z, labels)
            t = fit_temperature(log_probabilities(fitted, x[held]), torch.from_numpy(y[held]))
            after = calibration(z / t, labels)
            found.append([100 * before.accuracy, before.nll, after.nll, 100 * before.ece,
                          100 * after.ece, spent])  # fmt: skip
        row(name, title, found)
        baseline = baseline or found
        less(baseline, found)


def valued(x: np.ndarray, y: np.ndarray) -> None:
    n = len(y) * (FOLDS - 1) // FOLDS
    models = {"ERM": Ridge(alpha=n * L2)}
    models |= {f"mixup, {o}": MixupRegressor(o, 0.2, l2=L2, random_state=0) for o in OBJECTIVES}
    models["C-mixup, exact"] = MixupRegressor("exact", 2.0, pairing="similar", l2=L2)
    baseline: list[list[float]] = []
    print("\nR² %, Gaussian NLL at the training deviation, coverage % of 90 % intervals")
    for title, model in models.items():
        found = []
        for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(x):
            start = time.perf_counter()
            fitted = make_pipeline(StandardScaler(), model).fit(x[train], y[train])
            spent = time.perf_counter() - start
            deviation = np.std(y[train] - fitted.predict(x[train]))
            mean, new = (torch.from_numpy(v) for v in (fitted.predict(x[test]), y[test]))
            got = coverage(mean, torch.full_like(mean, deviation), new, levels=(0.9,))
            found.append([100 * fitted.score(x[test], y[test]), got.nll,
                          100 * got.covered[0].value, spent])  # fmt: skip
        row("diabetes", title, found)
        baseline = baseline or found
        less(baseline, found)


def row(name: str, title: str, found: list[list[float]]) -> None:
    mean, deviation = np.mean(found, 0), np.std(found, 0, ddof=1)
    cells = [f"{m:8.3f} ±{d:6.3f}" for m, d in zip(mean[:-1], deviation[:-1], strict=True)]
    print(f"{name:14}{title:18}" + "".join(cells) + f"{mean[-1]:8.2f} s")


def less(baseline: list[list[float]], found: list[list[float]]) -> None:
    """Paired differences to ERM over folds; folds share training data: intervals are too short."""
    if found is baseline:
        return
    cells = []
    for own in np.transpose(np.subtract(found, baseline))[:-1]:
        d = paired(own.tolist())
        cells.append(f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]")
    print(f"{'':14}{'  minus ERM':18}" + "  ".join(cells))


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)  # temperatures at the end of their range
    torch.set_num_threads(1)
    large()
    print(f"\n{FOLDS} folds, mean ± deviation over folds, α = 0.2, l2 = {L2}\n{'':32}accuracy %"
          "       NLL        NLL after T     ECE %       ECE % after T    fit")  # fmt: skip
    for name, load in (
        ("breast cancer", load_breast_cancer),
        ("wine", load_wine),
        ("digits", load_digits),
    ):
        classified(name, *load(return_X_y=True))
    valued(*load_diabetes(return_X_y=True))
