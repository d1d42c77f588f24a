"""Mixup calibrates more the higher the dimension.

Run: python examples/calibration_dimension.py [figure.svg]

The Gaussian model of Zhang, Deng, Kawaguchi, Zou (2022), arXiv:2102.06289: y = ±1 with equal
chance, x ~ N(y θ, I) in p dimensions, ‖θ‖ = 1, and the classifier sigmoid(2 θ̂'x) with θ̂ the mean of
y x over n examples. Noise makes ‖θ̂‖² too large by p/n, so confidence is too high; mixup averages
ỹ x̃ over mixed pairs, which shrinks θ̂ by 1-2κ. In low dimension that makes confidence too low; the
gain in ECE grows with p/n until about 1, and stays where both are far too sure.
"""

import sys
from pathlib import Path

import numpy as np

from vicinal import Beta
from vicinal.maths.statistics import Paired, paired
from vicinal.study.reproduce.calibration import simulated

RATIOS = (0.05, 0.2, 0.5, 1.0, 2.0)


def gains(seeds: int, law: Beta) -> list[tuple[float, float, float, Paired]]:
    """For each ratio p/n: mean ECE without and with mixup, and the gain with its interval."""
    found = []
    for ratio in RATIOS:
        pairs = np.array([simulated(ratio, seed, law) for seed in range(seeds)])
        difference = paired((pairs[:, 0] - pairs[:, 1]).tolist())
        found.append((ratio, *pairs.mean(0).tolist(), difference))
    return found


def figure(rows: list[tuple[float, float, float, Paired]], path: Path) -> None:
    """The gain against p/n, with intervals."""
    import altair as alt

    data = [{"p/n": r, "gain": g.mean, "low": g.low, "high": g.high} for r, _, _, g in rows]
    base = alt.Chart(alt.Data(values=data)).encode(x=alt.X("p/n:Q", title="p/n"))
    lines = base.mark_line(point=True).encode(y=alt.Y("gain:Q", title="ECE, ERM minus mixup"))
    rules = base.mark_rule().encode(y="low:Q", y2="high:Q")
    (lines + rules).save(str(path))


if __name__ == "__main__":
    rows = gains(20, Beta(1.0))
    print("p/n    ECE, ERM   ECE, mixup   gain, 95 % interval over 20 seeds")
    for ratio, plain, mixed, g in rows:
        print(
            f"{ratio:<6} {plain:8.3f} {mixed:12.3f}   {g.mean:+.3f} ({g.low:+.3f} to {g.high:+.3f})"
        )
    if len(sys.argv) > 1:
        figure(rows, Path(sys.argv[1]))
