"""Made-up runs with everything in them, for tests of the report."""

import numpy as np

from vicinal.machine.pictures import picture
from vicinal.study import store

EVIL = "mixup</script><img src=x onerror=alert(1)><!--[red]"

PIXEL = picture(np.zeros((1, 1, 1)), 0.0, 1.0)


def calibration(nll, ece):
    bins = [
        {"low": 0.0, "high": 0.5, "count": 0, "confidence": None, "accuracy": None},
        {"low": 0.5, "high": 1.0, "count": 20, "confidence": 0.8, "accuracy": 0.9},
    ]
    scores = {"accuracy": 0.9, "ece": ece, "signed_gap": -0.1, "nll": nll, "brier": 0.2}
    return {**scores, "examples": 20, "bins": bins}


def terms(loss):
    errors = {"loss": 0, "r1": 0, "r2": 0.01, "r3": 0.01, "total": 0.02}
    parts = {"loss": loss, "r1": -0.05, "r2": 0.1, "r3": -0.02, "total": loss + 0.03}
    risk = {"value": loss + 0.05, "standard_error": 0.01}
    return {
        **parts,
        "standard_errors": errors,
        "risk": risk,
        "remainder": 0.02,
        "remainder_standard_error": 0.02,
    }


def curve(attack, steps, accuracy, robust):
    points = [(0.0, accuracy), (0.1, robust), (0.2, robust / 2)]
    written = [{"eps": e, "accuracy": a, "low": a - 0.1, "high": a + 0.1} for e, a in points]
    return {"attack": attack, "norm": "linf", "steps": steps, "examples": 20, "points": written}


def record(method, seed, accuracy=0.9, *, nll=0.3, fgsm=0.5, pgd=0.4, epochs=2, **changes):
    """A run with everything in it."""
    shared = {"data": "digits", "model": "cnn", "epochs": epochs, "train_size": 40}
    keys = ("train_loss", "test_loss", "train_mixed_loss", "test_mixed_loss")
    history = [
        {"epoch": e, **dict.fromkeys(keys, 1 / e), **{k[:-4] + "accuracy": 0.5 for k in keys}}
        for e in range(1, epochs + 1)
    ]
    configuration = {**shared, "method": method, "seed": seed, "version": "0.1.0"}
    return {
        "format": 1,
        "name": store.name_of(configuration),
        "configuration": configuration,
        "environment": {"python": "3.11.7", "torch": "2.13.0"},
        "data": {"examples": {"train": 40, "test": 20}, "classes": 2, "shape": [3], "bounds": None},
        "status": "done",
        "failure": None,
        "history": history,
        "measured": {
            "accuracy": {"train": 1.0, "test": accuracy},
            "loss": {"train": 0.1, "test": nll},
            "gap": {"loss": nll - 0.1, "accuracy": 1 - accuracy},
            "hardest": [
                {
                    "index": 7,
                    "label": 3,
                    "predicted": 5,
                    "confidence": 0.9,
                    "loss": 2.0,
                    "picture": PIXEL,
                },
                {
                    "index": seed,
                    "label": 3,
                    "predicted": 3,
                    "confidence": 0.4,
                    "loss": 0.9,
                    "picture": None,
                },
            ],
            "temperature": 1.2,
            "temperature_at_limit": False,
            "calibration": {"before": calibration(nll, 0.05), "after": calibration(0.3, 0.02)},
            "explanation": {"law": "Beta(1, 1)", "initial": terms(2.3), "final": terms(0.1)},
            "robustness": [curve("fgsm", 1, accuracy, fgsm), curve("pgd", 20, accuracy, pgd)],
        },
        "seconds": {"training": 1.0, "measuring": 1.0},
        **changes,
    }


def failed(method, seed):
    failure = {"epoch": 7, "reason": "the training loss became nan"}
    return record(method, seed, status="failed", failure=failure, measured=None)


def three_seeds():
    """Differences of accuracy by hand: +0.02, +0.01, +0.04; of NLL: -0.020, -0.021, -0.022."""
    erm = [record("erm", s, a, nll=0.3) for s, a in enumerate((0.90, 0.92, 0.91))]
    mixed = [
        record("mixup(alpha=0.2)", s, a, nll=n, fgsm=f)
        for s, (a, n, f) in enumerate([(0.92, 0.280, 0.6), (0.93, 0.279, 0.61), (0.95, 0.278, 0.6)])
    ]
    return mixed[::-1] + erm
