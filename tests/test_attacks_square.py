"""The Square attack: its books, asking ahead, and the shapes of its patches."""

import numpy as np
import pytest
import torch

from norms import NORMS, length
from vicinal.maths.losses import bernoulli
from vicinal.robustness.attacks import square
from vicinal.robustness.attacks.ball import ball
from vicinal.robustness.attacks.goal import goal
from vicinal.robustness.attacks.patches import exchanged, squares, subsets

SHAPES = {"image": (3, 7, 5), "table": (12,)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
DRAWS = {"image": squares, "table": subsets}


def drawing(shape, norm, seed=0):
    draw = squares if len(shape) == 3 else subsets
    return draw(torch.zeros(1, *shape, dtype=torch.float64), norm, np.random.default_rng(seed))


def searched(model, n, queries, norm="linf"):
    """The search on n small images, and how many rows each pass had."""
    rows = []

    def counted(x):
        rows.append(len(x))
        return model(x)

    within = ball(torch.full((n, 1, 6, 6), 0.5, dtype=torch.float64), 0.1, norm, (0.0, 1.0))
    aim = goal(bernoulli, torch.ones(n, dtype=torch.long))
    z, won = square.attack(counted, within, aim, queries, np.random.default_rng(0))
    return z, won, rows


def test_where_nothing_helps_all_queries_are_asked_and_no_more():
    _, won, rows = searched(lambda x: torch.ones(len(x), dtype=x.dtype), 5, 300)
    assert not won.any()
    assert sum(rows) == 5 + 5 * 300  # a clean pass, and its queries for each
    assert len(rows) < 60  # in large passes
    assert max(rows) <= square.ROWS


def test_where_all_helps_it_asks_one_at_a_time():
    calls = iter(range(10**6))
    _, _, rows = searched(lambda x: 1 / (1 + next(calls)) + 0 * x.sum((1, 2, 3)), 5, 40)
    assert rows == [5] * 41


class Told:
    """A model that gives what it is told, whatever the inputs."""

    def __init__(self, values):
        self.values = values

    def __call__(self, x):
        return torch.tensor(self.values, dtype=x.dtype)


def judged(margins, asked, queries):
    """One pass of three queries for each of two examples that stand at a margin of -1."""
    aim = goal(bernoulli, torch.ones(2, dtype=torch.long))
    start = torch.zeros(2, 1, dtype=torch.float64)
    search = square.Search(
        start, torch.zeros(2, dtype=torch.bool), start[:, 0] - 1, torch.tensor(asked)
    )
    trial = torch.arange(6, dtype=torch.float64)[:, None]
    rows = torch.tensor([[0, 0, 0], [1, 1, 1]])
    share = search.judge(Told([-m for m in margins]), aim, rows, trial, queries)
    return search, share


def test_the_first_query_that_helps_is_taken_up_and_later_ones_do_not_count():
    search, share = judged([-2, -0.5, 1, -3, -1, -1], [4, 4], 100)
    assert search.z[:, 0].tolist() == [1, 0]
    assert search.margin.tolist() == [-0.5, -1]
    assert search.asked.tolist() == [6, 7]
    assert search.won.tolist() == [False, False]
    assert share == 1 / 5
    search, _ = judged([1, 2, 3, -2, -2, 0.5], [0, 0], 100)
    assert search.won.tolist() == [True, True]
    assert search.z[:, 0].tolist() == [0, 5]
    assert search.asked.tolist() == [1, 3]


def test_queries_beyond_the_last_do_not_count():
    search, _ = judged([-2, 1, 1, 1, -2, -2], [99, 98], 100)
    assert search.won.tolist() == [False, True]
    assert search.alive(100).tolist() == []


@pytest.mark.parametrize("norm", NORMS)
def test_asking_ahead_finds_as_much_as_one_query_after_the_other(norm, monkeypatch):
    """Means over 40 runs of a search that is never over, by five standard errors."""
    theta = torch.randn(36, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = lambda x: 100 + x.flatten(1) @ theta
    margins = {}
    for rows in (1, 4000):  # passes of one query for each example, or of as many as pay
        monkeypatch.setattr(square, "ROWS", rows)
        z, _, passes = searched(model, 40, 120, norm)
        margins[rows] = model(z)
        assert (max(passes) > 40) == (rows > 1)
    one, many = margins.values()
    error = ((one.var() + many.var()) / 40) ** 0.5
    assert abs(one.mean() - many.mean()) < 5 * error
    assert error < 0.2 * (model(torch.full((1, 36), 0.5, dtype=one.dtype)) - one.mean()).abs()


@each_shape
@pytest.mark.parametrize("share", [0.0, 0.2, 0.8])
def test_patches_have_their_share_of_the_features(shape, share):
    inside = drawing(shape, "linf")(np.full(500, share)).inside
    if len(shape) == 1:
        assert (inside.sum(1) == max(round(12 * share), 1)).all()
        return
    side = min(max(round((35 * share) ** 0.5), 1), 5)
    assert inside.shape == (500, 1, 7, 5)
    assert (inside.flatten(1).sum(1) == side**2).all()
    assert (inside.any(2).sum(-1) == side).all()  # a square: as many columns as rows
    corners = inside.flatten(1).int().argmax(1).unique()
    assert len(corners) == (8 - side) * (6 - side)  # and it may lie anywhere


@each_shape
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_patterns_have_length_one_and_lie_in_their_patch(shape, norm):
    shares = np.array([0.03, 0.2, 0.5, 0.8] * 20)
    patch = drawing(shape, norm)(shares)
    pattern = patch.pattern()
    torch.testing.assert_close(length(pattern, norm), torch.ones(80, dtype=torch.float64))
    assert pattern.shape == (80, *shape)
    assert ((pattern != 0) == patch.inside).all()


def test_patterns_are_two_bumps_of_opposite_sign_upright_or_turned():
    """Against the definition, pixel by pixel, for sides of 4."""
    patch = drawing((1, 9, 9), "l2")(np.full(60, 16 / 81))
    found = set()
    for inside, pattern in zip(patch.inside[:, 0], patch.pattern()[:, 0], strict=True):
        top, left = inside.nonzero()[0].tolist()
        bump = pattern[top : top + 4, left : left + 4]
        sign = torch.sign(bump[0, 0])
        turned = bool(torch.sign(bump[0, 3]) != sign)
        upright = bump.T if turned else bump
        for i in range(4):
            for j in range(4):
                ring = max(abs(i % 2 - 0.5) / 2, abs(j - 1.5) / 4)
                expected = sign * (1 if i < 2 else -1) / (1 + 4 * ring) ** 2
                ratio = upright[i, j] / expected
                assert abs(ratio / (upright[0, 0] / (sign / (1 + 4 * 0.375) ** 2)) - 1) < 1e-12
        found.add((turned, float(sign)))
    assert found == {(a, b) for a in (False, True) for b in (-1.0, 1.0)}


@each_shape
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_an_exchange_keeps_what_lies_outside_and_empties_the_other_patch(shape, norm):
    draw = drawing(shape, norm)
    x = torch.zeros(50, *shape, dtype=torch.float64)
    within = ball(x, 1.0, norm, None)
    delta = torch.randn(50, *shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    delta = delta / length(delta, norm).reshape(-1, *[1] * len(shape))
    patch, other = draw(np.full(50, 0.2)), draw(np.full(50, 0.2)).inside
    moved = exchanged(within, delta, patch, other)
    torch.testing.assert_close(length(moved, norm), torch.ones(50, dtype=x.dtype))
    outside = ~(patch.inside | other)
    torch.testing.assert_close(moved * outside, delta * outside)
    assert (moved[(other & ~patch.inside).expand_as(moved)] == 0).all()
