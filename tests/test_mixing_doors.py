"""The public doors of mixing: whatever comes, a right value, a ValueError or a TypeError."""

import warnings

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vicinal as vc
from strategies import STRATEGIES
from vicinal.maths.losses import categorical
from vicinal.mixing import pairing
from vicinal.mixing.draw import Blend, Draw

ODD = [
    None, 1.0, "x", [1.0, 2.0], (), {}, np.zeros((4, 3)), np.arange(4), torch.tensor(1.0),
    torch.zeros(0), torch.zeros(0, 3), torch.zeros(0, 2, 4, 4), torch.zeros(4), torch.zeros(4, 3),
    torch.zeros(3, 3), torch.zeros(4, 3, 5), torch.zeros(4, 1, 1, 1), torch.zeros(4, 2, 3, 3, 3),
    torch.zeros(4, 3, dtype=torch.int64), torch.zeros(4, 3, dtype=torch.bool),
    torch.zeros(4, 3, dtype=torch.complex64), torch.full((4, 2, 4, 4), float("nan")),
    torch.arange(4), torch.arange(3), torch.full((4,), -1), torch.arange(4, dtype=torch.uint8),
    (torch.zeros(4, 3), np.zeros(4)), {"a": torch.zeros(4, 3), "b": [1, 2]}, torch.zeros(1, 3),
    np.array(["a", "b"]), np.array([None, 1], dtype=object), float("nan"), object(), 2**70,
]  # fmt: skip
odd = st.sampled_from(ODD)
ALLOWED = (ValueError, TypeError)
LAYER = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
DRAWS = [
    None, 5, "draw", "arrays", Draw(torch.arange(4), torch.ones(4), torch.ones(4)),
    Blend(torch.zeros(4, 1).long(), torch.ones(4, 2) / 2),
    Draw(torch.arange(4).flip(0), torch.ones(4, 1, 3, 3), torch.ones(4)),
    vc.RegMixup()(torch.zeros(4, 3), torch.arange(4), np.random.default_rng(0)),
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def without_the_checker():
    """As people run it: annotations of shapes are not enforced."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def right_or_refused(call):
    """What the call gave, or None where it refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return call()
        except ALLOWED:
            return None


MADE = STRATEGIES | {
    "Adversarial": vc.Adversarial(), "InterpolatedAdversarial": vc.InterpolatedAdversarial(),
    "Expanded": vc.Expanded(), "C-Mixup": vc.c_mixup(1.0), "LabelSmoothing": vc.LabelSmoothing(),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=60, deadline=None)
@given(x=odd, y=odd, rng=st.sampled_from([0, 0, 0, 0, None, 7, "rng", torch.Generator()]))
def test_strategies(name, x, y, rng):
    rng = np.random.default_rng(0) if rng == 0 and rng is not None else rng
    draw = right_or_refused(lambda: MADE[name](x, y, rng))
    if isinstance(draw, Draw | Blend):
        rows = draw.partner if isinstance(draw, Draw) else draw.partners
        assert len(rows) == len(x)
        mixed = right_or_refused(lambda: vc.mix(x, draw))
        assert mixed is None or mixed.shape == x.shape


@settings(max_examples=300, deadline=None)
@given(x=odd, y=odd, outputs=odd, draw=st.sampled_from(DRAWS))
def test_uses_of_a_draw(x, y, outputs, draw):
    if draw == "arrays":
        draw = Draw(np.arange(4), np.ones(4), np.ones(4))
    for call in (
        lambda: vc.mix(x, draw),
        lambda: vc.mix(x, draw, out=outputs),
        lambda: vc.mixed_loss(
            lambda f, y: f.reshape(len(f), f[:1].numel()).sum(1), outputs, y, draw
        ),
        lambda: vc.mixed_values(y, draw),
        lambda: vc.soft_targets(y, draw, 3),
        lambda: vc.mixed_ids(y, draw),
        lambda: vc.expected_accuracy(outputs, y, draw),
        lambda: vc.dominant_accuracy(outputs, y, draw),
        lambda: vc.dense_loss(lambda f, y: y * 1.0, outputs, y, draw),
    ):
        right_or_refused(call)


@pytest.mark.parametrize(
    "rule",
    [pairing.shuffle, pairing.derangement, pairing.Roll(), pairing.same_class, pairing.other_class,
     pairing.LabelKernel(1.0), pairing.Assignment(), pairing.Nearest(1),
     pairing.Given(np.arange(4)),
     None, 3, "shuffle", lambda x, y, rng: np.zeros(len(x)), lambda x, y, rng: None],
    ids=range(14),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
@given(x=odd, y=odd)
def test_pairings(rule, x, y):
    draw = right_or_refused(lambda: vc.Mixup(1.0, pairing=rule)(x, y, np.random.default_rng(0)))
    assert draw is None or len(draw.partner) == len(x)


KINDS = [vc.Mixup, vc.CutMix, vc.ResizeMix, vc.HMix, vc.FMix, vc.GridMix, vc.GMix, vc.SmoothMix,
         vc.SaliencyMix, vc.PuzzleMix, vc.Remix, vc.DirichletMixup, vc.RandomChoice, vc.During,
         vc.ManifoldMixup, vc.NoisyFeatureMixup, vc.RegMixup, vc.MixupE, vc.MIT,
         vc.LabelSmoothing, vc.k_mixup, vc.c_mixup, vc.mixup_or_cutmix, vc.Adversarial,
         vc.InterpolatedAdversarial, vc.Expanded]  # fmt: skip
plain = st.sampled_from([None, 0, 1, -1, 1.0, 0.5, float("nan"), "a", (), [], (1.0,), np.zeros(2)])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=60, deadline=None)
@given(arguments=st.lists(plain, max_size=3))
def test_arguments_in_the_wrong_place(kind, arguments):
    """Then what was made is used as well, for what is only seen there."""
    made = right_or_refused(lambda: kind(*arguments))
    if callable(made):
        x, y = torch.rand(4, 3), torch.arange(4) % 3
        for inputs in (x, torch.rand(4, 3, 4, 4)):
            draw = right_or_refused(lambda inputs=inputs: made(inputs, y, np.random.default_rng(0)))
        draw = right_or_refused(lambda: made(x, y, np.random.default_rng(0)))
        if draw is not None:
            right_or_refused(lambda: vc.vicinal_losses(LAYER, x, y, draw, categorical))


def test_the_sentences():
    x, y = torch.zeros(4, 3), torch.arange(4)
    draw = vc.Mixup(1.0)(x, y, np.random.default_rng(0))
    for call, sentence in (
        (lambda: vc.ManifoldMixup(1.0), "is a keyword: alpha=1.0"),
        (lambda: vc.NoisyFeatureMixup(2), "is a keyword: alpha=2"),
        (lambda: vc.ManifoldMixup((1, 2)), "layers must hold names of modules, got 1"),
        (
            lambda: vc.mix(x.numpy(), draw),
            r"got ndarray.*torch.from_numpy\(x\)",
        ),
        (lambda: vc.mix((x, [1.0]), draw), r"x must be a tensor, got list.*torch.tensor\(x\)"),
        (lambda: vc.mixed_loss(categorical, x, y.numpy(), draw), "y must be a tensor, got ndarray"),
        (lambda: vc.mix(x, 5), r"a draw is needed, got int. .*Mixup\(0.2\)\(x, y, rng\)"),
        (lambda: vc.Mixup()(x, y, torch.Generator()), r"numpy.random.default_rng\(seed\)"),
        (lambda: vc.CutMix(1.0, 0.5)(x[:, :, None], y, np.random.default_rng(0)), "side"),
        (lambda: vc.Mixup(pairing=2)(x, y, np.random.default_rng(0)), "pairing must be a function"),
        (lambda: vc.soft_targets([0, 1], None, 2), "y must be a tensor, got list"),
        (lambda: vc.Remix()(x, None, np.random.default_rng(0)), "y must be a tensor, got None"),
        (lambda: vc.RandomChoice(vc.Mixup()), "strategies must be a tuple"),
        (lambda: vc.mixed_loss(categorical, x[:3], y, draw), "a row for each example"),
    ):
        with pytest.raises(ALLOWED, match=sentence):
            call()
    mixed = vc.mix({"a": x, "b": (x, x[:, 0])}, draw)
    assert mixed["a"].equal(vc.mix(x, draw))
