"""What really makes models robust, beside mixup.

    python benchmarks/robustness.py [FOLDER [EXAMPLES [DATA ...]]]

Trains ERM, mixup, label smoothing, adversarial and interpolated adversarial training on two data
sets, attacks them with FGSM, PGD-20 and the full ensemble, and prints accuracies with paired
differences to ERM. The ensemble attacks so many test examples of each seed. Runs are kept in the
folder, so that a second call prints at once.
"""

import sys
from pathlib import Path

from vicinal.data import load
from vicinal.machine.typed import build
from vicinal.report.comparison import Group, compare
from vicinal.robustness import usual as attacked
from vicinal.robustness.usual import named, radii
from vicinal.study.configuration import Objects
from vicinal.study.execute import execute
from vicinal.study.methods import parse_methods
from vicinal.study.options import Study
from vicinal.study.plan import plan

SEEDS = 3
SIZES = {"digits": "0.05", "breast_cancer": "0.2"}  # in linf, trained against and attacked with


def methods(eps: str) -> list[str]:
    against = [f"{name}(eps={eps})" for name in ("adversarial", "interpolated_adversarial")]
    return ["erm", "mixup(alpha=1)", "label_smoothing", *against]


def told(group: Group, method: str, key: str) -> str:
    """Mean over seeds, and the paired difference to ERM with its interval, in percent."""
    cell = group.cell(method, key)
    if cell is None or cell.mean is None:
        return "–"
    d = cell.difference
    if d is None or d.low is None or d.high is None:
        return f"{100 * cell.mean:.1f}"
    return f"{100 * cell.mean:.1f} ({100 * d.mean:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}])"


def main(folder: Path, names: list[str]) -> None:
    for data in names:
        eps = SIZES[data]
        asked = build(Study, {"data": data, "seeds": SEEDS, "attacks": "full"})
        planned = plan(asked, Objects(parse_methods(methods(eps))), folder / data)
        records = execute(planned, advance=lambda units: None, say=print)
        group = compare(records).groups[0]
        sizes = {norm: named(epsilons) for norm, epsilons in radii(load(data, 0).bounds).items()}
        columns = [("clean", "accuracy")] + [
            (f"{attack} {norm} {eps:g}", f"robust/{attack}-{steps}/{norm}/{eps:g}")
            for norm, eps in sizes.items()
            for attack, steps in (("fgsm", 1), ("pgd", 20), ("ensemble", 1))
        ]
        print(f"\n{data}, {SEEDS} seeds: accuracy %, (minus erm, 95 % interval)\n")
        print(f"| method | {' | '.join(name for name, _ in columns)} | failed checks |")
        print("|---" * (len(columns) + 2) + "|")
        for method in group.methods:
            cells = [told(group, method, key) for _, key in columns]
            masked = group.cell(method, "masking")
            failed = "–" if masked is None else f"{sum(v > 0 for v in masked.values)} of {SEEDS}"
            print(f"| {method} | {' | '.join(cells)} | {failed} |", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    attacked.STRONG = int(given[1]) if len(given) > 1 else attacked.STRONG
    main(Path(given[0] if given else "runs"), given[2:] or list(SIZES))
