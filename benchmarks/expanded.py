"""Training with the expansion of the mixup loss against sampling it.

    python benchmarks/expanded.py OUT [DATA:MODEL ...]

trains erm, mixup and expanded over five paired seeds with `vicinal compare`, in the folder OUT
(what is there already is used), and prints each method minus erm and the expansion minus the
mixup of the same strength, with 95 % intervals of the mean difference over seeds.
"""

import subprocess
import sys
from pathlib import Path

from vicinal.maths.statistics import paired
from vicinal.study import store

SETS = ("digits:mlp", "digits:cnn", "breast_cancer:mlp", "wine:mlp")
STRENGTHS = ("0.2", "1")
METHODS = ("erm", *(f"{m}(alpha={a})" for a in STRENGTHS for m in ("mixup", "expanded")))
PGD = {"images": 0.05, "tables": 0.2}


def measures(run: dict) -> dict[str, float]:
    measured = run["measured"]
    kind = "images" if run["data"]["bounds"] else "tables"
    curve = next(c for c in measured["robustness"] if c["attack"] == "pgd" and c["norm"] == "linf")
    point = next(p for p in curve["points"] if p["eps"] == PGD[kind])
    calibration = measured["calibration"]
    return {
        "accuracy %": 100 * measured["accuracy"]["test"],
        "ECE %": 100 * calibration["before"]["ece"],
        "ECE scaled %": 100 * calibration["after"]["ece"],
        f"PGD {PGD[kind]} %": 100 * point["accuracy"],
    }


def table(folder: Path) -> None:
    runs, _ = store.load(folder / "runs")
    found = {(r["configuration"]["method"], r["configuration"]["seed"]): measures(r) for r in runs}
    seeds = sorted({seed for _, seed in found})
    names = list(found["erm", seeds[0]])
    print(f"{'':34}" + "".join(f"{name:>26}" for name in names))
    for method in METHODS:
        means = [sum(found[method, s][n] for s in seeds) / len(seeds) for n in names]
        print(f"{method:34}" + "".join(f"{mean:>26.2f}" for mean in means))
    pairs = [(m, "erm") for m in METHODS[1:]]
    pairs += [(f"expanded(alpha={a})", f"mixup(alpha={a})") for a in STRENGTHS]
    for method, other in pairs:
        cells = []
        for name in names:
            d = paired([found[method, s][name] - found[other, s][name] for s in seeds])
            cells.append(f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]")
        print(f"{method + ' - ' + other:34}" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    for chosen in sys.argv[2:] or SETS:
        data, model = chosen.split(":")
        out = Path(sys.argv[1]) / f"{data}-{model}"
        command = [sys.executable, "-m", "vicinal.cli", "compare", data, "--model", model]
        command += ["--methods", *METHODS, "--seeds", "5", "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"\n{data}, {model}, five seeds")
        table(out)
