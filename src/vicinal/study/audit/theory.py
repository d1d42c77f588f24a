"""Mixup's bound on the data of training, beside the distortions that attacks found there."""

from dataclasses import asdict
from typing import Any

from vicinal.maths.laws import Beta
from vicinal.maths.losses import bernoulli
from vicinal.robustness.distances import minimal_distances
from vicinal.robustness.theory.bound import mixup_bound
from vicinal.study.audit.case import Case, logit

CHECKED = 200
LAW = Beta(1)


def bound(case: Case) -> dict[str, Any]:
    """Mixup's bound on the training data, and its radii beside the distortions that were found."""
    one = logit(case)
    assert one is not None
    x, y = (part[:CHECKED] for part in case.trained)
    found = mixup_bound(one, x, y, LAW)
    near = minimal_distances(one, x, y, norm="l2", bounds=case.bounds, family=bernoulli).values
    return {
        "law": "λ uniform",
        "examples": len(x),
        "conditions": {name: asdict(c) for name, c in found.conditions.items()},
        "guaranteed": found.guaranteed,
        "holds": found.holds,
        "mixup_loss": found.mixup_loss,
        "adversarial_loss": found.adversarial_loss,
        "adversarial_loss_mix": found.adversarial_loss_mix,
        "epsilon_mix": found.epsilon_mix,
        "c_x": found.c_x,
        "features": found.features,
        "share_of_distance": found.share_of(near) if bool((near > 0).any()) else None,
        "says_not": list(found.says_not),
    }
