"""What is standardised is never divided by nothing; what 32 bits cannot hold is refused."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from vicinal.data import load, read, split
from vicinal.data.deviation import constant, deviation
from vicinal.data.extremes import refuse_extremes
from vicinal.data.raw import Raw, checked

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
Y = np.arange(200) % 2


def columns(*more, name="data", y=Y, **options):
    return checked(name, np.column_stack([X, *more]), y, **options)


def parts(found):
    return found.train, found.validation, found.test


@pytest.mark.parametrize("values", [[0.3, 0.1 + 0.2], [5.0, 5.0], [0.0, 0.0], [1e9, 1e9 + 1]])
def test_constant_up_to_rounding_is_divided_by_one(values):
    column = np.array(values)[:, None]
    assert constant(column).all()
    assert deviation(column) == 1.0


def test_everything_else_is_divided_as_by_scikit_learn():
    values = X * [1e-6, 1.0, 1e6] + [0, 5, -3e6]
    assert not constant(values).any()
    assert np.allclose(deviation(values), StandardScaler().fit(values).scale_, rtol=1e-12)
    assert deviation(values.ravel()) == values.std()


@pytest.mark.parametrize("jitter", [0.0, 1e-9])
def test_a_rare_mark_keeps_its_distance(jitter):
    """1 in a single row, which for most seeds is not for training, is not read as 10¹²."""
    rare = (np.arange(200) == 7) + jitter * RNG.normal(size=200) + 5 * (jitter > 0)
    raw = columns(rare, features=["a", "b", "c", "country_MT"])
    seen = 0
    for seed in range(8):
        found = split(raw, "data", seed)
        assert max(float(part.x.abs().max()) for part in parts(found)) < 20
        if 7 not in found.train.rows:
            seen += 1
            told = "1 column is constant for training (country_MT), and not divided by a deviation."
            assert found.notes == (told,)
            held = next(part for part in parts(found) if 7 in part.rows)
            value = float(held.x[held.rows == 7, 3])
            assert value == pytest.approx(1.0, abs=1e-5)
        else:
            assert found.notes == ()
    assert seen >= 2


def test_targets_that_are_constant_for_training():
    y = (np.arange(200) == 7) * 3.0 + 4.0
    raw = columns(y=y)
    torn = [found for seed in range(8) if 7 not in (found := split(raw, "d", seed)).train.rows]
    assert torn
    for found in torn:
        assert found.unit == 1.0
        assert found.notes[0].startswith("1 target is constant for training, and not divided")
        assert max(float(part.y.max()) for part in parts(found)) == pytest.approx(3.0)


def test_targets_that_are_constant_up_to_rounding_are_refused():
    y = 0.3 + (np.arange(200) % 3 == 0) * 5e-17
    with pytest.raises(ValueError, match=r"all targets are 0.3, up to rounding; .* subtract"):
        columns(y=y + np.spacing(0.3) * Y)


def test_equal_images_have_deviation_one():
    raw = Raw(np.full((40, 1, 2, 2), 0.5), np.arange(40) % 2, (0.0, 1.0), ("a", "b"))
    assert split(raw, "grey", 0).std == 1.0


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes", "digits"])
def test_of_sound_data_nothing_changes(name):
    """The formula that stood before constant columns were told apart, bit for bit."""
    found, raw = load(name, 3), read(name)
    train = found.train.rows.numpy()
    x = raw.x
    if raw.bounds is None:
        x = (x - x[train].mean(0)) / np.maximum(x[train].std(0), 1e-12)
    assert found.train.x.equal(torch.from_numpy(x[train]).float())
    assert found.test.x.equal(torch.from_numpy(x[found.test.rows.numpy()]).float())
    assert found.std == float(x[train].std())
    assert found.notes == ()


@pytest.mark.parametrize("value", [1e300, -1e300, 10.0**30, 2e19])
def test_numbers_that_overflow_in_training_are_refused_with_row_and_column(value):
    alone = np.ones(200) * np.arange(200)
    alone[13] = value
    rule = rf"data: inputs must fit .* got {value:g} at row 13, counted from 0, in the column far"
    with pytest.raises(ValueError, match=rule.replace("+", r"\+")):
        columns(alone, features=["a", "b", "c", "far"])
    with pytest.raises(ValueError, match="targets must fit .* at row 13"):
        columns(y=alone)


def test_columns_that_are_large_throughout_are_standardised():
    masses = 2e30 * (1 + 0.1 * RNG.random(200))
    found = split(columns(masses), "stars", 0)
    assert float(found.train.x.abs().max()) < 10
    with pytest.raises(ValueError, match="1e300|1e\\+300"):
        refuse_extremes("stars", np.full((4, 1), 1e300))


def test_what_standardising_blows_up_is_refused():
    tiny = 1e-25 * np.arange(200.0)
    tiny[7] = 1.0
    raw = columns(tiny)
    seen = 0
    for seed in range(8):
        if 7 in for_training(raw, seed):
            split(raw, "data", seed)
        else:
            seen += 1
            with pytest.raises(ValueError, match=f"standardised for seed {seed}: .* at row 7"):
                split(raw, "data", seed)
    assert seen


def for_training(raw, seed):
    """Rows for training, of the same data before they are standardised."""
    return split(raw, "data", seed, standardise=False).train.rows
