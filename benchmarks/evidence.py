"""The studies that this project keeps as evidence, and what they say in one table.

    python benchmarks/evidence.py run FOLDER     # train what FOLDER lacks; hours on one core
    python benchmarks/evidence.py keep FOLDER    # write evidence/: small JSON, reports in Markdown
    python benchmarks/evidence.py table          # print the table of README.md from evidence/

Every study is one command `vicinal compare`, printed before it runs and kept with its numbers.
"""

import gzip
import json
import shlex
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vicinal.machine import files
from vicinal.report.comparison import Cell, Group, compare
from vicinal.report.numbers import NONE, differences, plus_minus
from vicinal.report.rows import main_metrics
from vicinal.report.words.findings import sentences
from vicinal.report.words.headline import headline
from vicinal.study import store

KEPT = Path(__file__).parents[1] / "evidence"

FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
TESTED = 1000  # of the 10,000 test images; attacks on all of them would take ten times as long

MIXUPS = ("erm", "mixup(alpha=0.2)", "mixup(alpha=1)")
ANYWHERE = (
    *MIXUPS, "manifoldmixup", "regmixup", "noisyfeaturemixup", "kmixup", "dirichletmixup",
    "mixupe", "mit", "expanded",
)  # fmt: skip
CLASSES = (*ANYWHERE, "remix", "label_smoothing")
IMAGES = (
    *CLASSES, "cutmix", "mixup_or_cutmix", "resizemix", "saliencymix", "puzzlemix", "fmix",
    "gridmix", "smoothmix", "hmix", "gmix",
)  # fmt: skip

CMIXUP = "cmixup(bandwidth=0.3, alpha=2)"
FEW = (*MIXUPS, "manifoldmixup", "regmixup", "cutmix", "mixup_or_cutmix")
FILES = "idx:fashion-mnist"  # as `fashion` writes them

MANY = 5  # methods, of which not each is told in words
BY_METHOD = (
    "Test ",
    "NLL",
    "ECE",
    "Gap",
    "Coverage",
    "Distance of coverage",
    "Accuracy under",
    "RMSE under",
)


@dataclass(frozen=True)
class Study:
    """One data set at one size; all else is as `vicinal compare` has it by default."""

    name: str
    data: str
    methods: tuple[str, ...]
    seeds: int
    epochs: int
    train_size: int | None = None
    model: str | None = None
    attacks: str | None = None

    def command(self) -> list[str]:
        """The arguments of `vicinal`."""
        size = [] if self.train_size is None else ["--train-size", str(self.train_size)]
        size += [] if self.model is None else ["--model", self.model]
        size += [] if self.attacks is None else ["--attacks", self.attacks]
        length = ["--epochs", str(self.epochs), "--seeds", str(self.seeds)]
        methods = ["--methods", *self.methods]
        return ["compare", self.data, *size, *length, *methods, "--out", self.name]


# at least 400 steps of training where classes are learnt; values twice, short and long
STUDIES = (
    Study("diabetes", "diabetes", (*ANYWHERE, "cmixup"), 10, 20),
    Study("diabetes-long", "diabetes", (*ANYWHERE, "cmixup"), 5, 100),
    Study("breast-cancer", "breast_cancer", CLASSES, 5, 100),
    Study("breast-cancer-strong", "breast_cancer", MIXUPS, 5, 100, attacks="full"),
    Study("digits-200", "digits", IMAGES, 5, 100, 200),
    Study("digits", "digits", IMAGES, 5, 30),
    Study("fashion-2k", FILES, IMAGES, 5, 20, 2_000, "mlp"),
    Study("fashion-12k", FILES, FEW, 5, 10, 12_000, "mlp"),
    Study("fashion-2k-cnn", FILES, (*MIXUPS, "cutmix"), 5, 13, 2_000),
    Study("fashion-12k-cnn", FILES, MIXUPS, 5, 4, 12_000),
)


def told(study: Study) -> str:
    """The command that a study is."""
    return "vicinal " + shlex.join(study.command())


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
    """Every study; what FOLDER holds already is not done again."""
    fashion(folder / "fashion-mnist")
    for study in STUDIES:
        print(told(study), flush=True)
        called = [sys.executable, "-m", "vicinal.cli", *study.command()]
        subprocess.run(called, cwd=folder, check=True)


def keep(folder: Path) -> None:
    """The numbers of every finished study, and its report, into evidence/."""
    KEPT.mkdir(exist_ok=True)
    for study in STUDIES:
        records, _ = store.load(folder / study.name / "runs")
        if len(records) < study.seeds * len(study.methods):
            print(f"{study.name}: {len(records)} runs, not finished; left out")
            continue
        (group,) = compare(records).groups
        kept = summary(study, group, records)
        files.write(KEPT / f"{study.name}.json", json.dumps(kept, indent=1) + "\n")
        files.write(KEPT / f"{study.name}.md", report(kept))


def summary(study: Study, group: Group, records: list[store.Stored]) -> dict[str, Any]:
    """What was run and what came out: values by seed, and paired differences to ERM."""
    metrics = main_metrics(group)
    return {
        "name": study.name,
        "command": told(study),
        "data": records[0]["data"] | {"labels": len(records[0]["data"]["labels"])},
        "configuration": group.configuration,
        "environment": {k: records[0]["environment"][k] for k in ("python", "torch", "numpy")},
        "baseline": group.baseline,
        "seeds": list(group.seeds),
        "failed": [asdict(failure) for failure in group.failed],
        "metrics": [
            {"key": m.key, "label": m.label, "unit": m.unit, "better": m.better} for m in metrics
        ],
        "methods": {
            method: {m.key: _cell(group.cell(method, m.key)) for m in metrics}
            for method in group.methods
        },
        "headline": [list(pair) for pair in headline(group)],
        "verdict": [[sentence.topic, sentence.text] for sentence in sentences(group)],
    }


def _cell(cell: Cell | None) -> dict[str, Any]:
    assert cell is not None
    d = cell.difference
    interval = None if d is None else [_short(end) for end in (d.mean, d.low, d.high)]
    return {"values": [_short(v) for v in cell.values], "difference": interval}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def load(name: str) -> dict[str, Any]:
    """A study from evidence/."""
    kept: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text("utf-8"))
    return kept


def written(kept: dict[str, Any], method: str, key: str) -> str:
    """A difference to the baseline with its interval, and in bold what the interval shows."""
    metric = next(m for m in kept["metrics"] if m["key"] == key)
    difference = kept["methods"][method][key]["difference"]
    if difference is None:
        return NONE
    mean, low, high = differences(difference, metric["unit"])
    text = f"{mean} [{low}, {high}]".replace(" ", "\N{NO-BREAK SPACE}")
    if difference[1] <= 0 <= difference[2] or metric["better"] == "neither":
        return text
    good = (difference[1] > 0) == (metric["better"] == "higher")
    return f"{text} **{'better' if good else 'worse'}**"


def level(kept: dict[str, Any], method: str, key: str) -> str:
    """Mean ± standard deviation over seeds."""
    metric = next(m for m in kept["metrics"] if m["key"] == key)
    values = kept["methods"][method][key]["values"]
    return plus_minus(statistics.fmean(values), statistics.stdev(values), metric["unit"])


def attacked(kept: dict[str, Any]) -> str:
    """The key of the iterated attack."""
    return next(m["key"] for m in kept["metrics"] if m["key"].startswith("robust/pgd"))


def columns(kept: dict[str, Any]) -> dict[str, str]:
    """Headings and keys of the short tables."""
    labels = {m["key"]: m["label"] for m in kept["metrics"]}
    pgd = attacked(kept)
    if "rmse" in labels:
        return {labels[key]: key for key in ("rmse", "coverage", pgd)}
    return {
        "accuracy, points": "accuracy",
        "ECE as trained, points": "ece_before",
        "ECE after one temperature": "ece_after",
        "NLL after one temperature": "nll_after",
        f"{labels[pgd]}, points": pgd,
    }


def verdict(kept: dict[str, Any]) -> list[list[str]]:
    """What was found, in words; where methods are many they are counted, and the table has them."""
    if len(kept["methods"]) <= MANY:
        return kept["verdict"]
    return kept["headline"] + [s for s in kept["verdict"] if not s[0].startswith(BY_METHOD)]


def report(kept: dict[str, Any]) -> str:
    """All methods of one study, as Markdown."""
    chosen, base = columns(kept), kept["baseline"]
    lines = [f"# {kept['name']}\n", f"```sh\n{kept['command']}\n```\n"]
    examples = kept["data"]["examples"]
    lines.append(
        f"{examples['train']} training, {examples['validation']} validation and "
        f"{examples['test']} test examples, model `{kept['configuration']['model']}`, "
        f"{len(kept['seeds'])} seeds; vicinal {kept['configuration']['version']}, "
        f"torch {kept['environment']['torch']}.\n"
    )
    lines += [f"- **{topic}:** {text.rstrip('.')}." for topic, text in verdict(kept)]
    lines.append("\n| method | " + " | ".join(chosen) + " |")
    lines.append("|---" * (1 + len(chosen)) + "|")
    lines.append(_line(f"{base}, itself", [level(kept, base, key) for key in chosen.values()]))
    for method in kept["methods"]:
        if method != base:
            found = [written(kept, method, key) for key in chosen.values()]
            lines.append(_line(f"`{method}`", found))
    return "\n".join(lines) + "\n"


def _line(first: str, cells: list[str]) -> str:
    return f"| {first} | " + " | ".join(cells) + " |"


def table() -> str:
    """What mixup did in every study, for README.md."""
    heads = ("accuracy", "ECE as trained", "NLL, scaled", "PGD-20")
    lines = [_line("study | method", list(heads)), "|---" * (2 + len(heads)) + "|"]
    for study in STUDIES:
        if study.attacks is None and study.data != "diabetes":
            kept = load(study.name)
            keys = ("accuracy", "ece_before", "nll_after", attacked(kept))
            lines += _rows(kept, MIXUPS[1:], keys)
    lines += ["", _line("study | method", ["RMSE", "RMSE under PGD-20"]), "|---|---|---|---|"]
    for name in ("diabetes", "diabetes-long"):
        kept = load(name)
        lines += _rows(kept, (*MIXUPS[1:], CMIXUP), ("rmse", attacked(kept)))
    return "\n".join(lines)


def counts() -> dict[str, Counter[tuple[str, str, str]]]:
    """How often mixup was better, worse or not shown: by metric, study, method and word."""
    found: dict[str, Counter[tuple[str, str, str]]] = {}
    for study in STUDIES:
        if study.attacks is None and study.data != "diabetes":
            kept = load(study.name)
            for key in ("accuracy", "ece_before", "ece_after", "nll_after", attacked(kept)):
                for method in MIXUPS[1:]:
                    word = written(kept, method, key).rpartition("**")[0].rpartition("**")[2]
                    place = study.name, method, word or "not shown"
                    found.setdefault(key.partition("/")[0], Counter())[place] += 1
    return found


def _rows(kept: dict[str, Any], methods: tuple[str, ...], keys: tuple[str, ...]) -> list[str]:
    """One line per method, the study named in the first."""
    first = f"[{kept['name']}](evidence/{kept['name']}.md)"
    return [
        _line(f"{'' if k else first} | {method}", [written(kept, method, key) for key in keys])
        for k, method in enumerate(methods)
    ]


if __name__ == "__main__":
    command, *folder = sys.argv[1:]
    if command == "table":
        print(table())
    else:
        {"run": run, "keep": keep}[command](Path(folder[0]).resolve())
