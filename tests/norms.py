"""Lengths in the norms of attacks, and in their duals, by torch's own norms."""

import torch

NORMS = ["linf", "l2", "l1"]
ORDER = {"linf": torch.inf, "l2": 2, "l1": 1}


def length(delta, norm):
    """‖δ‖ of each example."""
    return delta.flatten(1).norm(p=ORDER[norm], dim=1)


def dual(theta, norm):
    """The largest <θ, d> over the ball of radius 1."""
    return theta.norm(p=ORDER[{"linf": "l1", "l2": "l2", "l1": "linf"}[norm]])
