"""The families against torch's own losses, autograd and scipy."""

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from vicinal.maths.losses import bernoulli, bernoullis, categorical, gaussian, gaussians, poisson

SCALAR = [bernoulli, gaussian, poisson]
SEVERAL = [bernoullis, gaussians]
FAMILIES = [categorical, *SCALAR, *SEVERAL]


def outputs_and_targets(family, n=6, classes=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    if family is categorical:
        f = torch.randn(n, classes, generator=g, dtype=torch.float64)
        return f, torch.rand(n, classes, generator=g, dtype=torch.float64).softmax(-1)
    if family in SEVERAL:
        f = torch.randn(n, classes, generator=g, dtype=torch.float64)
        return f, torch.rand(n, classes, generator=g, dtype=torch.float64)
    f = torch.randn(n, generator=g, dtype=torch.float64)
    return f, torch.rand(n, generator=g, dtype=torch.float64)


def test_categorical_is_cross_entropy():
    f, soft = outputs_and_targets(categorical)
    y = torch.tensor([0, 3, 1, 2, 2, 0])
    torch.testing.assert_close(categorical(f, y), F.cross_entropy(f, y, reduction="none"))
    torch.testing.assert_close(categorical(f, soft), F.cross_entropy(f, soft, reduction="none"))


def test_bernoulli_is_binary_cross_entropy_also_far_out():
    f = torch.tensor([-800.0, -30.0, -1.0, 0.0, 2.0, 25.0, 800.0], dtype=torch.float64)
    y = torch.tensor([0.0, 1.0, 0.3, 0.5, 1.0, 1.0, 0.2], dtype=torch.float64)
    reference = F.binary_cross_entropy_with_logits(f, y, reduction="none")
    torch.testing.assert_close(bernoulli(f, y), reference, rtol=1e-12, atol=1e-14)


def test_gaussian_and_poisson_differ_from_likelihoods_by_terms_of_y_alone():
    f, y = outputs_and_targets(gaussian)
    torch.testing.assert_close(gaussian(f, y) + y**2 / 2, (f - y) ** 2 / 2)
    counts = torch.tensor([0.0, 1.0, 5.0, 2.0, 0.0, 3.0], dtype=torch.float64)
    likelihood = torch.from_numpy(-stats.poisson(f.exp().numpy()).logpmf(counts.numpy()))
    torch.testing.assert_close(poisson(f, counts) + torch.lgamma(counts + 1), likelihood)


def test_several_labels_and_values_are_sums_over_torchs_losses():
    f, y = outputs_and_targets(bernoullis)
    entropy = F.binary_cross_entropy_with_logits(f, y, reduction="none").sum(1)
    torch.testing.assert_close(bernoullis(f, y), entropy)
    squared = F.mse_loss(f, y, reduction="none").sum(1) / 2
    torch.testing.assert_close(gaussians(f, y) + y.square().sum(1) / 2, squared)
    hard = (y > 0.5).long()
    torch.testing.assert_close(bernoullis(f, hard), bernoullis(f, hard.double()))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_mean_and_quadratic_are_derivatives_of_the_log_partition(family):
    f, y = outputs_and_targets(family)
    direction = torch.randn_like(f)
    for i in range(len(f)):
        one, v = f[i : i + 1], direction[i : i + 1]
        log_partition = lambda f: family(f, torch.zeros_like(f)).sum()
        (gradient,) = torch.autograd.functional.jacobian(log_partition, one)
        torch.testing.assert_close(family.mean(one)[0], gradient)
        hessian = torch.autograd.functional.hessian(log_partition, one)
        quadratic = v.flatten() @ hessian.reshape(v.numel(), -1) @ v.flatten()
        torch.testing.assert_close(family.quadratic(one, v)[0], quadratic)
    leaf = f.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(family(leaf, y).sum(), leaf)
    torch.testing.assert_close(family.residual(f, y), by_autograd)


@pytest.mark.parametrize("family", SCALAR, ids=lambda family: family.name)
def test_one_column_of_outputs_means_the_same(family):
    f, y = outputs_and_targets(family)
    for outputs in (f, f[:, None]):
        for targets in (y, y[:, None]):
            torch.testing.assert_close(family(outputs, targets), family(f, y))
            assert family.residual(outputs, targets).shape == outputs.shape
    assert family.mean(f[:, None]).shape == (len(f), 1)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_losses_are_affine_in_the_label(family):
    f, y = outputs_and_targets(family)
    other = y.flip(0)
    mixed = 0.3 * family(f, y) + 0.7 * family(f, other)
    torch.testing.assert_close(family(f, 0.3 * y + 0.7 * other), mixed)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_losses_of_outputs_of_16_bits_are_not_rounded_to_them(kind):
    outputs = torch.linspace(-3, 3, 60).reshape(20, 3).to(kind)
    y = torch.arange(20) % 3
    for family, f, labels in ((categorical, outputs, y), (bernoulli, outputs[:, 0], y % 2)):
        for value, exact in (
            (family(f, labels), family(f.double(), labels)),
            (family.residual(f, labels), family.residual(f.double(), labels)),
            (family.quadratic(f, f), family.quadratic(f.double(), f.double())),
        ):
            torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-6)


def test_class_ids_are_one_hot_labels():
    f, _ = outputs_and_targets(categorical)
    y = torch.tensor([0, 3, 1, 2, 2, 0])
    one_hot = F.one_hot(y, 4).double()
    torch.testing.assert_close(categorical(f, y), categorical(f, one_hot))
    torch.testing.assert_close(categorical.residual(f, y), categorical.residual(f, one_hot))
    assert categorical.correct(f, y).equal(categorical.correct(f, one_hot))


def test_correct():
    f = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    assert categorical.correct(f, torch.tensor([0, 0])).tolist() == [True, False]
    assert bernoulli.correct(torch.tensor([1.0, -1.0]), torch.tensor([1, 1])).tolist() == [
        True,
        False,
    ]
    both = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    assert bernoullis.correct(both, torch.tensor([[1, 0], [1, 0]])).tolist() == [True, False]
    with pytest.raises(TypeError, match="no correct class"):
        gaussian.correct(torch.zeros(1), torch.zeros(1))


def test_refuses_what_would_be_guessed():
    f = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"pass y.long\(\)"):
        categorical(f, torch.zeros(3))
    with pytest.raises(ValueError, match="use vicinal.bernoulli"):
        categorical(torch.zeros(3), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="use vicinal.bernoulli"):
        categorical(torch.zeros(3, 1), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="use vicinal.categorical"):
        bernoulli(f, torch.zeros(3))
    with pytest.raises(TypeError, match=r"pass y.float\(\)"):
        gaussian(torch.zeros(3), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="use vicinal.gaussians"):
        gaussian(f, torch.zeros(3))
    with pytest.raises(ValueError, match=r"takes outputs of shape \(n, labels\)"):
        bernoullis(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"shape of the outputs, \(3, 4\), got \(3,\)"):
        bernoullis(f, torch.zeros(3, dtype=torch.long))
    with pytest.raises(TypeError, match=r"pass y.float\(\)"):
        gaussians(f, torch.zeros(3, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="outputs hold 3 examples, y holds 2"):
        poisson(torch.zeros(3), torch.zeros(2))


@pytest.mark.parametrize("labels", [[-1, 0], [0, 4]])
def test_labels_out_of_range(labels):
    with pytest.raises(ValueError, match=r"class ids must lie in 0\.\.3"):
        categorical.check_labels(torch.zeros(2, 4), torch.tensor(labels))


def test_values_out_of_range():
    with pytest.raises(ValueError, match=r"soft labels must lie in \[0, 1\]"):
        bernoulli.check_labels(torch.zeros(2), torch.tensor([0.0, 1.5]))
    with pytest.raises(ValueError, match="must be finite"):
        gaussian.check_labels(torch.zeros(2), torch.tensor([0.0, float("nan")]))
    with pytest.raises(ValueError, match="counts must be 0 or more for the family poisson, got -1"):
        poisson.check_labels(torch.zeros(2), torch.tensor([3.0, -1.0]))
    several = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match="sum to 1 in every row, got a row that sums to 2"):
        categorical.check_labels(torch.zeros(2, 3), several)
    bernoullis.check_labels(torch.zeros(2, 3), several)
    categorical.check_labels(torch.zeros(2, 3).bfloat16(), torch.rand(2, 3).softmax(1).bfloat16())
    poisson.check_labels(torch.zeros(2), torch.tensor([3.0, 0.0]))
    gaussian.check_labels(torch.zeros(2), torch.tensor([3.0, -1.0]))
