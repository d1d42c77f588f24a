"""Locks between real processes: killed, frozen, at once; clocks that jump; disks that are full."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

import vicinal
from vicinal.machine import locks

SOURCE = str(Path(vicinal.__file__).parents[1])
OWNER = """
import sys, time
from pathlib import Path
from vicinal.machine import locks
locks.BEAT = 0.02
try:
    with locks.hold(Path(sys.argv[1]), sys.argv[2:], "other") as held:
        print(*held.files, flush=True)
        while True:
            time.sleep(0.01)
            held.advance(1)
except locks.Lost:
    print("lost", flush=True)
"""


@contextmanager
def owner(folder, *names):
    """Another process that holds locks and works under them."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), *names],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": SOURCE},
    )
    try:
        assert process.stdout.readline().split() == list(names)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def lock_files(folder):
    return sorted(path.name for path in folder.glob("*.lock"))


def test_a_lock_is_held_by_one_and_vanishes(tmp_path):
    with locks.hold(tmp_path, ["a", "b"], "one") as first:
        assert list(first.files) == ["a", "b"]
        with locks.hold(tmp_path, ["b", "0"], "two") as second:  # all or none
            assert second is None
        assert lock_files(tmp_path) == ["0.0.lock", "a.0.lock", "b.0.lock"]
        assert locks.free(locks.newest(tmp_path, "0"))
    assert lock_files(tmp_path) == ["0.0.lock"]


def test_after_an_error_a_lock_is_given_back(tmp_path):
    with pytest.raises(RuntimeError), locks.hold(tmp_path, ["a"], "one"):
        raise RuntimeError
    assert locks.free(locks.newest(tmp_path, "a"))
    with locks.hold(tmp_path, ["a"], "two") as held:
        assert lock_files(tmp_path) == ["a.0.lock", "a.1.lock"]
        assert list(held.files) == ["a"]
    assert lock_files(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_the_lock_of_a_killed_owner_is_free_at_once(tmp_path):
    with owner(tmp_path, "a") as process:
        assert not locks.free(locks.newest(tmp_path, "a"))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert locks.free(locks.newest(tmp_path, "a"))
        with locks.hold(tmp_path, ["a"], "me") as held:
            assert list(held.files) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGSTOP")
def test_a_frozen_owner_is_taken_over_and_notices_when_it_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "STALE", 0.5)
    watch = locks.Watch()
    with owner(tmp_path, "a") as process:
        start = time.monotonic()
        while time.monotonic() - start < 1.5:  # three times as long as would make it stale
            assert not watch.dead(locks.newest(tmp_path, "a"))
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while not watch.dead(seen := locks.newest(tmp_path, "a")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not locks.free(seen)  # it exists, so only who watched knows that it is frozen
        with locks.hold(tmp_path, ["a"], "me", {seen.key}) as held:
            assert list(held.files) == ["a"]
            process.send_signal(signal.SIGCONT)
            assert process.stdout.readline() == "lost\n"
            assert process.wait() == 0
            assert locks.newest(tmp_path, "a").note.token == held.note.token
            held.advance(1)  # and what it did on its way out took nothing from us
    assert lock_files(tmp_path) == []


RACER = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from vicinal.machine import locks
folder, start, *names = sys.argv[1:]
dead = {(name, 0, "") for name in names}
time.sleep(max(0.0, float(start) - time.time()))
with ExitStack() as stack:
    held = [stack.enter_context(locks.hold(Path(folder), [n], "racer", dead)) for n in names]
    print(*[name for one in held if one for name in one.files], flush=True)
    sys.stdin.read()
"""


def test_of_takers_at_once_one_wins_every_lock(tmp_path):
    names = [f"run{k}" for k in range(100)]
    for name in names:
        (tmp_path / f"{name}.0.lock").touch()  # by owners that died before they wrote
    start = str(time.time() + 1.5)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), start, *order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": SOURCE},
        )
        for order in (names, names)
    ]
    won = [racer.stdout.readline().split() for racer in racers]
    for racer in racers:
        racer.communicate("")
    assert sorted(won[0] + won[1]) == sorted(names)
    assert all(won)  # else they did not meet


def test_of_two_that_saw_a_lock_free_one_gets_it(tmp_path, monkeypatch):
    """The other one takes it between the look and the taking."""
    original, others = os.open, []

    def late(*arguments):
        monkeypatch.setattr(locks.os, "open", original)
        others.append(stack.enter_context(locks.hold(tmp_path, ["a"], "two")))
        return original(*arguments)

    with ExitStack() as stack:
        monkeypatch.setattr(locks.os, "open", late)
        with locks.hold(tmp_path, ["a"], "one") as mine:
            assert mine is None
        assert list(others[0].files) == ["a"]
        others[0].advance(1)


def note(**changes):
    fields = {"host": "far", "pid": 1, "machine": "far", "launcher": "x", "token": "t"}
    return locks.Note(**(fields | changes))


def put(folder, text):
    (folder / "a.0.lock").write_text(text)
    return locks.newest(folder, "a")


def test_only_the_own_steady_clock_decides(tmp_path, monkeypatch):
    """Wall clocks and times of files jump to both sides; the owner on another machine counts."""
    now = [1000.0]
    monkeypatch.setattr(locks.time, "monotonic", lambda: now[0])
    watch = locks.Watch()
    path = tmp_path / "a.0.lock"
    with locks.hold(tmp_path, ["a"], "x") as held:
        held.note = note()  # as if on another machine, where our process numbers mean nothing
        for day in (-20_000, 0, 20_000):
            monkeypatch.setattr(locks.time, "time", lambda day=day: 86_400.0 * day)
            held.write()
            os.utime(path, (86_400 * (20_000 + day), 86_400 * (20_000 + day)))
            for _ in range(3):
                assert not watch.dead(locks.newest(tmp_path, "a"))
                now[0] += locks.STALE / 3
            assert not locks.free(locks.newest(tmp_path, "a"))
        now[0] += 1
        assert watch.dead(locks.newest(tmp_path, "a"))
        held.write()
        assert not watch.dead(locks.newest(tmp_path, "a"))


def test_a_process_number_of_another_machine_says_nothing(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with locks.hold(tmp_path, ["a"], "x") as held:
        held.note = note(pid=gone.pid)
        held.write()
        assert not locks.free(locks.newest(tmp_path, "a"))
        held.note = note(pid=gone.pid, machine=locks.machine())
        held.write()
        assert locks.free(locks.newest(tmp_path, "a"))


def noted(**changes):
    return json.dumps(asdict(note()) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"host": "x"}', "\x00", "[" * 100_000,
        *(noted(pid=pid) for pid in ("1", None, -1, 0, 2**40, 1.5, True, [])),
        *(noted(units=units) for units in ("1", None, -1, 0.5, {})),
        noted(released="no"), noted(token=[]), noted(launcher={}), noted(machine=1),
    ],
)  # fmt: skip
def test_a_lock_that_cannot_be_read_is_held_until_it_is_stale(text, tmp_path, monkeypatch):
    seen = put(tmp_path, text)
    watch = locks.Watch()
    assert seen.note is None
    assert not locks.free(seen)
    assert not watch.dead(seen)
    monkeypatch.setattr(locks, "STALE", -1.0)
    assert watch.dead(seen)
    assert locks.free(seen, {seen.key})


COPIES = (
    *("a.0 (1).lock", "a.sync-conflict-2024.lock", "a.0.lock.sync-conflict", "a.00.lock"),
    *("a.-1.lock", "a.٣.lock", "a.99999999999999999999.lock", "a.lock", ".a.7.lock"),
)


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_a_lock_is_none(copied, tmp_path):
    """As tools make that carry a folder from one machine to another."""
    (tmp_path / copied).write_text(json.dumps(asdict(note())))
    assert locks.newest(tmp_path, "a") is None
    with locks.hold(tmp_path, ["a"], "x") as held:
        assert list(held.files) == ["a"]
        assert locks.newest(tmp_path, "a").generation == 0
        held.advance(1)
    locks.locked(tmp_path)
    locks.clear(tmp_path, ["a"])


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_in_the_place_of_a_lock_is_one_that_cannot_be_read(make, tmp_path):
    """A pipe would wait for ever for who writes into it."""
    make(tmp_path / "a.0.lock")
    seen = locks.newest(tmp_path, "a")
    assert (seen.generation, seen.note) == (0, None)
    with locks.hold(tmp_path, ["a"], "x", {seen.key}) as held:
        assert held is not None
    locks.clear(tmp_path, ["a"])


def test_stop_takes_the_locks_of_one_study_away(tmp_path):
    with locks.hold(tmp_path, ["a"], "mine") as mine, locks.hold(tmp_path, ["b"], "x") as theirs:
        mine.advance(1)
        locks.stop(tmp_path, ["a", "b", "c"], "mine")
        theirs.advance(1)
        assert locks.free(locks.newest(tmp_path, "a"))
        with pytest.raises(locks.Lost, match="a was taken over"):
            mine.advance(1)
    assert locks.locked(tmp_path) == {"a"}
    locks.clear(tmp_path, ["a", "b"])
    assert not locks.locked(tmp_path)


@pytest.mark.parametrize("call", ["write", "fsync", "open"])
def test_no_lock_is_left_when_there_is_no_space(call, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locks.os, call, full)
    with pytest.raises(OSError, match="No space"), locks.hold(tmp_path, ["a"], "x"):
        pass
    monkeypatch.undo()
    assert lock_files(tmp_path) == []


def test_an_owner_that_cannot_count_goes_on(tmp_path, monkeypatch):
    """The space is there already; and if others take it over, it will notice."""
    with locks.hold(tmp_path, ["a"], "x") as held:
        size = (tmp_path / "a.0.lock").stat().st_size
        for _ in range(3):
            held.advance(10**6)
            held.write()
        assert (tmp_path / "a.0.lock").stat().st_size == size
        assert locks.newest(tmp_path, "a").note.units == 3 * 10**6

        def gone(*_):
            raise OSError(errno.ESTALE, "Stale file handle")

        monkeypatch.setattr(locks.os, "fsync", gone)
        held.write()
        held.advance(1)
        monkeypatch.undo()
