"""Kinds that people name, of targets, losses and perturbations, said here once."""

from typing import Literal

Task = Literal["classification", "binary", "multilabel", "regression"]
"""What is to be learnt; binary is two classes with one logit."""
FamilyName = Literal["categorical", "bernoulli", "gaussian", "poisson", "bernoullis", "gaussians"]
"""The losses of `vicinal.maths.losses`, by name."""
Norm = Literal["linf", "l2", "l1"]
"""Norms of a perturbation: the largest change of a number, Euclidean, the sum of changes."""
