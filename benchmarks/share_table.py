"""Do labels say what pixels say? Every strategy here, and whichever peers are installed.

Image k is 1 in channel k only, so the true share of each source in a mixed image can be read
off the pixels and compared with the label: python benchmarks/share_table.py
"""

import warnings

import numpy as np
import torch
from mixing_peers import peers
from torch import Tensor

import vicinal as vc
from vicinal.mixing.smoothing import SmoothedDraw, smoothed

SHAPES = ((32, 32), (32, 64), (7, 5))
BATCH, DRAWS = 16, 50
STRATEGIES = {
    "Mixup": vc.Mixup(1.0),
    "Mixup, per batch": vc.Mixup(1.0, per_batch=True),
    "CutMix": vc.CutMix(),
    "ResizeMix": vc.ResizeMix(),
    "HMix": vc.HMix(),
    "FMix": vc.FMix(),
    "GridMix": vc.GridMix(),
    "GMix": vc.GMix(),
    "SmoothMix": vc.SmoothMix(),
    "SaliencyMix": vc.SaliencyMix(),
    "PuzzleMix": vc.PuzzleMix(),
    "k-mixup": vc.k_mixup(1.0, k=4),
    "DirichletMixup": vc.DirichletMixup(),
    "RandomChoice": vc.RandomChoice((vc.Mixup(1.0), vc.CutMix())),
    "RegMixup": vc.RegMixup(),
    "MixupE": vc.MixupE(),
    "MIT": vc.MIT(),
    "ManifoldMixup": vc.ManifoldMixup(),
    "NoisyFeatureMixup": vc.NoisyFeatureMixup(),
    "Remix (means to differ)": vc.Remix(counts=(1, 10) * (BATCH // 2)),
    "LabelSmoothing (means to)": vc.LabelSmoothing(0.1),
}


def images(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    x = torch.eye(BATCH)[:, :, None, None].expand(BATCH, BATCH, *shape).clone()
    return x, torch.arange(BATCH)


def ours(name: str, x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    draw = STRATEGIES[name](x, y, np.random.default_rng(seed))
    if isinstance(draw, SmoothedDraw):
        return x, smoothed(y, torch.zeros(BATCH, BATCH), draw.smoothing)
    if isinstance(draw, vc.Objective) and draw.draw is None:  # placed by a model; any will do
        draw = draw.resolve(lambda x: (x * torch.rand(x.shape[-2:])).mean((2, 3)), x, y,
                            vc.categorical)  # fmt: skip
    elif isinstance(draw, vc.Objective):
        draw = draw.draw
    return vc.mix(x, draw), vc.soft_targets(y, draw, BATCH)


def worst(mix: object) -> str:
    """The largest difference over shapes and draws, or the error that came instead."""
    difference = 0.0
    for shape in SHAPES:
        for seed in range(DRAWS):
            x, y = images(shape)
            try:
                mixed, labels = mix(x, y, seed)  # type: ignore[operator]
            except Exception as error:  # a peer's failure is a result
                return f"{type(error).__name__} at {shape[0]}×{shape[1]}"
            difference = max(difference, float((mixed.mean((2, 3)) - labels).abs().max()))
    return f"{difference:.1e}" if 0 < difference < 0.01 else f"{difference:.2f}"


def main() -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (peers use the global state)
    rows = {
        f"vicinal {name}": worst(lambda x, y, s, n=name: ours(n, x, y, s)) for name in STRATEGIES
    }
    for name, peer in peers().items():
        rows[name] = worst(lambda x, y, s, peer=peer: peer(x, y, BATCH))
    print(f"\n{'':34}largest |true share - label share|")
    for name, value in rows.items():
        print(f"{name:34}{value}")


if __name__ == "__main__":
    main()
