"""Convolutions of a stack are those of its members, called one by one where that is faster."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from vicinal import convolutions
from vicinal.convolutions import MemberByMember

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
}  # fmt: skip
MEMBERS, ROWS = 3, 2


class Groups(TorchDispatchMode):
    """Notes into how many groups each convolution falls."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.seen.append(args[-1])
        return func(*args, **(kwargs or {}))


@pytest.fixture
def from_one(monkeypatch):
    monkeypatch.setattr(convolutions, "LARGE", 1)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("from_one")
def test_outputs_and_gradients_are_those_of_the_layers_one_by_one(name):
    build, shape = LAYERS[name]
    torch.manual_seed(0)
    layers = [build().double() for _ in range(MEMBERS)]
    x = torch.randn(MEMBERS, ROWS, *shape, dtype=torch.float64, requires_grad=True)
    state, _ = stack_module_state(layers)
    with MemberByMember(), Groups() as groups:
        found = vmap(lambda own, x: functional_call(layers[0], own, (x,)))(state, x)
    assert groups.seen == [layers[0].groups] * MEMBERS
    expected = torch.stack([layer(own) for layer, own in zip(layers, x, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(found)
    gradients = torch.autograd.grad((found * direction).sum(), [x, *state.values()])
    (expected * direction).sum().backward()
    torch.testing.assert_close(gradients[0], x.grad, rtol=1e-12, atol=1e-12)
    for key, gradient in zip(state, gradients[1:], strict=True):
        alone = torch.stack([dict(layer.named_parameters())[key].grad for layer in layers])
        torch.testing.assert_close(gradient, alone, rtol=1e-12, atol=1e-12)


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
    monkeypatch.setattr(convolutions, "LARGE", 400)
    with MemberByMember(), Groups() as groups:
        vmap(F.conv2d)(torch.ones(2, *shape), torch.ones(2, *weight))
    assert len(groups.seen) == calls
