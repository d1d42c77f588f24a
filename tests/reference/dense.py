"""The mixup loss as a double sum and its regularisers from dense Jacobians and Hessians."""

import numpy as np
import torch
from scipy.integrate import quad
from torch.func import jacrev


def mixup_loss(model, x, y, density, family):
    """(1/n²) Σ_ij ∫ l(f(λ x_i + (1-λ) x_j), λ y_i + (1-λ) y_j) p(λ) dλ by adaptive quadrature."""
    labels = as_values(model, x, y)
    total = 0.0
    for i in range(len(x)):
        for j in range(len(x)):

            def integrand(lam, i=i, j=j):
                mixed_x = (lam * x[i] + (1 - lam) * x[j])[None]
                mixed_y = (lam * labels[i] + (1 - lam) * labels[j])[None]
                return density(lam) * float(family(model(mixed_x), mixed_y))

            total += quad(integrand, 0, 1, epsabs=1e-9, epsrel=1e-9, limit=200)[0]
    return total / len(x) ** 2


def tilted_loss(model, x, y, density, family):
    """The same with unmixed own labels, λ from D̃: density λ (p(λ) + p(1-λ))."""
    total = 0.0
    for i in range(len(x)):
        for r in x:

            def integrand(lam, i=i, r=r):
                outputs = model((lam * x[i] + (1 - lam) * r)[None])
                weight = lam * (density(lam) + density(1 - lam))
                return weight * float(family(outputs, y[i : i + 1]))

            total += quad(integrand, 0, 1, epsabs=1e-9, epsrel=1e-9, limit=200)[0]
    return total / len(x) ** 2


def regularisers(model, x, y, spread, family):
    """R1, R2, R3 by the formulas, with J, ∇²f and A'' as dense arrays."""
    labels = as_values(model, x, y)
    centre = x.mean(0)
    flat = (x - centre).reshape(len(x), -1)
    covariance = flat.T @ flat / len(x)
    sums = np.zeros(3)
    for i in range(len(x)):
        single = lambda z: model(z[None])[0].reshape(-1)
        f = single(x[i])
        zero = torch.zeros_like(labels[i : i + 1])
        log_partition = lambda f, zero=zero: family(f.reshape(zero.shape), zero)[0]
        p = jacrev(log_partition)(f)
        a2 = jacrev(jacrev(log_partition))(f)
        jacobian = jacrev(single)(x[i]).reshape(len(f), -1)
        second = jacrev(jacrev(single))(x[i]).reshape(len(f), flat.shape[1], flat.shape[1])
        to_centre = -flat[i]
        c = covariance + torch.outer(to_centre, to_centre)
        residual = p - labels[i].reshape(-1)
        sums += [
            2 * spread * float(residual @ jacobian @ to_centre),
            spread / 2 * float(torch.trace(a2 @ jacobian @ c @ jacobian.T)),
            spread
            / 2
            * float(sum(residual[k] * torch.trace(second[k] @ c) for k in range(len(f)))),
        ]
    return sums / len(x)


def as_values(model, x, y):
    """Labels as values that can be mixed: one-hot for class ids of several outputs."""
    if y.is_floating_point():
        return y
    outputs = model(x[:1])
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        return torch.nn.functional.one_hot(y, outputs.shape[1]).to(x.dtype)
    return y.to(x.dtype)


def shrunk(model, x, y, law_moments, family):
    """The expansion about shrunk examples by its formula, with dense derivatives of the loss."""
    mean, square = law_moments  # E θ and E θ²
    labels = as_values(model, x, y).reshape(len(x), -1)
    shape = model(x[:1]).shape[1:]
    x_mean, y_mean = x.mean(0), labels.mean(0)
    dx, dy = (x - x_mean).reshape(len(x), -1), labels - y_mean
    varied, other = square - mean**2, 1 - 2 * mean + square
    sxx, syx = dx.T @ dx / len(x), dy.T @ dx / len(x)
    total = 0.0
    for i in range(len(x)):

        def loss(z, label):
            outputs = model(z.reshape(1, *x.shape[1:]))
            return family(outputs, label.reshape(1, *shape))[0]

        z, label = x_mean.flatten() + mean * dx[i], y_mean + mean * dy[i]
        total += float(loss(z, label))
        second = jacrev(jacrev(loss))(z, label)
        mixed = jacrev(jacrev(loss, argnums=1))(z, label)
        total += float((second * (varied * torch.outer(dx[i], dx[i]) + other * sxx)).sum()) / 2
        total += float((mixed * (varied * torch.outer(dy[i], dx[i]) + other * syx)).sum())
    return total / len(x)


def noise(model, x, y, deviation, family):
    """½ σ² times the mean trace of the Hessian of the loss in the input."""
    total = 0.0
    for z, label in zip(x, y, strict=True):
        loss = lambda z, label=label: family(model(z[None]), label[None])[0]
        second = jacrev(jacrev(loss))(z).reshape(z.numel(), z.numel())
        total += deviation**2 / 2 * float(torch.trace(second))
    return total / len(x)
