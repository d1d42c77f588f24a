"""Sets of Hugging Face: their parts, groups, and images that are damaged or missing."""

import io

import numpy as np
import pytest
from PIL import Image

from vicinal.data import load, read

datasets = pytest.importorskip("datasets")
RNG = np.random.default_rng(0)


def png(mode="RGB"):
    content = io.BytesIO()
    channels = {"RGB": 3, "RGBA": 4}[mode]
    Image.fromarray(RNG.integers(0, 256, (5, 4, channels), dtype=np.uint8)).save(content, "PNG")
    return content.getvalue()


def table(n, **more):
    return datasets.Dataset.from_dict(
        {"a": RNG.normal(size=n), "label": [0, 1] * (n // 2), "patient": [k // 3 for k in range(n)]}
        | more
    )


def images(contents):
    return datasets.Dataset.from_dict(
        {"image": [{"bytes": content, "path": None} for content in contents], "label": [0, 1] * 4},
        features=datasets.Features(image=datasets.Image(), label=datasets.Value("int64")),
    )


def saved(place, **parts):
    datasets.DatasetDict(parts).save_to_disk(place)
    return f"hf:{place}"


def test_every_part_is_used_or_told(tmp_path):
    name = saved(tmp_path, train=table(20), validation=table(10), test=table(8), extra=table(6))
    raw = read(name)
    assert len(raw.x) == 38
    assert "Left out: the part extra." in raw.told
    found = load(name, 0)
    assert [len(part) for part in (found.train, found.validation, found.test)] == [20, 10, 8]


def test_groups(tmp_path):
    name = saved(tmp_path, train=table(30))
    assert read(name).x.shape == (30, 2)
    found = load(name, 0, group="patient")
    assert found.train.x.shape[1] == 1
    patients = [set((part.rows // 3).tolist()) for part in (found.train, found.test)]
    assert not patients[0] & patients[1]
    with pytest.raises(ValueError, match="has no column 'pateint': pass --group"):
        read(name, group="pateint")


def test_numbers_that_are_missing(tmp_path):
    name = saved(tmp_path, train=table(20, b=[None, *range(19)]))
    with pytest.raises(ValueError, match=r"inputs must be finite, got NaN or infinity in 1 of 20"):
        read(name)


@pytest.mark.parametrize("content", [b"no image", None, png()[:60]])
def test_an_image_that_cannot_be_read(tmp_path, content):
    name = saved(tmp_path, train=images([*(png() for _ in range(7)), content or b""]))
    with pytest.raises(ValueError, match=r"train: image 7 cannot be read: "):
        read(name)


def test_transparent_images_are_told(tmp_path):
    name = saved(tmp_path, train=images([png(mode) for mode in ("RGB", "RGBA") * 4]))
    assert "Of the images 4 are laid over white where they are transparent." in read(name).told
