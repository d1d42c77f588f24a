"""How inputs and gradients are aligned."""

from vicinal.maths.statistics import paired
from vicinal.report.reproduced.claims import Claim, at_least, towards
from vicinal.report.reproduced.drawing import Drawing, Plot, plotted
from vicinal.report.reproduced.seeds import Seeds, level, signed

TITLE = "The angle between inputs and gradients"
APART = 0.1  # ε_mix over the median of ε_i: what is called bounded away from 0
MODELS = {"linear": "linear model", "relu": "two-layer ReLU net", "lenet": "LeNet-type CNN"}

PLOTS = (
    Plot(
        "cosine",
        "Distribution of R_i = |cos(∇f(x_i), x_i)|",
        (
            "Share of the training examples by R_i, before training and after, for models without "
            "biases with one logit, on two classes and centred inputs, as the bound of the talk "
            "wants them.",
        ),
        "R_i",
        "share",
        columns=3,
        percent=True,
        steps=True,
        least=0.0,
    ),
    Plot(
        "radius",
        "Radii ε_i of the bound, sorted",
        (
            "ε_i = R_i c_x E[1-λ], with λ from the tilted law and c_x = min ‖x_i‖ / √d. The "
            "smallest of them, at the left end, is ε_mix; the median stands at one half. The bound "
            "speaks of l2 balls of radius ε √d.",
        ),
        "share of the examples",
        "ε_i",
        columns=3,
        least=0.0,
    ),
)


def drawings(seeds: Seeds) -> list[Drawing]:
    """All plots that the records have curves for."""
    return plotted(PLOTS, seeds)


def claims(seeds: Seeds) -> list[Claim]:
    """Aligned by training; bounded away from 0; and whether that is due to mixup."""
    known = seeds.names()
    shown = {key: name for key, name in MODELS.items() if f"{key}/mixup/median" in known}
    rules = (_aligned, _apart, _by_mixup)
    return [rule(seeds, key, name) for rule in rules for key, name in shown.items()]


def _aligned(seeds: Seeds, key: str, name: str) -> Claim:
    d = seeds.minus(f"{key}/mixup/median", f"{key}/start/median")
    before, after = (paired(seeds.values(f"{key}/{when}/median")) for when in ("start", "mixup"))
    return Claim(
        "training on mixup aligns inputs and gradients: R_i grows",
        name,
        towards(d, "higher"),
        f"median {signed(d)}",
        f"The median of R_i was {level(before)} before training and {level(after)} after.",
    )


def _apart(seeds: Seeds, key: str, name: str) -> Claim:
    lowest, median = (seeds.values(f"{key}/mixup/{what}") for what in ("lowest", "median"))
    share = paired([a / b for a, b in zip(lowest, median, strict=True)])
    mix = paired(seeds.values(f"{key}/mixup/epsilon_mix"))
    return Claim(
        "R_i is bounded away from 0, here taken as ε_mix of at least "
        f"{APART:.0%} of the median ε_i",
        name,
        at_least(share, APART),
        level(share, "percent"),
        f"The smallest R_i was {level(paired(lowest))} with a median of {level(paired(median))}; "
        f"ε_mix was {level(mix)}, in root mean squares of a feature.",
    )


def _by_mixup(seeds: Seeds, key: str, name: str) -> Claim:
    d = seeds.minus(f"{key}/mixup/median", f"{key}/erm/median")
    more = {
        "higher": "mixup aligns more than training without mixing",
        "lower": "mixup aligns less than training without mixing",
    }
    open_ = "mixup is not shown to align more or less than training without mixing"
    return Claim(
        more.get(d.words, open_),
        name,
        "beyond",
        f"median {signed(d)}",
        f"Median R_i, trained on mixup minus trained without mixing: {signed(d)}.",
    )
