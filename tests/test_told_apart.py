"""Stored numbers are never given for something else: what decides them is in the name of a run."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import studies
from vicinal.data import read
from vicinal.study.configuration import split_of
from vicinal.study.execute import alike
from vicinal.study.methods import parse_methods

BASE = {"data": "set.npz", "model": "linear", "seeds": 1, "epochs": 3, "train_size": 20}
NET = """
import torch
from torch import nn
{above}
class Block(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.layer = nn.Linear({inputs}, {width})
        self.out = nn.Linear({width}, k)
    def forward(self, x):
        return self.out(self.layer(x.flatten(1)){after})

def inner(k):
    return Block(k)

def net(shape, outputs):
    return inner(outputs)
"""


def write(name="set.npz", *, x=None, y=None, **more):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)) if x is None else x
    np.savez(name, x=x, y=np.arange(len(x)) % 2 if y is None else y, **more)


def module(text, name="somenet"):
    Path(f"{name}.py").write_text(text)
    sys.modules.pop(name, None)
    sys.path_importer_cache.clear()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write()
    yield
    sys.modules.pop("somenet", None)


def name_of(method="erm", **options):
    read.cache_clear()
    plan = studies.planned(parse_methods([method]), Path("runs"), **(BASE | options))
    return plan.runs[0].name


ONE_THING = {
    "epochs": 4,
    "batch_size": 32,
    "learning_rate": 0.010000001,
    "weight_decay": 0.010000001,
    "train_size": 21,
    "precision": "bfloat16",
    "parts": 2,
    "model": "mlp",
    "explain_every": 1,
    "attacks": "full",
    "task": "binary",
    "measured_on": "validation",
}


def test_every_option_that_decides_numbers():
    names = {name_of()} | {name_of(**{key: value}) for key, value in ONE_THING.items()}
    assert len(names) == 1 + len(ONE_THING)


def test_what_only_says_how_the_work_is_done_does_not_change_the_name():
    assert len({name_of(), name_of(together=1), name_of(jobs=2), name_of(baseline="erm")}) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("mixup(alpha=1, stop=0.3333334)", "mixup(alpha=1, stop=0.333333)"),
        ("mixup(alpha=0.1234567)", "mixup(alpha=0.12345671)"),
        ("mixup(alpha=1e-7)", "mixup(alpha=1.00000001e-7)"),
        ("mixup", "mixup(alpha=1)"),
        ("mixup", "erm"),
    ],
)
def test_methods_with_all_their_digits(first, second):
    assert name_of(first) != name_of(second)
    assert name_of("mixup(alpha=1)") == name_of(" mixup( alpha = 1.0 )")


def test_data_of_the_same_bytes():
    x = np.random.default_rng(1).random((60, 1, 4, 16)).astype(np.float32)
    names = []
    for found in (x, x.reshape(60, 1, 8, 8), x.reshape(60, 4, 4, 4), x.reshape(60, 64)):
        write(x=found)
        names.append(name_of())
    for labels in (["cat", "dog"], ["dog", "cat"], ["cat", "cow"]):
        write(y=np.array(labels)[np.arange(60) % 2])
        names.append(name_of())
    whole = np.random.default_rng(2).normal(size=(60, 4))
    for cut in (40, 44):
        y = np.arange(60) % 2
        write(x=whole[:cut], y=y[:cut], x_test=whole[cut:], y_test=y[cut:])
        names.append(name_of())
    assert len(set(names)) == len(names)


def test_weights_that_a_run_starts_from():
    names = [name_of()]
    for value in (0.0, 1.0):
        save_file(
            {"1.weight": torch.full((2, 4), value), "1.bias": torch.zeros(2)}, "w.safetensors"
        )
        names.append(name_of(weights="w.safetensors"))
    assert len(set(names)) == 3


VARIANTS = {
    "plain": {},
    "another width": {"width": 64},
    "another activation": {"after": ".relu()"},
    "another constant": {"above": "SCALE = 2.0", "after": " * SCALE"},
    "and its value": {"above": "SCALE = 3.0", "after": " * SCALE"},
}


def test_the_code_of_a_model():
    names = []
    for changes in VARIANTS.values():
        module(NET.format(**({"above": "", "inputs": 4, "width": 4, "after": ""} | changes)))
        names.append(name_of(model="somenet:net"))
    assert len(set(names)) == len(VARIANTS)
    module(NET.format(above="# a comment", inputs=4, width=4, after=""))
    assert name_of(model="somenet:net") == names[0]


def test_data_that_change_while_a_study_runs_are_refused():
    plan = studies.planned({"erm": None}, Path("runs"), **BASE)
    write(x=np.random.default_rng(9).normal(size=(60, 4)))
    read.cache_clear()  # as in the worker of another process
    with pytest.raises(ValueError, match=r"the data set\.npz changed since the study was planned"):
        split_of(plan.runs[0], plan.objects)
    records = studies.done(plan)
    assert [r["status"] for r in records] == ["failed"]
    assert "changed since the study was planned" in records[0]["failure"]["reason"]


def test_methods_with_equal_numbers_are_named():
    plan = studies.planned({"erm": None, "same": None}, Path("runs"), **(BASE | {"seeds": 2}))
    (note,) = alike(studies.done(plan))
    assert note.startswith("erm and same have the same numbers in every run")
    mixed = studies.planned(parse_methods(["erm", "mixup(alpha=1)"]), Path("runs"), **BASE)
    assert alike(studies.done(mixed)) == []
