"""Classes that overlap: what a temperature cannot mend.

Run: python examples/calibration_overlap.py [figure.svg]

After Chidambaram and Ge (2023), arXiv:2306.00740: a network that fits every label is sure of itself
where classes overlap too, as often wrongly; one temperature for all inputs makes it unsure where
classes do not overlap as well. Mixup keeps it from fitting every label. Two classes, a coin in a
strip where they overlap, decided outside; NLL and ECE after a temperature fitted on held-out data.
Without overlap mixup costs NLL here; what it gains grows with the overlap.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

from vicinal.calibration import recalibrated
from vicinal.estimators import MixupClassifier
from vicinal.maths.statistics import Paired, paired

OVERLAPS = (0.0, 0.3, 0.6)
TRAINED, HELD_OUT, DIMENSION, EPOCHS = 150, 2000, 10, 150


def sample(n: int, overlap: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Uniform inputs; the first coordinate decides, but for a strip of this share."""
    x = rng.uniform(-1, 1, (n, DIMENSION))
    y = (x[:, 0] > 0).astype(int)
    unsure = np.abs(x[:, 0]) < overlap
    return x, np.where(unsure, rng.integers(2, size=n), y)


def after_temperature(overlap: float, seed: int, alpha: float) -> tuple[float, float]:
    """NLL and ECE on test data after a temperature; alpha near 0 is training without mixing."""
    rng = np.random.default_rng((seed, round(100 * overlap)))
    x, y = sample(TRAINED, overlap, rng)
    model = MixupClassifier(
        "sampled", alpha, hidden=(128,), epochs=EPOCHS, l2=0.0, batch_size=50, random_state=seed
    ).fit(x, y)
    parts = []
    for _ in range(2):
        x, y = sample(HELD_OUT, overlap, rng)
        z = torch.from_numpy(model.decision_function(x))
        parts.append((torch.stack((-z / 2, z / 2), 1), torch.from_numpy(y)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a temperature at the end of its range
        found = recalibrated(parts[0], parts[1]).after
    return found.nll, found.ece


def gains(seeds: int) -> list[tuple[float, Paired, Paired]]:
    """For each overlap the gain of mixup in NLL and ECE after temperature, with intervals."""
    rows = []
    for overlap in OVERLAPS:
        found = np.array(
            [
                np.subtract(
                    after_temperature(overlap, seed, 1e-6), after_temperature(overlap, seed, 1.0)
                )
                for seed in range(seeds)
            ]
        )
        rows.append((overlap, paired(found[:, 0].tolist()), paired(found[:, 1].tolist())))
    return rows


def figure(rows: list[tuple[float, Paired, Paired]], path: Path) -> None:
    """The gain in NLL against the overlap, with intervals."""
    import altair as alt

    data = [{"overlap": o, "gain": g.mean, "low": g.low, "high": g.high} for o, g, _ in rows]
    base = alt.Chart(alt.Data(values=data)).encode(x=alt.X("overlap:Q", title="overlap"))
    title = "NLL after temperature, ERM minus mixup"
    lines = base.mark_line(point=True).encode(y=alt.Y("gain:Q", title=title))
    rules = base.mark_rule().encode(y="low:Q", y2="high:Q")
    (lines + rules).save(str(path))


if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = gains(4)
    print("overlap   gain in NLL after temperature     gain in ECE after temperature")
    for overlap, nll, ece in rows:
        cells = [f"{g.mean:+.3f} ({g.low:+.3f} to {g.high:+.3f})" for g in (nll, ece)]
        print(f"{overlap:<9} {cells[0]:33} {cells[1]}")
    if len(sys.argv) > 1:
        figure(rows, Path(sys.argv[1]))
