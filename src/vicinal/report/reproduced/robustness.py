"""Accuracy against ε."""

from vicinal.maths.statistics import Paired
from vicinal.report.reproduced.claims import Claim, Verdict
from vicinal.report.reproduced.drawing import Drawing, Plot, plotted
from vicinal.report.reproduced.seeds import Seeds, listed, signed

TITLE = "Accuracy under attack"
ATTACKS = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "worst": "worst case",
}

PLOTS = (
    Plot(
        "accuracy",
        "Accuracy against ε",
        (
            "Accuracy on the same test examples, which an attack may move by up to ε in every "
            "coordinate (l∞), in the units of the inputs. The talk shows FGSM and names stronger "
            "attacks as work to come: PGD and the worst case over APGD, FAB, Square and noise "
            "stand beside it.",
            "All are upper bounds on robust accuracy. Bands are 95% intervals over seeds.",
        ),
        "ε",
        "accuracy",
        columns=3,
        percent=True,
        least=0.0,
        most=1.0,
        height=200,
    ),
)


def drawings(seeds: Seeds) -> list[Drawing]:
    """All plots that the records have curves for."""
    return plotted(PLOTS, seeds)


def claims(seeds: Seeds) -> list[Claim]:
    """One for each attack: at which ε mixup is shown to be more or less accurate."""
    return [_under(seeds, attack) for attack in ATTACKS]


def _under(seeds: Seeds, attack: str) -> Claim:
    sizes = [k.split("/")[2] for k in seeds.names() if k.startswith(f"{attack}/erm/")]
    found = {e: seeds.minus(f"{attack}/mixup/{e}", f"{attack}/erm/{e}") for e in sizes if e != "0"}
    middle = list(found)[(len(found) - 1) // 2]
    differences = "; ".join(f"ε = {e}: {signed(d, 'percent')}" for e, d in found.items())
    verdict, words = _judged(found)
    asked = attack == "fgsm"
    return Claim(
        f"mixup is {'more accurate' if asked else words} under attack",
        ATTACKS[attack],
        verdict if asked else "beyond",
        f"{signed(found[middle], 'percent')} at ε = {middle}",
        f"Mixup minus training without mixing, {differences}.",
    )


def _judged(found: dict[str, Paired]) -> tuple[Verdict, str]:
    """What the intervals at all ε say together."""
    up = [e for e, d in found.items() if d.words == "higher"]
    down = [e for e, d in found.items() if d.words == "lower"]
    if up and down:
        return "differs", f"more accurate at ε = {listed(up)} and less at ε = {listed(down)}"
    if up:
        return "agrees", f"more accurate at {len(up)} of {len(found)} ε"
    if down:
        return "differs", f"less accurate at {len(down)} of {len(found)} ε"
    return "unclear", "not shown to be more or less accurate"
