"""Executors: the same numbers wherever runs are done, and what happens when workers die."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import studies
import vicinal
from deadly import Deadly, Raising
from iris import METHODS, OPTIONS, execute
from vicinal import cli
from vicinal.machine import locks, processes
from vicinal.study import executors, store
from vicinal.study.executors import launch
from vicinal.study.executors.work import Outcome, WorkersDied, names_of
from vicinal.study.methods import parse_methods

SOURCE = str(Path(vicinal.__file__).parents[1])


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """What one process gives."""
    return execute(tmp_path_factory.mktemp("here"))


def test_processes_give_the_same_numbers_though_one_is_killed(truth, tmp_path):
    """The killed run is done again in another process."""
    said = []
    methods = METHODS | {"deadly": Deadly(tmp_path / "killed")}
    records = execute(tmp_path / "runs", methods, said, jobs=2, seeds=1)
    assert (tmp_path / "killed").exists()
    assert [r["status"] for r in records] == ["done"] * 3
    assert records[:2] == truth[:2]
    assert any("was killed; what was underway is tried again" in sentence for sentence in said)
    assert records[2]["measured"] == truth[1]["measured"]  # it is mixup(alpha=1) otherwise


def fake(run, monkeypatch):
    """An executor in this process, that can do to tasks what clusters do."""
    monkeypatch.setitem(executors.EXECUTORS, "fake", lambda address, jobs: nullcontext(run))
    return "fake"


def leave_behind(task):
    """The lock of a process that was killed."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (name,) = names_of(task.group)
    path = task.folder / f"{name}.0.lock"
    with locks.hold(task.folder, [name], task.launcher):
        text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | {"pid": gone.pid}))


def test_a_run_whose_worker_is_always_killed_is_left_out(truth, tmp_path, monkeypatch):
    """It takes what runs beside it along the first time, and is tried alone then."""
    sizes = []

    def run(tasks):
        sizes.append(len(tasks))
        for task in tasks:
            if (task.group[0].method, task.group[0].seed) == ("erm", 1):
                leave_behind(task)
                raise WorkersDied("a worker was killed")
            yield task()

    said = []
    records = execute(tmp_path, said=said, executor=fake(run, monkeypatch))
    assert sizes == [4, 1, 1]
    assert [r["status"] for r in records] == ["done", "done", "failed", "done"]
    assert records[2]["failure"]["reason"].startswith("its worker was killed 2 times")
    assert [records[k] for k in (0, 1, 3)] == [truth[k] for k in (0, 1, 3)]
    assert "erm, seed 1: a worker was killed again; left out." in said
    assert not (tmp_path / f"{records[2]['name']}.json").exists()


def test_workers_that_cannot_even_begin_are_an_error(tmp_path, monkeypatch):
    def run(tasks):
        raise WorkersDied("ModuleNotFoundError: No module named 'vicinal'")
        yield

    with pytest.raises(ConnectionError, match="cannot work: ModuleNotFoundError"):
        execute(tmp_path, executor=fake(run, monkeypatch))


def test_jobs_that_are_killed_one_by_one_are_tried_twice(truth, tmp_path, monkeypatch):
    tries = []

    def run(tasks):
        for task in tasks:
            tries.append(task.group[0].method)
            dies = task.group[0].method == "erm"
            yield Outcome(names_of(task.group), ("job 7: killed",), died=True) if dies else task()

    records = execute(tmp_path, seeds=1, executor=fake(run, monkeypatch))
    assert tries == ["erm", "mixup(alpha=1)", "erm"]
    assert [r["status"] for r in records] == ["failed", "done"]
    assert records[1] == truth[1]


def test_a_folder_that_is_not_shared_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "PATIENCE", 0.0)
    monkeypatch.setattr(launch, "POLL", 0.01)

    def elsewhere(tasks):
        yield Outcome(names_of(tasks[0].group), host="node7")

    with pytest.raises(FileNotFoundError, match="on node7 stored runs .* must share the folder"):
        execute(tmp_path / "a", executor=fake(elsewhere, monkeypatch))

    def unseen(tasks):
        for path in tasks[0].folder.iterdir():
            path.unlink()
        tasks[0].folder.rmdir()
        yield tasks[0]()

    with pytest.raises(OSError, match="does not see the folder"):
        execute(tmp_path / "b", executor=fake(unseen, monkeypatch))


def test_an_error_in_a_run_leaves_the_others_alone(truth, tmp_path):
    methods = {"raising": Raising(tmp_path, RuntimeError("no such kernel"))} | METHODS
    records = execute(tmp_path, methods, seeds=1)
    assert [r["status"] for r in records] == ["failed", "done", "done"]
    reason = records[0]["failure"]["reason"]
    assert reason.startswith("RuntimeError: no such kernel (deadly.py, line ")
    assert records[1:] == truth[:2]
    assert len(list(tmp_path.glob("*.json"))) == 2  # so that it is tried again the next time


def test_a_full_disk_stops_the_study_and_the_same_command_goes_on(truth, tmp_path, monkeypatch):
    writes, original = [], os.fsync

    def fsync(descriptor):
        if ".json." in os.readlink(f"/proc/self/fd/{descriptor}"):
            writes.append(descriptor)
            if len(writes) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left"):
            execute(tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert not list(tmp_path.glob(".*"))
    assert execute(tmp_path) == truth


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on files")
def test_a_real_limit_on_files_stops_the_study_and_the_same_command_goes_on(truth, tmp_path):
    """Nothing is patched: a write comes out short, as on a disk that fills up."""
    import resource

    said, (soft, hard) = [], resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))  # a lock fits, a record does not
    try:
        with pytest.raises(OSError, match="File too large"):
            execute(tmp_path, said=said)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert any("checkpoint" in s and "could not be written" in s for s in said)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}
    assert execute(tmp_path) == truth


def test_a_folder_that_becomes_read_only_while_a_model_trains_is_told(truth, tmp_path, monkeypatch):
    """From the first checkpoint on nothing can be created, renamed or removed."""
    named = {"open": os.open, "replace": os.replace, "link": os.link, "unlink": os.unlink}
    saved = []

    def read_only(name):
        def call(path, *rest, **options):
            writes = name != "open" or rest[0] & (os.O_CREAT | os.O_WRONLY)
            if saved and writes and str(path).startswith(str(tmp_path)):
                raise OSError(errno.EROFS, "Read-only file system", str(path))
            return named[name](path, *rest, **options)

        return call

    def opened(path, mode="r", **options):
        if saved and "w" in mode and str(path).startswith(str(tmp_path)):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        if "w" in mode and "checkpoint" in path.name:
            saved.append(path)
        return original(path, mode, **options)

    original = Path.open
    with monkeypatch.context() as patch:
        for name in named:
            patch.setattr(os, name, read_only(name))
        patch.setattr(Path, "open", opened)
        with pytest.raises(OSError, match="Read-only file system"):
            execute(tmp_path)
    assert saved
    assert not list(tmp_path.glob("*.json"))
    # its lock names this process, which lives on here; a user's has ended
    for lock in tmp_path.glob("*.lock"):
        lock.unlink()
    assert execute(tmp_path) == truth


def eventually(found):
    """What is found in the end, within a minute."""
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_two_studies_share_a_folder_and_one_is_interrupted(tmp_path, monkeypatch):
    """A command with two workers beside this process, which does the rest alone in the end."""
    folder, shared = tmp_path / "runs", {**OPTIONS, "seeds": 3, "epochs": 40}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in shared.items() if value]
    command = ("compare", *options, "--methods", "erm", "mixupe", "--jobs", "2")
    other = subprocess.Popen(
        [sys.executable, "-m", "vicinal.cli", *command, "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": SOURCE},
        start_new_session=True,
    )
    theirs = eventually(lambda: {path.stem for path in folder.glob("*.checkpoint")})
    os.killpg(other.pid, signal.SIGSTOP)  # so that there is something left to interrupt
    ours, said, original = [], [], store.save

    def save(folder, record):
        if not ours:
            os.killpg(other.pid, signal.SIGINT)  # as a terminal does, to the workers too
            os.killpg(other.pid, signal.SIGCONT)
        assert not (folder / f"{record['name']}.json").exists()  # nobody else did it
        ours.append(record["name"])
        original(folder, record)

    monkeypatch.setattr(store, "save", save)
    plan = studies.planned(parse_methods(["erm", "mixupe"]), folder, **shared)
    records = studies.execute(plan, advance=lambda _: None, say=said.append)
    _, err = other.communicate(timeout=60)
    assert other.returncode == 130
    assert "Stopped. The same command goes on from here." in err
    assert "Traceback" not in err
    names = {record["name"] for record in records}
    assert ours[0] not in theirs  # nobody waited
    assert {path.name for path in folder.iterdir()} == {f"{name}.json" for name in names}
    assert [record["status"] for record in records] == ["done"] * 6


@pytest.mark.parametrize(
    ("executor", "jobs", "message"),
    [
        ("local", None, "unknown executor 'local'. Known: dask, loky, ray, slurm."),
        ("loky", 0, "must be at least 1, got 0"),
        ("loky:here", None, "the executor loky has no address"),
        ("dask", None, "dask:tcp://HOST:8786"),
    ],
)
def test_what_cannot_be_meant_is_refused(executor, jobs, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        execute(tmp_path, executor=executor, jobs=jobs)
    assert not list(tmp_path.iterdir())


def test_jobs_and_processes_are_not_mixed(capsys, tmp_path, monkeypatch):
    options = ["--jobs", "2", "--out", str(tmp_path / "new")]
    for more in (["--processes", "2"], []):  # the second as under torchrun
        if not more:
            monkeypatch.setattr("vicinal.study.execute.join", lambda: processes.Place(0, 2))
            monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(SystemExit) as caught:
            cli.app.meta(["compare", "iris", *options, *more])
        assert caught.value.code == 2
        assert "choose one of them" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "new").exists()


def test_more_jobs_than_groups_are_told(tmp_path, monkeypatch):
    said, here = [], fake(lambda tasks: (task() for task in tasks), monkeypatch)
    execute(tmp_path, said=said, seeds=1, executor=here, jobs=3, together=2)
    assert any("3 jobs for 1 groups" in sentence for sentence in said)


def test_a_plan_with_one_run_twice_is_refused(tmp_path):
    plan = studies.planned({"erm": None}, tmp_path, **OPTIONS)
    twice = replace(plan, runs=plan.runs + plan.runs[:1])
    with pytest.raises(ValueError, match="the same configuration"):
        studies.execute(twice, advance=lambda _: None, say=lambda _: None)


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs to see other processes")
def test_workers_end_when_their_launcher_is_killed(tmp_path):
    """In the midst of a run, without waiting for its end."""
    options = [
        "--model",
        "cnn",
        "--epochs",
        "300",
        "--seeds",
        "2",
        "--together",
        "1",
        "--jobs",
        "2",
    ]
    options += ["--methods", "erm"]
    launcher = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "vicinal.cli",
            "compare",
            "digits",
            *options,
            "--out",
            str(tmp_path),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": SOURCE},
    )
    try:
        eventually(lambda: len(list(tmp_path.glob("runs/*.lock"))) == 2)
        locked = [locks.newest(tmp_path / "runs", path.name.split(".")[0])
                  for path in tmp_path.glob("runs/*.lock")]  # fmt: skip
        workers = [psutil.Process(seen.note.pid) for seen in locked]
        assert launcher.pid not in [worker.pid for worker in workers]
    finally:
        launcher.kill()
        launcher.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    assert not list(tmp_path.glob("runs/*.json"))  # none was done, so they were in its midst
