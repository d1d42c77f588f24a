"""Which strategy and when; and the same draws in the loop as in the workers of a loader."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from vicinal.laws import Fixed
from vicinal.mixing.choice import During, RandomChoice, mixup_or_cutmix
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.loading import Collate, Keyed, KeyedBatches
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.regmixup import RegMixup, RegMixupDraw
from vicinal.randomness import draw_generator

A, B = Mixup(law=Fixed(0.25)), Mixup(law=Fixed(0.75))
X = torch.zeros(2, 1, 3, 3)


def share_of(strategy, count=2000):
    draws = [strategy(X, X, np.random.default_rng(seed)) for seed in range(count)]
    return sum(draw is not None and float(draw.share[0]) == 0.25 for draw in draws)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_strategies_are_chosen_with_their_probabilities(p):
    for other in (B, None):
        hits = share_of(RandomChoice((A, other), (p, 1 - p)))
        assert binomtest(hits, 2000, p).pvalue > 1e-3
    assert binomtest(share_of(RandomChoice((A, B))), 2000, 0.5).pvalue > 1e-3


def test_any_strategy_can_be_chosen():
    draw = RandomChoice((RegMixup(),))(X, X, np.random.default_rng(0))
    assert isinstance(draw, RegMixupDraw)
    assert mixup_or_cutmix(part=1.0).strategies == (Mixup(0.8), CutMix(1.0))


@pytest.mark.parametrize(
    ("strategies", "p", "rule"),
    [
        ((), None, "at least one strategy"),
        ((A, B), (1.0,), "2 strategies need as many"),
        ((A, B), (0.5, 0.6), "sum to 1"),
        ((A, B), (1.5, -0.5), "0 or more and sum to 1"),
        ((A, B), (float("nan"), 0.5), "sum to 1"),
    ],
)
def test_refuses_what_are_not_probabilities(strategies, p, rule):
    with pytest.raises(ValueError, match=rule):
        RandomChoice(strategies, p)


def test_a_schedule_starts_stops_and_fades():
    schedule = During(A, start=5, stop=20, fade=10)
    assert schedule.at(4.9) is None
    assert schedule.at(5) is A
    assert schedule.at(10) is A
    assert schedule.at(20) is None
    for time, p in ((12.5, 0.75), (19.0, 0.1)):
        assert binomtest(share_of(schedule.at(time)), 2000, p).pvalue > 1e-3
    assert During(A).at(1e9) is A
    assert During(A, stop=0.5).at(0.499) is A
    for options in ({"start": 2, "stop": 1}, {"fade": -1}, {"stop": 1, "fade": 2}):
        with pytest.raises(ValueError, match="start <= stop - fade"):
            During(A, **options)
    with pytest.raises(ValueError, match="start=nan"):
        During(A, start=float("nan"))


def test_no_lambda_comes_twice():
    keys = itertools.product(range(4), range(5), range(3), range(3))
    lam = {
        float(draw_generator(0, epoch=e, step=s, rank=r, worker=w).random()) for e, s, r, w in keys
    }
    assert len(lam) == 4 * 5 * 3 * 3


def batches_of(workers, epochs=2, **options):
    data = TensorDataset(torch.arange(22.0)[:, None], torch.arange(22) % 3)
    order = RandomSampler(data, generator=torch.Generator().manual_seed(5))
    sampler = KeyedBatches(BatchSampler(order, 4, drop_last=False))
    loader = DataLoader(
        Keyed(data),
        batch_sampler=sampler,
        collate_fn=Collate(Mixup(1.0), seed=3, **options),
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    assert len(loader) == 6
    return [list(loader) for _ in range(epochs)]


def test_workers_draw_what_the_loop_draws():
    runs = [batches_of(workers) for workers in (0, 1, 2)]
    seen = set()
    for epoch, step in itertools.product(range(2), range(6)):
        x, y, _ = runs[0][epoch][step]
        loop = Mixup(1.0)(x, y, draw_generator(3, epoch=epoch, step=step))
        for run in runs:
            other_x, other_y, other = run[epoch][step]
            assert other_x.equal(x)
            assert other_y.equal(y)
            assert other.share.equal(loop.share)
            assert other.partner.equal(loop.partner)
        seen.update(loop.share.tolist())
    assert len(seen) == 44  # no λ twice, in either epoch
    assert not batches_of(0, rank=1)[0][0][2].share.equal(runs[0][0][0][2].share)


def test_a_resumed_run_goes_on_at_its_epoch():
    sampler = KeyedBatches([[0, 1], [2]])
    sampler.set_epoch(7)
    assert list(sampler) == [[(7, 0, 0), (7, 0, 1)], [(7, 1, 2)]]
    assert next(iter(sampler)) == [(8, 0, 0), (8, 0, 1)]
    collated = Collate(None, seed=0)([(0, 0, (torch.zeros(1), 1))])
    assert collated[2] is None
    with pytest.raises(TypeError, match="generator has no length"):
        len(KeyedBatches(b for b in [[0]]))
