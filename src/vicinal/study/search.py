"""Searching for a method and its strength on validation data; the test part is used once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vicinal.maths.statistics import Paired, paired
from vicinal.mixing.choice import During
from vicinal.mixing.draw import Strategy
from vicinal.study import store
from vicinal.study.configuration import split_of
from vicinal.study.plan import Plan

Metric = Literal["accuracy", "loss"]
LOW, HIGH = 0.05, 4.0  # of the strengths that are searched, by their logarithm


@dataclass(frozen=True)
class Trial:
    """One method, tried over all seeds.

    Attributes:
        method: its name with all options.
        strategy: what the name stands for.
        score: mean over seeds on the validation part; None if a run failed.
        scores: one for each seed.
        seconds: of training, all seeds together.
    """

    method: str
    strategy: Strategy | During | None
    score: float | None
    scores: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Found:
    """What was found, and what the search cost.

    Attributes:
        metric: accuracy (higher is better) or loss (lower is better).
        trials: those that could be trained, the best first.
        failed: methods that could not be trained.
        validation, test: scores of the best on both parts, one for each seed.
        plain_validation, plain_test: those of training without mixing, which nobody chose.
        gain: the best minus plain training on the test part, paired over seeds; None if plain
            training is the best.
        optimism: how much better the best looked on the validation part than on the test part,
            whatever the direction of the metric.
        plain_optimism: the same of plain training: luck with the parts, and no choice.
        trainings: how many models were trained for the search and for the test.
        seconds: how long they were trained.
    """

    metric: Metric
    trials: tuple[Trial, ...]
    failed: tuple[str, ...]
    validation: tuple[float, ...]
    test: tuple[float, ...]
    plain_validation: tuple[float, ...]
    plain_test: tuple[float, ...]
    gain: Paired | None
    optimism: float
    plain_optimism: float
    trainings: dict[str, int]
    seconds: dict[str, float]

    @property
    def best(self) -> Trial:
        """The trial with the best score."""
        return self.trials[0]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dicts and numbers."""
        found = asdict(self)
        for trial in found["trials"]:
            del trial["strategy"]
        return found


Build = Callable[[str, float | None], tuple[str, Strategy | During | None]]
"""From the name of a kind of method and its strength to the method and its name."""
Strategies = Mapping[str, Strategy | During | None]
PlanOf = Callable[[Strategies, Literal["test", "validation"]], Plan]
"""Plans the runs of methods, to be measured on a part of the data."""
Execute = Callable[[Plan], list[store.Stored]]
"""Does the runs of a plan."""


def search(
    kinds: Mapping[str, bool],
    build: Build,
    plan: PlanOf,
    execute: Execute,
    *,
    metric: Metric | None,
    trials: int,
    seed: int,
) -> Found:
    """Search by Optuna's tree-structured Parzen estimator; every trial is made of stored runs.

    The sampler's draws follow from the seed and the scores, and these are stored, so the same
    search goes on where it was stopped and ends with the same result. Each trial is trained on the
    training part and scored on the validation part of every seed's split; runs of a trial are made
    without the test part. The best is then trained again, and tested beside plain training.

    Args:
        kinds: by the name of a kind of method, whether it has a strength to search.
        build: makes a method.
        plan: plans the runs of methods, to be measured on a part.
        execute: does them.
        metric: what is compared; None for accuracy, or the loss where there are no classes.
        trials: how many, at least 1.
        seed: of the sampler.

    Raises:
        ValueError: if Optuna is missing, there is nothing to search, or no trial could be trained.

    Source:
        Bergstra, Bardenet, Bengio, Kégl (2011), NeurIPS, section 4, as implemented by Optuna.
    """
    metric, optuna = check(kinds, build, plan, metric=metric, trials=trials), _optuna()
    sign = 1.0 if metric == "accuracy" else -1.0
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(4, trials // 3))
    asked = optuna.create_study(direction="maximize", sampler=sampler)
    found: dict[str, Trial] = {}
    for _ in range(trials):
        trial = asked.ask()
        kind = trial.suggest_categorical("method", list(kinds))
        strength = trial.suggest_float(kind, LOW, HIGH, log=True) if kinds[kind] else None
        method, strategy = build(kind, None if strength is None else _rounded(strength))
        if method not in found:
            records = execute(plan({method: strategy}, "validation"))
            found[method] = _trial(method, strategy, records, metric)
        score = found[method].score
        state = optuna.trial.TrialState
        asked.tell(
            trial,
            None if score is None else sign * score,
            state=state.FAIL if score is None else state.COMPLETE,
        )
    ranked = sorted((t for t in found.values() if t.score is not None), key=_goodness(sign))
    if not ranked:
        raise ValueError(f"none of the {len(found)} methods that were tried could be trained.")
    return _tested(ranked, list(found.values()), plan, execute, metric, sign)


def check(
    kinds: Mapping[str, bool], build: Build, plan: PlanOf, *, metric: Metric | None, trials: int
) -> Metric:
    """What is compared; every kind of method is planned once, so that none fails later.

    Raises:
        ValueError: for all that `search` refuses before the first trial.
    """
    _optuna()
    if not kinds:
        raise ValueError("methods must name at least one method, such as mixup.")
    for kind, has_strength in kinds.items():
        method, strategy = build(kind, 1.0 if has_strength else None)
        planned = plan({method: strategy}, "validation")
    classifies = split_of(planned.runs[0], planned.objects).family.classifies
    if metric == "accuracy" and not classifies:
        raise ValueError("targets are values, which have no accuracy; compare the loss.")
    return metric or ("accuracy" if classifies else "loss")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ValueError("tune needs Optuna: pip install 'vicinal[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _rounded(strength: float) -> float:
    """Two digits: more make no difference, and names of runs stay short."""
    return float(f"{strength:.2g}")


def _goodness(sign: float) -> Callable[[Trial], tuple[float, str]]:
    """Sorts the best first; equal ones by name, so that the order is always the same."""
    return lambda trial: (-sign * (trial.score or 0.0), trial.method)


def _trial(
    method: str,
    strategy: Strategy | During | None,
    records: Sequence[store.Stored],
    metric: Metric,
) -> Trial:
    scores = tuple(_scores(records, metric, "validation"))
    mean = sum(scores) / len(scores) if len(scores) == len(records) else None
    return Trial(method, strategy, mean, scores, _seconds(records))


def _scores(records: Sequence[store.Stored], metric: Metric, part: str) -> list[float]:
    done = [record["measured"] for record in records if record["status"] == "done"]
    return [measured[metric][part] for measured in done if measured[metric][part] is not None]


def _seconds(records: Sequence[store.Stored]) -> float:
    return float(sum(record.get("seconds", {}).get("training", 0.0) for record in records))


def _tested(
    ranked: Sequence[Trial],
    tried: Sequence[Trial],
    plan: PlanOf,
    execute: Execute,
    metric: Metric,
    sign: float,
) -> Found:
    """Measure the best, and training without mixing, on the test part."""
    best = ranked[0]
    methods: dict[str, Strategy | During | None] = {"erm": None, best.method: best.strategy}
    plain = next((trial for trial in ranked if trial.method == "erm"), None)
    if plain is None:
        records = execute(plan({"erm": None}, "validation"))
        plain = _trial("erm", None, records, metric)
        tried = [*tried, plain]
    records = execute(plan(methods, "test"))
    by = {
        method: tuple(
            _scores([r for r in records if r["configuration"]["method"] == method], metric, "test")
        )
        for method in methods
    }
    test, plain_test = by[best.method], by["erm"]
    seeds = len(best.scores)
    if not len(test) == len(plain_test) == len(plain.scores) == seeds:
        raise ValueError("training for the test failed for some seeds; see the runs.")
    differences = [a - b for a, b in zip(test, plain_test, strict=True)]
    return Found(
        metric=metric,
        trials=tuple(ranked),
        failed=tuple(trial.method for trial in tried if trial.score is None),
        validation=best.scores,
        test=test,
        plain_validation=plain.scores,
        plain_test=plain_test,
        gain=paired(differences) if best.strategy is not None else None,
        optimism=sign * (sum(best.scores) - sum(test)) / seeds,
        plain_optimism=sign * (sum(plain.scores) - sum(plain_test)) / seeds,
        trainings={"search": seeds * len(tried), "test": len(records)},
        seconds={"search": sum(t.seconds for t in tried), "test": _seconds(records)},
    )
