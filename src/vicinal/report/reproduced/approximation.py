"""The mixup loss beside its expansions."""

from vicinal.maths.statistics import paired
from vicinal.report.reproduced.claims import Claim, towards, within
from vicinal.report.reproduced.drawing import Drawing, Plot, plotted
from vicinal.report.reproduced.seeds import Seeds, level, signed

TITLE = "The mixup loss and its approximation"
CLOSE = 0.10  # of the mixup loss: what is called close
ALIKE = 0.05  # nats of test loss: what is called alike
MODELS = {"logistic": "logistic regression", "relu": "two-layer ReLU net"}

PLOTS = (
    Plot(
        "training",
        "Through training",
        (
            "The mixup loss over all pairs, λ uniform, and its expansion to second order: about "
            "the examples themselves, as in the talk (Zhang, Deng, Kawaguchi, Ghorbani, Zou, ICLR "
            "2021, arXiv:2010.04819), and about examples shrunk towards their mean (Carratino, "
            "Cissé, Jenatton, Vert, 2022, arXiv:2006.06049). Two moons; the linear model sees "
            "products of up to three coordinates.",
            "All sums are exact: nothing is sampled. Bands are 95% intervals over seeds.",
        ),
        "epoch",
        "nats",
        least=0.0,
    ),
    Plot(
        "instead",
        "Trained on the approximation instead",
        (
            "Test loss, without mixing, of models trained on mixed examples, on the expansion of "
            "that loss, and on neither.",
        ),
        "epoch",
        "test loss, nats",
        least=0.0,
    ),
    Plot(
        "scale",
        "Where it fails: large weights",
        (
            "The relative error of both expansions when the logits of the models trained on mixup "
            "are multiplied by a number. Halved logits make the error of the linear model at least "
            "eight times smaller; that of the ReLU net only halves, because the way to a partner "
            "crosses kinks that an expansion does not see.",
        ),
        "logits multiplied by",
        "error of the expansion",
        percent=True,
        log="x",
        zero=True,
    ),
)


def drawings(seeds: Seeds) -> list[Drawing]:
    """All plots that the records have curves for."""
    return plotted(PLOTS, seeds)


def claims(seeds: Seeds) -> list[Claim]:
    """Close through training, alike to train on, better about shrunk examples, and where not."""
    rules = (_close, _alike, _without, _better)
    return [rule(seeds, key, name) for rule in rules for key, name in MODELS.items()]


def _close(seeds: Seeds, key: str, name: str) -> Claim:
    worst = paired([abs(v) for v in seeds.values(f"{key}/mixup/expansion/worst")])
    last = paired(seeds.values(f"{key}/mixup/expansion/last"))
    return Claim(
        "while a model trains on mixup, the expansion stays close to the mixup loss, here taken as "
        f"{CLOSE:.0%}",
        name,
        within(worst, CLOSE),
        f"off by {level(worst, 'percent')} at worst",
        f"At its worst it was off by {level(worst, 'percent')} of the loss, at the end by "
        f"{level(last, 'percent')}.",
    )


def _alike(seeds: Seeds, key: str, name: str) -> Claim:
    d = seeds.minus(f"{key}/expanded/test", f"{key}/mixup/test")
    return Claim(
        f"training on the expansion is as good as training on mixup, here taken as {ALIKE:g} nats",
        name,
        within(d, ALIKE),
        signed(d, "nats"),
        f"Test loss, trained on the expansion minus trained on mixup: {signed(d, 'nats')}.",
    )


def _without(seeds: Seeds, key: str, name: str) -> Claim:
    off, shrunk = (paired(seeds.values(f"{key}/erm/{w}/last")) for w in ("expansion", "shrunk"))
    word = {"agrees": "holds", "differs": "fails", "unclear": "may fail"}[within(off, CLOSE)]
    return Claim(
        f"the expansion {word} after training without mixing, where weights grow",
        name,
        "beyond",
        f"off by {level(off, 'percent')}",
        f"At the end of training without mixing it is off by {level(off, 'percent')} of the mixup "
        f"loss, about shrunk examples by {level(shrunk, 'percent')}.",
    )


def _better(seeds: Seeds, key: str, name: str) -> Claim:
    first, second = (
        [abs(v) for v in seeds.values(f"{key}/mixup/{what}/last")]
        for what in ("expansion", "shrunk")
    )
    d = paired([b - a for a, b in zip(first, second, strict=True)])
    closer = {"agrees": "closer", "differs": "further off", "unclear": "not shown to be closer"}
    return Claim(
        f"about shrunk examples the expansion is {closer[towards(d, 'lower')]}",
        name,
        "beyond",
        f"off by {level(paired(second), 'percent')} instead of {level(paired(first), 'percent')}",
        f"At the end of training on mixup the relative errors differ by {signed(d, 'percent')}.",
    )
