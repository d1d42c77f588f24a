"""Three engines against dense Hessians, on the networks in use, and the choice between them."""

import numpy as np
import pytest
import torch
from torch import nn

from reference.networks import NETWORKS, network
from vicinal.explanation.derivatives import backward, differences, forward
from vicinal.explanation.derivatives.choice import (
    BACKWARD,
    DIFFERENCES,
    FORWARD,
    Engine,
    mathematical_attention,
)
from vicinal.explanation.derivatives.elementwise import FUNCTIONS
from vicinal.explanation.derivatives.second_order import engine_of
from vicinal.explanation.terms import along, expand, taylor_terms
from vicinal.maths.laws import Beta
from vicinal.maths.losses import bernoulli, categorical

Y = torch.tensor([0, 2])
HARD = {"mobilenet"}  # has no second derivative in autograd


def images(directions=3):
    rng = np.random.default_rng(0)
    return (
        torch.from_numpy(rng.normal(size=(2, 3, 6, 6))),
        torch.from_numpy(rng.normal(size=(directions, 2, 3, 6, 6))),
    )


def dense(model, x, directions):
    """Outputs, Jv for each direction, and Σ v'Hv, from whole Jacobians and Hessians."""
    outputs, first, second = [], [], []
    for i in range(len(x)):
        single = lambda z, i=i: model(z.reshape(x[i : i + 1].shape))[0]
        z, v = x[i].flatten(), directions[:, i].flatten(1)
        outputs.append(single(z).detach())
        jacobian = torch.autograd.functional.jacobian(single, z)
        first.append(v @ jacobian.T)
        bends = []
        for k in range(len(outputs[0])):
            hessian = torch.autograd.functional.hessian(lambda z, k=k, f=single: f(z)[k], z)
            bends.append(torch.einsum("dp,pq,dq->", v, hessian, v))
        second.append(torch.stack(bends))
    return torch.stack(outputs), torch.stack(first, 1), torch.stack(second)


def truth(name, model, x, directions):
    """Dense where autograd differentiates twice; elsewhere differences of its first derivative."""
    with mathematical_attention():
        if name not in HARD:
            return dense(model, x, directions)
        step, first, second = 1e-6, [], 0
        for v in directions:
            slopes = []
            for t in (-step, 0, step):
                along = lambda s, v=v, t=t: model(x + (t + s) * v)
                slopes.append(
                    torch.autograd.functional.jacobian(along, torch.zeros((), dtype=x.dtype))
                )
            first.append(slopes[1])
            second = second + (slopes[2] - slopes[0]) / (2 * step)
        return model(x).detach(), torch.stack(first), second


@pytest.mark.parametrize("name", NETWORKS)
def test_engines_equal_dense_hessians(name):
    model = network(name).requires_grad_(False)
    x, directions = images()
    outputs, first, second = truth(name, model, x, directions)
    residual = (categorical.residual(outputs, Y) * second).sum(1)
    scale = float(residual.abs().max()) + 1
    for only in (FORWARD, BACKWARD, DIFFERENCES):
        if only == BACKWARD and name in HARD:
            continue
        engine = engine_of(model, categorical)
        engine.candidates[:] = [only]
        with torch.no_grad():
            got = engine(x, Y, directions)
        tolerance = 1e-5 if only == DIFFERENCES else 1e-7 if name in HARD else 1e-10
        torch.testing.assert_close(got.outputs, outputs, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(got.first, first, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(got.residual, residual, rtol=tolerance, atol=tolerance * scale)
        assert engine.report == only


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_goes_forward(name):
    x, directions = images()
    engine = engine_of(network(name), categorical)
    with torch.no_grad():
        engine(x, Y, directions)
    assert engine.report == FORWARD


def test_piecewise_linear_nets_carry_no_second_stream():
    x, directions = images(1)
    with torch.no_grad():
        assert forward.outputs_along(network("resnet"), x, directions)[2] is None
        assert forward.outputs_along(network("convnext"), x, directions)[2] is not None


@pytest.mark.parametrize("operation", FUNCTIONS, ids=str)
def test_functions_of_one_number(operation):
    """φ' and φ'' against autograd or, where it stops, differences of φ'."""
    if operation is torch.ops.aten._prelu_kernel:
        options = (torch.tensor([0.3], dtype=torch.float64),)
    else:
        options = {"pow": (2.7,), "clamp": (0.2, 0.9), "clamp_min": (0.4,)}.get(
            operation.__name__, ()
        )
    a = torch.linspace(0.05, 3.45, 23, dtype=torch.float64)
    if operation.__name__ not in ("log", "pow", "rsqrt", "sqrt", "log1p"):
        a = torch.cat((a, -a))
    call = lambda a: out[0] if isinstance(out := operation(a, *options), tuple) else out
    value, slope, bend = FUNCTIONS[operation](a, *options)
    torch.testing.assert_close(value, call(a), rtol=1e-12, atol=1e-14)
    z = a.clone().requires_grad_()
    (expected,) = torch.autograd.grad(call(z).sum(), z)
    torch.testing.assert_close(slope, expected, rtol=1e-7, atol=1e-8)
    step = 1e-6
    ahead, behind = (FUNCTIONS[operation](a + s, *options)[1] for s in (step, -step))
    by_differences = (ahead - behind) / (2 * step)
    bend = torch.zeros_like(a) if bend is None else bend
    torch.testing.assert_close(bend, by_differences, rtol=1e-6, atol=1e-7)


CHOOSING = {
    "infinite elsewhere": lambda x: torch.where(x > 0.3, x.sin(), -torch.inf).softmax(1)[:, 0],
    "undefined elsewhere": lambda x: torch.where(x > 0, x.log(), 2 * x).sum(1),
    "a power of 1 at 0": lambda x: (x.clamp(min=0) ** 1.0).sin().sum(1),
    "a constant in front": lambda x: (
        torch.where(x[:, :, None] > 0, x.new_ones(3), x[:, :, None]).cos().sum((1, 2))
    ),
    "axes between indices": lambda x: _squares(x)[:, [0, 1, 2], :, [2, 1, 0]].sum((0, 2)),
}


def _squares(x):
    return (x.sin()[:, :, None] * x.cos()[:, None])[..., None].expand(-1, -1, -1, 3)


@pytest.mark.parametrize("name", CHOOSING)
def test_what_is_not_chosen_does_not_count(name):
    f = lambda x: torch.stack([CHOOSING[name](x), x[:, 0] * x[:, 2]], 1)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(0.5 + rng.random((2, 3)))
    x[:, 1] = torch.tensor([-0.4, 0.1])
    directions = torch.from_numpy(rng.normal(size=(3, 2, 3)))
    engine, y = engine_of(f, categorical), torch.tensor([0, 1])
    found = engine(x, y, directions)
    assert engine.report.startswith(BACKWARD if "between" in name else FORWARD)
    outputs, first, second = dense(f, x, directions)
    residual = (categorical.residual(outputs, y) * second).sum(1)
    for got, expected in zip(found, (outputs, first, residual), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_a_cast_to_whole_numbers_is_no_identity():
    """Steps have no slope but where they jump; their numbers are not passed on as derivatives."""
    steps = lambda x: (8 * x).long().to(x.dtype) / 8
    engine = engine_of(steps, categorical)
    x = torch.full((1, 3), 0.3, dtype=torch.float64)
    first = engine(x, torch.tensor([0]), torch.ones(1, 1, 3, dtype=torch.float64)).first
    assert first.abs().max() == 0
    assert "cast to torch.int64" in engine.report


class Odd(nn.Module):
    """Uses an operation that forward propagation has no rule for."""

    def __init__(self, last):
        super().__init__()
        self.body, self.last = nn.Linear(4, 3).double(), last

    def forward(self, x):
        return self.last(self.body(x))


class Rounded(torch.autograd.Function):
    """A function with a first derivative only, given by hand."""

    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(np.sin(x.detach().numpy()))

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError


def table():
    rng = np.random.default_rng(1)
    x, v = torch.from_numpy(rng.normal(size=(2, 2, 4)))
    return x, v[None]


def test_falls_back_and_says_so():
    x, v = table()
    y = torch.tensor([0, 1])
    odd = engine_of(Odd(torch.special.i0), categorical)
    with torch.no_grad():
        got = odd(x, y, v)
    assert odd.report.startswith(f"{BACKWARD}; {FORWARD} stopped at a rule for aten.i0")
    outside = engine_of(Odd(Rounded.apply), categorical)
    with torch.no_grad():
        outside(x, y, v)
    assert outside.report.startswith(f"{DIFFERENCES}; {FORWARD} stopped at")
    assert BACKWARD in outside.report
    model = odd.f
    outputs, first, second = dense(lambda z: model(z), x, v)
    torch.testing.assert_close(got.first, first)
    torch.testing.assert_close(got.residual, (categorical.residual(outputs, y) * second).sum(1))


@pytest.mark.parametrize("only", [FORWARD, BACKWARD, DIFFERENCES])
def test_dropout_has_one_mask_for_a_value_and_its_derivatives(only):
    """In train mode, against differences of the model with its random numbers repeated."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 32), nn.GELU(), nn.Dropout(0.5), nn.Linear(32, 4))
    model.double().train()
    x, v = torch.randn(2, 6, 3, dtype=torch.float64)
    y = torch.arange(6) % 4
    engine = engine_of(model, categorical)
    engine.candidates[:] = [only]

    def loss(t):
        torch.manual_seed(1)
        return categorical(model(x + t * v), y)

    with torch.no_grad():
        ahead, here, behind = (loss(t) for t in (1e-4, 0.0, -1e-4))
    torch.manual_seed(1)
    terms = along(engine, x, y, v)
    after = torch.get_rng_state()
    assert engine.report == only
    torch.testing.assert_close(terms.loss, here)
    torch.testing.assert_close(terms.slope, (ahead - behind) / 2e-4, rtol=1e-5, atol=1e-8)
    bend = (ahead - 2 * here + behind) / 1e-8 / 2
    torch.testing.assert_close(terms.curvature + terms.residual, bend, rtol=1e-5, atol=1e-6)
    torch.manual_seed(1)
    model(x)
    assert after.equal(torch.get_rng_state())  # the next batch has another mask


def test_outputs_that_hide_from_autograd_are_differenced():
    x, v = table()
    hidden = lambda z: torch.from_numpy(np.tanh(z.detach().numpy()[:, :3]))
    engine = engine_of(hidden, categorical)
    plain = engine_of(lambda z: z[:, :3].tanh(), categorical)
    y = torch.tensor([0, 1])
    with torch.no_grad():
        got, expected = engine(x, y, v), plain(x, y, v)
    assert engine.candidates == [DIFFERENCES]
    torch.testing.assert_close(got.first, expected.first, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(got.residual, expected.residual, rtol=1e-5, atol=1e-6)


def test_differences_run_a_model_of_float32_in_float64():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    x, v = (z.float() for z in table())
    y = torch.tensor([0, 1])
    engine = engine_of(model, categorical)
    engine.candidates[:] = [DIFFERENCES]
    with torch.no_grad():
        got = engine(x, y, v)
        expected = engine_of(model, categorical)(x, y, v)
    torch.testing.assert_close(got.residual, expected.residual, rtol=1e-4, atol=1e-5)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert got.outputs.dtype == torch.float32


def test_memory_that_is_shared_is_not_written():
    """An in-place function on a view would be seen by nobody else, so another engine is used."""
    x, v = table()

    def model(z):
        w = z * 2
        view = w[:, :3]
        torch.sigmoid_(view)
        return w[:, :3] + w[:, 1:]

    y = torch.tensor([0, 1])
    engine = engine_of(model, categorical)
    with torch.no_grad():
        engine(x, y, v)
    assert FORWARD not in engine.candidates


def test_attention_kernels_are_as_before():
    before = torch.backends.mha.get_fastpath_enabled()
    flash = torch.backends.cuda.flash_sdp_enabled()
    with mathematical_attention():
        assert not torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(ZeroDivisionError), mathematical_attention():
        _ = 1 / 0
    assert torch.backends.mha.get_fastpath_enabled() == before
    assert torch.backends.cuda.flash_sdp_enabled() == flash


@pytest.mark.parametrize("name", ["resnet", "convnext", "vit"])
def test_terms_are_differentiable_on_networks(name):
    """Forward propagation under autograd: the gradient of the sum of all terms, by differences."""
    model = network(name)
    x, _ = images(1)
    partner = torch.tensor([1, 0])

    def total():
        return sum(term.sum() for term in taylor_terms(model, x, Y, partner, 1 / 6))

    weights = list(model.parameters())
    gradients = torch.autograd.grad(total(), weights, allow_unused=True)
    rng = np.random.default_rng(0)
    steps = [torch.from_numpy(rng.normal(size=tuple(w.shape))) for w in weights]
    slope = sum((g * s).sum() for g, s in zip(gradients, steps, strict=True) if g is not None)
    values = []
    for sign in (1, -2, 1):  # there, beyond, back
        with torch.no_grad():
            for w, s in zip(weights, steps, strict=True):
                w += sign * 1e-6 * s
            values.append(float(total()))
    np.testing.assert_allclose(float(slope), (values[0] - values[1]) / 2e-6, rtol=1e-5)


def test_single_outputs_of_either_shape():
    x, v = table()
    y = torch.tensor([0.0, 1.0], dtype=torch.float64)
    flat, column = (
        engine_of(f, bernoulli)
        for f in (lambda z: z.sin().sum(1), lambda z: z.sin().sum(1, keepdim=True))
    )
    with torch.no_grad():
        a, b = flat(x, y, v), column(x, y, v)
    assert a.outputs.shape == (2,)
    assert b.outputs.shape == (2, 1)
    torch.testing.assert_close(a.residual, b.residual)
    torch.testing.assert_close(a.first, b.first[..., 0])


def test_expansion_reports_the_engine():
    x, _ = images(1)
    assert expand(network("vit"), x, Y, Beta(1), categorical).engine == FORWARD


def test_low_level_engines_refuse_what_they_cannot_follow():
    x, v = table()
    with pytest.raises(forward.Unsupported, match=r"aten\.i0"):
        forward.outputs_along(torch.special.i0, x, v)
    with pytest.raises(backward.Detached):
        backward.outputs_and_derivatives(
            torch.zeros_like, x, torch.zeros(2, dtype=int), v, categorical
        )
    _, first, second = differences.outputs_along(torch.sin, x, v)
    torch.testing.assert_close(first[0], x.cos() * v[0])
    torch.testing.assert_close(second, -x.sin() * v[0] ** 2, rtol=1e-5, atol=1e-6)
    assert isinstance(engine_of(torch.sin, categorical), Engine)
