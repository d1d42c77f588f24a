"""Which runs of a study are trained together: found out by trying, and from the plan alone."""

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vicinal.data import Split
from vicinal.machine.devices import forked
from vicinal.maths.randomness import draw_generator
from vicinal.mixing.choice import During
from vicinal.mixing.draw import AnyDraw, Draw
from vicinal.models.named import build_model
from vicinal.study.configuration import Objects, Run, split_of
from vicinal.study.run import Say
from vicinal.study.training.stack import Unlike, joined, objectives, stacked

AGREE = 1e-9  # of what is found together and alone in float64, relative to the largest
PAYS = 5e7
"""Floating-point operations of one pass of a batch, above which training together gains little.

On one core of a quiet machine 8 stacked models took 0.3 of the time of one after another at 1e6,
0.45 at 7e6, 0.7 at 1.5e7, 0.9 at 3e7 and 0.95 to 1.4 above 5e7 operations; where others kept the
machine busy, 0.3, 0.4, 0.5, 0.6 and 0.7 to 1.2 (`benchmarks/stacking.py`). Runs one by one can
share the cores among them.
"""


class Apart(Exception):
    """Why a method cannot be trained together with others."""


def groups(
    runs: Sequence[Run], objects: Objects, limit: int, say: Say
) -> tuple[tuple[Run, ...], ...]:
    """Split the runs of a study into groups that are trained together.

    A method takes part if two models trained side by side have the losses, gradients and buffers
    that they have alone, for a first batch in float64. Methods whose draws are one weight or mask
    for each example are trained together, others with their own seeds. Who is in which group
    follows from the plan alone, not from what is stored, so one command always gives the same
    numbers. Models for which a batch is more work than PAYS are trained run by run.

    Args:
        runs: of one study; they differ in method and seed.
        objects: what names stand for.
        limit: most runs in a group; 1 trains all one after another.
        say: told which methods are trained together, and why others run by run.

    Returns:
        The groups, in the order of their first runs.
    """
    first = runs[0]
    if limit == 1 or len(runs) == 1:
        return tuple((run,) for run in runs)
    split = split_of(first, objects)
    if not (work := _work(first, objects, split)) <= PAYS:
        say(
            f"All runs are trained one by one: a batch takes the model {work:.1e} floating-point "
            f"operations, and above {PAYS:.0e} training several together gains little."
        )
        return tuple((run,) for run in runs)
    kinds: dict[str, str] = {}
    apart: dict[str, list[str]] = {}
    for method in {run.method: None for run in runs}:
        try:
            plain = try_together(first, objects, method, split)
            kinds[method] = "" if plain else method
        except Apart as reason:
            apart.setdefault(str(reason), []).append(method)
    for why, methods in apart.items():
        say(f"{', '.join(methods)}: trained run by run, because {why}.")
    chosen: dict[str, list[Run]] = {}
    for run in runs:
        kind = kinds.get(run.method, run.name)  # a kind of its own for those apart
        chosen.setdefault(kind, []).append(run)
    parts = [part for of_kind in chosen.values() for part in _parts(of_kind, limit)]
    joint = {run.method: None for part in parts if len(part) > 1 for run in part}
    if joint:
        most = max(map(len, parts))
        say(f"{', '.join(joint)}: trained together, up to {most} runs as one stack of models.")
    return tuple(sorted(parts, key=lambda part: runs.index(part[0])))


def _parts(runs: Sequence[Run], limit: int) -> list[tuple[Run, ...]]:
    """As few parts as the limit allows, of nearly equal size."""
    size = math.ceil(len(runs) / math.ceil(len(runs) / limit))
    return [tuple(runs[k : k + size]) for k in range(0, len(runs), size)]


def _work(run: Run, objects: Objects, split: Split) -> float:
    """Floating-point operations of one pass of a batch, or of a part of it."""
    x = split.train.x[: run.recipe.batch_size // run.parts]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        build_model(run.model, split, run.seed, objects.model).eval()(x)
    return float(counter.get_total_flops())


def try_together(run: Run, objects: Objects, method: str, split: Split) -> bool:
    """Whether a method draws plainly, one weight or mask for each example.

    Raises:
        Apart: if its models cannot be trained together, with the reason.
    """
    strategy = objects.strategies[method]
    mixing = strategy.strategy if isinstance(strategy, During) else strategy
    rows = min(run.recipe.batch_size // run.parts, len(split.train) // 2)
    starts = (0, rows)
    xs = [split.train.x[start : start + rows].double() for start in starts]
    ys = [split.train.y[start : start + rows] for start in starts]
    ys = [y.double() if y.is_floating_point() else y for y in ys]
    draws: list[AnyDraw] = [
        None if mixing is None else mixing(x, y, draw_generator(k, epoch=0, step=0))
        for k, (x, y) in enumerate(zip(xs, ys, strict=True))
    ]
    try:
        joined(draws, xs)
    except Unlike as reason:
        raise Apart(f"its draws differ ({reason})") from reason
    try:
        with warnings.catch_warnings():
            # what torch runs one by one is no faster, and it says so
            warnings.filterwarnings("error", message=".*performance drop.*")
            together = _step(run, objects, split, xs, ys, draws, range(2))
        alone = [_step(run, objects, split, xs, ys, draws, range(k, k + 1)) for k in range(2)]
    except Exception as error:  # someone's model and torch may raise anything
        first = str(error).split("\n")[0].split(". ")[0]
        raise Apart(f"torch cannot: {type(error).__name__}: {first[:100]}") from error
    for found, expected in zip(together, zip(*alone, strict=True), strict=True):
        difference = (found - torch.cat(expected)).abs().max()
        if not difference <= AGREE * max(1e-3, float(found.abs().max())):
            raise Apart("examples of one batch act on one another")
    return all(d is None or (isinstance(d, Draw) and d.place is None) for d in draws)


def _step(
    run: Run,
    objects: Objects,
    split: Split,
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    draws: Sequence[AnyDraw],
    members: range,
) -> list[Tensor]:
    """Losses, gradients and buffers of some members, for one batch."""
    models = [
        build_model(run.model, split, run.seed + k, objects.model).double().train() for k in members
    ]
    state = stacked(models)
    own = slice(members.start, members.stop)
    with forked():
        losses = objectives(models[0], state, xs[own], ys[own], draws[own], split.family)
        losses.sum().backward()  # type: ignore[no-untyped-call]
    values = [v if v.grad is None else v.grad for v in state.values()]
    return [losses.detach(), *(value.detach().double() for value in values)]
