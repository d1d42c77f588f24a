"""Streams of batches against whole data, in one process and in two."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from vicinal.laws import Beta
from vicinal.losses import categorical
from vicinal.stream import expand_stream
from vicinal.taylor import expand


def case(n=50):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 4)).double()
        x = torch.randn(n, 3, dtype=torch.float64)
        y = torch.randint(4, (n,))
    return model.requires_grad_(False), x, y


def batched(x, y, size=8):
    return list(zip(x.split(size), y.split(size), strict=True))


def test_streams_agree_with_whole_data_within_honest_errors():
    model, x, y = case()
    exact = expand(model, x, y, Beta(1), categorical)
    found = [
        expand_stream(model, batched(x, y), Beta(1), categorical, partners=5, reservoir=20, seed=k)
        for k in range(24)
    ]
    for f in found:
        assert f.loss == pytest.approx(exact.loss, rel=1e-12)
        assert f.r1 == pytest.approx(exact.r1, rel=1e-12)
    for name in ("r2", "r3", "total"):
        values = np.array([getattr(f, name) for f in found])
        spread = values.std(ddof=1)
        assert abs(values.mean() - getattr(exact, name)) < 5 * spread / 24**0.5
        claimed = np.sqrt(np.mean([f.standard_errors[name] ** 2 for f in found]))
        assert 0.5 < spread / claimed < 1.6, name


def test_a_loader_a_second_loader_and_progress():
    model, x, y = case()
    loader = DataLoader(TensorDataset(x, y), batch_size=16)
    seen = []
    one = expand_stream(model, loader, Beta(1), categorical, progress=seen.append)
    assert seen == [16, 32, 48, 50]
    assert one == expand_stream(model, batched(x, y, 16), Beta(1), categorical)
    other = expand_stream(model, loader, Beta(1), categorical, others=batched(x + 1, y))
    assert other.loss == pytest.approx(one.loss)
    assert other.r1 != pytest.approx(one.r1)


def test_bad_streams():
    model, x, y = case()
    with pytest.raises(ValueError, match="50 examples the first time and 0 the second"):
        expand_stream(model, iter(batched(x, y)), Beta(1), categorical)
    with pytest.raises(ValueError, match="holds 0 examples"):
        expand_stream(model, [], Beta(1), categorical)
    with pytest.raises(ValueError, match="at least 2"):
        expand_stream(model, batched(x, y), Beta(1), categorical, partners=1)
    with pytest.raises(ValueError, match="reservoir must hold"):
        expand_stream(model, batched(x, y), Beta(1), categorical, reservoir=3)


def work(rank, address, path):
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    model, x, y = case()
    found = expand_stream(model, batched(x, y), Beta(1), categorical)
    torch.save(
        [found.loss, found.r1, found.r2, found.r3, found.standard_errors["total"]], f"{path}{rank}"
    )
    torch.distributed.destroy_process_group()


def test_two_processes_find_the_same(tmp_path):
    torch.multiprocessing.spawn(work, (f"file://{tmp_path}/meet", f"{tmp_path}/found"), nprocs=2)
    model, x, y = case()
    alone = expand_stream(model, batched(x, y), Beta(1), categorical)
    first, second = (torch.load(tmp_path / f"found{rank}") for rank in (0, 1))
    assert first == second
    expected = [alone.loss, alone.r1, alone.r2, alone.r3, alone.standard_errors["total"]]
    np.testing.assert_allclose(first, expected, rtol=1e-12)


class Stop(Exception):
    pass


def test_a_killed_pass_goes_on_with_the_same_numbers(tmp_path):
    model, x, y = case()
    whole = expand_stream(model, batched(x, y), Beta(1), categorical)
    path = tmp_path / "sums"

    def kill(seen):
        if seen > 20:
            raise Stop

    with pytest.raises(Stop):
        expand_stream(model, batched(x, y), Beta(1), categorical, checkpoint=path, progress=kill)
    (saved,) = tmp_path.iterdir()
    with pytest.raises(ValueError, match="made by another call"):
        expand_stream(model, batched(x, y), Beta(1), categorical, checkpoint=path, seed=1)
    calls = []
    counted = lambda z: calls.append(len(z)) or model(z)
    again = expand_stream(counted, batched(x, y), Beta(1), categorical, checkpoint=path)
    assert again == whole
    assert sum(calls) < 50 * 9  # the first three batches were not computed again
    assert not saved.exists()
