"""What targets are, by the task that is told and the family that is asked for."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vicinal.data.split import Split
    from vicinal.data.targets import Task

Families = Literal["categorical", "bernoulli", "gaussian", "poisson", "bernoullis", "gaussians"]
Tasks = Literal["classification", "binary", "multilabel", "regression"]
TASKS: "dict[str, tuple[Task, ...]]" = {
    "gaussian": ("regression",),
    "poisson": ("regression",),
    "gaussians": ("regression",),
    "bernoullis": ("multilabel",),
    "categorical": ("classification", "binary"),
    "bernoulli": ("classification", "binary"),
}
"""What targets can be where a family is asked for; where there are several, what they say."""


def told_task(task: "Task | None", family: Families | None) -> "Task | None":
    """What the targets are told to be, by the task or by the family that is asked for.

    Raises:
        ValueError: if these are not the same.
    """
    fitting = TASKS.get(family or "", ())
    if task is not None and family is not None and task not in fitting:
        raise ValueError(
            f"the family {family} is for {' or '.join(fitting)}, not for {task}: leave out "
            "--family or --task."
        )
    return task or (fitting[0] if len(fitting) == 1 else None)


def check_counts(data: str, split: "Split", family: Families | None) -> None:
    """Refuse values below 0 as counts.

    Raises:
        ValueError: then.
    """
    if family == "poisson" and not split.classes and float(split.all.y.min()) < 0:
        raise ValueError(
            f"counts must be 0 or more for the family poisson, {data} has {split.all.y.min():g}. "
            "If they were standardised, leave out --standardise."
        )
