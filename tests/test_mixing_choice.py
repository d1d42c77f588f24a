"""Which strategy, and when."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from vicinal.maths.laws import Fixed
from vicinal.mixing.choice import During, RandomChoice, mixup_or_cutmix
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.regmixup import RegMixup, RegMixupDraw

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
