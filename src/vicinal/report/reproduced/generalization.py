"""Training and test loss, the gap against α, the bound of linear models."""

from vicinal.maths.statistics import paired
from vicinal.report.reproduced.claims import Claim, towards
from vicinal.report.reproduced.drawing import Drawing, Plot, plotted
from vicinal.report.reproduced.seeds import Seeds, level, signed

TITLE = "The gap between training and test loss"

PLOTS = (
    Plot(
        "training",
        "Through training",
        (
            "Loss without mixing on training and test examples, for the same models trained with "
            "mixup (α = 1) and without mixing. Bands are 95% intervals over seeds.",
        ),
        "epoch",
        "nats",
    ),
    Plot(
        "alpha",
        "Against the strength of mixing",
        (
            "Losses at the end of training, and test minus training loss, for λ ~ Beta(α, α); "
            "α = 0 is training without mixing.",
        ),
        "α",
        "nats",
        columns=3,
        places=True,
        zero=True,
        height=200,
    ),
    Plot(
        "bound",
        "The bound for generalised linear models",
        (
            "Logistic regression whose coefficients were confined beforehand: its losses, the "
            "bound on its expected loss (probability 95%) with every factor computed, and the "
            "loss of the best constant prediction, which needs no bound.",
        ),
        "α",
        "nats",
        places=True,
        log="y",
    ),
)


def drawings(seeds: Seeds) -> list[Drawing]:
    """All plots that the records have curves for."""
    return plotted(PLOTS, seeds)


def claims(seeds: Seeds) -> list[Claim]:
    """For each set: the gap, the test loss, the course with α; then the bound."""
    keys = [key.rsplit("/", 2) for key in seeds.names() if key.endswith("/gap")]
    sets = dict.fromkeys(name for name, *_ in keys)
    alphas = sorted({float(key[1]) for key in keys})
    found = [_smaller(seeds, name) for name in sets]
    found += [_course(seeds, name, alphas) for name in sets]
    found += [_test(seeds, name) for name in sets]
    return [*found, _bounded(seeds)]


def _smaller(seeds: Seeds, name: str) -> Claim:
    d = seeds.minus(f"{name}/1/gap", f"{name}/0/gap")
    return Claim(
        "mixup narrows the gap between test and training loss",
        name,
        towards(d, "lower"),
        signed(d, "nats"),
        f"Gap, mixup (α = 1) minus training without mixing: {signed(d, 'nats')}.",
    )


def _course(seeds: Seeds, name: str, alphas: list[float]) -> Claim:
    low, high = min(a for a in alphas if a > 0), max(alphas)
    d = seeds.minus(f"{name}/{high:g}/gap", f"{name}/{low:g}/gap")
    gaps = "; ".join(
        f"α = {a:g}: {level(paired(seeds.values(f'{name}/{a:g}/gap')), 'nats')}" for a in alphas
    )
    return Claim(
        "the more mixing, the smaller the gap",
        name,
        towards(d, "lower"),
        f"{signed(d, 'nats')} from α = {low:g} to α = {high:g}",
        f"The gap at {gaps}.",
    )


def _test(seeds: Seeds, name: str) -> Claim:
    d = seeds.minus(f"{name}/1/test", f"{name}/0/test")
    wrong = seeds.minus(f"{name}/1/error", f"{name}/0/error")
    return Claim(
        "mixup lowers the test loss",
        name,
        towards(d, "lower"),
        signed(d, "nats"),
        f"Test loss, mixup (α = 1) minus training without mixing: {signed(d, 'nats')}; test error "
        f"{signed(wrong, 'percent')}.",
    )


def _bounded(seeds: Seeds) -> Claim:
    alphas = [k.split("/")[2] for k in seeds.names() if k.startswith("bound/bound/")]
    rows = [
        (bound, test, constant)
        for a in alphas
        for bound, test, constant in zip(
            *(
                seeds.values(f"bound/{what}/{a}")
                for what in ("bound", "test loss", "best constant")
            ),
            strict=True,
        )
    ]
    held = sum(test <= bound for bound, test, _ in rows)
    vacuous = sum(bound >= constant for bound, _, constant in rows)
    value, test = (
        paired(seeds.values(f"bound/{what}/{alphas[-1]}")) for what in ("bound", "test loss")
    )
    sized = f"{level(value, 'nats')} where the test loss is {level(test, 'nats')}"
    return Claim(
        "the bound for linear models holds",
        "",
        "agrees" if held == len(rows) else "differs",
        f"in {held} of {len(rows)} runs; vacuous in {vacuous}",
        f"At α = {alphas[-1]} it is {sized}. Vacuous means not below the loss of the best constant "
        "prediction: such a bound is true and tells nothing.",
    )
