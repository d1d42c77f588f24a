"""Runs trained together against one after another: time of a stack over that of its members alone.

    python benchmarks/stacking.py            # on one thread; about two minutes

Ratios of the 20 % quantiles of interleaved repetitions of two epochs, draws and optimiser included.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vicinal.losses import categorical
from vicinal.mixing.mixup import Mixup
from vicinal.models import cnn, mlp
from vicinal.training import Member, Schedule, train

CASES = {
    "mlp, digits 8×8": (mlp, (1, 8, 8)),
    "cnn, digits 8×8": (cnn, (1, 8, 8)),
    "mlp, 28×28": (mlp, (1, 28, 28)),
    "cnn, 28×28": (cnn, (1, 28, 28)),
}
EXAMPLES, CLASSES = 512, 10


def member(build, shape, seed: int) -> Member:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(EXAMPLES, *shape, generator=g)
    y = torch.randint(CLASSES, (EXAMPLES,), generator=g)
    torch.manual_seed(seed)
    model: nn.Module = build(shape, CLASSES)
    return Member(str(seed), model, Mixup(1.0), x, y, seed, lambda epoch: {})


def seconds(members, folder: Path) -> float:
    started = time.perf_counter()
    train(
        members,
        categorical,
        Schedule(epochs=2, batch_size=64, learning_rate=0.01, weight_decay=0.01),
        checkpoint=folder / "checkpoint",
        progress=lambda: None,
        every=math.inf,
    )
    (folder / "checkpoint").unlink()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--repetitions", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("model              members  ms/step alone  ms/step together  ratio")
    with tempfile.TemporaryDirectory() as name:
        for case, (build, shape) in CASES.items():
            for count in options.members:
                alone, together = [], []
                for _ in range(options.repetitions):
                    group = [member(build, shape, k) for k in range(count)]
                    together.append(seconds(group, Path(name)))
                    alone.append(seconds(group[:1], Path(name)))
                a, b = np.quantile(alone, 0.2), np.quantile(together, 0.2)
                steps = 2 * EXAMPLES / 64
                print(
                    f"{case:18} {count:7} {1e3 * a / steps:14.2f} {1e3 * b / steps:17.2f} "
                    f"{b / count / a:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
