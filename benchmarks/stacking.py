"""Runs trained together against one after another: time of a stack over that of its members alone.

    python benchmarks/stacking.py            # on one thread; some minutes

Ratios of the 20 % quantiles of interleaved repetitions of two epochs, draws and optimiser included.
Seconds are those of the processor, so that others on the machine weigh little. Work is that of one
pass of a batch, in floating-point operations, which decides in `groups.py` who is stacked.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vicinal.maths.losses import categorical
from vicinal.mixing.mixup import Mixup
from vicinal.models.reference import cnn, mlp
from vicinal.study.options import Recipe
from vicinal.study.training.loop import Member, train


def wide(shape, classes: int) -> nn.Module:
    """A hidden layer of which no core holds several."""
    inputs = math.prod(shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 512), nn.ReLU(), nn.Linear(512, classes))


def norm(shape, classes: int) -> nn.Module:
    """Convolutions with BatchNorm and pooling."""
    channels, height, width = shape
    return nn.Sequential(
        *(nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), classes),
    )


CASES = {
    "mlp, digits 8×8": (mlp, (1, 8, 8)),
    "cnn, digits 8×8": (cnn, (1, 8, 8)),
    "mlp, 28×28": (mlp, (1, 28, 28)),
    "cnn, 12×12": (cnn, (1, 12, 12)),
    "wide, 28×28": (wide, (1, 28, 28)),
    "cnn, 16×16": (cnn, (1, 16, 16)),
    "cnn, 20×20": (cnn, (1, 20, 20)),
    "norm, 28×28": (norm, (1, 28, 28)),
    "cnn, 28×28": (cnn, (1, 28, 28)),
}
EXAMPLES, CLASSES, BATCH = 512, 10, 64


def member(build, shape, seed: int) -> Member:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(EXAMPLES, *shape, generator=g)
    y = torch.randint(CLASSES, (EXAMPLES,), generator=g)
    torch.manual_seed(seed)
    model: nn.Module = build(shape, CLASSES)
    return Member(str(seed), model, Mixup(1.0), x, y, seed, lambda epoch: {})


def seconds(members, folder: Path) -> float:
    started = time.process_time()
    train(
        members,
        categorical,
        Recipe(epochs=2, batch_size=BATCH, learning_rate=0.01, weight_decay=0.01),
        checkpoint=folder / "checkpoint",
        progress=lambda: None,
        every=math.inf,
    )
    taken = time.process_time() - started
    (folder / "checkpoint").unlink()
    return taken


def work(build, shape) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        build(shape, CLASSES).eval()(torch.zeros(BATCH, *shape))
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--repetitions", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("model              work    members  ms/step alone  ms/step together  ratio")
    with tempfile.TemporaryDirectory() as name:
        for case, (build, shape) in CASES.items():
            for count in options.members:
                alone, together = [], []
                for _ in range(options.repetitions):
                    group = [member(build, shape, k) for k in range(count)]
                    together.append(seconds(group, Path(name)))
                    alone.append(seconds(group[:1], Path(name)))
                a, b = np.quantile(alone, 0.2), np.quantile(together, 0.2)
                steps = 2 * EXAMPLES / BATCH
                print(
                    f"{case:18} {work(build, shape):.1e} {count:7} {1e3 * a / steps:14.2f} "
                    f"{1e3 * b / steps:17.2f} {b / count / a:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
