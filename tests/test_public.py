"""The public face: exactly these names, each documented, and nothing slow to import."""

import subprocess
import sys

import vicinal

NAMES = {
    "AccuracyCurve",
    "Beta",
    "Calibration",
    "CutMix",
    "Draw",
    "Estimate",
    "Expansion",
    "Family",
    "Fixed",
    "Law",
    "Mixup",
    "Strategy",
    "Terms",
    "Uniform",
    "accuracy_curve",
    "bernoulli",
    "calibration",
    "categorical",
    "expand",
    "fgsm",
    "fit_temperature",
    "gaussian",
    "glm_coefficient",
    "mix",
    "mixed_loss",
    "pgd",
    "poisson",
    "soft_targets",
    "taylor_terms",
    "vicinal_risk",
}


def test_public_names():
    assert set(vicinal.__all__) == NAMES
    for name in NAMES:
        assert getattr(vicinal, name) is not None


def test_public_functions_say_where_they_come_from():
    for name in NAMES:
        value = getattr(vicinal, name)
        if callable(value) and name not in ("Law", "Strategy"):
            assert len(value.__doc__) > 60, name


def test_import_is_lazy():
    code = "import sys, vicinal, vicinal.cli; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
