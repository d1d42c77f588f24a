"""What explaining costs, in forward passes of the same batch: python benchmarks/explain.py."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.func import jvp

import vicinal as vc
from vicinal.derivatives.choice import BACKWARD, DIFFERENCES, FORWARD
from vicinal.derivatives.second_order import engine_of

REPEATS = 15


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


def seconds(*calls: Callable[[], object]) -> list[float]:
    """Shortest time of each, in turns, so that a busy moment does not fall on one alone."""
    times: list[list[float]] = [[] for _ in calls]
    for repeat in range(REPEATS + 1):
        for call, found in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if repeat:
                found.append(time.perf_counter() - start)
    return [min(found) for found in times]


def nested(model: nn.Module, x: torch.Tensor, v: torch.Tensor) -> object:
    """The second derivative by forward mode within forward mode."""
    return jvp(lambda z: jvp(model, (z,), (v,)), (x,), (v,))


def by_engine(model: nn.Module, x: torch.Tensor, y: torch.Tensor, v: torch.Tensor, name: str):
    engine = engine_of(model, vc.categorical)
    engine.candidates[:] = [name]
    return engine(x, y, v[None])


def engines() -> None:
    print("All four terms along given partners, in forward passes of the same batch")
    print(f"{'model':22}{'terms':>8}{'backward':>10}{'differences':>13}{'nested jvp':>12}   bar")
    compared("MLP, GELU", mlp(nn.GELU), (512, 784), 5)
    compared("MLP, SiLU", mlp(nn.SiLU), (512, 784), 5)
    compared("CNN, GELU", cnn(nn.GELU), (128, 3, 32, 32), 8)
    compared("CNN, SiLU", cnn(nn.SiLU), (128, 3, 32, 32), 8)
    compared("CNN, ReLU", cnn(nn.ReLU), (128, 3, 32, 32), 4)


def compared(name: str, model: nn.Module, shape: tuple[int, ...], bar: int) -> None:
    model = model.eval().requires_grad_(False)
    x, y = torch.randn(shape), torch.randint(10, shape[:1])
    partner = torch.randperm(len(x))
    v = x[partner] - x
    calls = [
        lambda: model(x),
        lambda: vc.taylor_terms(model, x, y, partner, 1 / 6),
        lambda: by_engine(model, x, y, v, BACKWARD),
        lambda: by_engine(model, x, y, v, DIFFERENCES),
    ]
    if "SiLU" not in name:
        calls.append(lambda: nested(model, x, v))
    with torch.no_grad():
        forward, *rest = seconds(*calls)
        engine = engine_of(model, vc.categorical)
        engine(x[:2], y[:2], v[None, :2])
    assert engine.report == FORWARD
    ratios = [f"{t / forward:.1f}" for t in rest] + ["fails"] * (5 - len(calls))
    print("{:22}{:>8}{:>10}{:>13}{:>12}   <= {}".format(name, *ratios, bar))


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


def exact_terms() -> None:
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
    (fast,) = seconds(lambda: vc.expand(model, x, y, vc.Uniform(), vc.categorical))
    print(
        f"\nExact R1 to R3, digits ({len(x)} examples), MLP: {slow / fast:.0f} times faster than "
        f"dense Hessians ({fast:.2f} s against {slow:.0f} s)   bar >= 20"
    )


def linear_risk() -> None:
    for n, compare in ((4000, True), (10_000, False)):
        rng = np.random.default_rng(0)
        x = torch.from_numpy(rng.normal(size=(n, 784))).float()
        y = torch.from_numpy(rng.integers(10, size=n))
        model = nn.Linear(784, 10).requires_grad_(False)
        start = time.perf_counter()
        risk = vc.vicinal_risk(model, x, y, vc.Uniform(), vc.categorical)
        fast = time.perf_counter() - start
        print(
            f"\nExact risk of a linear model, n = {n}, d = 784, K = 10, "
            f"{risk.nodes} nodes: {fast:.1f} s"
        )
        if compare:
            i, j = torch.from_numpy(rng.integers(n, size=(2, 100_000)))
            start = time.perf_counter()
            for part in range(0, 100_000, 1024):
                rows = slice(part, part + 1024)
                vc.categorical(model(torch.lerp(x[j[rows]], x[i[rows]], 0.3)), y[i[rows]])
            each = (time.perf_counter() - start) / 100_000
            slow = each * n * (n - 1) / 2 * risk.nodes
            print(f"  {slow / fast:.0f} times faster than forward passes over pairs   bar >= 50")


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(2)
    engines()
    exact_terms()
    linear_risk()
