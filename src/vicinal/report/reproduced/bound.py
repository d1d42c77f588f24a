"""Mixup's bound on the adversarial loss."""

from vicinal.maths.statistics import paired
from vicinal.report.reproduced.claims import Claim, Verdict
from vicinal.report.reproduced.drawing import Drawing, Plot, plotted
from vicinal.report.reproduced.seeds import Seeds, level

TITLE = "The bound on the adversarial loss"
CASES = {"linear": "linear model", "relu": "ReLU net"}
BROKEN = {
    "shifted": "inputs not centred",
    "wrong": "wrong labels, so that training makes errors",
    "biased": "net with biases",
}

PLOTS = (
    Plot(
        "losses",
        "Mixup loss and adversarial loss through training",
        (
            "The expanded mixup loss should lie above the second-order adversarial loss in l2 "
            "balls of radius ε_i √d, and that above the one at ε_mix √d. This is a theorem where "
            "all conditions hold: centred inputs, every training example classified correctly, a "
            "net made of straight pieces without biases. Markers are filled where all of them hold "
            "for every seed, hollow elsewhere.",
            "The mixup loss itself stands beside its expansion. Bands are 95% intervals over "
            "seeds.",
        ),
        "epoch",
        "nats",
        columns=3,
        filled="conditions",
        least=0.0,
        height=200,
    ),
)


def drawings(seeds: Seeds) -> list[Drawing]:
    """All plots that the records have curves for."""
    return plotted(PLOTS, seeds)


def claims(seeds: Seeds) -> list[Claim]:
    """With the conditions, how often violated; without, likewise; and the size of the radii."""
    return [
        *(_with(seeds, key, name) for key, name in CASES.items()),
        *(_without(seeds, key, name) for key, name in (CASES | BROKEN).items()),
        *(_radii(seeds, key, name) for key, name in CASES.items()),
    ]


def _with(seeds: Seeds, key: str, name: str) -> Claim:
    met, violated = (seeds.total(f"{key}/{what}") for what in ("met", "met/violated"))
    verdict: Verdict = "unclear" if not met else "differs" if violated else "agrees"
    slack = paired(seeds.values(f"{key}/slack"))
    return Claim(
        "where the conditions hold, the mixup loss lies above the adversarial losses at ε_i and "
        "ε_mix",
        name,
        verdict,
        f"{violated} violations in {met} looks",
        f"The conditions held at {met} looks during training; the bound was violated at "
        f"{violated} of them. At the end it lay above by {level(slack, 'nats')}.",
    )


def _without(seeds: Seeds, key: str, name: str) -> Claim:
    count, violated = (seeds.total(f"{key}/unmet{what}") for what in ("", "/violated"))
    early = key in CASES
    slack = paired(seeds.values(f"{key}/slack"))
    end = f"Mixup loss minus adversarial loss at the end: {level(slack, 'nats')}."
    return Claim(
        f"where they do not hold, the mixup loss {'may lie' if violated else 'was not seen'} below",
        f"{name}, early in training" if early else name,
        "beyond",
        f"{violated} of {count} looks",
        f"The bound was violated at {violated} of {count} looks. "
        + ("Nothing is promised before every example is classified correctly." if early else end),
    )


def _radii(seeds: Seeds, key: str, name: str) -> Claim:
    middle, mix = (paired(seeds.values(f"{key}/{what}")) for what in ("epsilon", "epsilon_mix"))
    return Claim(
        "radii after training, in root mean squares of a feature",
        name,
        "beyond",
        f"median ε_i {level(middle)}, ε_mix {level(mix)}",
        "A radius is at most half of the "
        "linearised distance to the boundary: the bound is on a loss and shows no example robust.",
    )
