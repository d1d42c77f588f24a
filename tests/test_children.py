"""Processes that one process starts: who can reach them, and how they end."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

import vicinal
from vicinal.machine import children
from vicinal.machine.children import ProcessFailed
from vicinal.machine.processes import launch, loopback

SOURCE = str(Path(vicinal.__file__).parents[1])
LAUNCHER = """
import os, sys, time
from pathlib import Path
import torch
from vicinal.machine.processes import join, launch, leave

def work(folder):
    rank = join().rank
    torch.distributed.all_reduce(torch.ones(3))
    Path(folder, f"ready{rank}").write_text(str(os.getpid()))
    while not Path(folder, "enough").exists():
        time.sleep(0.05)
    leave()
    return "found"

if __name__ == "__main__":
    try:
        print(launch(2, work, sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@contextmanager
def launched(folder, **variables):
    """A process that has launched two, which have met, and its folder of temporary files."""
    (folder / "launcher.py").write_text(LAUNCHER)
    temporary = folder / "50% #1? of it"  # what an address would have to escape
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(folder / "launcher.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": SOURCE, "TMPDIR": str(temporary)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process, temporary
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ready(folder):
    return [path for path in folder.glob("ready*") if path.read_text()]


def eventually(found, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def started(folder):
    """The two processes, when they have met."""
    eventually(lambda: len(ready(folder)) == 2)
    return [psutil.Process(int(path.read_text())) for path in ready(folder)]


def ends(processes, seconds=10):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def sockets(process):
    """The addresses at which a process and those that it started can be called, by process."""
    for one in (process, *process.children(recursive=True)):
        try:
            for socket in one.net_connections("inet"):
                if not socket.raddr:
                    yield one.pid, socket.laddr.ip
        except psutil.NoSuchProcess:  # it ended just now
            continue


@pytest.mark.skipif(os.name != "posix", reason="needs sockets of other processes")
def test_processes_listen_on_the_loopback_interface_alone(tmp_path):
    """From their start to their end, whatever the user says of Gloo's interface."""
    others = [name for name in psutil.net_if_addrs() if name != loopback()]
    seen = set()
    with launched(tmp_path, GLOO_SOCKET_IFNAME=(others or ["none"])[0]) as (process, temporary):
        root, last = psutil.Process(process.pid), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < last:
            seen |= set(sockets(root))
            if len(ready(tmp_path)) == 2 and not (tmp_path / "enough").exists():
                seen |= set(sockets(root))
                (folder,) = temporary.iterdir()
                assert folder.stat().st_mode & 0o777 == 0o700
                (tmp_path / "enough").touch()
            time.sleep(0.01)
        output, errors = process.communicate()
        assert (output, process.returncode) == ("found\n", 0), errors
        assert not list(temporary.iterdir())
    assert len({pid for pid, _ in seen}) == 2  # both of them, so that this was looked at
    assert all(ip_address(address).is_loopback for _, address in seen), seen


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    """And leave nothing in the folder of temporary files."""
    with launched(tmp_path) as (process, temporary):
        both = started(tmp_path)
        process.kill()
        process.wait()
        assert ends(both)
        assert not list(temporary.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_processes_end_when_the_one_that_started_them_is_told_to(number, tmp_path):
    with launched(tmp_path) as (process, temporary):
        both = started(tmp_path)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert ends(both, 1)
        assert "Traceback" not in errors
        assert not list(temporary.iterdir())


def unequal(how, folder):
    """Rank 1 fails; rank 0 would work for a minute."""
    if os.environ["RANK"] == "1":
        if how == "raises":
            raise ValueError("of rank 1")
        if how == "exits":
            sys.exit(7)
        os.kill(os.getpid(), signal.SIGKILL)
    Path(folder, "begun").touch()
    time.sleep(60)


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("raises", 1),
        ("exits", 7),
        pytest.param(
            "is killed", -9, marks=pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
        ),
    ],
)
def test_the_first_that_fails_ends_the_others_and_gives_its_status(how, status, tmp_path, capfd):
    begun = time.monotonic()
    with pytest.raises(ProcessFailed, match=f"rank 1 ended with status {status}") as caught:
        launch(2, unequal, how, str(tmp_path))
    assert time.monotonic() - begun < 50
    assert (caught.value.rank, caught.value.exitcode) == (1, status)
    assert ("ValueError: of rank 1" in capfd.readouterr().err) == (how == "raises")


def squares(count):
    return os.environ["RANK"], [k * k for k in range(count)]


def test_the_result_of_the_first_comes_back_however_large():
    assert launch(2, squares, 10**6) == ("0", [k * k for k in range(10**6)])


def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.environ["RANK"] == "1":
        time.sleep(1)
        raise KeyboardInterrupt
    time.sleep(60)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_one_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(children, "GRACE", 0.5)
    with pytest.raises(ProcessFailed) as caught:
        launch(2, stubborn)
    assert caught.value.exitcode == 130


def test_without_a_loopback_interface_nothing_is_started(monkeypatch):
    monkeypatch.setattr("psutil.net_if_addrs", lambda: {})
    with pytest.raises(OSError, match="no loopback interface"):
        launch(2, squares, 1)
