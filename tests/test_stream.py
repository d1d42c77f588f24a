"""Streams of batches against whole data, in one process and in two, and after a kill."""

import subprocess
import sys
import weakref
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from vicinal.explanation.risk import vicinal_risk
from vicinal.explanation.streams.batches import Walk
from vicinal.explanation.streams.expand import expand_stream
from vicinal.explanation.streams.reservoir import Pool, summary
from vicinal.explanation.streams.risk import risk_stream
from vicinal.explanation.terms import expand
from vicinal.machine.processes import Place
from vicinal.maths.laws import Beta, Fixed
from vicinal.maths.losses import categorical

STREAMED = {"expand": expand_stream, "risk": risk_stream}


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
        # five parts: the error is widened by t with 4 degrees of freedom, 1.42
        assert 0.5 < 1.42 * spread / claimed < 1.6, name


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


@pytest.mark.parametrize("law", [Beta(1), Beta(0.2), Beta(0.5, 2), Fixed(0.3)], ids=repr)
def test_the_streamed_risk_agrees_within_honest_errors(law):
    model, x, y = case()
    exact = vicinal_risk(model, x, y, law, categorical).value
    found = [
        risk_stream(model, batched(x, y), law, categorical, partners=5, reservoir=20, seed=k)
        for k in range(30)
    ]
    values = np.array([f.value for f in found])
    spread = values.std(ddof=1)
    assert abs(values.mean() - exact) < 5 * spread / 30**0.5
    claimed = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert 0.5 < spread / claimed < 1.6
    assert all(f.nodes == 2 if isinstance(law, Fixed) else f.nodes >= 8 for f in found)


def test_the_streamed_risk_with_partners_of_a_second_stream():
    """Against the double sum over both streams, each example with its own label."""
    model, x, y = case(n=12)
    r = 2 * x[:7] - 1
    lam, weight = Beta(1).tilted().nodes(32)
    exact = 0.0
    for t, w in zip(lam.tolist(), weight.tolist(), strict=True):
        mixed = torch.lerp(r[None], x[:, None], t)
        losses = categorical(model(mixed.flatten(0, 1)), y.repeat_interleave(len(r)))
        exact += w * float(losses.mean())
    found = [
        risk_stream(
            model,
            batched(x, y, 5),
            Beta(1),
            categorical,
            partners=4,
            others=batched(r, y[:7], 3),
            seed=k,
        )
        for k in range(200)
    ]
    values = np.array([f.value for f in found])
    assert abs(values.mean() - exact) < 5 * values.std(ddof=1) / 200**0.5
    once = iter(batched(r, y[:7], 3))  # the second stream is gone through once
    again = risk_stream(model, batched(x, y, 5), Beta(1), categorical, partners=4, others=once)
    assert again == found[0]


def test_sorted_streams_are_mixed_evenly():
    """λ runs over its nodes within a batch, in an order that knows nothing of the examples'."""
    x = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    y = (x[:, 0] > 0.5).long()
    model = lambda z: torch.cat((6 * z.sin(), z.cos()), 1)
    exact = vicinal_risk(model, x, y, Beta(1), categorical).value
    values = [
        risk_stream(model, [(x, y)], Beta(1), categorical, partners=2, seed=k).value
        for k in range(60)
    ]
    assert abs(np.mean(values) - exact) < 5 * np.std(values) / 60**0.5


def test_the_reservoir_is_a_uniform_sample():
    """Each of 40 examples is kept equally often, in one pool and in the union of two."""
    rng, kept = np.random.default_rng(0), np.zeros(40)
    for _ in range(400):
        pool = Pool(10)
        for part in torch.arange(40).split(7):
            pool.offer(part[:, None], part, rng.random(len(part)))
        x, y = pool.merged()
        assert x[:, 0].equal(y)
        kept[y] += 1
    assert kept.sum() == 4000
    assert (abs(kept - 100) < 5 * (400 * 0.25 * 0.75) ** 0.5).all()
    few = Pool(10)
    few.offer(torch.zeros(3, 2), torch.arange(3), rng.random(3))
    assert sorted(few.merged()[1].tolist()) == [0, 1, 2]


def test_no_more_than_two_batches_live_at_once():
    model, x, y = case()
    living = []

    class Fresh:
        def __iter__(self):
            for a, b in zip(x.split(5), y.split(5), strict=True):
                batch = a.clone()
                living.append(weakref.ref(batch))
                yield batch, b

    most = []
    count = lambda seen: most.append(sum(ref() is not None for ref in living))
    for stream in STREAMED.values():
        stream(model, Fresh(), Beta(1), categorical, reservoir=8, progress=count)
    assert len(most) == 20
    assert max(most) <= 2


def test_bad_streams():
    model, x, y = case()
    with pytest.raises(ValueError, match="50 examples the first time and 0 the second"):
        expand_stream(model, iter(batched(x, y)), Beta(1), categorical)
    with pytest.raises(ValueError, match="holds 0 examples in 0 batches"):
        expand_stream(model, [], Beta(1), categorical)
    with pytest.raises(ValueError, match="holds 3 examples, need 8"):
        risk_stream(model, [(x[:3], y[:3])], Beta(1), categorical)
    with pytest.raises(ValueError, match="at least 2"):
        expand_stream(model, batched(x, y), Beta(1), categorical, partners=1)
    with pytest.raises(ValueError, match="reservoir must hold"):
        expand_stream(model, batched(x, y), Beta(1), categorical, reservoir=3)
    late = [*batched(x, y), (x[:2], y[:2] + 4)]
    for stream in STREAMED.values():
        with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.3"):
            stream(model, late, Beta(1), categorical)
        with pytest.raises(ValueError, match="not finite"):
            stream(lambda z: model(z) / 0, batched(x, y), Beta(1), categorical)
        with pytest.warns(UserWarning, match="seem to be probabilities"):
            stream(lambda z: model(z).softmax(1), batched(x, y), Beta(1), categorical)


def test_random_state_is_left_alone():
    model, x, y = case()
    shuffled = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    before = torch.get_rng_state()
    for stream in STREAMED.values():
        stream(model, shuffled, Beta(1), categorical)
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("as_loader", [True, False], ids=["loader", "list"])
def test_processes_share_a_stream_without_overlap(as_loader):
    """Three places see each batch once between them, and a loader loads no others'."""
    loaded = []

    class Counted(TensorDataset):
        def __getitem__(self, k):
            loaded.append(k)
            return super().__getitem__(k)

    _, x, y = case()
    stream = DataLoader(Counted(x, y), batch_size=8) if as_loader else batched(x, y)
    found = {}
    for rank in range(3):
        for mark, part, _ in Walk(stream, Place(rank, 3), skips=True):
            assert mark.number % 3 == rank
            found[mark.number] = part
    assert torch.cat([found[k] for k in range(7)]).equal(x)
    assert sorted(loaded) == (list(range(50)) if as_loader else [])


def test_loaders_that_share_themselves_are_refused():
    _, x, y = case()
    data = TensorDataset(x, y)
    loader = DataLoader(data, batch_size=8, sampler=DistributedSampler(data, 2, 0))
    with pytest.raises(ValueError, match="before accelerator.prepare, and without"):
        list(Walk(loader, Place(0, 2), skips=True))


def networks():
    """With running statistics, which a wrapper for training would broadcast at every pass."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Linear(8, 4)
        ).double()


def numbers(model, loader, **options):
    risk = risk_stream(model, loader, Beta(0.2), categorical, **options)
    found = expand_stream(model, loader, Beta(1), categorical, **options)
    terms = [found.loss, found.r1, found.r2, found.r3, found.standard_errors["total"]]
    return torch.tensor([*terms, risk.value, risk.standard_error], dtype=torch.float64)


def under_accelerate(path):
    """What one of two processes does; errors must reach both."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    _, x, y = case()
    plain = DataLoader(TensorDataset(x, y), batch_size=8)  # six batches of 8 and one of 2
    model, prepared = accelerator.prepare(networks(), plain)
    rank, messages = accelerator.process_index, []
    for bad in (
        DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, generator=seeded(rank)),
        batched(x + rank, y),
        [(x, y)],
        [*batched(x, y)[:6], (x[:2], y[:2] + 9)],  # the seventh batch is of rank 0
    ):
        with pytest.raises(ValueError, match=".") as caught:
            expand_stream(model, bad, Beta(1), categorical)
        messages.append(str(caught.value))
    found = [numbers(model, loader) for loader in (plain, prepared, batched(x, y))]
    assert model.training
    torch.save([torch.stack(found), messages], f"{path}{rank}")
    accelerator.end_training()


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_two_processes_under_accelerate_find_the_same(tmp_path):
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    elastic_launch(config, under_accelerate)(f"{tmp_path}/found")
    _, x, y = case()
    alone = numbers(networks(), batched(x, y))
    (first, told), (second, told_other) = (torch.load(tmp_path / f"found{k}") for k in (0, 1))
    assert first.equal(second)
    for row in first:
        torch.testing.assert_close(row, alone, rtol=1e-12, atol=1e-15)
    for message in (told, told_other):
        assert "different order" in message[0]
        assert "different streams" in message[1]
    assert "the process of rank 1 failed" in told[2]
    assert "each of 2 processes needs a batch" in told_other[2]
    assert "class ids must lie in" in told[3]
    assert "the process of rank 0 failed" in told_other[3]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_stream import STREAMED, batched, case
from vicinal.maths.laws import Beta
from vicinal.maths.losses import categorical

def kill(seen):
    if seen > 20:
        os.kill(os.getpid(), signal.SIGKILL)

model, x, y = case()
for name, stream in STREAMED.items():
    child = os.fork()
    if not child:
        path = Path(sys.argv[2]) / name
        stream(model, batched(x, y), Beta(1), categorical, checkpoint=path, progress=kill)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


def test_a_killed_pass_goes_on_with_the_same_numbers(tmp_path):
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", KILLED, here, str(tmp_path)], check=True)
    model, x, y = case()
    for name, stream in STREAMED.items():
        path = tmp_path / name
        saved = tmp_path / f"{name}.0"
        assert saved.exists()
        with pytest.raises(ValueError, match="made by another call"):
            stream(model, batched(x, y), Beta(1), categorical, checkpoint=path, seed=1)
        other = lambda z: 1.1 * model(z)
        with pytest.raises(ValueError, match="made by another call"):
            stream(other, batched(x, y), Beta(1), categorical, checkpoint=path)
        known = summary(batched(x, y), Place(0, 1), 2048, 0).kept[:8]  # a model is known by these
        a, b = (
            next(k for k in rows if not (x[k] == known).all(1).any())
            for rows in (range(8), range(8, 16))
        )
        order = torch.arange(50)
        order[[a, b]] = order[[b, a]]
        with pytest.raises(ValueError, match="in another order"):
            stream(model, batched(x[order], y[order]), Beta(1), categorical, checkpoint=path)
        calls = []
        counted = lambda z, calls=calls: calls.append(len(z)) or model(z)
        again = stream(counted, batched(x, y), Beta(1), categorical, checkpoint=path)
        assert astuple(again) == astuple(stream(model, batched(x, y), Beta(1), categorical))
        assert not saved.exists()
        whole = []
        counted = lambda z, calls=whole: calls.append(len(z)) or model(z)
        stream(counted, batched(x, y), Beta(1), categorical)
        assert sum(whole) - sum(calls) >= 24 * 8  # the first three batches were not computed again


def test_a_resumed_loader_loads_nothing_twice(tmp_path):
    loaded = []

    class Counted(TensorDataset):
        def __getitem__(self, k):
            loaded.append(k)
            return super().__getitem__(k)

    def stop(seen):
        if seen == 24:
            raise KeyboardInterrupt

    model, x, y = case()
    loader = DataLoader(Counted(x, y), batch_size=8)
    path = tmp_path / "sums"
    whole = risk_stream(model, loader, Beta(1), categorical)
    with pytest.raises(KeyboardInterrupt):
        risk_stream(model, loader, Beta(1), categorical, checkpoint=path, progress=stop)
    loaded.clear()
    assert risk_stream(model, loader, Beta(1), categorical, checkpoint=path) == whole
    assert loaded == [*range(50), *range(24, 50)]
