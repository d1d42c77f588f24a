"""What mixing costs, in units of torch.lerp(out=): python benchmarks/mixing.py [--quick].

One thread. All candidates are timed in turn, many rounds, and the least time of each is
divided by that of the yardstick, so that other work on the machine disturbs little. "fresh" is
the memory held at once in one call, in batches. Peers that are not installed are left out.
"""

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from mixing_peers import peers
from torch import nn
from torch.profiler import ProfilerActivity, profile

import vicinal as vc

SHAPES = {"256×3×32×32": (256, 3, 32, 32), "64×3×224×224": (64, 3, 224, 224)}
CLASSES = 10
STRATEGIES = {
    "Mixup": vc.Mixup(1.0),
    "Mixup, law=Uniform()": vc.Mixup(law=vc.Uniform()),
    "Mixup, per batch": vc.Mixup(1.0, per_batch=True),
    "Mixup, roll": vc.Mixup(1.0, pairing=vc.pairing.Roll()),
    "CutMix": vc.CutMix(),
    "ResizeMix": vc.ResizeMix(),
    "HMix": vc.HMix(),
    "FMix": vc.FMix(),
    "GridMix": vc.GridMix(),
    "GMix": vc.GMix(),
    "SmoothMix": vc.SmoothMix(),
    "Remix": vc.Remix(),
    "DirichletMixup of 3": vc.DirichletMixup(),
    "k-mixup": vc.k_mixup(1.0),
}
TRAINED = STRATEGIES | {
    "SaliencyMix": vc.SaliencyMix(),
    "PuzzleMix": vc.PuzzleMix(),
    "ManifoldMixup": vc.ManifoldMixup(),
    "NoisyFeatureMixup": vc.NoisyFeatureMixup(),
    "RegMixup": vc.RegMixup(),
    "MixupE": vc.MixupE(),
    "MIT": vc.MIT(),
}


def least(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least time of each call, in seconds, over rounds in which all take their turn."""
    times = dict.fromkeys(calls, np.inf)
    for _ in range(rounds):
        for name, call in calls.items():
            call()  # so that each finds the caches as it left them, not as its neighbour did
            for _ in range(2):
                start = time.perf_counter()
                call()
                times[name] = min(times[name], time.perf_counter() - start)
    return times


def fresh(call: Callable[[], object], batch: int) -> float:
    """The most memory that a call holds at once, its result included, in units of the batch."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        call()
    events = [e for e in prof.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = np.cumsum([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())])
    return float(max(held, default=0)) / batch


def mixing(label: str, shape: tuple[int, ...], rounds: int) -> None:
    x, other, out = torch.rand(shape), torch.rand(shape), torch.empty(shape)
    y = torch.arange(len(x)) % CLASSES
    rng = np.random.default_rng(0)
    calls: dict[str, Callable[[], object]] = {
        "torch.lerp(out=)": lambda: torch.lerp(x, other, 0.3, out=out)
    }
    for name, strategy in STRATEGIES.items():
        draw = strategy(x, y, rng)
        calls[f"{name}: mix"] = lambda d=draw: vc.mix(x, d)
        calls[f"{name}: mix(out=)"] = lambda d=draw: vc.mix(x, d, out=out)
        calls[f"{name}: draw"] = lambda s=strategy: s(x, y, rng)
    scratch = x.clone()  # some peers overwrite what they are given
    for name, peer in peers().items():
        if name != "MONAI MixUp":  # refuses labels
            calls[name] = lambda p=peer: p(scratch, y, CLASSES)
    times = least(calls, rounds)
    unit = times["torch.lerp(out=)"]
    batch = x.numel() * x.element_size()
    print(f"\n{label}: torch.lerp(out=) takes {unit * 1e6:.0f} µs")
    print(f"{'':34}{'mix':>7}{'out=':>7}{'draw':>7}{'all':>7}{'fresh':>7}")
    for name in STRATEGIES:
        cost = [times[f"{name}: {part}"] / unit for part in ("mix", "mix(out=)", "draw")]
        memory = fresh(calls[f"{name}: mix"], batch)
        print(f"{name:34}{cost[0]:7.2f}{cost[1]:7.2f}{cost[2]:7.2f}{cost[0] + cost[2]:7.2f}"
              f"{memory:7.1f}")  # fmt: skip
    for name in calls:
        if ": " not in name and name != "torch.lerp(out=)":
            print(f"{name:34}{'':21}{times[name] / unit:7.2f}{fresh(calls[name], batch):7.1f}")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES),
    )  # fmt: skip


def training(rounds: int) -> None:
    x, y = torch.rand(128, 3, 32, 32), torch.arange(128) % CLASSES
    model, rng = network(), np.random.default_rng(0)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step(strategy: vc.Strategy | None) -> None:
        draw = None if strategy is None else strategy(x, y, rng)
        optimiser.zero_grad()
        vc.vicinal_losses(model, x, y, draw, vc.categorical).mean().backward()
        optimiser.step()

    calls: dict[str, Callable[[], object]] = {"ERM": lambda: step(None)}
    calls |= {name: lambda s=strategy: step(s) for name, strategy in TRAINED.items()}
    times = least(calls, rounds)
    print(f"\na training step of a small CNN, 128×3×32×32; ERM takes {times['ERM'] * 1e3:.1f} ms")
    for name in TRAINED:
        print(f"{name:34}{times[name] / times['ERM']:7.3f}")


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    quick = "--quick" in sys.argv
    for (label, shape), rounds in zip(SHAPES.items(), (60, 8), strict=True):
        mixing(label, shape, 3 if quick else rounds)
    training(2 if quick else 12)


if __name__ == "__main__":
    main()
