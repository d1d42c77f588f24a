"""Damaged and hostile files are refused beforehand, with their names, and take no memory."""

import gzip
import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from vicinal.data import read

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), np.arange(60) % 2


def saved(**arrays):
    """The bytes of a file of NumPy."""
    found = io.BytesIO()
    np.savez(found, **arrays)
    return bytearray(found.getvalue())


SOUND = saved(x=X, y=Y)
CRC = SOUND.copy()
CRC[300:310] = b"\xff" * 10


def head(shape, kind="<f8", member=b"", **options):
    """A packed file whose array announces another shape than it has."""
    array = io.BytesIO()
    described = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(array, described)
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", **options) as packed:
        packed.writestr("x.npy", array.getvalue() + member)
        packed.writestr("y.npy", array.getvalue() + member)
    return found.getvalue()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "it is no file of np.savez"),
        (b"PK\3\4" + bytes(50), "cannot be read as NumPy arrays"),
        (SOUND[: len(SOUND) // 2], "cannot be read as NumPy arrays"),
        (SOUND[:-1], "cannot be read as NumPy arrays"),
        (CRC, "Bad CRC-32"),
        (saved(x=X)[:0] + np.lib.format.magic(1, 0), "it is no file of np.savez"),
        (head((30_000_000_000_000,)), "announces 240000000000128 bytes"),
        (head((3, 2**62)), "announces"),
        (head((9,), member=bytes(8 * 8)), "announces 200 bytes"),
        (head((-3, 2)), "cannot be read as NumPy arrays"),
        (head((2,), "|O", bytes(16)), "cannot be read as NumPy arrays: Object arrays"),
        (saved(x=X), "must hold the arrays x and y, got x"),
        (saved(x=X, y=Y, x_test=X), "holds x_test without y_test"),
        (saved(x=X, y=Y, y_val=Y), "holds y_validation without x_validation"),
        (saved(x=X, y=Y[:50]), "has 60 inputs and 50 targets"),
        (saved(x=X, y=Y[:50], x_test=X[:10], y_test=Y[:20]), "has 60 inputs and 50 targets"),
        (saved(x=X[:0], y=Y[:0]), "has 0 inputs"),
        (saved(x=X, y=Y + 1j), "targets must be numbers or texts, got complex128"),
        (saved(x=X[..., None], y=Y), "neither a table nor images"),
        (saved(x=X.reshape(60, 3, 1, 1, 1), y=Y), "neither a table nor images"),
        (saved(x=np.float64(3), y=Y), "has no inputs and 60 targets"),
    ],
)
def test_files_of_numpy(tmp_path, content, rule):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.npz.*{rule}"):
        read(str(path))


def test_a_file_that_unpacks_to_more_than_it_can_hold(tmp_path):
    """The directory of a zip file may say any size; what is there cannot become as much."""
    content = bytearray(head((30_000,), member=b"", compression=zipfile.ZIP_DEFLATED))
    place = content.find(b"PK\1\2")
    while place >= 0:  # the size in each entry of the directory
        content[place + 24 : place + 28] = struct.pack("<I", 240_000 + 128)
        place = content.find(b"PK\1\2", place + 4)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.npz cannot be read.*announces 240128 bytes"):
        read(str(tmp_path / "a.npz"))


def test_packed_arrays_of_zeros_are_sound(tmp_path):
    x = np.zeros((60, 1, 64, 64))
    x[:, 0, 0, 0] = np.arange(60) / 60
    np.savez_compressed(tmp_path / "a.npz", x=x, y=Y)
    assert np.array_equal(read(str(tmp_path / "a.npz")).x, x.astype(np.float32))


def test_arrays_that_are_not_used_are_told(tmp_path):
    (tmp_path / "a.npz").write_bytes(saved(x=X, y=Y, weight=Y))
    assert "Left out: the array weight." in read(str(tmp_path / "a.npz")).told


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height):
    """A sound head, and nothing in it."""
    shape = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", shape)
        + chunk(b"IDAT", zlib.compress(b""))
        + (chunk(b"IEND", b""))
    )


def picture():
    content = io.BytesIO()
    pixels = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


SOME = picture()


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"GIF89a", SOME[:200], SOME[:60] + b"\xff" * 40 + SOME[100:]),
        *(png(60_000, 60_000), png(12_000, 12_000), png(0, 5), SOME[:8] + b"\0\0\0\0IHDR"),
        *(b"P6\n9999999 9999999\n255\n", b"BM" + b"\xff" * 60, b"II*\0" + b"\xff" * 40),
    ],
    ids=lambda content: f"{content[:4]!r}-{len(content)}",
)
def test_images(tmp_path, content):
    for kind in "ab":
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "0.png").write_bytes(SOME)
    (tmp_path / "b" / "1.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"b.1\.png cannot be read as an image: "):
        read(str(tmp_path))


def test_images_of_floats(tmp_path):
    for kind in "ab":
        (tmp_path / kind).mkdir()
        Image.fromarray(RNG.random((4, 4)).astype(np.float32)).save(tmp_path / kind / "0.tif")
    with pytest.raises(ValueError, match=r"0\.tif cannot be read.* floats without a range"):
        read(str(tmp_path))


def idx(axes, array):
    return struct.pack(f">BBBB{len(axes)}I", 0, 0, 8, len(axes), *axes) + array.tobytes()


IMAGES = RNG.integers(0, 256, (20, 3, 2), dtype=np.uint8)
LABELS = (np.arange(20) % 2).astype(np.uint8)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (gzip.compress(idx((20, 3, 2), IMAGES))[:-9], "cannot be unpacked"),
        (gzip.compress(idx((20, 3, 2), IMAGES))[:40], "cannot be unpacked"),
        (b"\x1f\x8b" + bytes(9), "cannot be unpacked"),
        (b"", "not a whole file"),
        (gzip.compress(idx((2**31, 2**31, 4), IMAGES)), "not a whole file"),
        (gzip.compress(idx((120,), IMAGES)), "not a whole file of .* with 3 axes"),
        (gzip.compress(idx((19, 3, 2), IMAGES[1:])), "has 19 inputs and 20 targets"),
    ],
    ids=range(7),
)
def test_files_of_mnist(tmp_path, content, rule):
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
            path = tmp_path / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(idx(array.shape, array)))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=rule):
        read(f"idx:{tmp_path}")


def test_a_class_that_cifar_has_not(tmp_path):
    for name in ("train.bin", "test.bin"):
        rows = RNG.integers(0, 256, (4, 2 + 3072), dtype=np.uint8)
        rows[:, 1] = [0, 1, 2, 200]
        (tmp_path / name).write_bytes(rows.tobytes())
    with pytest.raises(ValueError, match=r"train.bin has a class 200, which CIFAR-100 has not"):
        read(f"cifar:{tmp_path}")


def test_files_of_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sound = tmp_path / "sound.parquet"
    parquet.write_table(pyarrow.table({"a": X[:, 0], "y": Y}), sound)
    content = sound.read_bytes()
    parquet.write_table(pyarrow.table({}), tmp_path / "none.parquet")
    parquet.write_table(pyarrow.table({"a": X[:0, 0], "y": Y[:0]}), tmp_path / "rows.parquet")
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "half.parquet").write_bytes(content[: len(content) // 2])
    (tmp_path / "foot.parquet").write_bytes(content[:-60] + b"\xff" * 52 + content[-8:])
    for name, rule in (
        ("none", "needs a target and a feature at least, got no columns"),
        ("rows", "has 0 inputs"),
        ("empty", "cannot be read as Parquet"),
        ("half", "cannot be read as Parquet"),
        ("foot", "cannot be read as Parquet"),
    ):
        with pytest.raises(ValueError, match=rf"{name}\.parquet {rule}"):
            read(str(tmp_path / f"{name}.parquet"))


TEXTS = (b"\xff\xfea\0,\0b\0", b"a,b\n\xe9,1\n", b"a,b\n" + b"x" * 200_000, b"")


@pytest.mark.parametrize("content", TEXTS, ids=len)
def test_files_of_texts(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.csv"):
        read(str(tmp_path / "t.csv"))
