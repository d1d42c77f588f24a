"""Everything on a device that is emulated: its numbers are those of the CPU, to the last bit."""

import contextlib
import json
import sys
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import iris
from emulated import DEVICE, Emulated, emulated
from on_devices import CASES
from vicinal.cli import app
from vicinal.machine import devices
from vicinal.machine.devices import checked, honest
from vicinal.maths.losses import categorical
from vicinal.mixing.mixup import Mixup
from vicinal.study.options import Recipe
from vicinal.study.training.loop import Member, train

TIMED = ("seconds", "name", "device")  # what differs: names say the kind of device


def numbers(value):
    """A result as plain lists of numbers and texts."""
    if isinstance(value, Tensor):
        return numbers(value.detach().cpu().tolist())
    if isinstance(value, np.ndarray):
        return numbers(value.tolist())
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, dict):
        return {key: numbers(part) for key, part in value.items() if key not in TIMED}
    if isinstance(value, list | tuple):
        return [numbers(part) for part in value]
    return repr(value)  # NaN is itself, and -0.0 is not 0.0


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    for name, few in (
        ("robustness.usual.STEPS", 3),
        ("robustness.attacks.apgd.STEPS", 8),
        ("robustness.attacks.fab.STEPS", 4),
        ("robustness.attacks.fmn.STEPS", 4),
        ("robustness.attacks.square.QUERIES", 5),
        ("study.audit.outputs.RESAMPLES", 100),
        ("study.audit.theory.CHECKED", 20),
        ("study.measures.PAIRS", 400),
        ("robustness.signs.QUERIES", 5),
        ("robustness.signs.NOISES", 2),
        ("robustness.signs.RESTARTS", 1),
    ):
        monkeypatch.setattr(f"vicinal.{name}", few)


@pytest.fixture
def device():
    with emulated() as there:
        yield there


def test_the_device_refuses_what_a_gpu_refuses(device):
    x = torch.arange(6.0).reshape(2, 3)
    there = x.to(device)
    assert isinstance(there, Emulated)
    assert there.device == DEVICE
    with pytest.raises(RuntimeError, match="same device"):
        there + x
    with pytest.raises(RuntimeError, match="on cpu"):
        x[torch.tensor([0], device=device)]
    with pytest.raises(RuntimeError, match="device type for generator"):
        torch.rand(2, device=device, generator=torch.Generator())
    for convert in (Tensor.numpy, np.asarray):
        with pytest.raises(TypeError, match="can't convert"):
            convert(there)
    assert (there * torch.tensor(2.0))[torch.tensor([1])].tolist() == [[6.0, 8.0, 10.0]]
    assert not isinstance(there.cpu(), Emulated)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the cases, the same on all devices
@pytest.mark.parametrize("name", CASES)
def test_what_the_library_computes(name):
    here = CASES[name](torch.device("cpu"))
    with emulated() as there:
        found = CASES[name](there)
        assert numbers(found) == numbers(here)


@pytest.mark.parametrize(
    "options", [{"explain_every": 1}, {"model": "mlp", "together": 2}], ids=str
)
def test_a_study(options, tmp_path):
    """Loss, calibration, terms, attacks; run by run, and as one stack of models."""
    options |= {"seeds": 1, "epochs": 1, "train_size": 40}
    here = iris.execute(tmp_path, **options)
    with emulated():
        there = iris.execute(tmp_path, device=DEVICE.type, **options)
    assert [run["status"] for run in here] == ["done", "done"]
    assert numbers(there) == numbers(here)
    for run in there:
        assert run["configuration"]["device"] == DEVICE.type
        assert run["environment"]["device"] == str(DEVICE)
    assert not {run["name"] for run in here} & {run["name"] for run in there}


@pytest.mark.parametrize("start", ["cpu", DEVICE])
def test_training_goes_on_where_another_device_stopped(start, tmp_path):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(21, 3, generator=g), torch.arange(21) % 3
    torch.manual_seed(0)
    weights = nn.Linear(3, 3).state_dict()

    def run(path, device, epochs):
        model = nn.Linear(3, 3)
        model.load_state_dict(weights)
        left = epochs

        def stop():
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

        member = Member(
            "m", model.to(device), Mixup(1.0), x.to(device), y.to(device), 0, lambda k: {}
        )
        (done,) = train(
            [member],
            categorical,
            Recipe(epochs=4, batch_size=8, learning_rate=0.1, weight_decay=0.1),
            checkpoint=path,
            progress=stop,
            every=0.0,
        )
        return [row["objective"] for row in done.history], model.weight.detach().cpu().tolist()

    whole = run(tmp_path / "whole", "cpu", 9)
    with emulated():
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", start, 2)
        other = "cpu" if start == DEVICE else DEVICE
        assert run(tmp_path / "stopped", other, 9) == whole


def test_the_commands(tmp_path, monkeypatch):
    (tmp_path / "model_of_iris.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def made():\n    torch.manual_seed(0)\n    return nn.Linear(4, 3)\n"
    )
    monkeypatch.chdir(tmp_path)
    for draws in ("figures.still.svg", "pages.explained.page", "pages.audited.page"):
        monkeypatch.setattr(f"vicinal.report.{draws}", lambda *record, **options: "")
    fast = {
        "explain": ["--alphas", "1", "--pairs", "60", "--shown", "1"],
        "audit": ["--attacks", "fast", "--examples", "3", "--norms", "linf"],
    }

    def records(name):
        for command, options in fast.items():
            where = ["--data", "iris", "--device", name, "--out", f"{name}-{command}"]
            with pytest.raises(SystemExit) as ended:
                app.meta([command, "model_of_iris:made", *options, *where], exit_on_error=False)
            assert ended.value.code in (0, None)
        return [json.loads(path.read_text()) for path in sorted(tmp_path.glob(f"{name}-*/*.json"))]

    here = records("cpu")
    with emulated():
        there = records(DEVICE.type)
    sys.modules.pop("model_of_iris")
    assert len(here) == 2
    assert numbers(there) == numbers(here)
    assert {r["settings"]["device"] for r in there} == {DEVICE.type}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gpu", "unknown device 'gpu'. Pass cpu, cuda or cuda:1"),
        ("mps", "no numbers of float64"),
        ("xpu", "the device xpu is not available"),
        ("cuda:2", "there is no device cuda:2, only cuda:0, cuda:1"),
    ],
)
def test_devices_that_cannot_be_had(name, why, monkeypatch):
    monkeypatch.setattr(devices, "available", lambda kind: 2 if kind == "cuda" else 0)
    with pytest.raises(ValueError, match=why):
        checked(name)
    assert checked("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(
    "command", [["compare", "iris"], ["tune", "iris"], ["explain", "m:m"], ["audit", "m:m"]]
)
def test_commands_refuse_before_any_work(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "available", lambda kind: 0)
    with pytest.raises(SystemExit) as refused:
        app.meta([*command, "--device", "cuda"], exit_on_error=False)
    assert refused.value.code == 2
    assert "the device cuda is not available" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command", [["compare", "iris"], ["tune", "iris"], ["explain", "m:m"], ["audit", "m:m"]]
)
def test_processes_share_work_on_the_cpu_only(command, monkeypatch, capsys):
    monkeypatch.setattr(devices, "available", lambda kind: 2)
    for options, started in ((["--processes", "2"], "1"), ([], "2")):
        monkeypatch.setenv("WORLD_SIZE", started)
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(SystemExit) as refused:
            app.meta([*command, "--device", "cuda", *options], exit_on_error=False)
        assert refused.value.code == 2
        assert "2 processes share work on the CPU only, not on cuda" in capsys.readouterr().err


def test_a_plan_of_several_processes_is_for_the_cpu_only(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with emulated(), pytest.raises(ValueError, match="2 processes share work on the CPU only"):
        iris.execute(tmp_path, device=DEVICE.type)


def switches():
    backends, found = torch.backends, []
    for read in (
        lambda: backends.cuda.matmul.allow_tf32,
        lambda: backends.cudnn.allow_tf32,
        lambda: backends.cuda.matmul.fp32_precision,
        lambda: backends.cudnn.conv.fp32_precision,
        lambda: backends.cudnn.rnn.fp32_precision,
        lambda: backends.cudnn.benchmark,
        lambda: backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled,
        torch.is_deterministic_algorithms_warn_only_enabled,
    ):
        try:
            found.append(read())
        except (AttributeError, RuntimeError) as error:  # an older torch; names that disagree
            found.append(type(error).__name__)
    return found


def as_usual():
    pass


def with_older_names():
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.benchmark = True


def with_newer_names():
    torch.backends.fp32_precision = "tf32"


@pytest.mark.filterwarnings("ignore:Please use the new API:UserWarning")
@pytest.mark.parametrize("chosen", [as_usual, with_older_names, with_newer_names])
def test_float32_is_honest_and_all_is_restored(chosen, monkeypatch):
    """Whatever was chosen before, by the names of TF32 of before torch 2.9 or by those since."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    start = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark
    try:
        chosen()
        before = switches()
        with honest(torch.device("cpu")):
            assert switches() == before
        with contextlib.suppress(KeyError), honest(torch.device("cuda")):
            found = switches()
            with torch.backends.cudnn.flags(enabled=False):  # someone's model may do this
                raise KeyError
        assert found == [False, False, "ieee", "ieee", "ieee", False, True, True, True]
        assert switches() == before
    finally:
        if hasattr(torch.backends, "fp32_precision"):
            torch.backends.fp32_precision = "none"
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark = start
        torch.backends.cudnn.allow_tf32 = True


def test_random_states_of_gpus_that_are_not_in_use_are_left_alone(monkeypatch):
    """Asking for them would start the GPUs, also where the CPU computes."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("asked"))
    before = torch.get_rng_state()
    with devices.forked():
        torch.rand(2)
    assert before.equal(torch.get_rng_state())
