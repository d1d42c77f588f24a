"""Pairings: what they promise, counted."""

import tracemalloc
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from vicinal.mixing import pairing
from vicinal.mixing.mixup import Mixup, c_mixup, k_mixup

X, IDS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
VALUES = X[:, 0].double()
PERMUTE = {
    "shuffle": pairing.shuffle,
    "derangement": pairing.derangement,
    "roll": pairing.Roll(5),
    "same class": pairing.same_class,
    "assignment": pairing.Assignment(5),
    "assignment of one": pairing.Assignment(1),
    "given": pairing.Given(np.arange(12)[::-1]),
}
FREE = {
    "other class": pairing.other_class,
    "label kernel": pairing.LabelKernel(0.3),
    "nearest": pairing.Nearest(3),
}


def draws(rule, y, count, n=12):
    rng = np.random.default_rng(0)
    return np.stack([rule(X[:n], y[:n], rng) for _ in range(count)])


@pytest.mark.parametrize("name", PERMUTE | FREE)
def test_partners_are_in_range_and_come_from_the_generator_alone(name):
    rule = (PERMUTE | FREE)[name]
    y = VALUES if name == "label kernel" else IDS
    rows = rule(X, y, np.random.default_rng(3))
    assert rows.shape == (12,)
    assert rows.min() >= 0
    assert rows.max() < 12
    assert (rule(X, y, np.random.default_rng(3)) == rows).all()
    if name in PERMUTE:
        assert sorted(rows) == list(range(12))
    draw = Mixup(1.0, pairing=rule)(X, y, np.random.default_rng(3))
    assert draw.partner.dtype == torch.int64


def test_derangement_is_uniform_over_the_nine_of_four():
    rows = draws(pairing.derangement, IDS, 9000, n=4)
    assert (rows != np.arange(4)).all()
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(counts) == 9
    assert chisquare(counts).pvalue > 1e-3


def test_same_class_is_uniform_within_classes():
    rows = draws(pairing.same_class, IDS, 6000)
    assert (IDS.numpy()[rows] == IDS.numpy()).all()
    _, counts = np.unique(rows[:, IDS.numpy() == 1], axis=0, return_counts=True)
    assert len(counts) == 24  # all permutations of the four
    assert chisquare(counts).pvalue > 1e-3


def test_other_class_is_uniform_over_the_others():
    ids = torch.tensor([0, 0, 1, 2, 2, 2])
    rng = np.random.default_rng(0)
    rows = np.stack([pairing.other_class(X, ids, rng) for _ in range(4000)])
    for i, own in enumerate(ids.tolist()):
        others = [j for j in range(6) if int(ids[j]) != own]
        found, counts = np.unique(rows[:, i], return_counts=True)
        assert found.tolist() == others
        assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("dimensions", [1, 2])
def test_label_kernel_draws_with_the_density_of_the_table(dimensions):
    values = torch.tensor([0.0, 0.1, 0.5, 1.5, 1.6, 1.6, 7.0, -2.0]).double()
    y = values if dimensions == 1 else torch.stack([values, values.cos()], 1)
    flat = y.reshape(8, -1).numpy()
    table = np.exp(-((flat[:, None] - flat[None]) ** 2).sum(-1) / (2 * 0.7**2))
    rng = np.random.default_rng(0)
    count = 8000
    rule = pairing.LabelKernel(0.7)
    rows = np.stack([rule(values, y, rng) for _ in range(count)])
    for i in range(8):
        expected = count * table[i] / table[i].sum()
        counts = np.bincount(rows[:, i], minlength=8)
        likely = expected > 5
        # what is rare is counted together
        expected = np.append(expected[likely], expected[~likely].sum() + 1e-9)
        counts = np.append(counts[likely], counts[~likely].sum())
        if expected[-1] < 5:
            assert counts[-1] < 25
            expected, counts = expected[:-1], counts[:-1]
        if len(counts) == 1:  # alone: it can only meet itself
            assert counts[0] == count
            continue
        assert chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-4


def test_label_kernel_of_a_hundred_thousand_needs_little_memory():
    y = torch.randn(100_000, generator=torch.Generator().manual_seed(1))
    tracemalloc.start()
    rows = pairing.LabelKernel(0.01)(y, y, np.random.default_rng(0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300e6
    assert float((y[rows] - y).abs().max()) < 0.01 * 7
    # for dense labels the difference is normal with the bandwidth as deviation
    assert float((y[rows] - y).std()) == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 13, 16, 17, 32, 64, 256])
@pytest.mark.parametrize("k", [1, 3, 16, 400])
def test_assignment_pairs_nobody_with_itself(k, n):
    """Also where the batch is not two blocks large: training would be without mixing there."""
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(n))
    rows = k_mixup(1.0, k)(x, x, np.random.default_rng(k)).partner.numpy()
    assert sorted(rows) == list(range(n))
    assert (rows == np.arange(n)).any() == (n == 1)


def test_assignment_is_the_best_pairing_of_its_blocks():
    """Of all halves of 6 samples there is one from which all ways to the other are no shorter."""
    for rows in draws(pairing.Assignment(3), IDS, 40, n=6):
        best = []
        for half in combinations(range(6), 3):
            other = [i for i in range(6) if i not in half]
            if set(rows[list(half)]) == set(other):
                ways = [((X[list(half)] - X[list(way)]) ** 2).sum() for way in permutations(other)]
                best.append(((X[list(half)] - X[rows[list(half)]]) ** 2).sum() <= min(ways) + 1e-6)
        assert any(best)
    cost = {
        k: np.mean([((X[r] - X) ** 2).sum() for r in draws(pairing.Assignment(k), IDS, 100)])
        for k in (1, 3, 6)
    }
    assert cost[6] < cost[3] < cost[1]
    assert k_mixup(1.0, k=3).pairing == pairing.Assignment(3)


def test_every_other_sample_is_met_alike_where_blocks_are_of_one():
    rows = draws(pairing.Assignment(1), IDS, 6000, n=5)
    for i in range(5):
        found, counts = np.unique(rows[:, i], return_counts=True)
        assert set(found) == set(range(5)) - {i}
        assert chisquare(counts).pvalue > 1e-3


def test_nearest_chooses_among_the_nearest():
    rows = draws(pairing.Nearest(3), IDS, 600)
    distance = torch.cdist(X, X) + torch.eye(12) * 1e9
    for i in range(12):
        found, counts = np.unique(rows[:, i], return_counts=True)
        assert set(found) == set(distance[i].topk(3, largest=False).indices.tolist())
        assert chisquare(counts).pvalue > 1e-4


@settings(deadline=None, max_examples=30)
@given(shift=st.integers(-20, 20), n=st.integers(0, 12))
def test_roll_counts_around(shift, n):
    rows = pairing.Roll(shift)(X[:n], IDS[:n], np.random.default_rng(0))
    assert rows.tolist() == [(i + shift) % n for i in range(n)]


def test_refuses_what_it_cannot_pair(unchecked):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two samples or more, got a batch of 1"):
        pairing.derangement(X[:1], IDS[:1], rng)
    with pytest.raises(ValueError, match="two classes or more, got a batch of 4"):
        pairing.other_class(X[:4], torch.ones(4, dtype=int), rng)
    for rule in (pairing.same_class, pairing.other_class):
        with pytest.raises(TypeError, match="needs class ids"):
            rule(X, VALUES, rng)
    with pytest.raises(TypeError, match="compares values"):
        pairing.LabelKernel(1.0)(X, IDS, rng)
    with pytest.raises(ValueError, match="finite labels"):
        pairing.LabelKernel(1.0)(X, torch.full((12,), float("nan")), rng)
    for bandwidth in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="bandwidth must be positive"):
            c_mixup(bandwidth)
    for k in (0, -1, 2.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="k must be at least 1"):
            pairing.Assignment(k)
    for rule in (pairing.Assignment(), pairing.Nearest()):
        with pytest.raises(ValueError, match="needs finite inputs"):
            rule(torch.full((12, 3), float("nan")), IDS, rng)
    with pytest.raises(ValueError, match="k must be at least 1"):
        pairing.Nearest(0)
    with pytest.raises(ValueError, match="more than 5 samples, got a batch of 5"):
        pairing.Nearest(5)(X[:5], IDS[:5], rng)
    for rows in (np.arange(11), np.arange(12) + 1, np.arange(12) - 1):
        with pytest.raises(ValueError, match=r"one partner in 0\.\.11 for each of 12"):
            Mixup(pairing=pairing.Given(rows))(X, IDS, rng)
