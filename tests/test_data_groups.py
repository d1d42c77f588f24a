"""Rows that belong together go to one part, and the size of each part is as near as can be."""

import itertools
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicinal.data import leak, load, read, split
from vicinal.data.groups import Leak, nearest_sum
from vicinal.data.raw import checked

RNG = np.random.default_rng(0)
PATIENTS = RNG.permutation(np.repeat(np.arange(50), RNG.integers(1, 9, 50)))
N = len(PATIENTS)
X = RNG.normal(size=(N, 3))
Y = RNG.integers(0, 2, N)


def grouped(groups=PATIENTS, y=Y, **options):
    return checked("visits", X[: len(y)], y, groups=np.asarray(groups), group="patient", **options)


def parts(found):
    return found.train.rows.numpy(), found.validation.rows.numpy(), found.test.rows.numpy()


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_parts_and_sizes_are_the_usual_ones(seed):
    found = parts(split(grouped(), "visits", seed))
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(N))
    for one, other in itertools.combinations(found, 2):
        assert not np.isin(PATIENTS[one], PATIENTS[other]).any()
    assert (
        np.abs(np.array([len(rows) for rows in found]) - N * np.array([0.5, 0.2, 0.3])).max() <= 1
    )


def test_a_seed_gives_the_same_parts_and_others_give_others():
    first, again, other = (parts(split(grouped(), "visits", seed)) for seed in (3, 3, 4))
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[0], other[0])


def test_every_group_comes_to_every_part():
    """About as often as its share; over 200 seeds within five deviations."""
    raw, seeds = grouped(), 200
    often = np.zeros(50)
    for seed in range(seeds):
        often[np.unique(PATIENTS[split(raw, "visits", seed).test.rows.numpy()])] += 1
    assert (np.abs(often / seeds - 0.3) < 5 * (0.3 * 0.7 / seeds) ** 0.5).all()


@given(st.lists(st.integers(1, 12), min_size=2, max_size=9), st.floats(0.5, 40))
def test_the_nearest_sum_against_all_subsets(counts, size):
    counts = np.array(counts)
    chosen = nearest_sum(counts, size, keep=1)
    subsets = itertools.product([False, True], repeat=len(counts))
    sums = [counts[np.array(s)].sum() for s in subsets if 0 < sum(s) < len(counts)]
    assert 0 < chosen.sum() < len(counts)
    assert abs(counts[chosen].sum() - size) == min(abs(s - size) for s in sums)


def test_one_group_of_nearly_all_rows_leaves_some_for_each_part():
    groups = np.r_[np.zeros(N - 10), np.arange(1, 11)]
    for seed in range(5):
        assert all(len(rows) for rows in parts(split(grouped(groups), "visits", seed)))


def test_the_training_part_has_every_class():
    y = (np.isin(PATIENTS, PATIENTS[:1]) | np.isin(PATIENTS, PATIENTS[-2:])).astype(int)
    for seed in range(10):
        assert len(split(grouped(y=y), "visits", seed).train.y.unique()) == 2


def test_train_size_and_values():
    found = split(grouped(y=RNG.normal(size=N)), "visits", 0, 40)
    assert len(found.train) == 40
    assert not np.isin(PATIENTS[found.train.rows], PATIENTS[found.test.rows]).any()


def test_how_much_would_leak():
    """Counted by hand over the parts that rows are split into without groups."""
    raw = grouped()
    plain = checked("visits", X, Y)
    train, _, test = parts(split(plain, "visits", 7))
    shared = set(PATIENTS[train]) & set(PATIENTS[test])
    rows = sum(PATIENTS[row] in shared for row in test)
    assert leak(raw, "visits", 7) == Leak(len(shared), 50, rows)
    assert shared
    told = split(raw, "visits", 7).notes[0]
    assert told == (
        f"Groups: 50 of patient, each whole in one part. Without that, {len(shared)} would be both "
        f"in training and in testing, and {rows} rows for testing with them."
    )
    with pytest.raises(ValueError, match="has no groups"):
        leak(plain, "visits", 7)


def test_groups_that_are_passed_are_those_of_the_data():
    plain = checked("visits", X, Y)
    names = np.array([f"p{k:02d}" for k in PATIENTS])
    found, other = split(plain, "v", 1, groups=names), split(grouped(), "v", 1)
    assert all(map(np.array_equal, parts(found), parts(other)))


def test_from_files(tmp_path):
    table = pd.DataFrame(X, columns=list("abc")).assign(patient=PATIENTS, y=Y)
    table.to_csv(tmp_path / "t.csv", index=False)
    names = [str(tmp_path / "t.csv"), str(tmp_path / "t.npz")]
    np.savez(names[1], x=X, y=Y, patient=PATIENTS)
    for name in names:
        found = load(name, 2, group="patient")
        assert found.train.x.shape[1] == 3
        assert not np.isin(PATIENTS[found.train.rows], PATIENTS[found.test.rows]).any()
    assert read(names[0], group="patient").features == ("a", "b", "c")
    assert read(names[0]).features == ("a", "b", "c", "patient")
    last = table[["a", "b", "c", "y", "patient"]]
    last.to_csv(tmp_path / "u.csv", index=False)
    assert read(str(tmp_path / "u.csv"), group="patient").labels == ("0", "1")
    for name, group, rule in (
        (names[0], "pateint", "has no column 'pateint'. Did you mean patient"),
        (names[0], "y", "y cannot be both"),
        (names[1], "p", "has no array 'p' for the groups"),
        ("iris", "patient", "iris has no columns, and so no groups"),
        (str(tmp_path), "patient", "has no columns, and so no groups"),
    ):
        with pytest.raises(ValueError, match=rule):
            read(name, "y" if group == "y" else None, group=group)


@pytest.mark.parametrize(
    ("groups", "rule"),
    [
        (np.where(PATIENTS == 3, np.nan, PATIENTS), "group patient is missing in"),
        (np.where(PATIENTS == 3, "", PATIENTS.astype(str)), "group patient is missing in"),
        (PATIENTS[:-1], "patient must have shape"),
    ],
)
def test_groups_that_are_none(groups, rule):
    with pytest.raises(ValueError, match=rule):
        grouped(groups)


@pytest.mark.parametrize(
    ("groups", "y", "rule"),
    [
        (PATIENTS % 2, Y, "visits has 2 groups for 3 parts"),
        (Y + 0 * PATIENTS, Y, "visits has 2 groups for 3 parts"),
        (np.where(PATIENTS.max() == PATIENTS, 0, 1 + PATIENTS % 3), Y, None),
    ],
)
def test_few_groups(groups, y, rule):
    if rule is None:
        assert all(len(rows) for rows in parts(split(grouped(groups, y), "visits", 0)))
        return
    with pytest.raises(ValueError, match=rule):
        split(grouped(groups, y), "visits", 0)


def test_a_class_that_one_group_holds_is_for_training():
    largest = np.bincount(PATIENTS).argmax()
    y = (largest == PATIENTS) * 1
    for seed in range(4):
        found = split(grouped(y=y), "visits", seed)
        assert largest in PATIENTS[found.train.rows]

    assert "No example for testing is of 1." in found.notes


def test_a_label_that_no_part_needs_to_have():
    """Labels are not stratified: one that is on four times may be on in some parts only."""
    labels = np.stack([Y, np.arange(N) < 4], 1).astype(int)
    raw = checked("visits", X, labels)
    for seed in range(10):
        found = split(raw, "visits", seed)
        for part, rows in zip(("training", "validation", "testing"), parts(found), strict=True):
            told = f"No example for {part} is of 1." in found.notes
            assert told == (labels[rows, 1].sum() == 0)


def test_parts_of_the_data_that_tear_groups_apart():
    test = np.arange(40)
    with pytest.raises(ValueError, match=r"groups of patient are in several of the parts that the"):
        split(grouped(test=test), "visits", 0)
    whole = np.flatnonzero(PATIENTS < 15)
    found = split(grouped(test=whole), "visits", 0)
    assert np.array_equal(np.sort(found.test.rows), whole)
    assert not np.isin(PATIENTS[found.train.rows], PATIENTS[found.validation.rows]).any()


def test_without_groups_parts_are_what_they_were():
    """Stored runs rest on these rows."""
    hashed = sha256()
    for name, seed, size in itertools.product(("iris", "digits", "diabetes"), range(3), (None, 40)):
        for rows in parts(load(name, seed, size)):
            hashed.update(rows.astype("<i8").tobytes())
    assert hashed.hexdigest()[:16] == "49ccac8b0978b515"
