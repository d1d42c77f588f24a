"""At which size of an attack the report speaks, and where other sizes say otherwise."""

from collections.abc import Sequence

from vicinal.report.comparison import Group
from vicinal.report.metrics import NORMS, Metric


def middle(group: Group, attack: str, norm: str = "linf") -> Metric | None:
    """The metric at the middle of an attack's ε above zero (the lower one of two)."""
    of_attack = [
        (m.threat.eps, m)
        for m in group.metrics
        if m.threat is not None and (m.threat.attack, m.threat.norm) == (attack, norm)
    ]
    of_attack.sort(key=lambda pair: pair[0])
    return of_attack[(len(of_attack) - 1) // 2][1] if of_attack else None


def named_norm(group: Group) -> str:
    """The norm that verdict and table speak of: l∞ where it was measured."""
    norms = dict.fromkeys(m.threat.norm for m in group.metrics if m.threat is not None)
    return "linf" if "linf" in norms or not norms else next(iter(norms))


def elsewhere(group: Group) -> dict[str, dict[str, list[Metric]]]:
    """Where PGD says what it does not say at the middle size: better or worse → method → metrics.

    The verdict speaks of one size in one norm; a method may gain there and lose at others.
    """
    at = middle(group, "pgd", named_norm(group))
    found: dict[str, dict[str, list[Metric]]] = {"better": {}, "worse": {}}
    if at is None:
        return found
    for method in group.others:
        at_middle = _shown(group, method, at)
        for metric in group.metrics:
            if metric.threat is None or metric.threat.attack != "pgd" or not metric.threat.eps:
                continue
            word = _shown(group, method, metric)
            if word not in ("", at_middle):
                found[word].setdefault(method, []).append(metric)
    return found


def listed(metrics: Sequence[Metric]) -> str:
    """`l∞ ε = 0.1, 0.15 and l2 ε = 1`."""
    of_norm: dict[str, list[str]] = {}
    for metric in metrics:
        if metric.threat is not None:
            of_norm.setdefault(metric.threat.norm, []).append(f"{metric.threat.eps:g}")
    equals = "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"
    return " and ".join(
        f"{NORMS.get(norm, norm)} ε{equals}{', '.join(sizes)}" for norm, sizes in of_norm.items()
    )


def _shown(group: Group, method: str, metric: Metric) -> str:
    """Better or worse; empty where no difference is shown."""
    cell = group.cell(method, metric.key)
    if cell is None or cell.difference is None or not cell.difference.shown:
        return ""
    return "better" if cell.difference.words == metric.better else "worse"
