"""The two results on calibration, as directions with intervals: the examples, on fewer seeds."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from vicinal.maths.laws import Beta
from vicinal.maths.statistics import paired
from vicinal.study.reproduce.calibration import simulated

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mixup_calibrates_more_in_higher_dimension(tmp_path):
    simulation = example("calibration_dimension")
    gain = {
        ratio: [np.subtract(*simulated(ratio, seed, Beta(1.0))) for seed in range(20)]
        for ratio in (0.05, 0.2, 0.5, 1.0)
    }
    assert paired(gain[0.05]).words == "lower"  # in low dimension mixup costs calibration
    assert paired(gain[0.5]).words == "higher"
    for low, high in ((0.05, 0.2), (0.2, 0.5), (0.5, 1.0)):
        assert paired(np.subtract(gain[high], gain[low]).tolist()).words == "higher"
    simulation.figure(simulation.gains(2, Beta(1.0)), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text(encoding="utf-8").startswith("<svg")


def test_what_mixup_gains_after_temperature_grows_with_overlap():
    simulation = example("calibration_overlap")

    def gain(overlap, seed):
        plain, mixed = (simulation.after_temperature(overlap, seed, a) for a in (1e-6, 1.0))
        return plain[0] - mixed[0]

    differences = [gain(0.5, seed) - gain(0.0, seed) for seed in range(4)]
    assert paired(differences).words == "higher"


@pytest.mark.parametrize("overlap", [0.0, 0.6])
def test_labels_are_a_coin_in_the_strip_only(overlap):
    x, y = example("calibration_overlap").sample(4000, overlap, np.random.default_rng(0))
    inside = np.abs(x[:, 0]) < overlap
    assert ((x[:, 0] > 0) == y)[~inside].all()
    if overlap:
        assert abs(y[inside & (x[:, 0] > 0)].mean() - 0.5) < 5 * 0.5 / 1200**0.5
