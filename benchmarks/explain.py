"""What explaining costs: python benchmarks/explain.py [terms exact linear sampled stream].

Times are a low quantile of many short repetitions, all contenders in turns, so that a busy
machine slows them alike; ratios are what counts. OMP_NUM_THREADS sets the threads of torch.
"""

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.func import jvp

import vicinal as vc
from vicinal.explanation.derivatives.choice import BACKWARD, DIFFERENCES, FORWARD
from vicinal.explanation.derivatives.second_order import engine_of, passes
from vicinal.explanation.pairs.every import pair_losses

REPEATS, QUANTILE = 30, 0.2


def cnn(activation: type[nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), activation(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2), activation(),
        nn.Conv2d(64, 64, 3, padding=1), activation(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def mlp(activation: type[nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 512), activation(), nn.Linear(512, 512), activation(), nn.Linear(512, 10)
    )


def seconds(*calls: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """A low quantile of the times of each, in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 1):
        for call, found in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if repeat:
                found.append(time.perf_counter() - start)
    return [float(np.quantile(found, QUANTILE)) for found in times]


def peak(call: Callable[[], object]) -> float:
    """The largest memory, in MB, of a process that does this and nothing else, beyond its start."""

    def measured(queue: "multiprocessing.Queue[float]") -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        queue.put((after - before) / 1024)

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=measured, args=(queue,))
    child.start()
    found = queue.get()
    child.join()
    return found


def nested(model: nn.Module, x: torch.Tensor, v: torch.Tensor) -> object:
    """The second derivative by forward mode within forward mode."""
    return jvp(lambda z: jvp(model, (z,), (v,)), (x,), (v,))


def by_engine(model: nn.Module, x: torch.Tensor, y: torch.Tensor, v: torch.Tensor, name: str):
    engine = engine_of(model, vc.categorical)
    engine.candidates[:] = [name]
    return engine(x, y, v[None])


def terms() -> None:
    print(f"All four terms along given partners, in forward passes of the same batch; {threads()}")
    print(f"{'model':12}{'terms':>7}{'backward':>10}{'differences':>13}{'nested jvp':>12}", end="")
    print(f"{'forward in passes':>19}   bar")
    compared("MLP, GELU", mlp(nn.GELU), (512, 784), 5)
    compared("MLP, SiLU", mlp(nn.SiLU), (512, 784), 5)
    compared("CNN, GELU", cnn(nn.GELU), (128, 3, 32, 32), 8)
    compared("CNN, SiLU", cnn(nn.SiLU), (128, 3, 32, 32), 8)
    compared("CNN, ReLU", cnn(nn.ReLU), (128, 3, 32, 32), 4)


def threads() -> str:
    return f"{torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() > 1)


def compared(name: str, model: nn.Module, shape: tuple[int, ...], bar: int) -> None:
    model = model.eval().requires_grad_(False)
    x, y = torch.randn(shape), torch.randint(10, shape[:1])
    partner = torch.randperm(len(x))
    v = x[partner] - x
    slow = [
        lambda: by_engine(model, x, y, v, BACKWARD),
        lambda: by_engine(model, x, y, v, DIFFERENCES),
    ]
    if "SiLU" not in name:
        slow.append(lambda: nested(model, x, v))
    with torch.no_grad():
        forward, all_terms, in_passes = seconds(
            lambda: model(x),
            lambda: vc.taylor_terms(model, x, y, partner, 1 / 6),
            lambda: [model(x[rows]) for rows in passes(x, 1)],
        )
        again, *rest = seconds(lambda: model(x), *slow, repeats=5)
        engine = engine_of(model, vc.categorical)
        engine(x[:2], y[:2], v[None, :2])
    assert engine.report == FORWARD
    others = [f"{t / again:.1f}" for t in rest] + ["fails"] * (3 - len(slow))
    cells = (f"{all_terms / forward:.1f}", *others, f"{in_passes / forward:.2f}")
    print("{:12}{:>7}{:>10}{:>13}{:>12}{:>19}   <= {}".format(name, *cells, bar), flush=True)


def hessians(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """R1 + R2 + R3 from the dense gradient and Hessian of each example's loss."""
    centre = x.mean(0)
    covariance = (x - centre).T @ (x - centre) / len(x)
    total = 0.0
    for z, label in zip(x, y, strict=True):
        loss = lambda z, label=label: vc.categorical(model(z[None]), label[None])[0]  # noqa: E731
        slope = torch.autograd.functional.jacobian(loss, z)
        hessian = torch.autograd.functional.hessian(loss, z)
        to_centre = centre - z
        c = covariance + torch.outer(to_centre, to_centre)
        total += float(slope @ to_centre / 3 + (hessian * c).sum() / 12)
    return total / len(x)


def exact() -> None:
    from vicinal.data import load

    part = load("digits", 0).train
    x, y = part.x.flatten(1).double(), part.y
    model = nn.Sequential(
        nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10)
    )
    model = model.double().requires_grad_(False)
    start = time.perf_counter()
    dense = hessians(model, x[:100], y[:100])
    slow = (time.perf_counter() - start) * len(x) / 100
    found = vc.expand(model, x[:100], y[:100], vc.Uniform(), vc.categorical)
    assert abs(found.total - found.loss - dense) < 1e-9
    (fast,) = seconds(lambda: vc.expand(model, x, y, vc.Uniform(), vc.categorical), repeats=9)
    print(
        f"\nExact R1 to R3, digits ({len(x)} examples), MLP: {slow / fast:.0f} times faster than "
        f"dense Hessians ({fast:.2f} s against {slow:.0f} s)   bar >= 20"
    )


def linear() -> None:
    for n in (4000, 10_000):
        rng = np.random.default_rng(0)
        x = torch.from_numpy(rng.normal(size=(n, 784))).float()
        y = torch.from_numpy(rng.integers(10, size=n))
        model = nn.Linear(784, 10).requires_grad_(False)
        call = partial(vc.vicinal_risk, model, x, y, vc.Uniform(), vc.categorical)
        start = time.perf_counter()
        risk = call()
        fast = time.perf_counter() - start
        held = x.nbytes / 2**20
        print(
            f"\nExact risk of a linear model, n = {n}, d = 784, K = 10, {risk.nodes} nodes: "
            f"{fast:.1f} s; {peak(call):.0f} MB beside {held:.0f} MB of data   bar 2048 MB"
        )
        if n == 4000:
            i, j = torch.from_numpy(rng.integers(n, size=(2, 100_000)))
            start = time.perf_counter()
            for part in range(0, 100_000, 1024):
                rows = slice(part, part + 1024)
                vc.categorical(model(torch.lerp(x[j[rows]], x[i[rows]], 0.3)), y[i[rows]])
            each = (time.perf_counter() - start) / 100_000
            slow = each * n * (n - 1) / 2 * risk.nodes
            print(f"  {slow / fast:.0f} times faster than forward passes over pairs   bar >= 50")


def sampled() -> None:
    """How much of the variance the expansion explains as a control variate, at equal cost."""
    from vicinal.data import load

    part = load("digits", 0).train
    x, y = part.x.flatten(1).double(), part.y
    model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10)).double()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    print("\nVariance of 50,000 mixed examples drawn at random over that of vicinal_risk, digits")
    done = 0
    for steps in (0, 10, 20, 40, 100):
        for _ in range(steps - done):
            optimiser.zero_grad()
            draw = vc.Mixup(1.0)(x, y, rng)
            vc.vicinal_losses(model, x, y, draw, vc.categorical).mean().backward()
            optimiser.step()
        done = steps
        risk = vc.vicinal_risk(model, x, y, vc.Beta(1), vc.categorical, pairs=50_000, rng=rng)
        i, j = torch.from_numpy(rng.integers(len(x), size=(2, 50_000)))
        lam = torch.from_numpy(rng.random(50_000))
        with torch.no_grad():
            alone = pair_losses(model, x, y, vc.categorical, i, j, lam)
        ratio = (float(alone.std()) / 50_000**0.5 / risk.standard_error) ** 2
        print(f"  {steps:4} steps of training with mixup: {ratio:6.1f}  ({risk.method})")


class Endless:
    """Batches made on the way, so that only what is kept takes memory."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for k in range(self.n // 256):
            rng = torch.Generator().manual_seed(k)
            yield (
                torch.randn(256, 784, generator=rng),
                torch.randint(10, (256,), generator=rng),
            )


def stream() -> None:
    model = mlp(nn.GELU).eval().requires_grad_(False)
    print("\nMemory of a pass over a stream of batches of 256 x 784, beyond the start, in MB")
    for name, call in (("expand_stream", vc.expand_stream), ("risk_stream", vc.risk_stream)):
        found = [
            peak(lambda call=call, n=n: call(model, Endless(n), vc.Beta(1), vc.categorical))
            for n in (5_120, 20_480, 81_920)
        ]
        print(f"  {name:14} n = 5,120: {found[0]:.0f}  20,480: {found[1]:.0f}  ", end="")
        print(f"81,920: {found[2]:.0f}", flush=True)


PARTS = {f.__name__: f for f in (terms, exact, linear, sampled, stream)}

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
