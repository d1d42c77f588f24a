"""Swap signs and factors, where this field goes wrong, and demand that a test fails.

Run by hand, as it takes some minutes: ``python tests/mutants.py``. A mutant that survives is a
test that is missing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MUTANTS = [  # (file, what stands there, what it becomes, the tests that must notice)
    ("laws.py", "(self.beta / (total + 1))", "(self.beta / total)", "test_laws.py"),
    (
        "laws.py",
        "roots_jacobi(count, self.beta - 1, self.alpha - 1)",
        "roots_jacobi(count, self.alpha - 1, self.beta - 1)",
        "test_laws.py",
    ),
    (
        "laws.py",
        "return Beta(self.alpha + 1, self.alpha)",
        "return Beta(self.alpha, self.alpha)",
        "test_laws.py",
    ),
    (
        "laws.py",
        "rng.random(size) < lam, lam, 1 - lam",
        "rng.random(size) < lam, 1 - lam, lam",
        "test_laws.py",
    ),
    ("losses.py", "(p * centred.square()).sum(-1)", "(p * v.square()).sum(-1)", "test_losses.py"),
    ("losses.py", "torch.sigmoid(f) * torch.sigmoid(-f)", "torch.sigmoid(f)", "test_losses.py"),
    ("losses.py", "return (self._mean(f) - y)", "return (y - self._mean(f))", "test_losses.py"),
    ("mixing/cutting.py", "np.sqrt(1 - ", "np.sqrt(", "test_mixing.py"),
    ("mixing/draw.py", "(1 - draw.share) * loss(", "draw.share * loss(", "test_mixing.py"),
    (
        "risk.py",
        "return lam * own + (1 - lam) * other",
        "return lam * other + (1 - lam) * own",
        "test_risk.py",
    ),
    ("taylor.py", "slope=2 * spread", "slope=spread", "test_taylor.py"),
    ("taylor.py", "(centre - part)", "(part - centre)", "test_taylor.py"),
    (
        "attacks/ball.py",
        "self.project(z + size * direction)",
        "self.project(z - size * direction)",
        "test_attacks.py",
    ),
    ("attacks/ball.py", "** (1 / offset.shape[1])", "** 1.0", "test_attacks.py"),
    ("calibration.py", ".ceil().long().sub(1)", ".floor().long()", "test_calibration.py"),
    (
        "calibration.py",
        "(confidence - right).mean()",
        "(right - confidence).mean()",
        "test_calibration.py",
    ),
    ("robustness.py", "sorted(epsilons)", "list(epsilons)", "test_robustness.py"),
    ("statistics.py", "values.std(ddof=1)", "values.std()", "test_statistics.py"),
    ("training.py", '"draw", epoch, step)', '"draw", epoch)', "test_training.py"),
    ("study.py", "test / temperature", "test * temperature", "test_study.py"),
]


def passes(source: Path, tests: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", f"tests/{tests}"]
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    return done.returncode == 0


def survives(source: Path, file: str, old: str, new: str, tests: str) -> bool:
    path = source / "vicinal" / file
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise LookupError(f"{file} no longer holds {old!r}: bring this list up to date.")
    path.write_text(text.replace(old, new), encoding="utf-8")
    try:
        return passes(source, tests)
    finally:
        path.write_text(text, encoding="utf-8")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        for tests in sorted({mutant[3] for mutant in MUTANTS}):
            if not passes(source, tests):
                raise AssertionError(f"{tests} fails without any mutant.")
        alive = [mutant for mutant in MUTANTS if survives(source, *mutant)]
    for mutant in alive:
        print("survived:", *mutant)
    print(f"{len(MUTANTS) - len(alive)} of {len(MUTANTS)} mutants were noticed")
    return bool(alive)


if __name__ == "__main__":
    sys.exit(main())
