"""Batches as they come give what all data at once give, in memory that does not grow."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vicinal.calibration import (
    CalibrationSums,
    ClasswiseSums,
    SmoothSums,
    calibration,
    calibration_of_positive,
    classwise,
    smooth_ece,
)
from vicinal.calibration.mass import CELLS, cells


def drawn(seed=0, n=1000, classes=4, scale=1.5):
    rng = np.random.default_rng(seed)
    z = torch.from_numpy(scale * rng.standard_normal((n, classes)))
    p = (z / 2).softmax(1).numpy()
    return z, torch.from_numpy((p.cumsum(1) > rng.random((n, 1))).argmax(1))


def streamed(kind, z, y):
    """Two processes take uneven batches; the second joins the first."""
    sums, other = kind(), kind()
    for rows in torch.arange(700).split(37):
        sums.add(z[rows], y[rows])
    other.add(z[700:], y[700:])
    sums.merge(other)
    return sums.result()


def test_classwise():
    z, y = drawn()
    whole, parts = classwise(z, y), streamed(ClasswiseSums, z, y)
    for name in ("ece", "per_class", "maximum", "brier", "reliability", "resolution", "uncertainty",
                 "within"):  # fmt: skip
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), atol=1e-12)


def test_smooth():
    z, y = drawn()
    np.testing.assert_allclose(streamed(SmoothSums, z, y), smooth_ece(z, y), atol=1e-12)


@pytest.mark.parametrize("scale", [0.5, 1.5, 6.0, 20.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_equal_mass(scale, classes):
    """Sure predictions crowd near 1, to the last digit; cells tell them apart all the same."""
    z, y = drawn(1, classes=classes, scale=scale)
    whole = calibration(z, y, bins=10, equal="mass")
    parts = streamed(lambda: CalibrationSums(10, equal="mass"), z, y)
    for a, b in zip(whole.bins, parts.bins, strict=True):
        assert abs(a.count - b.count) <= 3  # examples of one cell
        near = min(a.high, 1 - a.high)  # the end of a cell, which lies above all that it holds
        assert -1e-6 * near - 1e-15 <= b.high - a.high <= near / 2**10 + 1e-15
    assert abs(whole.ece - parts.ece) < 3e-3  # a few examples changed bins
    np.testing.assert_allclose(parts.nll, whole.nll, rtol=1e-12)
    assert parts.accuracy == whole.accuracy


def test_equal_mass_is_the_same_where_no_two_examples_share_a_cell():
    p = torch.linspace(0.51, 0.99, 97, dtype=torch.float64)
    z = torch.stack((p.log(), (1 - p).log()), 1)
    y = torch.arange(97) % 2
    sums = CalibrationSums(7, equal="mass")
    sums.add(z, y)
    whole, parts = calibration(z, y, bins=7, equal="mass"), sums.result()
    assert [b.count for b in parts.bins] == [b.count for b in whole.bins]
    np.testing.assert_allclose(parts.ece, whole.ece, atol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_cells_are_in_the_order_of_confidences(values):
    ordered = torch.tensor(sorted(values), dtype=torch.float64)
    place = cells(ordered)
    assert bool((place.diff() >= 0).all())
    assert 0 <= int(place.min()) <= int(place.max()) < CELLS


def test_one_logit():
    z, y = drawn(2, classes=2)
    logit = z[:, 1] - z[:, 0]
    sums = CalibrationSums()
    for rows in torch.arange(1000).split(64):
        sums.add_positive(logit[rows], y[rows])
    whole = calibration_of_positive(logit, y)
    for name in ("ece", "accuracy", "nll", "brier", "signed_gap"):
        np.testing.assert_allclose(getattr(sums.result(), name), getattr(whole, name), atol=1e-12)


@pytest.mark.parametrize("kind", [CalibrationSums, ClasswiseSums, SmoothSums])
def test_memory_does_not_grow(kind):
    def kept(sums):
        arrays = (v for v in vars(sums).values() if isinstance(v, torch.Tensor | np.ndarray))
        return sum(v.nbytes for v in arrays)

    sums = kind()
    sums.add(*drawn(n=10))
    before = kept(sums)
    assert before > 0
    for seed in range(5):
        sums.add(*drawn(seed, n=500))
    assert kept(sums) == before


def test_bad_input(unchecked):
    z, y = drawn(n=20)
    for kind in (CalibrationSums, ClasswiseSums, SmoothSums):
        with pytest.raises(ValueError, match="no examples were added"):
            kind().result()
        for logits, labels, message in (
            (z * np.nan, y, "NaN"),
            (z, y + 4, r"0\.\.3"),
            (z.softmax(1), y, "seem to be probabilities"),
            (z[:0], y[:0], "at least 1"),
        ):
            with pytest.raises(ValueError, match=message):
                kind().add(logits, labels)
    with pytest.raises(ValueError, match="only sums over the same bins"):
        ClasswiseSums(5).merge(ClasswiseSums(6))
    with pytest.raises(ValueError, match="only sums over the same bins"):
        CalibrationSums(5).merge(CalibrationSums(5, equal="mass"))
    sums = ClasswiseSums()
    sums.add(z, y)
    with pytest.raises(ValueError, match="as many classes, got 3 after 4"):
        sums.add(z[:, :3], y.clamp(max=2))
    few = CalibrationSums(30, equal="mass")
    few.add(z, y)
    with pytest.raises(ValueError, match="30 bins of equal mass need as many examples, got 20"):
        few.result()
    with pytest.raises(ValueError, match="equal must be"):
        CalibrationSums(equal="size")
