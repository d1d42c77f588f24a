"""Stacks: models trained together do what they do alone, and do not touch one another."""

import copy
import math

import pytest
import torch
from torch import nn

from vicinal.maths.losses import categorical, gaussian
from vicinal.maths.randomness import draw_generator
from vicinal.mixing.apply import mix
from vicinal.mixing.cutting import CutMix, ResizeMix
from vicinal.mixing.hidden import ManifoldMixup
from vicinal.mixing.kway import DirichletMixup
from vicinal.mixing.labels import soft_targets
from vicinal.mixing.mixup import Mixup
from vicinal.mixing.regmixup import RegMixup
from vicinal.study.options import Recipe
from vicinal.study.training import layers as one_by_one
from vicinal.study.training.loop import Member, train
from vicinal.study.training.stack import Unlike, joined

SCHEDULE = Recipe(epochs=4, batch_size=8, learning_rate=0.03, weight_decay=1e-2)


def network(kind, seed, dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        body = {
            "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.GELU()),
            "cnn": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.GELU(), nn.Flatten()),
            # a bias before BatchNorm has no gradient but rounding, which AdamW would blow up
            "norm": lambda: nn.Sequential(
                nn.Conv2d(1, 2, 3, stride=2, bias=False), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten()
            ),
        }[kind]()
        return nn.Sequential(body, nn.Linear(8 if kind == "mlp" else 2, 3)).to(dtype)


def images(seed, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(20, 1, 4, 4, generator=g, dtype=dtype), torch.randint(3, (20,), generator=g)


def members(kind, strategies, dtype=torch.float64):
    """One member for each strategy, each with data and a seed of its own."""
    return [
        Member(str(k), network(kind, k, dtype), strategy, *images(k, dtype), k, lambda epoch: {})
        for k, strategy in enumerate(strategies)
    ]


def trained(group, path, schedule=SCHEDULE, every=math.inf):
    return train(group, categorical, schedule, checkpoint=path, progress=lambda: None, every=every)


def states(group):
    return [copy.deepcopy(member.model.state_dict()) for member in group]


PLAIN = (None, Mixup(0.2), Mixup(1.0), CutMix(1.0))


@pytest.mark.parametrize("kind", ["mlp", "cnn", "norm"])
@pytest.mark.parametrize(
    "strategies", [PLAIN, (RegMixup(),) * 3, (DirichletMixup(),) * 2, (ResizeMix(),) * 2]
)
def test_trained_together_is_trained_alone(kind, strategies, tmp_path):
    """After four epochs with a smaller last batch; buffers of BatchNorm included."""
    group = members(kind, strategies)
    histories = trained(group, tmp_path / "together")
    for k, one in enumerate(members(kind, strategies)):
        (alone,) = trained([one], tmp_path / f"{k}")
        losses = [row["objective"] for row in alone.history]
        found = [row["objective"] for row in histories[k].history]
        assert found == pytest.approx(losses, rel=1e-9)
        for name, value in one.model.state_dict().items():
            torch.testing.assert_close(
                group[k].model.state_dict()[name], value, rtol=1e-9, atol=1e-11
            )


@pytest.mark.parametrize("kind", ["cnn", "norm"])
def test_so_it_is_where_layers_are_called_member_by_member(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(one_by_one, "LARGE", 1)
    test_trained_together_is_trained_alone(kind, PLAIN, tmp_path)


def test_in_single_precision_the_numbers_agree_to_its_digits(tmp_path):
    group = members("cnn", PLAIN, torch.float32)
    histories = trained(group, tmp_path / "together")
    for k, one in enumerate(members("cnn", PLAIN, torch.float32)):
        (alone,) = trained([one], tmp_path / f"{k}")
        assert histories[k].history[-1]["objective"] == pytest.approx(
            alone.history[-1]["objective"], rel=1e-4
        )


def test_one_that_diverges_does_not_touch_the_others(tmp_path):
    class Poisoned:
        def __call__(self, x, y, rng):
            draw = Mixup(1.0)(x, y, rng)
            draw.share[0] = float("nan")
            return draw

    group = members("cnn", (Mixup(1.0), Poisoned(), None))
    histories = trained(group, tmp_path / "together")
    assert [each.failed for each in histories] == [None, 1, None]
    assert histories[1].history == []
    for k in (0, 2):
        one = members("cnn", (Mixup(1.0), Poisoned(), None))[k]
        (alone,) = trained([one], tmp_path / f"{k}")
        assert [row["objective"] for row in histories[k].history] == pytest.approx(
            [row["objective"] for row in alone.history], rel=1e-9
        )
        assert all(torch.isfinite(value).all() for value in group[k].model.parameters())


@pytest.mark.parametrize("after", [1, 4, 8])
def test_a_stack_that_was_killed_ends_with_the_same_bits(tmp_path, after):
    class Stops:
        def __init__(self, left):
            self.left = left

        def __call__(self, x, y, rng):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return CutMix(1.0)(x, y, rng)

    whole = members("norm", PLAIN, torch.float32)
    expected = trained(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(members("norm", (*PLAIN[:3], Stops(after)), torch.float32), tmp_path / "c", every=0)
    again = members("norm", PLAIN, torch.float32)
    assert trained(again, tmp_path / "c") == expected
    for found, state in zip(states(again), states(whole), strict=True):
        assert all(value.equal(state[name]) for name, value in found.items())


def test_a_checkpoint_of_others_is_set_aside(tmp_path):
    trained(members("mlp", PLAIN), tmp_path / "c")
    with pytest.warns(UserWarning, match="could not be read"):
        trained(members("mlp", PLAIN[:2]), tmp_path / "c")


@pytest.mark.parametrize("strategy", [Mixup(1.0), CutMix(1.0), ResizeMix(), DirichletMixup()])
def test_joined_draws_mix_each_batch_within_itself(strategy):
    data = [images(k) for k in range(3)]
    draws = [strategy(x, y, draw_generator(k, epoch=0, step=0)) for k, (x, y) in enumerate(data)]
    xs, ys = zip(*data, strict=True)
    union = joined(draws, xs)
    parts = zip(xs, ys, draws, strict=True)
    mixed, labels = zip(*((mix(x, d), soft_targets(y, d, 3)) for x, y, d in parts), strict=True)
    assert mix(torch.cat(xs), union).equal(torch.cat(mixed))
    assert soft_targets(torch.cat(ys), union, 3).equal(torch.cat(labels))


def test_draws_of_several_kinds_are_not_joined():
    x, y = images(0)
    rng = draw_generator(0, epoch=0, step=0)
    for one, other in (
        (Mixup(1.0), ResizeMix()),
        (Mixup(1.0), DirichletMixup()),
        (RegMixup(weight=1.0), RegMixup(weight=2.0)),
        (ManifoldMixup(), ManifoldMixup()),  # at another layer
    ):
        with pytest.raises(Unlike):
            joined([one(x, y, rng), other(x, y, rng)], [x, x])


def test_values_are_trained_together_too(tmp_path):
    def group(ks):
        return [
            Member(
                str(k), nn.Sequential(nn.Flatten(), network("mlp", k)[1:], ).double(),
                Mixup(1.0), torch.rand(12, 8, generator=torch.Generator().manual_seed(k)).double(),
                torch.rand(12, generator=torch.Generator().manual_seed(k)).double(), k,
                lambda epoch: {},
            )
            for k in ks
        ]  # fmt: skip

    def single(member):
        member.model.append(nn.Linear(3, 1).double().requires_grad_(False))
        nn.init.constant_(member.model[-1].weight, 0.5)
        nn.init.constant_(member.model[-1].bias, 0.0)
        return member

    both = [single(member) for member in group((0, 1))]
    together = train(both, gaussian, SCHEDULE, checkpoint=tmp_path / "c", progress=lambda: None)
    (alone,) = train(
        [single(group((1,))[0])], gaussian, SCHEDULE, checkpoint=tmp_path / "d",
        progress=lambda: None,
    )  # fmt: skip
    assert [row["objective"] for row in together[1].history] == pytest.approx(
        [row["objective"] for row in alone.history], rel=1e-9
    )
