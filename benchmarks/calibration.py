"""What calibration costs: python benchmarks/calibration.py.

The bar is the shortest float64 code that gives the ECE, softmax, maximum and three bincounts.
"""

import resource
import time
from collections.abc import Callable

import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from vicinal.calibration import (
    CalibrationSums,
    ClasswiseSums,
    SmoothSums,
    calibration,
    classwise,
    smooth_ece,
)

BINS, REPEATS = 15, 7


def by_bincount(logits: torch.Tensor, y: torch.Tensor) -> float:
    confidence, predicted = logits.double().softmax(-1).max(-1)
    right = (predicted == y).double()
    index = (confidence * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
    torch.bincount(index, minlength=BINS)
    sums, hits = (torch.bincount(index, v, minlength=BINS) for v in (confidence, right))
    return float((sums - hits).abs().sum() / len(y))


def seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def streams() -> None:
    """2·10⁷ rows in constant memory: the same rows again and again, whose error is known."""
    small = 3 * torch.randn(10_000, 10), torch.randint(10, (10_000,))
    mass = CalibrationSums(BINS, equal="mass")
    for name, sums, value, once in (
        ("equal width", CalibrationSums(BINS), lambda s: s.result().ece, calibration(*small).ece),
        ("equal mass", mass, lambda s: s.result().ece, calibration(*small, equal="mass").ece),
        ("classwise", ClasswiseSums(BINS), lambda s: s.result().ece, classwise(*small).ece),
        ("smooth", SmoothSums(), lambda s: s.result(), smooth_ece(*small)),
    ):
        sums.add(*small)
        before, start = peak(), time.perf_counter()
        for _ in range(2000):
            sums.add(*small)
        spent, more = time.perf_counter() - start, peak() - before
        print(f"2·10⁷ rows streamed, {name:12} {spent:6.1f} s, {more:.1f} MB more memory, ECE "
              f"{value(sums):.6f}, off by {abs(value(sums) - once):.1e}")  # fmt: skip


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    streams()  # before anything large is in memory
    for dtype in (torch.float32, torch.float64):
        z, y = torch.randn(1_000_000, 10, dtype=dtype), torch.randint(10, (1_000_000,))
        assert abs(calibration(z, y).ece - by_bincount(z, y)) < 1e-12
        floor = seconds(lambda z=z, y=y: by_bincount(z, y))
        print(f"\n10⁶×10 logits, {dtype}; bincount {1000 * floor:.0f} ms   bar <= 1.1")
        for name, call in (
            ("calibration", lambda z=z, y=y: calibration(z, y)),
            ("classwise", lambda z=z, y=y: classwise(z, y)),
            ("smooth_ece", lambda z=z, y=y: smooth_ece(z, y)),
            ("torchmetrics", lambda z=z, y=y: multiclass_calibration_error(z, y, 10)),
        ):
            print(f"  {name:14}{seconds(call) / floor:6.2f}")
