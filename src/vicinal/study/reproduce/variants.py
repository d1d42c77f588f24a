"""The strategies and label smoothing side by side, on one set, with one model and schedule."""

import warnings
from collections.abc import Mapping

import torch
from torch import nn

from vicinal.calibration import recalibrated
from vicinal.data import Split
from vicinal.explanation.expansions.expanded import Expanded
from vicinal.maths.randomness import generator
from vicinal.mixing.choice import mixup_or_cutmix
from vicinal.mixing.cutting import CutMix, HMix, ResizeMix
from vicinal.mixing.draw import Strategy
from vicinal.mixing.fmix import FMix
from vicinal.mixing.gaussian import GMix, SmoothMix
from vicinal.mixing.gridmix import GridMix
from vicinal.mixing.hidden import ManifoldMixup
from vicinal.mixing.kway import DirichletMixup
from vicinal.mixing.mit import MIT
from vicinal.mixing.mixup import Mixup, k_mixup
from vicinal.mixing.mixupe import MixupE
from vicinal.mixing.noisy import NoisyFeatureMixup
from vicinal.mixing.puzzle import PuzzleMix
from vicinal.mixing.regmixup import RegMixup
from vicinal.mixing.remix import Remix
from vicinal.mixing.saliency import SaliencyMix
from vicinal.mixing.smoothing import LabelSmoothing
from vicinal.models.named import build_model
from vicinal.robustness import accuracy_curve
from vicinal.study.reproduce.measured import Facts, Measured, Size, curves
from vicinal.study.reproduce.networks import fit
from vicinal.study.reproduce.sets import sized

NAME, DATA = "variants", "digits"
QUICK = Size(seeds=3, epochs=8, train=150, test=200, parts=6)
FULL = Size(seeds=5, epochs=40, train=300, test=540)
EPS = {"images": 0.05, "tables": 0.2}
STEPS = 20

# in the order in which a quick run takes them; each with its defaults
ANYWHERE: Mapping[str, Strategy | None] = {
    "erm": None,
    "mixup(0.2)": Mixup(0.2),
    "mixup(1)": Mixup(1.0),
    "expanded": Expanded(),
    "regmixup": RegMixup(),
    "manifold mixup": ManifoldMixup(),
    "noisy feature mixup": NoisyFeatureMixup(),
    "mixupe": MixupE(),
    "mit": MIT(),
    "k-mixup": k_mixup(),
    "dirichlet": DirichletMixup(),
    "remix": Remix(),
    "label smoothing": LabelSmoothing(),
}
IMAGES: Mapping[str, Strategy | None] = {
    "cutmix": CutMix(),
    "mixup or cutmix": mixup_or_cutmix(),
    "resizemix": ResizeMix(),
    "fmix": FMix(),
    "gridmix": GridMix(),
    "smoothmix": SmoothMix(),
    "saliencymix": SaliencyMix(),
    "puzzlemix": PuzzleMix(),
    "hmix": HMix(),
    "gmix": GMix(),
}
METRICS = {
    "accuracy": "Test accuracy",
    "nll": "NLL after temperature",
    "ece": "ECE as trained",
    "ece_after": "ECE after temperature",
    "pgd": f"Accuracy under PGD-{STEPS}",
    "gap": "Gap in loss, test minus training",
}


def measure(seed: int, size: Size, data: str) -> Measured:
    """Every strategy that fits the data, trained from the same weights on the same batches."""
    split = sized(data, seed, size)
    strategies = dict(ANYWHERE) if split.bounds is None else {**ANYWHERE, **IMAGES}
    values: dict[str, dict[str, list[float | None]]] = {key: {} for key in METRICS}
    facts: Facts = {}
    for name in list(strategies)[: size.parts]:
        model = build_model("mlp" if split.bounds is None else "cnn", split, seed)
        fit(model, strategies[name], split.train, split.family, epochs=size.epochs, seed=seed,
            weight_decay=0.01)  # fmt: skip
        for key, value in _scores(model, split, seed).items():
            values[key][name] = [value]
            facts[f"{name}/{key}"] = value
    drawn = [
        c for key, label in METRICS.items() for c in curves("metrics", label, [0], values[key])
    ]
    words = {
        "training": f"{len(split.train)} examples of {data}",
        "test": f"{len(split.test)} examples",
    }
    return Measured(tuple(drawn), facts, words)


def _scores(model: nn.Module, split: Split, seed: int) -> dict[str, float]:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a temperature at the end of its range
        parts = [(model(part.x), part.y) for part in (split.validation, split.test)]
        found = recalibrated(*parts)
        training = split.family(model(split.train.x), split.train.y).double().mean()
    curve = accuracy_curve(
        model,
        split.test.x,
        split.test.y,
        [EPS["tables" if split.bounds is None else "images"]],
        bounds=split.bounds,
        steps=STEPS,
        rng=generator(seed, "attack"),
    )
    return {
        "accuracy": found.before.accuracy,
        "nll": found.after.nll,
        "ece": found.before.ece,
        "ece_after": found.after.ece,
        "pgd": curve.points[0].accuracy,
        "gap": found.before.nll - float(training),
    }
