"""Training: a plain reference loop, and runs that are killed and resumed."""

import dataclasses
import errno
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vicinal.machine import checkpoints
from vicinal.machine.files import write_bytes
from vicinal.maths.losses import categorical
from vicinal.maths.randomness import draw_generator, generator
from vicinal.mixing.choice import During
from vicinal.mixing.mixup import Mixup
from vicinal.study.options import Recipe
from vicinal.study.training.loop import Member, train

SCHEDULE = Recipe(epochs=4, batch_size=7, learning_rate=0.1, weight_decay=1e-3)


def data():
    g = torch.Generator().manual_seed(0)
    return torch.randn(20, 3, generator=g), torch.randint(2, (20,), generator=g)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.GELU(), nn.Linear(8, 2))


def member(name="run", strategy=None, model=None, seed=3, evaluate=lambda epoch: {}):
    return Member(name, network() if model is None else model, strategy, *data(), seed, evaluate)


def run(path, strategy=None, model=None, schedule=SCHEDULE, every=0.0, **options):
    one = member(strategy=strategy, model=model, **options)
    (trained,) = train(
        [one], categorical, schedule, checkpoint=path, progress=lambda: None, every=every
    )
    return one.model, trained.history


def test_is_adamw_on_mixed_batches(tmp_path):
    """The same by hand, with soft labels and torch's cross-entropy."""
    strategy = Mixup(0.5)
    plain = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 2))
    reference = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 2))
    reference.load_state_dict(plain.state_dict())
    trained, history = run(tmp_path / "c", strategy, plain)
    x, y = data()
    optimiser = torch.optim.AdamW(reference.parameters(), lr=0.1, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(  # 12 steps: the rate has risen after two
        optimiser, lambda k: (0.5 + 0.5 * math.cos(math.pi * k / 12)) * min(1, (k + 1) / 1.2)
    )
    for epoch in range(4):
        order = generator(3, "order", epoch).permutation(20)
        losses = []
        for step in range(3):
            rows = torch.from_numpy(order[7 * step : 7 * step + 7])
            draw = strategy(x[rows], y[rows], draw_generator(3, epoch=epoch, step=step))
            lam = draw.share[:, None]
            mixed = lam * x[rows] + (1 - lam) * x[rows][draw.partner]
            one_hot = F.one_hot(y[rows], 2).float()
            labels = lam * one_hot + (1 - lam) * one_hot[draw.partner]
            loss = F.cross_entropy(reference(mixed), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item() * len(rows))
        assert history[epoch]["objective"] == pytest.approx(sum(losses) / 20, rel=1e-5)
    for a, b in zip(trained.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_schedule_mixes_only_while_it_lasts(tmp_path):
    """Mixing in epochs 2 and 3 of 4 only: half of training, from a quarter on."""
    seen = []

    def watched(x, y, rng):
        seen.append(len(x))
        return Mixup(1.0)(x, y, rng)

    run(tmp_path / "a", During(watched, start=0.25, stop=0.75))
    assert len(seen) == 2 * 3
    never = run(tmp_path / "b", During(watched, start=0.0, stop=0.0))[0]
    erm = run(tmp_path / "c", None)[0]
    for a, b in zip(never.parameters(), erm.parameters(), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_killed_run_resumes_and_ends_with_equal_numbers(tmp_path, after):
    whole, history = run(tmp_path / "whole", Mixup(0.5))
    calls = []

    def kill(epoch):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "c", Mixup(0.5), evaluate=kill)
    seen = []
    resumed, again = run(
        tmp_path / "c", Mixup(0.5), evaluate=lambda epoch: seen.append(epoch) or {}
    )
    assert again == history
    assert seen == list(range(after + 1, 5))  # whole epochs are not trained again
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert a.equal(b)


class Stops:
    """Mixup that raises at its k-th draw."""

    def __init__(self, k):
        self.left = k

    def __call__(self, x, y, rng):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return Mixup(0.5)(x, y, rng)


@pytest.mark.parametrize("at", [1, 4, 5])
def test_a_run_killed_within_an_epoch_goes_on_from_its_step(tmp_path, at):
    """Three steps an epoch: in the first epoch, and early and late in the second."""
    whole, history = run(tmp_path / "whole", Mixup(0.5))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "c", Stops(at))
    left = Stops(12 - at)  # not one draw more
    resumed, again = run(tmp_path / "c", left)
    assert left.left == 0
    assert again == history
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert a.equal(b)


def test_checkpoints_keep_their_distance_whatever_the_clock_does(tmp_path, monkeypatch):
    """The clock of the wall jumps back an hour at every look; the other one goes on."""
    saved, now = [], iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: -3600.0 * next(now))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    original = checkpoints.save
    monkeypatch.setattr(
        checkpoints, "save", lambda path, content: saved.append(1) or original(path, content)
    )
    _, history = run(tmp_path / "c", every=5.0)  # one look at each of 12 steps, one at each save
    assert len(history) == 4
    assert len(saved) == 12 // 5 + 1


@pytest.mark.parametrize("moment", ["open", "fsync", "replace"])
def test_a_full_disk_is_told_and_the_checkpoint_before_stays(tmp_path, monkeypatch, moment):
    """Whatever fails, there is one whole checkpoint, nothing half written, and training ends."""
    path = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        run(path, Stops(2))
    before = path.read_bytes()

    original = Path.open

    def full(*arguments, mode="wb", **options):
        if mode == "rb":
            return original(*arguments, mode=mode, **options)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _, history = run(tmp_path / "whole", Mixup(0.5))
    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "open") if moment == "open" else (os, moment)), full)
        with pytest.warns(UserWarning, match="could not be written .No space left on device."):
            _, again = run(path, Mixup(0.5))
    assert again == history
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"c", "whole"}
    assert run(path, Mixup(0.5))[1] == history  # from that checkpoint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_writer_that_finds_no_space_leaves_nothing_behind(tmp_path, monkeypatch):
    """A real device that is full: the write itself is accepted, what it fails in is the flush."""
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: original(Path("/dev/full"), mode))
    with pytest.raises(OSError, match="No space left"):
        write_bytes(tmp_path / "c", b"content")


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_checkpoint_is_set_aside(tmp_path, damage):
    _, history = run(tmp_path / "whole")
    path = tmp_path / "c"
    run(path, schedule=Recipe(epochs=2, batch_size=7, learning_rate=0.1, weight_decay=1e-3))
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with pytest.warns(UserWarning, match="could not be read"):
        _, again = run(path)
    assert again == history
    assert len(list(tmp_path.glob("c.unreadable-*"))) == 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0])
def test_one_flipped_bit_is_noticed(tmp_path, share):
    """Wherever it is, in the digest too."""
    _, history = run(tmp_path / "whole")
    path = tmp_path / "c"
    run(path, schedule=dataclasses.replace(SCHEDULE, epochs=2))
    content = bytearray(path.read_bytes())
    content[int(share * (len(content) - 1))] ^= 0x40
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="could not be read"):
        _, again = run(path)
    assert again == history
    assert len(list(tmp_path.glob("c.unreadable-*"))) == 1


ROW = {"epoch": 1, "objective": 1.0}


def ended(history, failed=None):
    return {"history": history, "failed": failed}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": -1}, "it is at epoch -1, step 0 of 4 epochs of 3 steps"),
        ({"epoch": 5}, "epoch 5, step 0 of 4"),
        ({"epoch": 2.0}, "epoch 2.0"),
        ({"epoch": True}, "epoch True"),
        ({"epoch": "2"}, "epoch '2'"),
        ({"step": -1}, "step -1"),
        ({"step": 4}, "step 4 of 4 epochs of 3 steps"),
        ({"step": 0.5}, "step 0.5"),
        ({"epoch": 4, "step": 1}, "epoch 4, step 1"),
        ({"totals": torch.zeros(2).double()}, "no sum of losses for each run"),
        ({"totals": torch.zeros(1).int()}, "no sum of losses for each run"),
        ({"totals": 1.0}, "AttributeError"),
        ({"trained": []}, "it has 0 histories of 1 runs"),
        ({"trained": [ended([ROW])]}, "a history does not end with epoch 2"),
        ({"trained": [ended([ROW, ROW])]}, "a history does not end with epoch 2"),
        ({"trained": [ended([ROW], 1)]}, "a history does not end with epoch 0"),
        ({"trained": [ended([ROW], 3)]}, "a run failed in epoch 3 of 2"),
        ({"trained": [ended([], 0)]}, "a run failed in epoch 0 of 2"),
        ({"trained": [ended([ROW], "2")]}, "a run failed in epoch '2' of 2"),
        ({"trained": [ended(3)]}, "TypeError"),
        ({"members": ["other"]}, "it is of other runs"),
        ({"state": {}}, "KeyError"),
    ],
)
def test_a_checkpoint_where_no_training_can_be_is_set_aside(tmp_path, changes, message):
    _, history = run(tmp_path / "whole")
    path = tmp_path / "c"
    run(path, schedule=dataclasses.replace(SCHEDULE, epochs=2))
    checkpoints.save(path, torch.load(path, weights_only=True) | changes)
    with pytest.warns(UserWarning, match=rf"could not be read \(.*{message}"):
        _, again = run(path)
    assert again == history
    assert len(list(tmp_path.glob("c.unreadable-*"))) == 1


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_in_the_place_of_a_checkpoint_is_set_aside(make, tmp_path):
    path = tmp_path / "c"
    make(path)
    with pytest.warns(UserWarning, match="could not be read .it is a (folder|pipe)"):
        run(path)
    assert path.is_file()


@pytest.mark.parametrize("written", [None, 0, checkpoints.FORMAT + 1])
def test_a_checkpoint_of_another_format_is_set_aside(tmp_path, written):
    """Also one from before checkpoints said their format, though it may hold the right names."""
    _, history = run(tmp_path / "whole")
    path = tmp_path / "c"
    run(path, schedule=Recipe(epochs=2, batch_size=7, learning_rate=0.1, weight_decay=1e-3))
    state = torch.load(path, weights_only=True)
    assert state.pop("format") == checkpoints.FORMAT
    state["trained"][0]["history"] = []  # which a reader that goes on would pass on
    torch.save(state if written is None else state | {"format": written}, path)
    told = f"its format is {'none' if written is None else written}, and this version"
    with pytest.warns(UserWarning, match=told):
        _, again = run(path)
    assert again == history
    assert len(list(tmp_path.glob("c.unreadable-*"))) == 1


def test_a_checkpoint_that_fits_half_leaves_no_trace(tmp_path):
    path = tmp_path / "c"
    run(path, schedule=Recipe(epochs=1, batch_size=7, learning_rate=0.1, weight_decay=1e-3))
    state = torch.load(path, weights_only=True)
    checkpoints.save(path, state | {"optimiser": {"nonsense": 1}})
    with pytest.warns(UserWarning, match="could not be read"):
        model, _ = run(path)
    whole, _ = run(tmp_path / "whole")
    assert all(a.equal(b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))


def test_a_loss_that_is_no_number_ends_the_history_before_its_epoch(tmp_path):
    (trained,) = train(
        [member()], categorical, dataclasses.replace(SCHEDULE, learning_rate=1e30),
        checkpoint=tmp_path / "c",
        progress=lambda: None,
    )  # fmt: skip
    assert trained.failed is not None
    assert len(trained.history) == trained.failed - 1
    assert all(math.isfinite(row["objective"]) for row in trained.history)


def test_global_randomness_is_left_alone(tmp_path):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the point is that nobody touches it
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(tmp_path / "c", Mixup())
    assert before[0].equal(torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_generators_of_different_keys_differ():
    keys = [(0,), (1,), (0, 1), (0, "1"), (0, "draw"), (0, "draw", 1), (0, "dra", "w1")]
    values = {float(generator(*key).random()) for key in keys}
    assert len(values) == len(keys)
    assert generator(0, "draw").random() == generator(0, "draw").random()
