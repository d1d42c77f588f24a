"""Peak memory of measuring a convolutional model on 10,000 images of 32×32, and how long it takes.

Prints the most memory that the process held before and after each measurement, in MB. The
activations of the model are as wide as those of a ResNet's first stage, its products are few.
"""

import resource
import time

import numpy as np
import torch
from torch import nn

from vicinal.data.raw import checked
from vicinal.data.split import split
from vicinal.models.forward import unchanged
from vicinal.robustness import accuracy_curve
from vicinal.study.measures import evaluation

EXAMPLES = 10_000


def peak():
    """Most memory held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def network():
    """Three layers of 64 × 32 × 32 activations: 786 KB an example each, with what follows them."""
    layers = [nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
    layers += [nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.BatchNorm2d(64), nn.ReLU()]
    layers += [nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def outputs(model, part):
    """The logits of a part."""
    with torch.no_grad(), unchanged(model) as f:
        return f(part.x)


def fgsm(model, x):
    """FGSM where every example is right at first, so that all are attacked."""
    with torch.no_grad(), unchanged(model) as f:
        labels = f(x).argmax(1)
    return accuracy_curve(model, x, labels, [0.1], attack="fgsm")


def main():
    """Measure, and print."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.random((EXAMPLES, 3, 32, 32), dtype=np.float32)
    y = rng.integers(10, size=EXAMPLES)
    found = split(checked("random images", x, y, bounds=(0.0, 1.0)), "random images", 0)
    model, train, test = network(), found.train, found.test
    what = {
        "outputs for all training examples": lambda: outputs(model, train),
        "evaluation after an epoch": lambda: evaluation(model, found, 0, 0)(1),
        "FGSM at one size": lambda: fgsm(model, test.x),
    }
    print(f"{peak():,.0f} MB with the data ({2 * x.nbytes / 2**20:,.0f} MB in two copies)")
    for name, measure in what.items():
        before, begun = peak(), time.perf_counter()
        measure()
        seconds = time.perf_counter() - begun
        print(f"{name}: {before:,.0f} to {peak():,.0f} MB, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
