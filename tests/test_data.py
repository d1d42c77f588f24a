"""Splits are stratified, disjoint, reproducible, and scaled by training data alone."""

import numpy as np
import pytest
import torch

from vicinal.data import LOADERS, load


@pytest.mark.parametrize("name", sorted(LOADERS.keys() - {"diabetes"}))
def test_parts_are_disjoint_stratified_and_reproducible(name):
    split, again, other = load(name, 0), load(name, 0), load(name, 1)
    parts = (split.train, split.validation, split.test)
    raw = LOADERS[name]()
    assert sum(len(part) for part in parts) == len(raw.target)
    shares = np.bincount(raw.target) / len(raw.target)
    for part, expected in zip(parts, (0.5, 0.2, 0.3), strict=True):
        assert abs(len(part) / len(raw.target) - expected) < 0.01
        found = torch.bincount(part.y, minlength=split.classes) / len(part)
        assert (found - torch.from_numpy(shares)).abs().max() < 0.04
    assert split.train.x.equal(again.train.x)
    assert not split.train.y.equal(other.train.y)
    if split.bounds is not None:
        assert split.train.x.min() >= split.bounds[0]
        assert split.train.x.max() <= split.bounds[1]
    else:
        torch.testing.assert_close(
            split.train.x.mean(0), torch.zeros(split.train.x.shape[1]), atol=1e-5, rtol=0
        )


def test_no_example_is_in_two_parts():
    split = load("digits", 0)
    rows = torch.cat([split.train.x, split.validation.x, split.test.x]).flatten(1)
    raw = torch.from_numpy(LOADERS["digits"]().data / 16).float()
    assert len(rows) == len(raw)
    assert rows.sum(0).double().allclose(raw.sum(0).double(), atol=1e-2)
    order = lambda t: t[np.lexsort(t.numpy().T)]
    assert order(rows).equal(order(raw))  # the same multiset: nothing twice, nothing lost


def test_train_size_keeps_every_class():
    split = load("digits", 0, 10)
    assert split.train.y.sort().values.tolist() == list(range(10))
    assert len(load("digits", 0, 57).train) == 57
    assert load("digits", 0, 57).test.x.equal(load("digits", 0).test.x)


@pytest.mark.parametrize("size", [9, 100_000, 0, -1])
def test_train_size_out_of_range(size):
    with pytest.raises(ValueError, match=r"is not in 10\.\.897"):
        load("digits", 0, size)
