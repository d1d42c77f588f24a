"""vicinal compare: train methods over paired seeds, and report."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from vicinal.cli.errors import FAILED_RUN, refuse
from vicinal.cli.processes import check_device, in_processes, shared
from vicinal.cli.progress import starting, working
from vicinal.study.methods import parse_methods

Tracker = Literal["mlflow", "tensorboard", "wandb"]
PLANNED = (
    "data", "target", "task", "model", "weights", "seeds", "epochs", "train_size", "batch_size",
    "learning_rate", "weight_decay", "explain_every", "attacks", "together", "precision", "device",
)  # fmt: skip
"""Options that `study.plan` takes as they are."""


def compare(
    data: str = "digits",
    *,
    methods: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (
        "erm",
        "mixup(alpha=0.2)",
        "mixup(alpha=1)",
    ),
    seeds: int = 5,
    epochs: int = 30,
    train_size: int | None = None,
    target: str | None = None,
    task: Literal["classification", "binary", "multilabel", "regression"] | None = None,
    model: str | None = None,
    weights: Path | None = None,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    weight_decay: float = 0.01,
    explain_every: int = 0,
    attacks: Literal["fast", "full"] = "fast",
    together: int = 8,
    processes: int = 1,
    parts: int | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    device: str = "cpu",
    jobs: int | None = None,
    executor: str = "loky",
    track: Annotated[tuple[Tracker, ...], Parameter(consume_multiple=True)] = (),
    out: Path = Path(),
) -> int:
    """Train methods over paired seeds, explain and measure them, write runs/ and report.html.

    Runs that are stored already are reused, and a run that was killed goes on where it was. The
    same command may run several times at once, on all machines that share the folder: they share
    the runs.

    Args:
        data: Data set: breast_cancer, diabetes, digits, iris or wine; a file .csv, .parquet or
            .npz; a folder with one folder of images for each class; idx:FOLDER with the files of
            MNIST; cifar:FOLDER with the binary files of CIFAR; hf:NAME; or module:attribute (this
            runs the code of the module).
        methods: Methods, such as erm, mixup(alpha=0.2), cutmix(alpha=1). The first is what the
            others are compared with, unless erm is among them. Any can be confined to a part of
            training, as in mixup(alpha=1, stop=0.8, fade=0.2). All names: erm, mixup,
            manifoldmixup, cutmix, mixup_or_cutmix, cmixup, kmixup, dirichletmixup, regmixup, remix,
            mixupe, mit, noisyfeaturemixup, resizemix, saliencymix, puzzlemix, fmix, gridmix,
            smoothmix, hmix, gmix, expanded; and to compare with, label_smoothing, adversarial,
            interpolated_adversarial.
        seeds: Number of seeds. Methods of one seed share split, initial weights, batch order.
        epochs: Passes over the training data.
        train_size: Training examples to use; by default half of the data set.
        target: Target column of a table, or several with commas between them; by default the last
            one.
        task: What the targets are, where their kind says otherwise. By default whole numbers and
            texts are classes, floats are values; of several for each example, 0 and 1 are labels
            that are on or off, floats are values. binary is two classes with one logit.
        model: cnn, mlp or linear; by default cnn for images and mlp for tables. Or timm:NAME,
            torchvision:NAME or hf:NAME, with new weights; or module:attribute for a factory or a
            torch module in Python code (which is run).
        weights: A file of weights for the model (.safetensors, or .pt as torch.save writes a state
            dict), from which every run starts; a last layer of another size is left out.
        batch_size: Examples per step.
        learning_rate: Of AdamW; it rises over the first tenth of the steps, then falls to 0.
        weight_decay: Of AdamW, on all parameters.
        explain_every: Epochs between measurements of R1, R2, R3 during training; 0 for none.
        attacks: fast is FGSM and PGD at several sizes; full adds the worst case over strong attacks
            at one size per norm, on up to 500 test examples, and signs of masked gradients.
        together: Runs that are trained together as one stack of models, at most; 1 trains them one
            after another. The numbers are the same up to rounding.
        processes: Processes on this machine that share every batch. Under torchrun leave it at 1.
        parts: Each batch is cut into so many parts, which the processes share, and within which
            examples are mixed; by default one for each process. More parts than processes add up
            gradients. The numbers depend on the parts, not on the processes.
        precision: Of the passes in training: float32, or bfloat16 where that is faster.
        device: What computes: cpu, cuda (a GPU of NVIDIA or AMD), or cuda:1 for a certain one.
            Draws are the same on all of them.
        jobs: Runs, or stacks of runs, that are done at once, each in a process with one thread; by
            default one, or what the cluster takes.
        executor: loky (processes on this machine), dask:tcp://HOST:8786, ray (the cluster that this
            machine is part of), ray:HOST:PORT, or slurm. Machines must share the folder.
        track: Trackers to tell of the finished runs, offline, in folders of their names: mlflow,
            tensorboard, wandb.
        out: Folder for runs/ and report.html.
    """
    given = dict(locals())
    with starting():
        from vicinal.machine.processes import join
        from vicinal.report.trackers import installed, tell
        from vicinal.study import plan as study
        from vicinal.study.executors import check
        from vicinal.study.measures import MEASURES
        from vicinal.study.run import dismiss, follow
    try:
        check_device(device, processes)  # before it is waited for others
    except ValueError as error:
        refuse(error)
    place = join()
    if place.rank > 0:
        follow()
        return 0
    try:
        check(executor, jobs)
        for tracker in track:
            installed(tracker)
        plan = study.plan(
            parse_methods(methods),
            out / "runs",
            **shared(processes, parts, executor, jobs),
            **{name: given[name] for name in PLANNED},
        )
    except (ValueError, TypeError, OSError) as error:
        dismiss()
        refuse(error)
    if processes > 1:
        return in_processes(processes, compare, given | {"processes": 1})
    work = len(plan.runs) * (epochs + MEASURES[attacks])
    with working(f"{len(plan.runs)} runs", work, shared=place.processes > 1) as (advance, say):
        records = study.execute(plan, executor=executor, jobs=jobs, advance=advance, say=say)
    dismiss()
    for tracker in track:
        tell(records, tracker, out)
    return _report(records, out)


def _report(records: list[dict[str, Any]], out: Path) -> int:
    """Write the report, print the table; the exit status."""
    from vicinal.machine import files
    from vicinal.report import comparison, terminal
    from vicinal.report.pages import page

    command = "vicinal " + shlex.join(sys.argv[1:])
    files.write(out / "report.html", page.render(records, command=command))
    console = Console(emoji=False)
    console.print(terminal.summary(comparison.compare(records)))
    console.print(escape(f"Report: {out / 'report.html'}"), highlight=False, soft_wrap=True)
    return FAILED_RUN if any(record["status"] == "failed" for record in records) else 0
