"""Reliability before and after a temperature; what mixup gains as the dimension grows."""

import warnings

import numpy as np
import torch

from vicinal.calibration import Calibration, calibration_of_positive, recalibrated
from vicinal.maths.laws import Law, Uniform
from vicinal.maths.randomness import generator
from vicinal.mixing.mixup import Mixup
from vicinal.models.named import build_model
from vicinal.study.reproduce.measured import Curve, Facts, Measured, Size, curves
from vicinal.study.reproduce.networks import fit
from vicinal.study.reproduce.sets import sized

NAME, DATA = "calibration", "digits"
QUICK = Size(seeds=3, epochs=12, train=300, test=300, parts=4)
FULL = Size(seeds=5, epochs=60, train=1000, test=2000)
WAYS = {"erm": None, "mixup": Mixup(1.0)}
WHEN = {"before": "As trained", "after": "After one temperature"}
BINS = 10
# the Gaussian model
LAW = Uniform()
RATIOS = (0.05, 0.2, 0.5, 1.0, 1.5, 2.0)  # p/n
EXAMPLES, TESTED = 200, 4000


def measure(seed: int, size: Size, data: str) -> Measured:
    """Both ways of training on a set, and the Gaussian model at every ratio p/n."""
    split = sized(data, seed, size)
    drawn: list[Curve] = []
    facts: Facts = {}
    for way, strategy in WAYS.items():
        model = build_model("mlp" if split.bounds is None else "cnn", split, seed)
        fit(model, strategy, split.train, split.family, epochs=size.epochs, seed=seed)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a temperature at the end of its range
            parts = [(model(part.x), part.y) for part in (split.validation, split.test)]
            found = recalibrated(*parts, bins=BINS)
        facts[f"{way}/temperature"] = 1 / found.scaling.weight[0]
        for when, measured in (("before", found.before), ("after", found.after)):
            drawn += _reliability(WHEN[when], way, measured)
            facts |= {
                f"{way}/{when}/{key}": getattr(measured, key)
                for key in ("accuracy", "ece", "nll", "brier", "signed_gap")
            }
    ratios = RATIOS[: size.parts]
    pairs = [simulated(ratio, seed, LAW) for ratio in ratios]
    plain, mixed = ([pair[k] for pair in pairs] for k in (0, 1))
    drawn += curves("dimension", "ECE", ratios, {"erm": plain, "mixup": mixed})
    gains = [a - b for a, b in pairs]
    drawn += curves("dimension", "Gain in ECE, erm minus mixup", ratios, {"mixup": gains})
    facts |= {f"gain/{ratio:g}": gain for ratio, gain in zip(ratios, gains, strict=True)}
    words = {
        "training": f"{len(split.train)} examples of {data}",
        "test": f"{len(split.test)} examples",
        "Gaussian model": f"n = {EXAMPLES}, {TESTED} new examples",
    }
    return Measured(tuple(drawn), facts, words)


def _reliability(panel: str, way: str, found: Calibration) -> list[Curve]:
    """Count, confidence and accuracy of each bin, from which all seeds are pooled."""
    middles = [(b.low + b.high) / 2 for b in found.bins]
    values: dict[str, list[float | None]] = {
        "count": [float(b.count) for b in found.bins],
        "confidence": [b.confidence for b in found.bins],
        "accuracy": [b.accuracy for b in found.bins],
    }
    return [
        Curve(f"reliability/{key}", panel, way, tuple(middles), tuple(y))
        for key, y in values.items()
    ]


def simulated(ratio: float, seed: int, law: Law) -> tuple[float, float]:
    """ECE without and with mixup in the Gaussian model, all pairs summed.

    y = ±1 with equal chance, x ~ N(y θ, I) in p dimensions, ‖θ‖ = 1, and the classifier
    sigmoid(2 θ̂'x) with θ̂ the mean of y x over n examples. Noise makes ‖θ̂‖² too large by p/n, so
    confidence is too high; mixup averages over mixed pairs, which shrinks θ̂ by 1-2κ.

    Args:
        ratio: p/n.
        seed: of the examples.
        law: of λ.

    Source:
        Zhang, Deng, Kawaguchi, Zou (2022), arXiv:2102.06289, section 2.
    """
    rng = generator(seed, "dimension", round(1000 * ratio))
    p = max(2, round(ratio * EXAMPLES))
    theta = np.zeros(p)
    theta[0] = 1.0
    y, new = (2.0 * rng.integers(2, size=n) - 1 for n in (EXAMPLES, TESTED))
    x, x_new = (s[:, None] * theta + rng.standard_normal((len(s), p)) for s in (y, new))
    plain = (y[:, None] * x).mean(0)
    kept = 1 - 2 * law.spread  # E[λ² + (1-λ)²]
    mixed = kept * plain + (1 - kept) * y.mean() * x.mean(0)
    labels = torch.from_numpy((new > 0).astype(int))
    without, with_ = (
        calibration_of_positive(torch.from_numpy(2 * x_new @ found), labels).ece
        for found in (plain, mixed)
    )
    return without, with_
