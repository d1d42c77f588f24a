"""Pictures are read back by an independent library."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from vicinal.machine.pictures import LARGEST, picture


def read_back(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


@pytest.mark.parametrize("channels", [1, 3])
def test_values_come_back_to_8_bits(channels):
    x = np.random.default_rng(0).uniform(-1, 1, (channels, 5, 7))
    found = read_back(picture(x, -1.0, 1.0))
    truth = np.rint(255 * (x + 1) / 2)
    assert np.array_equal(found if channels == 3 else found[..., None], truth.transpose(1, 2, 0))


def test_large_images_are_thinned_out():
    x = np.zeros((1, 3 * LARGEST, 10))
    x[0, 3] = 1
    found = read_back(picture(x, 0.0, 1.0))
    assert found.shape == (LARGEST, 4)
    assert found[1].min() == 255  # every third row is kept, the fourth of them all is row 3
    assert found[[0, 2]].max() == 0


def test_tables_are_refused():
    with pytest.raises(ValueError, match=r"needs shape \(1 or 3, height, width\), got \(2, 4, 4\)"):
        picture(np.zeros((2, 4, 4)), 0.0, 1.0)
