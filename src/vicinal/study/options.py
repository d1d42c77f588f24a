"""What can be asked of a study: every option is one field here, and nowhere else.

The text under a field is its help on the command line. Command line, TOML file and Python take the
same objects, and so do the runs. Nothing here loads torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter, Token

from vicinal.machine.typed import Ge, Gt, Le, Lt, Wrong, check
from vicinal.maths.kinds import Task

Precision = Literal["float32", "bfloat16"]
Strength = Literal["fast", "full"]
Tracker = Literal["mlflow", "tensorboard", "wandb"]
DATA = Group("Data", sort_key=1)
COMPARED = Group("What to compare", sort_key=2)
SEARCHED = Group("What to search", sort_key=2)
TRAINED = Group("Training", sort_key=3)
MEASURED = Group("Measuring", sort_key=4)
COMPUTED = Group("Computing", sort_key=5)
WRITTEN = Group("Output", sort_key=6)
USUAL = ("erm", "mixup(alpha=0.2)", "mixup(alpha=1)")
MOST = 10**9  # of anything that is counted


def whole(kind: Any, tokens: Sequence[Token]) -> int:
    """A whole number from the command line, where 1.5 is not one."""
    try:
        return int(tokens[0].value.replace("_", "x"))
    except ValueError:
        raise ValueError(f'unable to convert "{tokens[0].value}" into int.') from None


Count = Annotated[int, Ge(1), Le(MOST), Parameter(converter=whole)]
Many = Annotated[int, Ge(0), Le(MOST), Parameter(converter=whole)]
Seed = Annotated[int, Ge(0), Lt(2**62), Parameter(converter=whole)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]
NotNegative = Annotated[float, Ge(0), Lt(math.inf)]


@Parameter(name="*", group=DATA)
@dataclass(frozen=True, kw_only=True)
class Source:
    """Which data, and what is to be learnt from them."""

    data: str = field(default="digits", kw_only=False)
    """Data set: breast_cancer, diabetes, digits, iris or wine; a file .csv, .parquet or .npz; a
    folder with one folder of images for each class; idx:FOLDER with the files of MNIST;
    cifar:FOLDER with the binary files of CIFAR; hf:NAME; or module:attribute (this runs the code of
    the module)."""
    target: str | None = None
    """Target column of a table, or several with commas between them; by default the last one."""
    task: Task | None = None
    """What the targets are, where their kind says otherwise. By default whole numbers and texts are
    classes, floats are values; of several for each example, 0 and 1 are labels that are on or off,
    floats are values. binary is two classes with one logit."""
    group: str | None = None
    """Column that says which rows belong together, as those of one patient or session: they go to
    one part of the data. It is no feature."""

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)


@Parameter(name="*", group=TRAINED)
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: AdamW, whose rate rises over the first tenth of the steps, then falls to 0.

    It falls along a cosine (Loshchilov and Hutter 2017 and 2019, arXiv:1608.03983 and
    arXiv:1711.05101).
    """

    epochs: Count = 30
    """Passes over the training data."""
    batch_size: Count = 64
    """Examples per step; the last batch of an epoch may be smaller."""
    learning_rate: Positive = 0.01
    """Of AdamW, before it rises and falls."""
    weight_decay: NotNegative = 0.01
    """Of AdamW, decoupled, on all parameters."""
    precision: Precision = "float32"
    """Of the passes in training: float32, or bfloat16 where that is faster."""

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)


@Parameter(name="*", group=TRAINED)
@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, from where, on how much, and how."""

    model: str | None = None
    """cnn, mlp or linear; by default cnn for images and mlp for tables. Or timm:NAME,
    torchvision:NAME or hf:NAME, with new weights; or module:attribute for a factory or a torch
    module in Python code (which is run)."""
    weights: Path | None = None
    """A file of weights for the model (.safetensors, or .pt as torch.save writes a state dict),
    from which every run starts; a last layer of another size is left out."""
    train_size: Count | None = None
    """Training examples to use; by default half of the data set."""
    recipe: Recipe = Recipe()

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)


@Parameter(name="*", group=MEASURED)
@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What is measured of every run, beyond accuracy, calibration and the terms at the end."""

    attacks: Strength = "fast"
    """fast is FGSM and PGD at several sizes; full adds the worst case over strong attacks at one
    size per norm, on up to 500 test examples, and signs of masked gradients."""
    explain_every: Many = 0
    """Epochs between measurements of R1, R2, R3 during training; 0 for none."""

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)


@Parameter(name="*", group=COMPUTED)
@dataclass(frozen=True, kw_only=True)
class Computing:
    """Where and how the work is done."""

    device: str = "cpu"
    """What computes: cpu, cuda (a GPU of NVIDIA or AMD), or cuda:1 for a certain one. Draws are the
    same on all of them."""
    jobs: Count | None = None
    """Runs, or stacks of runs, that are done at once, each in a process with one thread; by default
    one, or what the cluster takes."""
    executor: str = "loky"
    """loky (processes on this machine), dask:tcp://HOST:8786, ray (the cluster that this machine is
    part of), ray:HOST:PORT, or slurm. Machines must share the folder."""
    processes: Count = 1
    """Processes on this machine that share every batch. Under torchrun leave it at 1."""
    parts: Count | None = None
    """Each batch is cut into so many parts, which the processes share, and within which examples
    are mixed; by default one for each process. More parts than processes add up gradients. The
    numbers depend on the parts, not on the processes."""
    together: Count = 8
    """Runs that are trained together as one stack of models, at most; 1 trains them one after
    another. The numbers are the same up to rounding."""

    def __post_init__(self) -> None:
        """Check the values, and that batches are not shared where runs are done side by side."""
        check(self)
        if self.processes > 1 and (self.executor, self.jobs or 1) != ("loky", 1):
            raise Wrong(
                "processes share every batch; jobs and executors do runs side by side: choose one "
                "of them."
            )


@Parameter(name="*", group=WRITTEN)
@dataclass(frozen=True, kw_only=True)
class Output:
    """What is written where."""

    out: Path = Path()
    """Folder for what is written."""
    track: tuple[Tracker, ...] = ()
    """Trackers to tell of the finished runs, offline, in folders of their names: mlflow,
    tensorboard, wandb."""

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)


@Parameter(name="*", group=COMPARED)
@dataclass(frozen=True, kw_only=True)
class Study:
    """All that `compare` takes."""

    source: Source = field(default=Source(), kw_only=False)
    methods: tuple[str, ...] = USUAL
    """Methods, such as erm (no mixing), mixup(alpha=0.2), cutmix(alpha=1). Any can be confined to a
    part of training, as in mixup(alpha=1, stop=0.8, fade=0.2). All names: erm, mixup,
    manifoldmixup, cutmix, mixup_or_cutmix, cmixup, kmixup, dirichletmixup, regmixup, remix, mixupe,
    mit, noisyfeaturemixup, resizemix, saliencymix, puzzlemix, fmix, gridmix, smoothmix, hmix, gmix,
    expanded; and to compare with, label_smoothing, adversarial, interpolated_adversarial."""
    baseline: str | None = None
    """The method that the others are compared with; by default erm where it is among them, else the
    first."""
    seeds: Annotated[int, Ge(1), Le(100_000), Parameter(converter=whole)] = 5
    """Number of seeds. Methods of one seed share split, initial weights and batch order."""
    training: Training = Training()
    measuring: Measuring = Measuring()
    computing: Computing = Computing()
    output: Output = Output()

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)


@Parameter(name="*", group=SEARCHED)
@dataclass(frozen=True, kw_only=True)
class Search:
    """All that `tune` takes."""

    source: Source = field(default=Source(), kw_only=False)
    methods: tuple[str, ...] = ("erm", "mixup")
    """Methods to choose from. Of those with an alpha that is not given, as mixup and cutmix, alpha
    is searched from 0.05 to 4; mixup(alpha=1) is tried as it is."""
    trials: Annotated[int, Ge(1), Le(100_000), Parameter(converter=whole)] = 20
    """Methods to try, each with all seeds."""
    metric: Literal["accuracy", "loss"] | None = None
    """What is compared on the validation part: accuracy, or the loss; by default accuracy, and the
    loss where targets are values."""
    seeds: Annotated[int, Ge(1), Le(100_000), Parameter(converter=whole)] = 3
    """Seeds of each trial; their scores are averaged."""
    seed: Seed = 0
    """Of the search; the same seed tries the same methods."""
    training: Training = Training()
    computing: Computing = Computing()
    out: Annotated[Path, Parameter(group=WRITTEN)] = Path()
    """Folder for runs/ and tune.json."""

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)
