"""What can be asked of a trained model: the subject of `explain` and `audit`, and their options.

As in `options`, the text under a field is its help, and nothing here loads torch.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from vicinal.machine.typed import Ge, Le, Wrong, check
from vicinal.maths.kinds import FamilyName, Norm, Task
from vicinal.study.options import (
    COMPUTED,
    MEASURED,
    MOST,
    WRITTEN,
    Count,
    Many,
    Positive,
    Seed,
    Source,
    whole,
)

TASKS: dict[str, tuple[Task, ...]] = {
    "gaussian": ("regression",),
    "poisson": ("regression",),
    "gaussians": ("regression",),
    "bernoullis": ("multilabel",),
    "categorical": ("classification", "binary"),
    "bernoulli": ("classification", "binary"),
}
"""What targets can be where a family is asked for; where there are several, what they say."""


LOOKED = Group("What is looked at", sort_key=0)
ANY = Source()


@Parameter(name="*", group=LOOKED)
@dataclass(frozen=True, kw_only=True)
class Subject:
    """A trained model, and the data that it is judged on."""

    model: str = field(kw_only=False)
    """module:attribute (this runs the code of the module), or a file of weights."""
    source: Source = ANY
    architecture: str | None = None
    """For a file of weights, the reference model: cnn, mlp or linear."""
    family: FamilyName | None = None
    """The loss. By default categorical for classes (bernoulli for two of them and a model with one
    output) and gaussian for values. With gaussian and poisson whole numbers are values, such as
    counts."""
    standardise: bool = False
    """Standardise the columns of a table, and values, by those of the training part, as compare
    does; always done for reference models. Otherwise data come as they are."""
    seed: Seed = 0
    """Of the split, and of all that is drawn."""

    def __post_init__(self) -> None:
        """Check the values, and that task and family agree."""
        check(self)
        fitting, task = TASKS.get(self.family or "", ()), self.source.task
        if task is not None and self.family is not None and task not in fitting:
            raise Wrong(
                f"the family {self.family} is for {' or '.join(fitting)}, not for {task}: leave "
                "out --family or --task."
            )

    @property
    def task(self) -> Task | None:
        """What the targets are told to be, by the task or by the family."""
        fitting = TASKS.get(self.family or "", ())
        return self.source.task or (fitting[0] if len(fitting) == 1 else None)

    @property
    def standardised(self) -> bool:
        """Whether the data are standardised."""
        return self.standardise or self.architecture is not None


@Parameter(name="*", group=COMPUTED)
@dataclass(frozen=True, kw_only=True)
class Alone:
    """Where the work is done, where there are no runs to share out."""

    device: str = "cpu"
    """What computes: cpu, cuda (a GPU of NVIDIA or AMD), or cuda:1 for a certain one."""
    processes: Count = 1
    """Processes on this machine to which the work is dealt; the numbers are the same with any
    number of them. Under torchrun leave it at 1."""

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)


@Parameter(name="*", group=MEASURED)
@dataclass(frozen=True, kw_only=True)
class Explaining:
    """All that `explain` takes."""

    subject: Subject = field(kw_only=False)
    part: Literal["train", "validation", "test", "all"] = "train"
    """Which part of the split of this seed to explain, or all of the data."""
    alphas: tuple[Positive, ...] = (0.05, 0.1, 0.2, 0.4, 1.0, 2.0, 4.0)
    """Strengths, the law of λ being Beta(α, α)."""
    pairs: Count = 20_000
    """Mixed examples to evaluate per strength."""
    exact: bool = False
    """Sum all pairs and take all directions; slow beyond a few hundred examples."""
    shown: Many = 8
    """Examples to show for each term."""
    computing: Alone = Alone()
    out: Annotated[Path, Parameter(group=WRITTEN)] = Path("explanation")
    """Folder for the results."""

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)


@Parameter(name="*", group=MEASURED)
@dataclass(frozen=True, kw_only=True)
class Auditing:
    """All that `audit` takes."""

    subject: Subject = field(kw_only=False)
    part: Literal["train", "validation", "test"] = "test"
    """Which part of the split of this seed to measure. The temperature is fitted on another part,
    and the bound is about the training part."""
    attacks: Literal["fast", "full"] = "full"
    """full is the worst case over strong attacks and the nearest broken point; fast is FGSM and
    PGD, on which no claim can rest. Signs of masking are looked for in both."""
    norms: tuple[Norm, ...] = ("linf", "l2")
    """Of the perturbation: linf, l2, l1."""
    eps: tuple[Positive, ...] = ()
    """Size of the perturbation, one for each norm; by default as in compare. In the units of the
    inputs for images, of the standard deviation of each column for tables."""
    tolerance: Positive | None = None
    """For values: deviation that counts as broken; by default twice the root mean squared error on
    the part where the temperature would be fitted."""
    examples: Annotated[int, Ge(2), Le(MOST), Parameter(converter=whole)] = 500
    """Most examples to attack."""
    twin: str | None = None
    """A model trained without the defence, from which attacks may transfer; named as the model
    is."""
    seconds: Positive | None = None
    """Budget of the worst case in each norm. The same command with more goes on."""
    passes: Positive | None = None
    """The same, in forward and backward passes for each example."""
    computing: Alone = Alone()
    out: Annotated[Path, Parameter(group=WRITTEN)] = Path("audit")
    """Folder for the results."""

    def __post_init__(self) -> None:
        """Check the values, and that there is a size for each norm."""
        check(self)
        norms, eps = self.norms, self.eps
        if not norms or len(set(norms)) != len(norms):
            raise Wrong(f"norms must name each norm once, got {' '.join(norms) or 'none'}.")
        if eps and len(eps) != len(norms):
            raise Wrong(
                f"pass one size for each norm: {len(norms)} norms ({', '.join(norms)}) and "
                f"{len(eps)} sizes were given."
            )
