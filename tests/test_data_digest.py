"""Data that differ in anything that decides a number, or its name, have another digest."""

from dataclasses import replace

import numpy as np
import pytest

from vicinal.data import LOADERS, read
from vicinal.data.arrays import from_arrays
from vicinal.data.raw import checked, digest_of

RNG = np.random.default_rng(0)
X = RNG.random((80, 1, 8, 8)).astype(np.float32)
Y = np.arange(80) % 2
TABLE = X.reshape(80, 64)
NAMES = ["cat", "dog"]


def table(x=TABLE, y=Y, **options):
    return checked("data", x, y, **options)


OTHERS = {
    "images": from_arrays("data", X, Y),
    "other sides": from_arrays("data", X.reshape(80, 1, 4, 16), Y),
    "channels": from_arrays("data", X.reshape(80, 4, 4, 4), Y),
    "a table": table(),
    "without the last column": table(TABLE[:, :-1]),
    "the last bit": table(np.nextafter(TABLE, TABLE + (np.arange(64) == 9))),
    "names of classes": table(y=np.array(NAMES)[Y]),
    "other names": table(y=np.array(["cow", "dog"])[Y]),
    "names in other places": table(y=np.array(["catd", "og"])[Y]),
    "other classes": table(y=1 - Y),
    "values": table(y=Y * 1.0),
    "one logit": table(task="binary"),
    "names of columns": table(features=[f"pixel {k}" for k in range(64)]),
    "a test part": table(test=np.arange(60, 80)),
    "another test part": table(test=np.arange(40, 80)),
    "a validation part": table(validation=np.arange(60, 80)),
    "groups": table(groups=np.arange(80) // 4, group="patient"),
    "other groups": table(groups=np.arange(80) // 8, group="patient"),
    "another order": table(TABLE[::-1], Y[::-1]),
}


def test_every_one_is_another():
    digests = {name: raw.digest for name, raw in OTHERS.items()}
    assert len(set(digests.values())) == len(OTHERS), digests


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_of_the_content_alone(name):
    raw = OTHERS[name]
    assert raw.digest == digest_of(replace(raw, note="other", group="patients"))
    assert raw.digest == digest_of(replace(raw, x=np.asfortranarray(raw.x)))


def test_built_in_data_have_none():
    assert {read(name).digest for name in LOADERS} == {""}
