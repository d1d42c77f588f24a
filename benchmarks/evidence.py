"""The studies that this project keeps as evidence, and what they say in one table.

    python benchmarks/evidence.py run FOLDER     # train what FOLDER lacks; hours on one core
    python benchmarks/evidence.py keep FOLDER    # write evidence/: small JSON, reports in Markdown
    python benchmarks/evidence.py table          # print the table of README.md from evidence/

Every study is one command `vicinal compare`, printed before it runs and kept with its numbers.
"""

import gzip
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
TESTED = 1000  # of the 10,000 test images; attacks on all of them would take ten times as long

MIXUPS = ("erm", "mixup(alpha=0.2)", "mixup(alpha=1)")
ANYWHERE = (
    *MIXUPS, "manifoldmixup", "regmixup", "noisyfeaturemixup", "kmixup", "dirichletmixup",
    "mixupe", "mit", "expanded",
)  # fmt: skip
CUTTING = (
    "cutmix", "mixup_or_cutmix", "resizemix", "saliencymix", "fmix", "gridmix", "smoothmix",
    "hmix", "gmix",
)  # fmt: skip


@dataclass(frozen=True)
class Study:
    """One data set at one size; all else is as `vicinal compare` has it by default."""

    name: str
    data: str
    methods: tuple[str, ...]
    seeds: int
    epochs: int
    train_size: int | None = None

    def command(self, seeds: int) -> list[str]:
        """The arguments of `vicinal`."""
        size = [] if self.train_size is None else ["--train-size", str(self.train_size)]
        return [
            *("compare", self.data, *size, "--epochs", str(self.epochs), "--seeds", str(seeds)),
            *("--methods", *self.methods, "--out", self.name),
        ]


# cheapest first; 400 steps of training or more everywhere
STUDIES = (
    Study("diabetes", "diabetes", (*ANYWHERE, "cmixup"), 10, 100),
    Study("breast-cancer", "breast_cancer", (*ANYWHERE, "remix"), 10, 100),
    Study("digits-200", "digits", (*ANYWHERE, "remix", *CUTTING), 10, 100, 200),
    Study("digits", "digits", (*ANYWHERE, "remix", *CUTTING), 5, 30),
    Study(
        "fashion-2k", "idx:fashion-mnist", (*MIXUPS, "cutmix", "manifoldmixup", "regmixup"),
        5, 15, 2_000,
    ),
    Study("fashion-12k", "idx:fashion-mnist", (*MIXUPS, "cutmix"), 5, 8, 12_000),
)  # fmt: skip


def fashion(folder: Path) -> None:
    """The files of Fashion-MNIST with the first TESTED of its test images."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, header, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
        train, test = (f"{part}-{kind}-ubyte" for part in ("train", "t10k"))
        (folder / train).write_bytes(gzip.decompress((FASHION / f"{train}.gz").read_bytes()))
        content = gzip.decompress((FASHION / f"{test}.gz").read_bytes())
        count = TESTED.to_bytes(4, "big")
        first = content[:4] + count + content[8 : header + TESTED * size]
        (folder / test).write_bytes(first)


def run(folder: Path) -> None:
    """Five seeds of every study, then the further seeds of those that have more."""
    fashion(folder / "fashion-mnist")
    for most in (5, 10):
        for study in STUDIES:
            if most == 5 or study.seeds > 5:
                command = study.command(min(study.seeds, most))
                print("vicinal", shlex.join(command), flush=True)
                called = [sys.executable, "-m", "vicinal.cli", *command]
                subprocess.run(called, cwd=folder, check=True)


if __name__ == "__main__":
    run(Path(sys.argv[2]).resolve())
