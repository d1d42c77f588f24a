"""Every strategy, in one list; and the mixture within its draw."""

import numpy as np
import torch
from torch import nn

from vicinal.maths.laws import Uniform
from vicinal.maths.losses import bernoulli, categorical
from vicinal.mixing.choice import RandomChoice
from vicinal.mixing.cutting import CutMix, HMix, ResizeMix
from vicinal.mixing.draw import Objective
from vicinal.mixing.fmix import FMix
from vicinal.mixing.gaussian import GMix, SmoothMix
from vicinal.mixing.gridmix import GridMix
from vicinal.mixing.hidden import ManifoldMixup
from vicinal.mixing.kway import DirichletMixup
from vicinal.mixing.mit import MIT
from vicinal.mixing.mixup import Mixup, k_mixup
from vicinal.mixing.mixupe import MixupE
from vicinal.mixing.noisy import NoisyFeatureMixup
from vicinal.mixing.pairing import Roll
from vicinal.mixing.puzzle import PuzzleMix
from vicinal.mixing.regmixup import RegMixup
from vicinal.mixing.remix import Remix
from vicinal.mixing.saliency import SaliencyMix

STRATEGIES = {
    "Mixup": Mixup(0.2),
    "Mixup, uniform": Mixup(law=Uniform(), pairing=Roll()),
    "Mixup, per batch": Mixup(1.0, per_batch=True),
    "k-mixup": k_mixup(0.7, k=4),
    "CutMix": CutMix(),
    "CutMix, 0.3": CutMix(0.3),
    "ResizeMix": ResizeMix(),
    "ResizeMix, any size": ResizeMix(0.0, 1.0),
    "HMix": HMix(),
    "HMix, all cut": HMix(r=1.0),
    "FMix": FMix(),
    "GridMix": GridMix(),
    "GMix": GMix(),
    "SmoothMix": SmoothMix(),
    "SaliencyMix": SaliencyMix(),
    "PuzzleMix": PuzzleMix(),
    "PuzzleMix, moved": PuzzleMix(0.4, zeta=0.01, levels=4),
    "Remix": Remix(counts=(1, 9, 3) * 3),
    "DirichletMixup": DirichletMixup(),
    "DirichletMixup of 5": DirichletMixup(5, 0.3),
    "RandomChoice": RandomChoice((Mixup(1.0), CutMix())),
    "ManifoldMixup": ManifoldMixup(),
    "NoisyFeatureMixup": NoisyFeatureMixup(),
    "RegMixup": RegMixup(),
    "MixupE": MixupE(eta=0.5),
    "MIT": MIT(),
}


def reader(x):
    """A model that cares for some pixels more than for others."""
    return (x * torch.arange(x.shape[-1] * x.shape[-2]).reshape(x.shape[-2:])).mean((-2, -1))


def mixture(strategy, x, y, seed=0):
    """The mixture within the draw of a strategy, for those that ask for more as well."""
    draw = strategy(x, y, np.random.default_rng(seed))
    if hasattr(draw, "resolve"):
        return draw.resolve(reader, x, y, categorical if x.shape[1] > 1 else bernoulli)
    return draw.draw if isinstance(draw, Objective) else draw


def net(channels=2, classes=4):
    """A small network for images of any size."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, classes),
    )
