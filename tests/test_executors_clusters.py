"""Clusters that really start, Dask and Ray, give the numbers of one process; so does a queue."""

import os
import stat
import sys
import time
from pathlib import Path

import pytest

import vicinal
from deadly import Deadly
from iris import METHODS, execute
from vicinal import cli
from vicinal.study import execute as executing
from vicinal.study import run as runs

SOURCE = str(Path(vicinal.__file__).parents[1])


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """What one process gives."""
    return execute(tmp_path_factory.mktemp("here"), seeds=1)


@pytest.fixture
def elsewhere(truth, monkeypatch):
    """Nothing may be trained in this process."""
    monkeypatch.setattr(runs, "_fresh", None)


def test_a_dask_cluster_gives_the_same_numbers(truth, elsewhere, tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, dashboard_address=None, host="127.0.0.1"
    )
    with cluster:
        address = cluster.scheduler_address
        assert execute(tmp_path / "all", executor=f"dask:{address}", jobs=1, seeds=1) == truth
        cluster.scale(0)
        with distributed.Client(address) as client:
            while client.scheduler_info()["workers"]:
                time.sleep(0.05)
        with pytest.raises(ConnectionError, match="has no workers"):
            execute(tmp_path / "none", executor=f"dask:{address}")


@pytest.fixture
def ray_cluster(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else it writes a token into the home folder
    monkeypatch.setenv("PYTHONPATH", f"{SOURCE}:{Path(__file__).parent}")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_a_ray_cluster_gives_the_same_numbers(truth, elsewhere, tmp_path, ray_cluster):
    """On a cluster of one CPU; a worker that is killed takes no other run along."""
    said, methods = [], METHODS | {"deadly": Deadly(tmp_path / "killed")}
    records = execute(tmp_path / "runs", methods, said, executor="ray", seeds=1)
    assert (tmp_path / "killed").exists()
    assert records[:2] == truth
    assert records[2]["measured"] == truth[1]["measured"]  # it is mixup(alpha=1) otherwise
    assert any("WorkerCrashedError" in sentence for sentence in said)


SBATCH = """#!/bin/sh
# a queue without waiting; of the first array it runs the job 0 alone, the others are lost
folder=$(sed -n 's/^#SBATCH --output=\\(.*\\)\\/[^/]*$/\\1/p' $1)
export SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1
export SLURM_JOB_NODELIST=here
if grep -q '^#SBATCH --array=' $1; then
    number=7
    export SLURM_JOB_ID=7_0 SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=0
else
    number=8
    export SLURM_JOB_ID=8
fi
cp $1 $folder/$number.sh  # submitit renames its own
sh $folder/$number.sh < /dev/null > $folder/$number.out 2>&1 &
echo Submitted batch job $number
"""
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do
    case $1 in --output | --error) shift ;; esac
    shift
done
exec "$@"
"""
SACCT = """#!/bin/sh
echo 'JobID|State|NodeList
7_0|RUNNING|here
7_1|NODE_FAIL|here
8|RUNNING|here'
"""


def test_slurm_is_given_an_array_and_again_what_its_nodes_lost(truth, tmp_path, monkeypatch):
    """Against a stand-in for sbatch, srun and sacct."""
    pytest.importorskip("submitit")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", SOURCE)
    monkeypatch.chdir(tmp_path)
    said = []
    assert execute(tmp_path / "runs", said=said, executor="slurm", jobs=1, seeds=1) == truth
    (lost,) = (sentence for sentence in said if "job 7_1" in sentence)
    assert "NODE_FAIL" in lost
    array, single = sorted((tmp_path / ".vicinal-slurm").glob("*_submission.sh"))
    assert "#SBATCH --array=0-1%1" in array.read_text()
    assert "--array" not in single.read_text()
    assert "#SBATCH --cpus-per-task=1" in single.read_text()


def test_slurm_needs_sbatch(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConnectionError, match="sbatch is not found"):
        execute(tmp_path / "runs", executor="slurm")


@pytest.mark.parametrize("executor", ["dask:tcp://127.0.0.1:1", "ray:127.0.0.1:1", "dask:nowhere"])
def test_a_cluster_that_does_not_answer_is_told(executor, tmp_path):
    pytest.importorskip({"d": "distributed", "r": "ray"}[executor[0]])
    with pytest.raises(ConnectionError, match="no (Dask|Ray) cluster answers at .*Start one: "):
        execute(tmp_path, executor=executor)


@pytest.mark.parametrize(
    ("executor", "module"),
    [("dask:tcp://127.0.0.1:1", "distributed"), ("ray", "ray"), ("slurm", "submitit")],
)
def test_a_missing_extra_is_told_with_what_to_type(executor, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    extra = executor.split(":")[0]
    with pytest.raises(ValueError, match=rf"pip install 'vicinal\[{extra}\]'"):
        execute(tmp_path, executor=executor)


def test_the_command_passes_the_executor_on(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.app.meta(["compare", "iris", "--executor", "dask", "--out", str(tmp_path / "new")])
    assert caught.value.code == 2
    assert "dask:tcp://HOST:8786" in capsys.readouterr().err
    given = {}

    def refused(plan, **options):
        given.update(vars(plan.study.computing))
        raise ConnectionError("no cluster")

    monkeypatch.setattr(executing, "execute", refused)
    with pytest.raises(SystemExit) as caught:
        cli.app.meta(
            ["compare", "iris", "--executor", "ray:h:1", "--jobs", "3", "--out", str(tmp_path)]
        )
    assert caught.value.code == 2
    assert (given["executor"], given["jobs"]) == ("ray:h:1", 3)
