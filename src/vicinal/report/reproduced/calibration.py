"""Reliability before and after a temperature, and the gain against p/n."""

from collections.abc import Sequence

from vicinal.maths.statistics import paired
from vicinal.report.figures.panels import Figure, Row, Table, between, styles
from vicinal.report.figures.reliability import bin_row, reliable
from vicinal.report.numbers import finite
from vicinal.report.numbers import level as written
from vicinal.report.reproduced.claims import Claim, towards
from vicinal.report.reproduced.drawing import Drawing, Plot, plotted
from vicinal.report.reproduced.seeds import Seeds, level, signed

TITLE = "Calibration"

PLOTS = (
    Plot(
        "dimension",
        "Against the dimension",
        (
            "The Gaussian model of Zhang, Deng, Kawaguchi, Zou (ICML 2022, arXiv:2102.06289): n "
            "examples in p dimensions, a classifier fitted by averaging, with all pairs mixed and "
            "without. ECE on new examples, and what mixup takes off it.",
        ),
        "p/n",
        "ECE",
        percent=True,
        zero=True,
        height=200,
    ),
)


def drawings(seeds: Seeds) -> list[Drawing]:
    """Reliability first, then the Gaussian model."""
    return _reliability(seeds) + plotted(PLOTS, seeds)


def _reliability(seeds: Seeds) -> list[Drawing]:
    """The diagrams, whose bins are pooled over seeds."""
    found = {
        (row["panel"], row["method"]): bins
        for row in _panels(seeds)
        if (bins := _bins(seeds, row["panel"], row["method"]))
    }
    if not found:
        return []
    looks = styles(list(dict.fromkeys(method for _, method in found)))
    panels = tuple(
        reliable(
            f"{method}, {panel.lower()}", f"Accuracy by confidence, {panel.lower()}.", bins, looks
        )
        for (panel, method), bins in found.items()
    )
    rows = tuple(
        (method, panel, f"{r['left']:.2f} to {r['right']:.2f}", str(r["count"]),
         written(r["confidence"], "percent"), written(r["value"], "percent"), between(r, "percent"))
        for (panel, method), bins in found.items()
        for r in bins
    )  # fmt: skip
    headers = ("Method", "When", "Bin", "Examples", "Confidence %", "Accuracy %", "95% interval")
    text = (
        "Accuracy on test examples against confidence, in equal bins, as trained and after "
        "dividing the logits by one temperature fitted on validation data. On the diagonal "
        "confidence is right; above it the model is under-confident. Grey bars: share of the "
        "examples. All seeds are pooled; intervals are Wilson's.",
    )
    table = Table(headers, rows, 3)
    figure = Figure("reliability", "Reliability", text, panels, table, 4, legend=False)
    return [Drawing(figure, looks)]


def _panels(seeds: Seeds) -> list[Row]:
    seen = dict.fromkeys(
        (curve["panel"], curve["series"])
        for record in seeds.records
        for curve in record["curves"]
        if curve["drawing"] == "reliability/count"
    )
    return [{"panel": panel, "method": series} for panel, series in seen]


def _bins(seeds: Seeds, panel: str, series: str) -> list[Row]:
    """The bins of all seeds added up."""
    sums: dict[float, list[float]] = {}
    for record in seeds.records:
        parts = {
            curve["drawing"].removeprefix("reliability/"): curve
            for curve in record["curves"]
            if (curve["panel"], curve["series"]) == (panel, series)
        }
        columns = [parts[key]["y"] for key in ("count", "confidence", "accuracy")]
        for x, count, confidence, accuracy in zip(parts["count"]["x"], *columns, strict=True):
            if count and finite(confidence) is not None and finite(accuracy) is not None:
                total = sums.setdefault(float(x), [0.0, 0.0, 0.0])
                for k, value in enumerate((1.0, confidence, accuracy)):
                    total[k] += count * value
    whole = sum(count for count, _, _ in sums.values())
    half = _half_width(seeds)
    return [
        bin_row(series, (x - half, x + half), (round(count), confidence, round(right)), whole)
        for x, (count, confidence, right) in sorted(sums.items())
    ]


def _half_width(seeds: Seeds) -> float:
    first: Sequence[float] = next(
        c["x"] for r in seeds.records for c in r["curves"] if c["drawing"] == "reliability/count"
    )
    return 0.5 / len(first)


def claims(seeds: Seeds) -> list[Claim]:
    """As trained, after a temperature, and in the Gaussian model."""
    before, after = (
        seeds.minus(f"mixup/{when}/ece", f"erm/{when}/ece") for when in ("before", "after")
    )
    nll = seeds.minus("mixup/after/nll", "erm/after/nll")
    gap, plain = (paired(seeds.values(f"{way}/before/signed_gap")) for way in ("mixup", "erm"))
    sizes = [key.split("/")[1] for key in seeds.names() if key.startswith("gain/")]
    low, high = (paired(seeds.values(f"gain/{size}")) for size in (sizes[0], sizes[-1]))
    middle = "1" if "1" in sizes else sizes[-1]
    growth = seeds.minus(f"gain/{middle}", f"gain/{sizes[0]}")
    words = {"lower": "lower", "higher": "higher"}.get(after.words, "not shown to differ")
    return [
        Claim(
            "mixup improves calibration as trained",
            "",
            towards(before, "lower"),
            f"ECE {signed(before, 'percent')}",
            f"ECE, mixup minus training without mixing: {signed(before, 'percent')}. Confidence "
            f"minus accuracy was {level(gap, 'percent')} with mixup and {level(plain, 'percent')} "
            "without.",
        ),
        Claim(
            "in high dimension mixup improves calibration",
            "Gaussian model",
            towards(high, "higher"),
            f"gain in ECE {signed(high, 'percent')} at p/n = {sizes[-1]}",
            f"ECE of erm minus ECE of mixup at p/n = {sizes[-1]}: {signed(high, 'percent')}.",
        ),
        Claim(
            f"the gain grows with the dimension up to p/n = {middle}",
            "Gaussian model",
            towards(growth, "higher"),
            f"{signed(growth, 'percent')} from p/n = {sizes[0]}",
            f"At p/n = {sizes[0]} the gain is {signed(low, 'percent')}, at {middle} larger by "
            f"{signed(growth, 'percent')}.",
        ),
        Claim(
            f"after one temperature the ECE of mixup is {words}",
            "",
            "beyond",
            f"{signed(after, 'percent')}, NLL {signed(nll, 'nats')}",
            f"After one temperature, mixup minus training without mixing: ECE "
            f"{signed(after, 'percent')}, NLL {signed(nll, 'nats')}.",
        ),
    ]
