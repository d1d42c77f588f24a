"""Whether a GPU computes what the CPU does: run it where there is one, and read the table.

    python benchmarks/device.py                  # on cuda; --device cpu compares the CPU to itself
    python benchmarks/device.py --device cuda:1

Draws must be equal to the last bit; what is computed from them to a tolerance, because a GPU adds
up in another order. Ends with status 1 if anything differs by more. Ratios are of the least of
interleaved repetitions.
"""

import argparse
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vicinal.machine.devices import checked, honest, told
from vicinal.machine.typed import build as build_options
from vicinal.maths.losses import categorical
from vicinal.mixing.mixup import Mixup
from vicinal.models.reference import cnn, mlp
from vicinal.study.configuration import Objects
from vicinal.study.execute import execute
from vicinal.study.options import Recipe, Study
from vicinal.study.plan import plan
from vicinal.study.training.loop import Member, train

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from on_devices import CASES, images, rng
from strategies import STRATEGIES

TOLERANCE = 1e-4  # of a number relative to its size, or to 1
SEEDS, EXAMPLES = 8, 512
Row = tuple[str, str, bool]
"""What was tried, what came of it, and whether it is as it should be."""


def numbers(value: object) -> Iterator[float]:
    """All numbers of a result; of texts and seconds, none."""
    if isinstance(value, Tensor):
        yield from value.detach().double().cpu().flatten().tolist()
    elif isinstance(value, np.ndarray):
        yield from value.astype(float).ravel().tolist()
    elif is_dataclass(value):
        for field in fields(value):
            if field.name != "seconds":
                yield from numbers(getattr(value, field.name))
    elif isinstance(value, dict):
        for key, part in value.items():
            if key != "seconds":
                yield from numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, bool | int | float):
        yield float(value)


def apart(found: object, expected: object) -> float:
    """The largest difference of two results; infinite where they are of different lengths."""
    a, b = (np.array(list(numbers(value))) for value in (found, expected))
    if a.shape != b.shape or not (np.isfinite(a) == np.isfinite(b)).all():
        return math.inf
    a, b = a[np.isfinite(b)], b[np.isfinite(b)]
    return float((np.abs(a - b) / np.maximum(1, np.abs(b))).max(initial=0.0))


def draws(device: torch.device) -> Iterator[Row]:
    """Every strategy: what it draws, to the last bit."""
    here, there = images(torch.device("cpu")), images(device)
    differing = []
    for name, strategy in STRATEGIES.items():
        one, other = (strategy(x, y, rng()) for _, x, y in (here, there))
        if apart(other, one) > 0:
            differing.append(name)
    yield (f"draws of {len(STRATEGIES)} strategies", "differ: " * bool(differing)
           + (", ".join(differing) or "equal"), not differing)  # fmt: skip


def library(device: torch.device) -> Iterator[Row]:
    """What the library computes, in the cases of the tests."""
    for name, case in CASES.items():
        try:
            difference = apart(case(device), case(torch.device("cpu")))
        except Exception as error:  # the table goes on
            yield name, f"{type(error).__name__}: {error}".split("\n")[0][:120], False
        else:
            yield name, f"{difference:.1e}", difference <= TOLERANCE


def arithmetic(device: torch.device) -> Iterator[Row]:
    """Float32 has its 24 bits: factors rounded to 10 bits would be off by about 1e-3."""
    g = torch.Generator().manual_seed(0)
    a, k = torch.rand(512, 512, generator=g), torch.rand(32, 64, 3, 3, generator=g)
    x = torch.rand(4, 64, 32, 32, generator=g)
    a, k, x = (value.to(device) for value in (a, k, x))
    wide = a.double() @ a.double(), nn.functional.conv2d(x.double(), k.double())
    for name, found, exact in zip(
        ("products of matrices", "convolutions"), (a @ a, nn.functional.conv2d(x, k)), wide,
        strict=True,
    ):  # fmt: skip
        error = float(((found - exact) / exact).abs().max())
        yield f"float32, {name}", f"{error:.1e} of float64", error < 1e-5


def studies(device: torch.device) -> Iterator[Row]:
    """A study of everything that is fast, on both: losses after the first epoch and in the end."""
    found = {}
    for where in ("cpu", str(device)):
        with tempfile.TemporaryDirectory() as folder:
            asked = build_options(
                Study,
                {"model": "mlp", "seeds": 2, "epochs": 3, "train_size": 400, "batch_size": 50,
                 "explain_every": 3, "device": where},
            )  # fmt: skip
            methods = {"erm": None, "mixup(alpha=1)": Mixup(1.0)}
            planned = plan(asked, Objects(methods), Path(folder))
            records = execute(planned, advance=lambda units: None, say=lambda sentence: None)
        found[where] = records
        failed = [run["failure"]["reason"] for run in records if run["status"] == "failed"]
        if failed:
            yield f"study on {where}", failed[0][:120], False
            return
    here, there = found["cpu"], found[str(device)]
    for name, of in {
        "study, first epoch": lambda run: run["history"][0],
        "study, last epoch": lambda run: run["history"][-1],
        "study, terms": lambda run: run["measured"]["explanation"],
    }.items():
        difference = apart([of(run) for run in there], [of(run) for run in here])
        yield name, f"{difference:.1e}", difference <= 100 * TOLERANCE  # training amplifies
    accuracy = [run["measured"]["accuracy"]["test"] for run in (*here, *there)]
    yield "study, accuracies", " ".join(f"{a:.3f}" for a in accuracy), True


def member(device: torch.device, build: Callable[..., nn.Module], seed: int) -> Member:
    g = torch.Generator().manual_seed(seed)
    x, y = torch.rand(EXAMPLES, 1, 28, 28, generator=g), torch.arange(EXAMPLES) % 10
    torch.manual_seed(seed)
    model = build((1, 28, 28), 10).to(device)
    return Member(str(seed), model, Mixup(1.0), x.to(device), y.to(device), seed, lambda e: {})


def trained(members: list[Member], **options: object) -> tuple[float, list[float]]:
    """Seconds of two epochs, and the last objective of each member."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = replace(Recipe(epochs=2), **options)
        started = time.perf_counter()
        found = train(
            members, categorical, recipe, checkpoint=Path(folder) / "c",
            progress=lambda: None, every=math.inf,
        )  # fmt: skip
        return time.perf_counter() - started, [one.history[-1]["objective"] for one in found]


def training(device: torch.device) -> Iterator[Row]:
    """Twice the same numbers; a stack beside its members alone; passes in bfloat16."""
    for name, build in (("mlp", mlp), ("cnn", cnn)):
        together, alone, narrow = [], [], []
        for _ in range(3):
            stack = trained([member(device, build, k) for k in range(SEEDS)])
            each = [trained([member(device, build, k)]) for k in range(SEEDS)]
            half = trained([member(device, build, 0)], precision="bfloat16")
            together.append(stack[0])
            alone.append(sum(seconds for seconds, _ in each))
            narrow.append(half[0] / each[0][0])
        again = trained([member(device, build, 0)])
        yield (
            f"{name} trained twice",
            "equal" if again[1] == each[0][1] else "differs",
            (again[1] == each[0][1]),
        )
        difference = apart(stack[1], [objective for _, (objective,) in each])
        yield f"{name}, {SEEDS} in a stack", f"{difference:.1e}", difference <= 100 * TOLERANCE
        yield f"{name}, seconds in a stack / alone", f"{min(together) / min(alone):.2f}", True
        off = apart(half[1], each[0][1])
        yield f"{name} in bfloat16", f"{off:.1e}", off < 0.05
        yield f"{name}, seconds bfloat16 / float32", f"{min(narrow):.2f}", True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    device = checked(parser.parse_args().device)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    print(f"{told(device)}, torch {torch.__version__}")
    wrong, started = 0, time.perf_counter()
    with honest(device):
        for part in (draws, arithmetic, library, studies, training):
            for name, result, right in part(device):
                print(f"{'' if right else 'NOT '}ok".rjust(6), name.ljust(34), result, flush=True)
                wrong += not right
    print(f"{wrong} wrong, {time.perf_counter() - started:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
