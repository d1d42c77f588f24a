"""What the library computes, as functions of where: each is called with a device."""

import numpy as np
import torch
from torch import nn

import vicinal as vc
from strategies import STRATEGIES, net
from vicinal.mixing.metrics import dominant_accuracy, expected_accuracy
from vicinal.mixing.targets import dense_loss, mixed_ids

LAW = vc.Beta(0.7)


def per_entry(outputs, y):
    return nn.functional.cross_entropy(outputs, y, reduction="none")


def rng():
    return np.random.default_rng(3)


def images(device, n=12):
    """Images, their classes, and a network that knows little of them."""
    g = torch.Generator().manual_seed(5)
    x, y = torch.rand(n, 2, 6, 6, generator=g), torch.arange(n) % 4
    return net().eval().to(device), x.to(device), y.to(device)


def table(device, outputs=3, n=24):
    """Two columns, and a smooth network."""
    g = torch.Generator().manual_seed(6)
    x = torch.rand(n, 2, generator=g, dtype=torch.float64)
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, outputs)).double()
    y = (3 * x[:, 0]).long().clamp(0, outputs - 1) if outputs > 1 else (x[:, 0] > 0.5).long()
    return model.to(device), x.to(device), y.to(device)


def line(device, n=24):
    """A linear model without intercept on centred columns, and its logits' signs as classes."""
    x = table(device, 1, n)[1]
    model = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -1.0]]))
    x = x - x.mean(0)
    return model.to(device), x, ((x @ model.to(device).weight.T)[:, 0] > 0).long()


def mixed(name):
    """A strategy's losses, and their gradient, which a training step needs."""

    def found(device):
        model, x, y = images(device)
        draw = STRATEGIES[name](x, y, rng())
        losses = vc.vicinal_losses(model, x, y, draw, vc.categorical)
        gradient = torch.autograd.grad(losses.mean(), list(model.parameters()))
        return losses, *gradient

    return found


def uses_of_a_draw(device):
    model, x, y = images(device)
    draw = vc.CutMix()(x, y, rng())
    other = vc.DirichletMixup()(x, y, rng())
    outputs = model(vc.mix(x, draw))
    every = [
        vc.mixed_loss(vc.categorical, outputs, y, draw),
        vc.soft_targets(y, draw, 4),
        vc.mixed_values(x[:, 0, 0, 0], draw),
        dominant_accuracy(outputs, y, draw),
        expected_accuracy(outputs, y, draw),
        vc.mix(x, other),
        vc.soft_targets(y, other, 4),
        vc.mix(x, vc.Mixup(1.0)(x.cpu(), y.cpu(), rng()).to(x.device)),
    ]
    ids = (x[:, 0] * 4).long()
    per_pixel = x[:, :1] * torch.arange(4, device=x.device).reshape(1, 4, 1, 1)
    every.append(mixed_ids(ids, draw))
    every.append(dense_loss(per_entry, per_pixel, ids, draw, ignore_index=3))
    smooth = vc.LabelSmoothing(0.1)(x, y, rng())
    return *every, vc.vicinal_losses(model, x, y, smooth, vc.categorical)


def pairings(device):
    _, x, y = images(device)
    values = x.mean((1, 2, 3))
    return [
        vc.c_mixup(0.3)(x, values, rng()).partner,
        vc.k_mixup(1.0, k=4)(x, y, rng()).partner,
        vc.Mixup(1.0, pairing=vc.pairing.Roll())(x, y, rng()).partner,
        vc.Mixup(1.0, pairing=vc.pairing.same_class)(x, y, rng()).partner,
        vc.Mixup(1.0, pairing=vc.pairing.other_class)(x, y, rng()).partner,
        vc.Mixup(1.0, pairing=vc.pairing.derangement)(x, y, rng()).partner,
        vc.Mixup(1.0, pairing=vc.pairing.Nearest(3))(x, y, rng()).partner,
        vc.mixup_or_cutmix()(x, y, rng()).partner,
    ]


def adversarial(device):
    model, x, y = images(device)
    return [
        vc.vicinal_losses(model, x, y, strategy(x, y, rng()), vc.categorical)
        for strategy in (vc.Adversarial(), vc.InterpolatedAdversarial())
    ]


def hidden(device):
    model, x, y = images(device)
    draw = vc.Mixup(1.0)(x, y, rng())
    with vc.hidden_mix(model, "2", draw):
        return model(x)


def risks(device):
    model, x, y = table(device)
    straight, z, labels = line(device)
    return [
        vc.vicinal_risk(model, x, y, LAW, vc.categorical),
        vc.vicinal_risk(model, x, y, LAW, vc.categorical, pairs=200, rng=rng()),
        vc.vicinal_risk(straight, z, labels, LAW, vc.bernoulli),
    ]


def expansions(device):
    model, x, y = table(device)
    families = {"gaussian": vc.gaussian, "poisson": vc.poisson, "bernoulli": vc.bernoulli}
    one, z, on = table(device, 1)
    return [
        vc.expand(model, x, y, LAW, vc.categorical),
        vc.expand(model, x, y, LAW, vc.categorical, partners=3, rng=rng()),
        *(vc.expand(one, z, on.double(), LAW, f, partners=2, rng=rng()) for f in families.values()),
        vc.expand(model, x, torch.cat((x, x[:, :1]), 1).round(), LAW, vc.bernoullis),
        vc.expand_shrunk(model, x, y, LAW, vc.categorical),
        vc.expand_shrunk(model, x, y, LAW, vc.categorical, partners=3, rng=rng()),
        vc.expand_noise(model, x, y, 0.1, vc.categorical),
        vc.expand_noise(model, x, y, 0.1, vc.categorical, directions=3, rng=rng()),
        vc.taylor_terms(model, x, y, torch.arange(len(x), device=x.device).flip(0), 0.1,
                        vc.categorical),
    ]  # fmt: skip


def expanded_losses(device):
    model, x, y = table(device)
    draw = vc.Expanded(0.7)(x, y, rng())
    losses = vc.vicinal_losses(model, x, y, draw, vc.categorical)
    return losses, *torch.autograd.grad(losses.mean(), list(model.parameters()))


def of_strategies(device):
    model, x, y = images(device)
    return [
        vc.expand_strategy(model.double(), x.double(), y, strategy, vc.categorical, draws=2,
                           rng=rng())
        for strategy in (vc.CutMix(), vc.Mixup(1.0), vc.FMix())
    ]  # fmt: skip


def streams(device):
    model, x, y = table(device)
    batches = [(x[k : k + 10].cpu(), y[k : k + 10].cpu()) for k in range(0, len(x), 10)]
    here = [(x[k : k + 10], y[k : k + 10]) for k in range(0, len(x), 10)]
    options = {"partners": 3, "reservoir": 12}
    return [
        vc.expand_stream(model, batches, LAW, vc.categorical, device=device, **options),
        vc.expand_stream(model, here, LAW, vc.categorical, others=here, **options),
        vc.risk_stream(model, batches, LAW, vc.categorical, device=device, **options),
        vc.risk_stream(model, here, LAW, vc.categorical, **options),
    ]


def explanations(device):
    model, x, y = table(device)
    recorder = vc.Recorder(x, y, pairs=60, partners=2)
    recorder(model, 1)
    found = vc.explain(model, x, y, alphas=(0.2, 1.0), pairs=60, partners=2, shown=2, rng=rng())
    return recorder.rows, found


def attacks(device):
    model, x, y = table(device, n=6)
    eps = 0.1
    points = [vc.fgsm(model, x, y, eps)]
    for norm in ("linf", "l2", "l1"):
        options = {"norm": norm}
        points += [
            vc.pgd(model, x, y, eps, steps=3, rng=rng(), **options),
            vc.apgd(model, x, y, eps, steps=4, rng=rng(), **options),
            vc.square(model, x, y, eps, queries=6, rng=rng(), **options),
            vc.noise(model, x, y, eps, draws=3, rng=rng(), **options),
            vc.fab(model, x, y, steps=4, **options),
            vc.fmn(model, x, y, steps=4, **options),
        ]
    other = table(device)[0]
    return *points, vc.transfer(model, other, x, y, eps, rng=rng())


def attacks_in_a_box(device):
    """Bounds and sizes for each feature, made where the user makes tensors: on the CPU."""
    model, x, y = table(device)
    low, high = torch.zeros(2), torch.ones(2)
    sizes = torch.tensor([0.1, 0.05])
    values = x[:, 0] * 2
    one = table(device, 1)[0]
    return [
        vc.pgd(model, x, y, sizes, bounds=(low, high), steps=3, rng=rng()),
        vc.fmn(model, x, y, steps=4, scale=torch.tensor([1.0, 2.0])),
        vc.apgd(one, x, values, 0.1, family=vc.gaussian, steps=4, rng=rng()),
        vc.apgd(one, x, values, 0.1, family=vc.gaussian, tolerance=0.3, steps=4, rng=rng()),
    ]


def worst(device):
    model, x, y = table(device)
    return vc.worst_case(model, x[:6], y[:6], 0.05, rng=rng(), passes=200)


def robustness(device):
    model, x, y = table(device)
    one, z, on = table(device, 1)
    straight, c, labels = line(device)
    near = vc.minimal_distances(model, x[:4], y[:4], check_at=[0.05], rng=rng())
    bound = vc.mixup_bound(straight, c, labels, LAW)
    return [
        vc.accuracy_curve(model, x, y, [0.0, 0.1], attack="pgd", rng=rng()),
        near,
        near.curve([0.0, 0.1]),
        near.quantiles(),
        bound,
        bound.share_of(vc.minimal_distances(straight, c, labels, family=vc.bernoulli, norm="l2",
                                            bounds=(-3.0, 3.0)).values),
        vc.linear_adversarial_loss(straight, c, labels, 0.1),
        vc.linear_bound(straight, c, labels, LAW, vc.bernoulli),
        vc.adversarial_loss(one, z, on, 0.05),
        vc.paired_accuracy(y > 0, y > 1),
    ]  # fmt: skip


def calibrations(device):
    model, x, y = table(device)
    with torch.no_grad():
        z = model(x)
        one = table(device, 1)[0](x)
    on, values = (y > 0).long(), x[:, 0]
    found = [
        vc.calibration(z, y, bins=4),
        vc.calibration_of_positive(one, on, bins=4),
        vc.calibration_of_prediction(one, on, bins=4),
        vc.calibration_of_probabilities(z.softmax(1), y, bins=4),
        vc.classwise(z, y, bins=4),
        vc.smooth_ece(z, y),
        vc.coverage(values, torch.ones_like(values), y.double()),
        vc.fit_temperature(z, y),
        vc.fit_vector(z, y)(z),
        vc.fit_platt(one, on)(one),
        vc.recalibrated((z[:12], y[:12]), (z[12:], y[12:])),
    ]
    found.append(
        vc.bootstrap(lambda a, b: vc.calibration(a, b).nll, z, y, rng=rng(), resamples=100)
    )
    found.append(
        vc.paired_bootstrap(
            lambda a, b: vc.calibration(a, b).nll, z, 2 * z, y, rng=rng(), resamples=100
        )
    )
    sums = [vc.CalibrationSums(4), vc.ClasswiseSums(4), vc.SmoothSums()]
    for one_sum in sums:
        one_sum.add(z, y)
        found.append(one_sum.result())
    return found


def generalisation(device):
    straight, x, y = line(device)
    theta = straight.weight.detach()[0]
    model, z, c = table(device)

    def fit(x, y, rng):
        return model

    some = {"gammas": (0.5, 20.0), "x_bound": 2.0, "theta_bound": 4.0}
    hidden = {"gammas": (0.5, 20.0), "feature_bound": 2.0, "theta_bound": 4.0}
    return [
        vc.generalization_gap(model, (z[:12], c[:12]), (z[12:], c[12:]), vc.categorical),
        vc.size_curve(fit, (z[:12], c[:12]), (z[12:], c[12:]), [4, 8], vc.categorical, repeats=2,
                      rng=rng()),
        vc.glm_regulariser(theta, x, vc.Beta(2), vc.bernoulli),
        vc.glm_complexity(theta, x, vc.bernoulli),
        vc.ranks(x),
        vc.retentive(x, vc.bernoulli, 1.0, rng=rng(), starts=2),
        vc.glm_bound(theta, x, y, vc.bernoulli, held_out=x, **some),
        vc.hidden_regulariser(theta, x, vc.Beta(2)),
        vc.hidden_complexity(x, 1.0),
        vc.hidden_bound(theta, x, y.double(), y_bounds=(0.0, 1.0), held_out=x, **hidden),
        vc.bound_of_trained(straight, (x, y), x, vc.bernoulli, bounds=None),
        vc.bound_of_trained(straight, (x, y), x, vc.bernoulli, bounds=(-1.0, 1.0)),
    ]  # fmt: skip


CASES = {
    **{f"strategy {name}": mixed(name) for name in STRATEGIES},
    **{
        f.__name__: f
        for f in (
            uses_of_a_draw, pairings, adversarial, hidden, risks, expansions, expanded_losses,
            of_strategies, streams, explanations, attacks, attacks_in_a_box, worst, robustness,
            calibrations, generalisation,
        )
    },
}  # fmt: skip
