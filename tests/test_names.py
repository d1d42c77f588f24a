"""Names of stored runs: what could be asked for before keeps its name, and is found again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vicinal.study import plan as study
from vicinal.study.methods import parse_methods

USUAL = {
    "data": "digits", "model": None, "seeds": 1, "epochs": 30, "train_size": None,
    "batch_size": 64, "learning_rate": 0.01, "weight_decay": 0.01,
}  # fmt: skip


def names(*methods, **options):
    """The names of the runs of a study, in their order."""
    planned = study.plan(parse_methods(methods), Path("runs"), **(USUAL | options))
    return [run.name for run in planned.runs]


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Data and weights whose bytes are always the same, under relative names."""
    monkeypatch.chdir(tmp_path)
    k = np.arange(40)
    rows = [f"{i / 8},{(i * 7) % 11},{i % 2},{i % 3 > 0:d}" for i in k.tolist()]
    Path("table.csv").write_text("\n".join(["a,b,c,d", *rows]) + "\n")
    Path("several.csv").write_text("\n".join(["a,b,on,off", *rows]) + "\n")
    weights = {"1.weight": torch.zeros(2, 3), "1.bias": torch.zeros(2)}
    save_file(weights, "linear.safetensors")


def test_built_in_data():
    assert names("erm", "mixup(alpha=0.2)", "mixup(alpha=1)") == DIGITS
    assert names("erm", "mixup(alpha=1,stop=0.5)", data="breast_cancer", task="binary") == BINARY
    assert names("cmixup", data="diabetes", epochs=4, explain_every=2, seeds=2) == DIABETES


def test_files():
    assert names("erm", data="table.csv") == TABLE
    assert names("erm", data="several.csv", target="on,off", attacks="full") == SEVERAL


def test_every_other_option():
    chosen = names(
        "cutmix", model="mlp", train_size=400, batch_size=32, learning_rate=0.001,
        weight_decay=0.1, parts=2, precision="bfloat16", measured_on="validation",
    )  # fmt: skip
    assert chosen == CHOSEN
    assert names("erm", data="table.csv", model="linear", weights="linear.safetensors") == WEIGHTS


DIGITS = ["d0d26ca90bba353e", "902190de591c774d", "e18d9334a3b49d30"]
BINARY = ["9ea07644c3909551", "0ad3e0de8a235616"]
DIABETES = ["2f553d93a21c0187", "94538e50bca208d5"]
TABLE = ["445a996240d17790"]
SEVERAL = ["a38cb98908e52087"]
CHOSEN = ["3990af0ad82b2594"]
WEIGHTS = ["d86986f40ea787c5"]
