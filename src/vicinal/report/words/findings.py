"""What may be said: plain sentences, each following from an interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from vicinal.report.comparison import Comparison, Difference, Group
from vicinal.report.metrics import Metric, shown
from vicinal.report.numbers import differences, level, number
from vicinal.report.sizes import elsewhere, listed, middle, named_norm

FEW = 5  # seeds, below which intervals are several times wider than they need be
LISTED = 4  # runs or intervals named one by one
CONSTANT = ("constant_accuracy", "accuracy", "balanced_accuracy")
UNEQUAL = 0.6  # accuracy of a constant answer from which it is spoken of
ATTACKED = ("ensemble", "pgd", "fgsm")  # in the order in which they are believed


@dataclass(frozen=True)
class Sentence:
    """A topic and what was found about it."""

    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.text}"


def verdict(comparison: Comparison) -> tuple[str, ...]:
    """The sentences of every group; with several groups each begins with the group's title."""
    several = len(comparison.groups) > 1
    return tuple(
        f"{group.title}. {sentence}" if several else str(sentence)
        for group in comparison.groups
        for sentence in sentences(group)
    )


def sentences(group: Group) -> tuple[Sentence, ...]:
    """Failures first, then what the intervals show, what they cover, and how many they are."""
    unfinished = [s for s in (_failed(group), _missing(group)) if s is not None]
    if not group.intervals:
        return (*unfinished, _no_claim(group))
    plain = [_metric(group, topic, metrics) for topic, metrics in _topics(group)]
    attacked = (_other_sizes(group), _disagreement(group), _masked(group))
    found = [s for s in (*plain, *attacked, _bound(group)) if s is not None]
    constant = _constant(group)
    head = (*unfinished, _how_to_read(group), *([] if constant is None else [constant]))
    return (*head, *found, _coverage(group), _multiplicity(group))


def interval(difference: Difference, unit: str) -> str:
    """`[+0.10, +1.10]`, unbroken; the empty string where there is no interval."""
    if difference.low is None or difference.high is None:
        return ""
    _, low, high = differences((difference.mean, difference.low, difference.high), unit)
    return f"[{low},\N{NO-BREAK SPACE}{high}]"


def _topics(group: Group) -> list[tuple[str, list[Metric]]]:
    """The metrics of the verdict, those of one topic together."""
    topics: dict[str, list[Metric]] = {}
    for row in shown("verdict"):
        if (metric := group.metric(row.key)) is not None:
            topics.setdefault(row.topic or metric.label, []).append(metric)
    norm = named_norm(group)
    for metric in (middle(group, attack, norm) for attack in ATTACKED):
        if metric is not None:
            topics[metric.label] = [metric]
    return list(topics.items())


def _metric(group: Group, topic: str, metrics: Sequence[Metric]) -> Sentence | None:
    """One sentence; for a pair of metrics, before and after one temperature."""
    clauses = [found for metric in metrics if (found := _clauses(group, metric))]
    if not clauses:
        return None
    if len(clauses) == 1:
        return Sentence(topic, f"{_capital(clauses[0])}.")
    before, after = clauses
    return Sentence(topic, f"As trained, {before}. After temperature scaling, {after}.")


def _clauses(group: Group, metric: Metric) -> str:
    """What the intervals show, method by method; then where they show no difference."""
    cells = [group.cell(method, metric.key) for method in group.others]
    pairs = [(c.method, c.difference) for c in cells if c is not None and c.difference is not None]
    parts = [_clause(method, metric, d) for method, d in pairs if d.shown]
    unclear = [(method, d) for method, d in pairs if d.low is not None and not d.shown]
    if len(unclear) > LISTED:
        names = ", ".join(method for method, _ in unclear)
        parts.append(f"no difference shown for {names} (intervals in the table)")
    elif unclear:
        each = ", ".join(f"{method} {interval(d, metric.unit)}" for method, d in unclear)
        parts.append(f"no difference shown for {each}")
    for why, alone in (("one shared seed", True), ("equal differences", False)):
        none = [method for method, d in pairs if d.low is None and (d.count == 1) == alone]
        if none:
            parts.append(f"{why}, so no interval, for {', '.join(none)}")
    return "; ".join(parts)


def _clause(method: str, metric: Metric, difference: Difference) -> str:
    size = differences((difference.mean, difference.low, difference.high), metric.unit)[0][1:]
    unit = {"percent": " points", "nats": " nats", "": ""}[metric.unit]
    phrase = metric.phrase(difference.words)
    return f"{method} {size}{unit} {phrase} {interval(difference, metric.unit)}"


def _capital(text: str) -> str:
    """A sentence begins with a capital, but a method's name is left as it is."""
    for opening in ("no difference", "one shared", "equal differences"):
        if text.startswith(opening):
            return opening.capitalize() + text[len(opening) :]
    return text


def _other_sizes(group: Group) -> Sentence | None:
    """At which sizes, and in which norms, PGD shows what it does not show at the middle one."""
    found = elsewhere(group)
    methods = [m for m in group.others if any(m in of_word for of_word in found.values())]
    if not methods:
        return None
    if len(methods) > LISTED:
        words = [
            f"{word} at some for {', '.join(of_word)}" for word, of_word in found.items() if of_word
        ]
        text = f"{'; '.join(words)} (intervals in the table)"
    else:
        text = "; ".join(
            f"{method} {word} at {listed(of_word[method])}"
            for method in methods
            for word, of_word in found.items()
            if method in of_word
        )
    return Sentence("PGD at other sizes", f"{text}. What holds at one size need not at another.")


def _disagreement(group: Group) -> Sentence | None:
    """Names the methods on which the one-step and the iterated attack do not say the same."""
    norm = named_norm(group)
    pgd, fgsm = (middle(group, attack, norm) for attack in ("pgd", "fgsm"))
    if pgd is None or fgsm is None:
        return None
    clauses = []
    for method in group.others:
        found = [c.difference for m in (fgsm, pgd) if (c := group.cell(method, m.key)) is not None]
        words = [d.words for d in found if d is not None and d.low is not None]
        if len(set(words)) == 2:
            clauses.append(f"{method}: FGSM says “{words[0]}”, PGD says “{words[1]}”")
    if not clauses:
        return None
    return Sentence(
        "FGSM and PGD disagree",
        "; ".join(clauses) + ". One step is the weaker attack and flatters some ways of training; "
        "where the two differ, believe PGD, and trust neither without stronger attacks.",
    )


def _masked(group: Group) -> Sentence | None:
    """Of which methods the gradients may be masked, where that was checked."""
    cells = [c for m in group.methods if (c := group.cell(m, "masking")) is not None and c.values]
    if not cells:
        return None
    failed = [(c.method, sum(v > 0 for v in c.values), len(c.values)) for c in cells]
    masked = ", ".join(f"{method} in {k} of {n} runs" for method, k, n in failed if k)
    if not masked:
        return Sentence("Signs of masked gradients", "None in any run, which is no proof.")
    return Sentence(
        "Signs of masked gradients",
        f"{masked}. Accuracy under attacks that follow gradients may mislead there.",
    )


def _bound(group: Group) -> Sentence | None:
    """Of how many runs the generalisation bound is vacuous."""
    pairs = [
        (bound, constant)
        for method in group.methods
        if (of_bound := group.cell(method, "bound")) is not None
        and (of_constant := group.cell(method, "bound_constant")) is not None
        for bound, constant in zip(of_bound.values, of_constant.values, strict=True)
    ]
    if not pairs:
        return None
    vacuous = sum(not bound < constant for bound, constant in pairs)
    least, most = (number(end(bound for bound, _ in pairs)) for end in (min, max))
    size = f"{least} nats" if least == most else f"{least} to {most} nats"
    constant = number(max(constant for _, constant in pairs))
    text = f"{size}, where a constant prediction has a loss of {constant}: vacuous for "
    return Sentence("Generalisation bound", f"{text}{vacuous} of {len(pairs)} runs.")


def _how_to_read(group: Group) -> Sentence:
    shares = "Coverage differs" if group.metric("rmse") else "Accuracies and ECE differ"
    return Sentence(
        f"Compared with {group.baseline}",
        f"Each method minus {group.baseline} on the same seeds; in brackets the 95% interval of "
        f"the mean difference. {shares} by percentage points.",
    )


def _constant(group: Group) -> Sentence | None:
    """What always answering the most frequent class would score, where classes are unequal."""
    cells = {key: group.cell(group.baseline, key) for key in CONSTANT}
    constant, own, balanced = (None if cell is None else cell.mean for cell in cells.values())
    if constant is None or own is None or balanced is None or constant < UNEQUAL:
        return None
    return Sentence(
        "Unequal classes",
        f"Always answering the most frequent class would have a test accuracy of "
        f"{level(constant, 'percent')} %; {group.baseline} has {level(own, 'percent')} %, and a "
        f"balanced accuracy (mean recall) of {level(balanced, 'percent')} %.",
    )


def _coverage(group: Group) -> Sentence:
    seeds = len(group.seeds)
    few = " Few seeds make wide intervals: run 5 or more." if seeds < FEW else ""
    return Sentence(
        "What the intervals cover",
        f"How the result varies over {seeds} seeds (data split, initial weights, order of "
        f"batches). Not covered: other data sets, models or lengths of training.{few}",
    )


def _multiplicity(group: Group) -> Sentence:
    by_chance = max(1, round(group.intervals / 20))
    return Sentence(
        "How many comparisons",
        f"{group.intervals} intervals are reported for these runs. At 95%, about 1 in 20 misses "
        f"its true value by chance, so expect about {by_chance} here.",
    )


def _no_claim(group: Group) -> Sentence:
    with_runs = {c.method for c in group.cells if c.values}
    if len(with_runs) < 2:
        return Sentence("No claim can be made", "Fewer than two methods have finished runs.")
    return Sentence(
        "No claim can be made",
        f"No method shares two or more finished seeds with {group.baseline}. One seed gives a "
        "difference but no interval, and mixing differs by seed. Run at least 2 seeds, better 5.",
    )


def _failed(group: Group) -> Sentence | None:
    if not group.failed:
        return None
    named = [f"{f.method} seed {f.seed} ({f.described})" for f in group.failed]
    verb = "is" if len(named) == 1 else "are"
    text = f"{_counted(named, 'run')} did not end and {verb} left out: {_listed(named)}."
    return Sentence("Failed runs", text)


def _missing(group: Group) -> Sentence | None:
    if not group.missing:
        return None
    named = [f"{method} seed {seed}" for method, seed in group.missing]
    verb = "is" if len(named) == 1 else "are"
    return Sentence("Missing runs", f"{_counted(named, 'run')} {verb} not there: {_listed(named)}.")


def _counted(named: Sequence[str], noun: str) -> str:
    return f"{len(named)} {noun}{'' if len(named) == 1 else 's'}"


def _listed(named: Sequence[str]) -> str:
    rest = len(named) - LISTED
    return "; ".join(named[:LISTED]) + (f"; and {rest} more" if rest > 0 else "")
