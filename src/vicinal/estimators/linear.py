"""Linear models fitted to tolerance: L-BFGS in coordinates where the curvature is about 1."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from vicinal.estimators.exact import label_coefficients, mean_partition
from vicinal.estimators.expanded import expansion
from vicinal.estimators.mass import Mass
from vicinal.maths.laws import Law
from vicinal.maths.losses import Family, bernoulli, categorical, gaussian

FIRST_NODES, MOST_NODES = 4, 128
ROUGH = 1e-3  # tolerance of a solution that only says how many nodes are needed
QUADRATURE = 1e-6  # change of the gradient, at the solution, when nodes in λ are doubled
ROUNDING = 1e-7  # a gradient that may be left because of rounding
POLISH = 5  # Newton steps after the line search has lost its digits
DENSE = 3000  # columns up to which coordinates are rotated, not only scaled

Objective = Callable[[Tensor], tuple[float, Tensor]]
"""Logits (n, k) to the loss and its derivative by them."""


@dataclass(frozen=True)
class Linear:
    """A fitted linear model: logits = x coef + intercept.

    Attributes:
        coef, intercept: in the units of the inputs.
        iterations: of the solver.
        nodes: of the quadrature in λ.
        value: the objective at the solution, penalty included.
    """

    coef: Float[np.ndarray, "d k"]
    intercept: Float[np.ndarray, " k"]
    iterations: int
    nodes: int
    value: float


@dataclass(frozen=True)
class Problem:
    """A linear model to be fitted by mixup.

    Attributes:
        x: inputs.
        labels: values (n, 1), or one-hot (n, classes).
        mass: who is mixed with whom.
        law: of λ.
        family: the loss.
        l2: half this times the squared coefficients is added to the mean loss.
        fit_intercept: whether there is an intercept, which is not penalised.
    """

    x: Float[Tensor, "n d"]
    labels: Float[Tensor, "n k"]
    mass: Mass
    law: Law
    family: Family
    l2: float
    fit_intercept: bool


def fit_exact(problem: Problem, tol: float, max_iter: int) -> Linear:
    """The minimum of the exact mixup loss, with as many nodes in λ as it needs.

    Nodes are doubled until that moves no entry of the gradient by more than 1e-6; first for a
    rough solution, because few nodes are fast (and several logits in float32 still faster), then
    for the one to tolerance.
    """
    coordinates = _Coordinates(problem)
    point, count, iterations, value = coordinates.start(), FIRST_NODES, 0, np.nan
    for rough in (max(tol, ROUGH), tol):
        while iterations < max_iter:
            quick = rough > tol and not problem.family.scalar
            objective = _exact(problem, count, quick)
            left = max_iter - iterations
            point, steps, value = _minimised(coordinates, objective, point, rough, left)
            iterations += steps
            here = coordinates.evaluate(point, objective)[1]
            finer = coordinates.evaluate(point, _exact(problem, 2 * count, quick))[1]
            if count >= MOST_NODES or float(np.abs(finer - here).max()) <= QUADRATURE:
                break
            count *= 2
    return coordinates.model(point, iterations, count, value)


def fit_expanded(problem: Problem, tol: float, max_iter: int) -> Linear:
    """A minimum of the expansion, the one reached from zero coefficients; it is not convex."""
    coordinates = _Coordinates(problem)
    lam, weight = problem.law.nodes(3)  # exact: moments of λ up to the third

    def objective(z: Tensor) -> tuple[float, Tensor]:
        z = z.detach().requires_grad_()
        value = expansion(z, problem.labels, problem.mass, problem.family, lam, weight)
        return float(value.detach()), torch.autograd.grad(value, z)[0]

    point, iterations, value = _minimised(
        coordinates, objective, coordinates.start(), tol, max_iter
    )
    return coordinates.model(point, iterations, len(lam), value)


def _exact(problem: Problem, count: int, quick: bool) -> Objective:
    """The objective with so many nodes in λ; `quick` sums the pairs in float32."""
    lam, weight = problem.law.nodes(count)
    linear = label_coefficients(problem.labels, problem.mass, lam, weight)
    mass = problem.mass.single() if quick else problem.mass

    def objective(z: Tensor) -> tuple[float, Tensor]:
        value, slope = mean_partition(z.to(mass.left), mass, problem.family, lam, weight)
        slope = slope.to(z) - linear
        if not problem.family.scalar:  # adding a number to all logits changes nothing
            slope = slope - slope.mean(1, keepdim=True)
        return value - float((linear * z).sum()), slope

    return objective


class _Coordinates:
    """Inputs centred and rotated so that the Hessian of the objective is near the identity.

    Mixing commutes with that, so the objective is the same function of the logits.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        ones = torch.ones(len(problem.x), 1, dtype=problem.x.dtype)
        share = (problem.mass.forth(ones) + problem.mass.back(ones)) / 2
        keep = 1.0 if problem.fit_intercept else 0.0
        self.mean = keep * (share * problem.x).sum(0)
        self.labels = (share * problem.labels).sum(0)
        x = problem.x - self.mean
        bound = _curvature(problem.family, float(self.labels.mean()))
        self.scale = bound**0.5
        d = x.shape[1]
        second = bound * (share * x).T @ x if d <= DENSE else torch.zeros(d, d)
        if d <= DENSE:
            ridge = problem.l2 + 1e-12 * float(second.diagonal().mean()) + 1e-300
            root = torch.linalg.cholesky(second + ridge * torch.eye(d, dtype=x.dtype))
            self.inverse = torch.linalg.solve_triangular(
                root, torch.eye(d, dtype=x.dtype), upper=False
            ).T
        else:
            deviation = (bound * (share * x.square()).sum(0) + problem.l2 + 1e-300).sqrt()
            self.inverse = (1 / deviation)[:, None] * torch.eye(d, dtype=x.dtype)
        self.x = x @ self.inverse

    def start(self) -> np.ndarray:
        """Zero coefficients, and for rates the intercept of the mean rate."""
        point = np.zeros((self.x.shape[1] + 1, len(self.labels)))
        family = self.problem.family
        if self.problem.fit_intercept and family.scalar and family not in (bernoulli, gaussian):
            point[-1] = self.scale * np.log(np.maximum(self.labels.numpy(), 1e-12))
        return point.ravel()

    def evaluate(self, point: np.ndarray, objective: Objective) -> tuple[float, np.ndarray]:
        """The penalised objective and its gradient in these coordinates."""
        u = torch.from_numpy(point.reshape(-1, len(self.labels)))
        coef = self.inverse @ u[:-1]
        value, slope = objective(self.x @ u[:-1] + u[-1] / self.scale)
        value += self.problem.l2 / 2 * float(coef.square().sum())
        gradient = self.x.T @ slope + self.inverse.T @ (self.problem.l2 * coef)
        last = slope.sum(0) / self.scale if self.problem.fit_intercept else 0 * slope.sum(0)
        return value, torch.cat((gradient, last[None])).numpy().ravel()

    def model(self, point: np.ndarray, iterations: int, nodes: int, value: float) -> Linear:
        """The same model in the units of the inputs."""
        u = torch.from_numpy(point.reshape(-1, len(self.labels)))
        coef = self.inverse @ u[:-1]
        intercept = u[-1] / self.scale - self.mean @ coef
        return Linear(coef.numpy(), intercept.numpy(), iterations, nodes, value)


def _curvature(family: Family, mean: float) -> float:
    """A bound on A'', for the Poisson family its value at the mean rate."""
    if family is bernoulli:
        return 0.25
    if family is categorical:
        return 0.5
    return 1.0 if family is gaussian else max(mean, 1e-12)


def _minimised(
    coordinates: _Coordinates, objective: Objective, start: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, int, float]:
    def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
        return coordinates.evaluate(point, objective)

    options = {"maxiter": max_iter, "gtol": tol, "ftol": 0.0, "maxcor": 30, "maxfun": 10**9}
    found = minimize(evaluate, start, jac=True, method="L-BFGS-B", options=options)
    point, value, gradient = found.x, float(found.fun), np.asarray(found.jac)
    # A line search compares values, and is blind below the root of their rounding error.
    for _ in range(POLISH if found.nit < max_iter else 0):
        if float(np.abs(gradient).max()) <= tol:
            break
        trial = point - _newton_step(evaluate, point, gradient)
        trial_value, trial_gradient = evaluate(trial)
        if not float(np.abs(trial_gradient).max()) < float(np.abs(gradient).max()) / 2:
            break
        point, value, gradient = trial, trial_value, trial_gradient
    left = float(np.abs(gradient).max())
    if not left <= max(tol, ROUNDING):
        warnings.warn(
            f"the fit stopped after {found.nit} iterations with a gradient of {left:.1e}, above "
            f"tol={tol:.0e} ({found.message}). Raise max_iter or l2, or scale the inputs.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return point, max(1, int(found.nit)), value


def _newton_step(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    point: np.ndarray,
    gradient: np.ndarray,
) -> np.ndarray:
    """H⁻¹g by conjugate gradients, with products Hv from differences of gradients."""

    def product(v: np.ndarray) -> np.ndarray:
        step = 1e-5 / max(float(np.abs(v).max()), 1e-300)
        moved: np.ndarray = (evaluate(point + step * v)[1] - gradient) / step
        return moved

    operator = LinearOperator((len(point), len(point)), matvec=product)
    return np.asarray(cg(operator, gradient, rtol=1e-4, maxiter=40)[0])
