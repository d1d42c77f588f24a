"""An object that gives other numbers when it is read again is no data set to compare methods on."""

import sys
import textwrap

import numpy as np
import pytest

from vicinal.data import read

CODE = """
    import numpy as np, torch
    from torch.utils.data import Dataset, TensorDataset, Subset, IterableDataset
    x, y = np.arange(1200.0).reshape(400, 3) ** 2, np.arange(400) % 2
    class Noisy(Dataset):
        def __init__(self, rows=400, share=1.0): self.rows, self.share = rows, share
        def __len__(self): return self.rows
        def __getitem__(self, k):
            noise = torch.rand(3) if torch.rand(()) < self.share else 0
            return torch.tensor(x[k]) + noise, int(y[k])
    noisy, seldom, few = Noisy(), Noisy(share=0.1), Noisy(6)
    def calls(): return np.random.default_rng().normal(size=(40, 3)), y[:40]
    def labels(): return {"x": x, "y": np.random.default_rng().integers(0, 2, 400)}
    def rows():
        n = int(np.random.default_rng().integers(30, 10**6))
        return x[:40] + n, y[:40]
    def made(): return Noisy(40)
    class Growing(Dataset):
        count = 20
        def __len__(self): Growing.count += 1; return Growing.count
        def __getitem__(self, k): return x[k], y[k]
    growing = Growing()
    class Once(Dataset):
        def __init__(self): self.seen = False
        def __len__(self): return 40
        def __getitem__(self, k):
            if k == 0 and self.seen: raise RuntimeError("the stream is over")
            self.seen = True
            return x[k], y[k]
    once = Once()
    # sound ones
    plain = TensorDataset(torch.tensor(x), torch.tensor(y))
    half = Subset(plain, range(40))
    def seeded(): return np.random.default_rng(0).normal(size=(40, 3)), y[:40]
    def nothing(): return {"x": x, "y": y, "seen": object()}
    def sets(): return TensorDataset(torch.tensor(x), torch.tensor(y))
    sixteen = (torch.tensor(x / 2**20, dtype=torch.bfloat16), torch.tensor(y))
    # no data
    class Stream(IterableDataset):
        def __iter__(self): return iter([])
    stream, kind = Stream(), Noisy
    ragged = ([[1.0], [1.0, 2.0]] * 20, y[:40])
    lengths = [(x[k, :2 + k % 2], y[k]) for k in range(40)]
    import pandas as pd
    table = pd.DataFrame(x)
    empty = []
"""


@pytest.fixture
def someones(tmp_path, monkeypatch):
    (tmp_path / "someones_sets.py").write_text(textwrap.dedent(CODE))
    monkeypatch.chdir(tmp_path)
    yield lambda name: read(f"someones_sets:{name}")
    sys.modules.pop("someones_sets", None)
    read.cache_clear()


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("noisy", "was read twice and gave other numbers: example 0"),
        ("seldom", "was read twice and gave other numbers: example"),
        ("few", "was read twice and gave other numbers: example"),
        ("made", "was read twice and gave other numbers: example"),
        ("calls", r"\(\) was called twice and gave other numbers: x"),
        ("labels", r"\(\) was called twice and gave other numbers: y"),
        ("rows", r"\(\) was called twice and gave other numbers: x"),
        ("growing", "was read twice and gave other numbers: the number of examples"),
    ],
)
def test_other_numbers(someones, name, where):
    with pytest.raises(ValueError, match=f"^someones_sets:{name}.*{where}.* Leave out random tra"):
        someones(name)


@pytest.mark.parametrize("name", ["plain", "half", "seeded", "nothing", "sets", "sixteen"])
def test_the_same_numbers(someones, name):
    assert len(someones(name).x) in (40, 400)


def test_sixteen_bits_and_other_arrays(someones):
    x = np.arange(1200.0).reshape(400, 3) ** 2
    assert np.allclose(someones("sixteen").x, x / 2**20, rtol=2**-8)
    assert "Left out: the array seen." in someones("nothing").told


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("once", r"\[0\] failed: RuntimeError: the stream is over"),
        ("kind", "has no number of examples"),
        ("stream", "must be .x, y., .* got Stream"),
        ("ragged", "cannot be read as an array"),
        ("lengths", r"inputs must have one shape, got \(2,\) and \(3,\)"),
        ("table", "is a table of pandas: pass"),
        ("empty", "holds no examples"),
    ],
)
def test_what_is_no_data(someones, name, rule):
    with pytest.raises(ValueError, match=f"^someones_sets:{name}.*{rule}"):
        someones(name)
