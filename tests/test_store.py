"""The store: names, atomic writing, and what cannot be read."""

import errno
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vicinal
from vicinal.machine import files
from vicinal.study import store

CONFIGURATION = {"method": "erm", "seed": 0}


def record():
    name = store.name_of(CONFIGURATION)
    return {
        "format": store.FORMAT,
        "name": name,
        "configuration": CONFIGURATION,
        "status": "failed",
    }


def test_what_is_saved_is_read_back(tmp_path):
    store.save(tmp_path, record())
    path = tmp_path / f"{store.name_of(CONFIGURATION)}.json"
    assert store.read(path) == record()
    assert os.listdir(tmp_path) == [path.name]


def test_names_depend_on_every_value_and_on_no_order():
    other = dict(reversed(CONFIGURATION.items()))
    assert store.name_of(other) == store.name_of(CONFIGURATION)
    for key, value in (("method", "mixup"), ("seed", 1), ("new", 0)):
        assert store.name_of(CONFIGURATION | {key: value}) != store.name_of(CONFIGURATION)


def test_numbers_that_json_does_not_know_become_null():
    assert files.plain({"a": math.nan, "b": (1.5, math.inf)}) == {"a": None, "b": [1.5, None]}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    files.write(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", json.dumps(record() | {"format": 99}), "\x00\xff"]
)
def test_what_is_no_run_is_told(tmp_path, text):
    path = tmp_path / f"{store.name_of(CONFIGURATION)}.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r".+"):
        store.read(path)


def test_older_formats_are_read_and_newer_ones_refused_clearly(tmp_path):
    path = tmp_path / f"{store.name_of(CONFIGURATION)}.json"
    path.write_text(json.dumps(record() | {"format": 1}))
    assert store.read(path)["format"] == 1
    path.write_text(json.dumps(record() | {"format": 3}))
    with pytest.raises(ValueError, match="its format is 3, and this version .* reads 1 and 2"):
        store.read(path)


def test_a_run_under_another_name_is_not_believed(tmp_path):
    path = tmp_path / "0123456789abcdef.json"
    path.write_text(json.dumps(record()))
    with pytest.raises(ValueError, match="not the hash"):
        store.read(path)


def test_set_aside_never_overwrites(tmp_path):
    names = set()
    for k in range(3):
        path = tmp_path / "run.json"
        path.write_text(str(k))
        names.add(files.set_aside(path).name)
    assert len(names) == 3
    assert sorted(p.read_text() for p in tmp_path.iterdir()) == ["0", "1", "2"]


WRITER = """
import sys
from itertools import count
from pathlib import Path
from vicinal.machine import files
path = Path(sys.argv[1])
for k in count():
    files.write_bytes(path, bytes([k % 250]) * 2_000_000)
    if k == 0:
        print(flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_writer_that_is_killed_in_the_middle_leaves_a_whole_file(tmp_path):
    path = tmp_path / "run.json"
    environment = os.environ | {"PYTHONPATH": str(Path(vicinal.__file__).parents[1])}
    halves = 0
    for k in range(8):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            time.sleep(0.003 * k)
            writer.kill()
        content = path.read_bytes()
        assert len(content) == 2_000_000
        assert len(set(content)) == 1
        halves += len(list(tmp_path.glob(".*.partial")))
        files.sweep(path)
        assert os.listdir(tmp_path) == ["run.json"]
    assert halves  # else none was killed while it wrote


def test_a_run_that_is_stored_is_never_written_over(tmp_path, monkeypatch):
    """By a process that was frozen while another did its run; also without links."""
    store.save(tmp_path, record())
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    store.save(tmp_path, record() | {"status": "done"})
    assert path.read_bytes() == before

    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    store.save(tmp_path, record() | {"status": "done"})
    assert path.read_bytes() == before
    path.unlink()
    store.save(tmp_path, record())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]
