"""The public face: exactly these names, each documented, and nothing slow to import."""

import subprocess
import sys

import vicinal

NAMES = {
    "AccuracyCurve",
    "AnyDraw",
    "Beta",
    "Blend",
    "Calibration",
    "CutMix",
    "DirichletMixup",
    "Draw",
    "During",
    "Estimate",
    "Expanded",
    "Expansion",
    "Explanation",
    "FMix",
    "Family",
    "Fixed",
    "GMix",
    "GridMix",
    "HMix",
    "Law",
    "LogitsAt",
    "MIT",
    "ManifoldMixup",
    "Mixup",
    "MixupE",
    "NoiseTerms",
    "NoisyFeatureMixup",
    "Objective",
    "RandomChoice",
    "Recorder",
    "RegMixup",
    "Remix",
    "ResizeMix",
    "SaliencyMix",
    "ShrunkExpansion",
    "SmoothMix",
    "Strategy",
    "StrategyExpansion",
    "Terms",
    "Uniform",
    "accuracy_curve",
    "bernoulli",
    "c_mixup",
    "calibration",
    "categorical",
    "dense_loss",
    "dominant_accuracy",
    "draw_generator",
    "expand",
    "expand_noise",
    "expand_shrunk",
    "expand_strategy",
    "expand_stream",
    "expected_accuracy",
    "explain",
    "fgsm",
    "fit_temperature",
    "gaussian",
    "glm_coefficient",
    "hidden_mix",
    "k_mixup",
    "loading",
    "mix",
    "mixed_ids",
    "mixed_loss",
    "mixed_values",
    "mixup_or_cutmix",
    "pairing",
    "pgd",
    "poisson",
    "soft_targets",
    "taylor_terms",
    "vicinal_losses",
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
