"""One law test for every strategy: hypothesis chooses sizes, dtypes, layouts and seeds."""

import os
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import mixing as slow
from strategies import STRATEGIES, mixture, net
from vicinal.maths.losses import categorical
from vicinal.mixing.apply import mix
from vicinal.mixing.draw import Blend, Draw
from vicinal.mixing.fmix import FMix
from vicinal.mixing.gridmix import GridMix
from vicinal.mixing.labels import mixed_loss, soft_targets, vicinal_losses
from vicinal.mixing.puzzle import PuzzleMix
from vicinal.mixing.saliency import SaliencyMix

Batch = namedtuple("Batch", "n height width dtype layout seed")
each_strategy = pytest.mark.parametrize("name", STRATEGIES)
LAYOUTS = [torch.contiguous_format, torch.channels_last]
batches = st.builds(
    Batch,
    n=st.integers(1, 7),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    layout=st.sampled_from(LAYOUTS),
    seed=st.integers(0, 2**32),
).filter(lambda batch: batch.height * batch.width > 1)  # what cuts refuses a single pixel


def random_images(batch, channels=3):
    g = torch.Generator().manual_seed(batch.seed % 2**31)
    x = torch.randn(batch.n, channels, batch.height, batch.width, generator=g).to(batch.dtype)
    y = torch.randint(channels, (batch.n,), generator=g)
    return x.contiguous(memory_format=batch.layout), y


def pixels_say_what_the_label_says(strategy, batch):
    """Image k is 1 in channel k only, so each source's share can be read off the pixels."""
    n = batch.n
    x = torch.eye(n, dtype=batch.dtype)[:, :, None, None].expand(n, n, batch.height, batch.width)
    x, y = x.contiguous(memory_format=batch.layout), torch.arange(n)
    draw = mixture(strategy, x, y, batch.seed)
    pixels = mix(x, draw).double().mean((2, 3))
    if type(strategy).__name__ != "Remix":  # whose label is meant to say something else
        labels = soft_targets(y, draw, n).double()
        rounding = max(1e-5, 4 * torch.finfo(batch.dtype).eps)
        torch.testing.assert_close(pixels, labels, rtol=0, atol=rounding)


def labels_sum_to_one_exactly(strategy, batch):
    x, y = random_images(batch)
    labels = soft_targets(y, mixture(strategy, x, y, batch.seed), 3)
    assert labels.dtype == batch.dtype
    assert (labels.sum(1) == 1).all()


def the_callers_tensors_and_their_kind_are_kept(strategy, batch):
    x, y = random_images(batch)
    before, labels = x.clone(), y.clone()
    draw = mixture(strategy, x, y, batch.seed)
    mixed = mix(x, draw)
    assert x.equal(before)
    assert y.equal(labels)
    assert (mixed.shape, mixed.dtype, mixed.device) == (x.shape, x.dtype, x.device)
    assert mixed.is_contiguous(memory_format=batch.layout)
    out = torch.full_like(x, float("nan"))
    assert mix(x, draw, out=out) is out
    assert out.equal(mixed)
    assert mix(x.contiguous(), draw).equal(mixed)


def the_draw_is_in_range(strategy, batch):
    x, y = random_images(batch)
    draw = mixture(strategy, x, y, batch.seed)
    partners = draw.partner if isinstance(draw, Draw) else draw.partners
    shares = draw.share if isinstance(draw, Draw) else draw.shares
    assert partners.dtype == torch.int64
    assert ((partners >= 0) & (partners < batch.n)).all()
    assert ((shares >= 0) & (shares <= 1)).all()
    if isinstance(draw, Draw):
        assert ((draw.keep >= 0) & (draw.keep <= 1)).all()


def one_weight_gives_the_input_back(strategy, batch):
    x, y = random_images(batch)
    draw = mixture(strategy, x, y, batch.seed)
    if isinstance(draw, Blend):
        own = replace(draw, shares=torch.eye(draw.shares.shape[1])[[0]].expand_as(draw.shares))
    else:
        here = replace(draw, place=None, own_place=None)
        own = replace(here, keep=torch.ones_like(draw.keep), share=torch.ones(batch.n))
        assert mix(x, replace(here, keep=torch.zeros_like(draw.keep))).equal(x[draw.partner])
    assert mix(x, own).equal(x)


def one_seed_is_one_draw(strategy, batch):
    x, y = random_images(batch)
    state = torch.random.get_rng_state()
    first, second = (mixture(strategy, x, y, batch.seed) for _ in range(2))
    assert mix(x, first).equal(mix(x, second))
    assert soft_targets(y, first, 3).equal(soft_targets(y, second, 3))
    assert torch.random.get_rng_state().equal(state)


def mixing_is_the_formula_pixel_by_pixel(strategy, batch):
    x, y = random_images(batch, channels=2)
    draw = mixture(strategy, x, y, batch.seed)
    slowly = slow.mix(x, draw) if isinstance(draw, Draw) else slow.blend(x, draw)
    rounding = 8 * torch.finfo(batch.dtype).eps
    torch.testing.assert_close(mix(x, draw).double(), slowly, rtol=0, atol=rounding * 5)


def gradients_are_those_of_a_linear_map(strategy, batch):
    """<c, mix(v)> = <gradient of <c, mix(x)>, v>, for inputs and for hidden features."""
    x, y = random_images(batch._replace(dtype=torch.float64))
    draw = mixture(strategy, x, y, batch.seed)
    shapes = [x.shape]
    if isinstance(draw, Blend) or (draw.keep[0].numel() == 1 and draw.place is None):
        shapes.append((batch.n, 5))
    for shape in shapes:
        c, v, leaf = torch.randn(3, *shape, dtype=torch.float64)
        leaf.requires_grad_()
        hidden = 2 * leaf
        (gradient,) = torch.autograd.grad((c * mix(hidden, draw)).sum(), leaf)
        torch.testing.assert_close((gradient * v).sum(), 2 * (c * mix(v, draw)).sum())


def axes_of_one_pixel_do_not_matter(strategy, batch):
    """A signal is mixed as the image of height 1 or width 1 that holds it."""
    if isinstance(strategy, SaliencyMix | PuzzleMix | FMix | GridMix):
        return  # masks that depend on a model and on what it takes, or are drawn for all axes
    x, y = random_images(batch._replace(height=1, width=max(2, batch.width)))
    x = x.contiguous()
    mixed = mix(x, mixture(strategy, x, y, batch.seed))
    for others in (x[:, :, 0], x[:, :, 0, :, None], x[:, :, :, None], x[:, :, 0, :, None, None]):
        draw = mixture(strategy, others, y, batch.seed)
        assert mix(others, draw).equal(mixed.reshape(others.shape))


LAWS = [
    pixels_say_what_the_label_says,
    labels_sum_to_one_exactly,
    the_callers_tensors_and_their_kind_are_kept,
    the_draw_is_in_range,
    one_weight_gives_the_input_back,
    one_seed_is_one_draw,
    mixing_is_the_formula_pixel_by_pixel,
    gradients_are_those_of_a_linear_map,
    axes_of_one_pixel_do_not_matter,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@each_strategy
@settings(max_examples=12)
@given(batch=batches)
def test_law(law, name, batch):
    law(STRATEGIES[name], batch)


@each_strategy
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=str)
def test_trains_under_autocast_and_replays(name, dtype):
    """A draw is all that is random: applied twice, the same losses; and nothing stays behind."""
    x, y, model = torch.randn(6, 2, 5, 4), torch.arange(6) % 4, net()
    before, labels, state = x.clone(), y.clone(), torch.random.get_rng_state()
    losses = []
    for _ in range(2):
        draw = STRATEGIES[name](x, y, np.random.default_rng(1))
        for moved in (draw, draw.to("cpu")):
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                losses.append(vicinal_losses(model, x, y, moved, categorical))
    assert losses[0].shape == (6,)
    assert all(each.equal(losses[0]) for each in losses)
    losses[0].mean().backward()
    for parameter in model.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()
    assert x.equal(before)
    assert y.equal(labels)
    assert x.grad is None
    assert torch.random.get_rng_state().equal(state)
    assert not any(module._forward_hooks for module in model.modules())


def compile_all():
    """Every draw through `mix` and `mixed_loss` as one graph; one of each kind by inductor too."""
    loss = partial(F.cross_entropy, reduction="none")
    x, y, outputs = torch.randn(6, 3, 4, 4), torch.arange(6) % 3, torch.randn(6, 3)

    def both(x, outputs, y, draws):
        return [(mix(x, draw), mixed_loss(loss, outputs, y, draw)) for draw in draws]

    draws = {name: mixture(strategy, x, y) for name, strategy in STRATEGIES.items()}
    kinds = [draws[name] for name in ("Mixup", "CutMix", "PuzzleMix", "DirichletMixup")]
    for backend, parts in (("eager", list(draws.values())), ("inductor", kinds)):
        compiled = torch.compile(both, fullgraph=True, backend=backend)
        got, expected = compiled(x, outputs, y, parts), both(x, outputs, y, parts)
        torch.testing.assert_close(got, expected)
    into = torch.compile(lambda draw, out: mix(x, draw, out=out), fullgraph=True, backend="eager")
    for draw in kinds:
        assert into(draw, torch.empty_like(x)).equal(mix(x, draw))
    print(len(STRATEGIES), "compiled")


def test_every_draw_compiles_in_one_graph(tmp_path):
    """In its own process, where annotations are not enforced: the checker cannot be traced."""
    command = [sys.executable, "-W", "ignore", "-c", "import test_mixing as t; t.compile_all()"]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parent,
        env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{len(STRATEGIES)} compiled\n", done.stderr
