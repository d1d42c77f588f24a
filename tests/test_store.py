"""The store: names, atomic writing, and what cannot be read."""

import errno
import json
import math
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vicinal
from vicinal.machine import files
from vicinal.study import store
from vicinal.study.record import FORMAT

CONFIGURATION = {"method": "erm", "seed": 0}


def record():
    name = store.name_of(CONFIGURATION)
    return {
        "format": FORMAT,
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


def stored(folder, **changes):
    """A record as it stands in its file, changed by hand."""
    store.save(folder, record() | {"history": [{"epoch": 1, "objective": 0.5}]})
    (path,) = folder.glob("*.json")
    text = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in text.items() if value is not ...}))
    return path


def test_a_changed_number_is_noticed_and_a_record_without_digest_is_read(tmp_path):
    path = stored(tmp_path)
    assert list(json.loads(path.read_text()))[-1] == "digest"
    assert "digest" not in store.read(path)
    changed = [{"epoch": 1, "objective": 0.25}]
    assert store.read(stored(tmp_path, seconds={"training": 2.0}))  # runs of equal numbers agree
    with pytest.raises(ValueError, match="not what was written"):
        store.read(stored(tmp_path, history=changed))
    with pytest.raises(ValueError, match="not what was written"):
        store.read(stored(tmp_path, digest="0" * 64))
    assert store.read(stored(tmp_path, history=changed, digest=...))["history"] == changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": "x"}, "its history is a str"),
        ({"history": [1]}, "its history has a row"),
        ({"history": [{"epoch": "1"}]}, "its history has a row"),
        ({"history": [{"epoch": 10**400}]}, "its history has a row"),
        ({"history": [{"objective": math.nan}]}, "its history has a row"),
        ({"environment": "x"}, "its environment is a str"),
        ({"seconds": 3}, "its seconds is a int"),
        ({"seconds": {"training": "long"}}, "its seconds are not numbers"),
        ({"failure": ["x"]}, "its failure is a list"),
        ({"measured": [1]}, "its measured is a list"),
        ({"status": "done", "measured": None}, "without measurements"),
        ({"status": ["done"]}, "neither done nor failed"),
        ({"format": [2]}, "its format is"),
        ({"name": None}, "not the hash"),
        ({"configuration": [1]}, "no configuration"),
    ],
)
def test_fields_of_other_types_are_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        store.read(stored(tmp_path, digest=..., **changes))


def test_what_is_nested_without_end_is_refused(tmp_path):
    path = tmp_path / f"{store.name_of(CONFIGURATION)}.json"
    for text in ("[" * 100_000, '{"a":' * 100_000):
        path.write_text(text)
        with pytest.raises(ValueError, match="nested too deeply"):
            store.read(path)


PLACES = {
    "a folder": os.mkdir,
    "a pipe": getattr(os, "mkfifo", None),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/full"),
}


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and links")
@pytest.mark.parametrize("kind", PLACES)
def test_what_is_no_file_in_the_place_of_a_record_is_told_and_set_aside(kind, tmp_path):
    """Without opening it: a pipe would wait for ever for who writes into it."""
    path = tmp_path / f"{store.name_of(CONFIGURATION)}.json"
    PLACES[kind](path)
    records, unreadable = store.load(tmp_path)
    assert records == []
    assert [str(one) for one in unreadable] == [f"{path.name}: not a file, but {kind}"]
    with pytest.raises(FileExistsError):
        store.save(tmp_path, record())
    said = []
    assert store.stored(path, said.append) is None
    assert "set aside as" in said[0]
    store.save(tmp_path, record())
    assert store.read(path) == record()


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and links")
@pytest.mark.parametrize("kind", PLACES)
def test_what_is_no_file_is_not_replaced_by_one(kind, tmp_path):
    path = tmp_path / "page.html"
    PLACES[kind](path)
    before = path.lstat()
    for refuse in (files.check_file, lambda path: files.write(path, "new")):
        with pytest.raises(ValueError, match=rf"page.html is {kind}, and not replaced by a file"):
            refuse(path)
    if kind != "a folder":
        with pytest.raises(ValueError, match=f"page.html is {kind}, not a folder, so there can be"):
            files.check_folder(path / "deep" / "runs")
        with pytest.raises(ValueError, match=rf"page.html is {kind}, not a folder\. Pass another"):
            files.check_folder(path)
    assert (path.lstat().st_mode, path.lstat().st_ino) == (before.st_mode, before.st_ino)
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_file_where_a_folder_is_needed_is_refused_and_nothing_is_made(tmp_path):
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(ValueError, match="file is a file, not a folder"):
            files.check_folder(path)
    with pytest.raises(ValueError, match="file is a file, not a folder"):
        files.check_file(tmp_path / "file" / "page.html")
    files.check_folder(tmp_path)
    files.check_folder(tmp_path / "new" / "er")
    files.check_file(tmp_path / "new" / "page.html")
    files.check_file(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_is_here_is_found_from_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.check_folder(Path("runs"))
    Path("runs").write_text("")
    with pytest.raises(ValueError, match="runs is a file"):
        files.check_folder(Path("runs/deeper"))


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(ValueError, match="nothing can be written in"):
        files.check_folder(tmp_path / "runs")


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_through_a_link_its_file_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "page").write_text("old")
    (tmp_path / "page").symlink_to("far/page")
    files.check_file(tmp_path / "page")
    files.write(tmp_path / "page", "new")
    assert (tmp_path / "page").is_symlink()
    assert (tmp_path / "far" / "page").read_text() == "new"


def test_partial_files_of_the_dead_are_swept_and_of_the_living_kept(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host, path = socket.gethostname(), tmp_path / "page[1].html"
    dead = tmp_path / f".{path.name}.{host}-{gone.pid}.partial"
    kept = [
        tmp_path / f".{path.name}.{host}-{os.getppid()}.partial",
        tmp_path / f".{path.name}.far-{gone.pid}.partial",
        tmp_path / f".{path.name}.{host}-x.partial",
        tmp_path / f".other.{host}-{gone.pid}.partial",
    ]
    for left in (dead, *kept):
        left.write_text("half")
    files.write(path, "whole")
    assert {*tmp_path.iterdir()} == {path, *kept}


@pytest.mark.skipif(os.name != "posix", reason="needs folders that can be opened")
@pytest.mark.parametrize("links", [True, False])
def test_names_are_on_the_disk_before_it_goes_on(links, tmp_path, monkeypatch):
    """After link and replace the folder is settled, too; a file system may refuse that."""
    done = []

    def told(name):
        original = getattr(os, name)

        def call(*arguments):
            kind = (
                "folder" if name == "fsync" and stat.S_ISDIR(os.fstat(*arguments).st_mode) else ""
            )
            done.append(kind or name)
            if name == "link" and not links:
                raise OSError(errno.EPERM, "Operation not permitted")
            if kind:
                raise OSError(errno.EINVAL, "Invalid argument")
            return original(*arguments)

        return call

    for name in ("fsync", "link", "replace"):
        monkeypatch.setattr(os, name, told(name))
    store.save(tmp_path, record())
    files.write(tmp_path / "page", "text")
    moves = ["link"] if links else ["link", "replace"]
    assert done == ["fsync", *moves, "folder", "fsync", "replace", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_says_which_file(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    files.write(path, "old")
    original = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: original(Path("/dev/full"), mode))
        with pytest.raises(OSError, match="No space left on device") as caught:
            files.write(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"


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
