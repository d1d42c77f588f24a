"""Layers of a stack are those of its members, called one by one where that is faster."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from vicinal.study.training import layers as members
from vicinal.study.training.layers import MemberByMember

LAYERS = {
    "plain": (lambda: nn.Conv2d(2, 3, 3), (2, 5, 5)),
    "groups, no bias": (lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False), (4, 5, 5)),
    "stride, dilation": (lambda: nn.Conv2d(2, 3, 2, stride=2, dilation=2, padding=1), (2, 6, 5)),
    "same": (lambda: nn.Conv2d(2, 3, 3, padding="same"), (2, 4, 4)),
    "circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 4, 4)),
    "reflected": (lambda: nn.Conv1d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 6)),
    "volumes": (lambda: nn.Conv3d(1, 2, 2), (1, 3, 3, 3)),
    "transposed, lines": (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2), (2, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 2, 3, groups=2, output_padding=1, stride=2),
                   (4, 3, 3)),
    "transposed, volumes": (lambda: nn.ConvTranspose3d(1, 2, 2), (1, 2, 2, 2)),
    "norm": (lambda: nn.BatchNorm2d(2), (2, 3, 3)),
    "norm of rows": (lambda: nn.BatchNorm1d(2, momentum=0.3), (2,)),
    "norm of the batch": (lambda: nn.BatchNorm1d(2, track_running_stats=False), (2, 3)),
    "norm, fixed": (lambda: nn.BatchNorm2d(2, affine=False).eval(), (2, 3, 3)),
}  # fmt: skip
MEMBERS, ROWS = 3, 2


class Calls(TorchDispatchMode):
    """Counts convolutions and BatchNorms."""

    seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen += "convolution" in func.__name__ or "batch_norm" in func.__name__
        return func(*args, **(kwargs or {}))


@pytest.fixture
def from_one(monkeypatch):
    monkeypatch.setattr(members, "LARGE", 1)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("from_one")
def test_outputs_gradients_and_buffers_are_those_of_the_layers_one_by_one(name):
    build, shape = LAYERS[name]
    torch.manual_seed(0)
    layers = [build().double() for _ in range(MEMBERS)]
    x = torch.randn(MEMBERS, ROWS, *shape, dtype=torch.float64, requires_grad=True)
    parameters, buffers = stack_module_state(layers)
    state = parameters | buffers
    with MemberByMember(), Calls() as calls:
        found = vmap(lambda own, x: functional_call(layers[0], own, (x,)))(state, x)
    assert calls.seen == MEMBERS
    expected = torch.stack([layer(own) for layer, own in zip(layers, x, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(found)
    gradients = torch.autograd.grad((found * direction).sum(), [x, *parameters.values()])
    (expected * direction).sum().backward()
    torch.testing.assert_close(gradients[0], x.grad, rtol=1e-12, atol=1e-12)
    for key, gradient in zip(parameters, gradients[1:], strict=True):
        alone = torch.stack([layer.get_parameter(key).grad for layer in layers])
        torch.testing.assert_close(gradient, alone, rtol=1e-12, atol=1e-12)
    for key, value in buffers.items():
        alone = torch.stack([layer.get_buffer(key) for layer in layers])
        torch.testing.assert_close(value, alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dims", [(0, None), (None, 0), (0, 2), (2, 0), (None, -1)])
@pytest.mark.usefixtures("from_one")
def test_either_or_both_may_differ_between_members_on_any_axis(dims):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 1, 5, dtype=torch.float64), torch.randn(1, 1, 3).double()
    given = [
        value if dim is None else torch.stack([value, 2 * value, value - 1], dim)
        for value, dim in zip((x, weight), dims, strict=True)
    ]

    def layer(x, weight):
        return F.conv1d(weight=weight, input=x, padding=1)

    with MemberByMember():
        found = vmap(layer, in_dims=dims)(*given)
    each = [
        layer(*(v if d is None else v.select(d, k) for v, d in zip(given, dims, strict=True)))
        for k in range(3)
    ]
    torch.testing.assert_close(found, torch.stack(each), rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch's own making
@pytest.mark.usefixtures("from_one")
def test_second_derivatives_and_those_forward_are_exact():
    torch.manual_seed(0)
    weight = torch.randn(2, 1, 1, 2, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 1, 1, 4, dtype=torch.float64, requires_grad=True)

    def cubes(x, weight):
        with MemberByMember():
            return vmap(F.conv1d)(x, weight) ** 3

    assert torch.autograd.gradcheck(cubes, (x, weight), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(cubes, (x, weight))


@pytest.mark.usefixtures("from_one")
def test_a_convolution_that_all_members_share_has_its_value_and_no_wrong_gradient():
    shared = torch.ones(1, 1, 2, requires_grad=True)

    def model(scale):
        return scale * F.conv1d(torch.ones(1, 1, 3), shared)

    with MemberByMember():
        out = vmap(model)(torch.tensor([1.0, 2.0]))
    assert out.flatten().tolist() == [2, 2, 4, 4]
    with pytest.raises(NotImplementedError, match="backward"):
        out.sum().backward()


@pytest.mark.parametrize(
    ("shape", "weight", "calls"),
    [
        ((4, 1, 9, 9), (1, 1, 3, 3), 1),
        ((4, 1, 10, 10), (1, 1, 3, 3), 2),  # 400 numbers come in
        ((1, 10, 10), (4, 1, 3, 3), 2),  # 400 come out, of one image
        ((1, 10, 10), (3, 1, 3, 3), 1),
        ((1, 4, 10, 10), (1, 4, 3, 3), 2),
    ],
)
def test_calls_for_each_member_begin_with_large_images(shape, weight, calls, monkeypatch):
    monkeypatch.setattr(members, "LARGE", 400)
    with MemberByMember(), Calls() as seen:
        vmap(F.conv2d)(torch.ones(2, *shape), torch.ones(2, *weight))
    assert seen.seen == calls


@pytest.mark.parametrize(("rows", "calls"), [(4, 1), (5, 2)])
def test_norms_are_taken_for_each_member_from_the_same_size_on(rows, calls, monkeypatch):
    monkeypatch.setattr(members, "LARGE", 50)
    with MemberByMember(), Calls() as seen:
        vmap(lambda x, scale: F.batch_norm(x, None, None, weight=scale, training=True))(
            torch.ones(2, rows, 10), torch.ones(2, 10)
        )
    assert seen.seen == calls
