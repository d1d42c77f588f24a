"""Training: a plain reference loop, and runs that are killed and resumed."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vicinal.losses import categorical
from vicinal.mixing.choice import During
from vicinal.mixing.mixup import Mixup
from vicinal.randomness import draw_generator, generator
from vicinal.training import Diverged, Schedule, train

SCHEDULE = Schedule(epochs=4, batch_size=7, learning_rate=0.1, weight_decay=1e-3, seed=3)


def data():
    g = torch.Generator().manual_seed(0)
    return torch.randn(20, 3, generator=g), torch.randint(2, (20,), generator=g)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.GELU(), nn.Linear(8, 2))


def run(path, strategy=None, model=None, schedule=SCHEDULE, evaluate=lambda epoch: {}):
    model = model or network()
    x, y = data()
    history = train(
        model,
        strategy,
        x,
        y,
        categorical,
        schedule,
        evaluate=evaluate,
        checkpoint=path,
        progress=lambda: None,
    )
    return model, history


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


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_checkpoint_is_set_aside(tmp_path, damage):
    _, history = run(tmp_path / "whole")
    path = tmp_path / "c"
    run(path, schedule=Schedule(2, 7, 0.1, 1e-3, 3))
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with pytest.warns(UserWarning, match="could not be read"):
        _, again = run(path)
    assert again == history
    assert len(list(tmp_path.glob("c.unreadable-*"))) == 1


def test_a_checkpoint_that_fits_half_leaves_no_trace(tmp_path):
    path = tmp_path / "c"
    run(path, schedule=Schedule(1, 7, 0.1, 1e-3, 3))
    state = torch.load(path, weights_only=True)
    state["optimiser"] = {"nonsense": 1}
    torch.save(state, path)
    with pytest.warns(UserWarning, match="could not be read"):
        model, _ = run(path)
    whole, _ = run(tmp_path / "whole")
    assert all(a.equal(b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))


def test_a_loss_that_is_no_number_is_told_with_its_epoch(tmp_path):
    with pytest.raises(Diverged) as caught:
        run(tmp_path / "c", schedule=Schedule(4, 7, 1e30, 0.0, 3))
    assert caught.value.epoch >= 1
    assert len(caught.value.history) == caught.value.epoch - 1
    assert all(math.isfinite(row["objective"]) for row in caught.value.history)


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
