"""Folders of images and arrays of pixels: what is read and left out, and which axis is which."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from vicinal.data import load, read
from vicinal.data.arrays import from_arrays

RNG = np.random.default_rng(0)
Y = np.arange(60) % 3


def picture(mode="RGB", size=(6, 5)):
    """Random pixels; Pillow says what mode their shape has."""
    channels = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}[mode]
    return Image.fromarray(RNG.integers(0, 256, (*size, *channels), dtype=np.uint8))


def fill(place, count=6, ending="png", **options):
    place.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        picture(**options).save(place / f"{k}.{ending}")
    return place


def told(path):
    return read(str(path)).told


def test_a_plain_folder_has_nothing_to_tell(tmp_path):
    fill(tmp_path / "cat"), fill(tmp_path / "dog")
    assert told(tmp_path).endswith("Read: 12 examples of 3×6×5.")


def test_what_is_left_out_is_counted(tmp_path):
    fill(tmp_path / "cat"), fill(tmp_path / "dog"), fill(tmp_path / ".ipynb_checkpoints")
    fill(tmp_path / "__MACOSX"), fill(tmp_path / "dog" / "more")
    (tmp_path / "cat" / "._0.png").write_bytes(b"AppleDouble")
    (tmp_path / "cat" / "a.heic").write_bytes(b"x")
    (tmp_path / "owl").mkdir()
    (tmp_path / "owl" / "b.heic").write_bytes(b"x")
    (tmp_path / "README").write_text("x")
    raw = read(str(tmp_path))
    assert raw.labels == ("cat", "dog")
    assert len(raw.x) == 12
    out = raw.told.split("Left out: ")[1].rstrip(".").split("; ")
    assert sorted(out) == [
        "1 file .heic in cat",
        "1 file .heic in owl",
        f"1 file without an ending in {tmp_path.name}",
        "1 folder below a class (dog/more)",
        "1 folder without an image (owl)",
        "1 hidden (.ipynb_checkpoints)",
        "1 hidden (__MACOSX)",
        "1 hidden file",
    ]


@pytest.mark.parametrize(
    ("ending", "kind"),
    [("tif", "TIFF"), ("TIFF", "TIFF"), ("jfif", "JPEG"), ("JPG", "JPEG"), ("ppm", "PPM")],
)
def test_images_of_other_endings_are_read(tmp_path, ending, kind):
    fill(tmp_path / "a")
    (tmp_path / "c").mkdir()
    for k in range(6):
        picture().save(tmp_path / "c" / f"{k}.{ending}", format=kind)
    assert read(str(tmp_path)).y.tolist() == [0] * 6 + [1] * 6


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "dev", "testing")])
def test_the_parts_of_a_folder_are_its_parts(tmp_path, names):
    for part, count in zip(names, (6, 5, 4), strict=True):
        for kind in "ab":
            fill(tmp_path / part / kind, count)
    (tmp_path / "extra").mkdir()
    raw = read(str(tmp_path))
    found = load(str(tmp_path), 0)
    assert [len(part) for part in (found.train, found.validation, found.test)] == [12, 10, 8]
    assert sorted(found.validation.rows.tolist()) == raw.validation.tolist()
    line = "Read: 30 examples of 3×6×5, 8 for testing and 10 for validation as the data say. Left"
    assert line in raw.told
    some = tmp_path / names[1] / "b" / "3.png"
    pixels = np.asarray(Image.open(some)).transpose(2, 0, 1) / 255
    assert (np.abs(raw.x[raw.validation] - pixels).max((1, 2, 3)) < 1e-6).sum() == 1


def test_a_validation_part_without_a_test_part(tmp_path):
    for part, count in (("train", 10), ("val", 5)):
        for kind in "ab":
            fill(tmp_path / part / kind, count)
    sizes = [len(part) for seed in (0, 1) for part in (load(str(tmp_path), seed).test,)]
    assert sizes == [6, 6]  # 30 % of what is free
    found = load(str(tmp_path), 0)
    assert sorted(found.validation.rows.tolist()) == list(range(20, 30))
    assert len(found.train) == 14


def test_two_folders_for_one_part(tmp_path):
    for part in ("train", "val", "valid"):
        fill(tmp_path / part / "a")
    with pytest.raises(ValueError, match="several folders for one part: val, valid"):
        read(str(tmp_path))


def test_classes_that_no_model_can_learn(tmp_path):
    for part in ("train", "test"):
        fill(tmp_path / part / "a"), fill(tmp_path / part / "b")
    fill(tmp_path / "test" / "unknown", 5)
    with pytest.raises(ValueError, match=r"unknown \(5\) is in the parts for testing"):
        read(str(tmp_path))
    x = RNG.random((60, 3))
    labels = np.stack([Y == 0, np.arange(60) >= 40], 1).astype(int)
    with pytest.raises(ValueError, match=r"1 \(20\) is in the parts for testing"):
        from_arrays("d", x[:40], labels[:40], x[40:], labels[40:])


def test_inputs_that_stand_twice_are_counted(tmp_path):
    x = RNG.random((60, 3))
    assert "20 of the 30 for testing have the inputs of another part." in (
        from_arrays("d", x, Y, np.r_[x[:20], x[:10] + 1], Y[:30]).told
    )
    assert "testing have" not in from_arrays("d", x, Y, x + 1, Y).told
    twice = from_arrays("d", np.r_[x, x[:7]], np.r_[Y, Y[:7]]).told
    assert "14 of them have the same inputs as another" in twice


ALPHA = np.zeros((8, 8, 4), np.uint8)
ALPHA[2:5, 3:6, 3] = 255  # a black square that is seen, on black that is not


def save_all(place, image, **options):
    for kind in "ab":
        (place / kind).mkdir(parents=True)
        for k in range(4):
            image.save(place / kind / f"{k}.png", **options)
    return read(str(place))


def test_transparent_pixels_are_laid_over_white(tmp_path):
    raw = save_all(tmp_path / "rgba", Image.fromarray(ALPHA))
    truth = 1.0 - (ALPHA[..., 3] > 0)
    assert np.array_equal(raw.x[0], np.stack([truth] * 3))
    assert "Of the images 8 are laid over white where they are transparent." in raw.told
    half = ALPHA.copy()
    half[..., 3] //= 2  # 127 of 255
    raw = save_all(tmp_path / "half", Image.fromarray(half))
    assert np.allclose(raw.x[0, 0], 1 - (127 / 255) * (1 - truth), atol=1 / 255)
    palette = Image.fromarray((truth > 0).astype(np.uint8)).convert("P")
    palette.putpalette([9, 9, 9, 200, 0, 0] + [0] * 762)
    raw = save_all(tmp_path / "palette", palette, transparency=1)
    assert np.allclose(raw.x[0] * 255, np.where(truth > 0, 255, 9))
    grey = Image.fromarray(np.where(truth > 0, 7, 90).astype(np.uint8))
    raw = save_all(tmp_path / "grey", grey, transparency=7)
    assert raw.x.shape[1] == 1
    assert np.allclose(raw.x[0, 0] * 255, np.where(truth > 0, 255, 90))


def test_opaque_alpha_changes_nothing(tmp_path):
    image = picture("RGBA")
    image.putalpha(255)
    raw = save_all(tmp_path, image)
    assert np.allclose(raw.x[0] * 255, np.asarray(image)[..., :3].transpose(2, 0, 1))
    assert "transparent" not in raw.told


def test_white_on_transparent_is_refused(tmp_path):
    white = ALPHA.copy()
    white[..., :3] = 255
    with pytest.raises(ValueError, match=r"0.png cannot be read.* white on transparent"):
        save_all(tmp_path, Image.fromarray(white))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_their_cameras_say(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture(size=(6, 6))
    raw = save_all(tmp_path, image, exif=exif)
    image.getexif()[0x0112] = orientation
    truth = np.asarray(ImageOps.exif_transpose(image)).transpose(2, 0, 1)
    assert np.allclose(raw.x[0] * 255, truth)
    assert ("turned as their cameras say" in raw.told) == (orientation > 1)


def test_of_several_frames_the_first_is_read(tmp_path):
    first, second = picture("L"), picture("L")
    for kind in "ab":
        (tmp_path / kind).mkdir()
        for k in range(4):
            name = tmp_path / kind / f"{k}.tif"
            first.save(name, save_all=True, append_images=[second])
    raw = read(str(tmp_path))
    assert np.allclose(raw.x[0, 0] * 255, np.asarray(first))
    assert "8 are of several frames, of which the first was read" in raw.told


@pytest.mark.parametrize(
    "shape", [(28, 28, 3), (28, 28, 1), (32, 24, 4), (8, 8, 2), (16, 16, 5), (12, 40, 3)]
)
def test_channels_that_are_last_are_turned_round(shape):
    x = RNG.integers(0, 256, (60, *shape), dtype=np.uint8)
    raw = from_arrays("pictures", x, Y)
    assert np.allclose(raw.x * 255, x.transpose(0, 3, 1, 2), atol=1e-4)
    assert f"Read as (n, H, W, C), images of {shape[0]}×{shape[1]} in {shape[2]} cha" in raw.told
    again = from_arrays("pictures", np.ascontiguousarray(x.transpose(0, 3, 1, 2)), Y)
    assert np.array_equal(again.x, raw.x)


@pytest.mark.parametrize(
    "shape",
    [(1, 8, 8), (3, 32, 32), (1, 4, 16), (3, 24, 32), (64, 4, 4), (1, 1, 9), (3, 3, 3)],
)
def test_channels_that_are_first_stay_first(shape):
    x = RNG.random((60, *shape)).astype(np.float32)
    raw = from_arrays("pictures", x, Y)
    assert np.array_equal(raw.x, x)
    assert "Read as" not in raw.told


@pytest.mark.parametrize("shape", [(9, 128, 1), (512, 2, 1), (2, 8, 4)])
def test_what_is_doubtful_is_told(shape):
    raw = from_arrays("signals", RNG.random((60, *shape)), Y)
    assert raw.x.shape == (60, *shape)
    of = f"images of {shape[1]}×{shape[2]} in {shape[0]} channels"
    assert f"Read as (n, C, H, W), {of}." in raw.told


@pytest.mark.parametrize("shape", [(4, 4, 3), (3, 3, 1)])
def test_what_may_be_either_is_refused(shape):
    with pytest.raises(ValueError, match=r"may be \(n, C, H, W\).* or \(n, H, W, C\)"):
        from_arrays("tiny", RNG.random((60, *shape)), Y)


def test_grey_images_without_a_channel_axis():
    x = RNG.integers(0, 256, (60, 6, 5), dtype=np.uint8)
    raw = from_arrays("grey", x, Y)
    assert np.allclose(raw.x[:, 0] * 255, x, atol=1e-4)
    assert "Read as grey images of 6×5 without a channel axis." in raw.told


@pytest.mark.parametrize(
    ("x", "rule"),
    [
        (RNG.random((60, 6, 5)), r"\(60, 6, 5\) are neither a table nor images.*Grey images are"),
        (RNG.random((60, 1, 6, 5, 2)), "sequences and volumes are columns"),
        (RNG.random(60), "neither a table nor images"),
        (255 * RNG.random((60, 1, 6, 5)), "Divide them by their largest possible value"),
        (RNG.normal(size=(60, 1, 6, 5)), "Negative pixels were standardised already"),
        (RNG.integers(0, 256, (60, 1, 6, 5)), "Divide them by their largest possible value"),
        (RNG.integers(0, 2, (60, 1, 6, 5), dtype=np.uint8), "got 1 for the largest value"),
        (RNG.random((60, 3)) + 1j, "inputs must be numbers, got complex128"),
        (np.full((60, 1, 2, 2), 1e300), "got 1e\\+300 to 1e\\+300"),
        (np.zeros((60, 0)), "hold no numbers"),
    ],
)
def test_arrays_that_are_refused(x, rule):
    with pytest.raises(ValueError, match=f"^pictures: .*{rule}"):
        from_arrays("pictures", x, Y)


def test_pixels_that_were_scaled_twice():
    told = from_arrays("dark", RNG.random((60, 1, 4, 4)) / 255, Y).told
    assert "they may have been scaled twice" in told
