"""Methods by name: text such as mixup(alpha=0.2) becomes a strategy; nothing is executed."""

import ast
from collections.abc import Callable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

from vicinal.machine.names import known

if TYPE_CHECKING:  # --help does not wait for torch
    from vicinal.mixing.choice import During
    from vicinal.mixing.draw import Strategy


LONGEST = 200  # characters of a method
HUGE = 1e300
SCHEDULE = {"start": 0.0, "stop": 1.0, "fade": 0.0}
"""Options of every strategy: when it mixes, in fractions of training (see `During`)."""


def parse_methods(methods: Sequence[str]) -> "dict[str, Strategy | During | None]":
    """Strategies by canonical name: mixup(alpha=1.0) and mixup( alpha=1 ) are one method.

    Raises:
        ValueError: for unknown names or options, with the nearest right one, and repetitions.
    """
    kinds = methods_by_name()
    strategies: dict[str, Strategy | During | None] = {}
    for text in methods:
        name, options = _call(text)
        known("method", name, kinds)
        canonical, strategy = _method(text, name, kinds[name], options)
        if canonical in strategies:
            raise ValueError(f"the method {canonical} is named twice.")
        strategies[canonical] = strategy
    return strategies


def searched(text: str) -> bool:
    """Whether a method has a strength that the text leaves open, as mixup, not mixup(alpha=1)."""
    name, options = _call(text)
    kinds = methods_by_name()
    known("method", name, kinds)
    kind = kinds[name]
    return kind is not None and "alpha" in numbers(kind) and "alpha" not in options


def with_strength(text: str, alpha: float | None) -> str:
    """The method with this strength; as it is for None."""
    if alpha is None:
        return text
    name, options = _call(text)
    told = ", ".join(f"{key}={shown(v)}" for key, v in (options | {"alpha": alpha}).items())
    return f"{name}({told})"


def _method(
    text: str, name: str, kind: "Callable[..., Strategy] | None", options: dict[str, Any]
) -> "tuple[str, Strategy | During | None]":
    """The canonical name of a method and what it stands for."""
    if kind is None:
        if options:
            raise ValueError(f"{name} takes no options, got {text}.")
        return name, None
    defaults = numbers(kind)
    for option in options:
        known(f"option of {name}", option, defaults | SCHEDULE)
    when = {
        key: options[key] for key in SCHEDULE if options.get(key, SCHEDULE[key]) != SCHEDULE[key]
    }
    own = {key: value for key, value in options.items() if key not in SCHEDULE}
    try:
        strategy = kind(**own)
    except TypeError as error:
        raise ValueError(f"{text}: options must be numbers ({error}).") from error
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from error
    told = ", ".join(f"{key}={shown(v)}" for key, v in (defaults | own | when).items())
    return f"{name}({told})", _scheduled(text, strategy, when) if when else strategy


def _scheduled(text: str, strategy: "Strategy", when: dict[str, float]) -> "During":
    from vicinal.mixing.choice import During

    for key, value in when.items():
        if not 0 <= value <= 1:
            raise ValueError(
                f"{text}: {key} is a fraction of training and must lie in [0, 1], got {value:g}."
            )
    return During(strategy, **(SCHEDULE | when))


def methods_by_name() -> "dict[str, Callable[..., Strategy] | None]":
    """Every strategy by name; kmixup and mixup_or_cutmix are combinations in common use."""
    import vicinal as vc

    def near(bandwidth: float = 0.3, alpha: float = 2.0) -> "Strategy":
        """C-Mixup; studies standardise values, so the bandwidth is in their deviations."""
        return vc.c_mixup(bandwidth, alpha)

    return {
        "adversarial": vc.Adversarial,
        "cmixup": near,
        "cutmix": vc.CutMix,
        "dirichletmixup": vc.DirichletMixup,
        "erm": None,
        "expanded": vc.Expanded,
        "fmix": vc.FMix,
        "gmix": vc.GMix,
        "gridmix": vc.GridMix,
        "hmix": vc.HMix,
        "interpolated_adversarial": vc.InterpolatedAdversarial,
        "kmixup": vc.k_mixup,
        "label_smoothing": vc.LabelSmoothing,
        "manifoldmixup": vc.ManifoldMixup,
        "mit": vc.MIT,
        "mixup": vc.Mixup,
        "mixup_or_cutmix": vc.mixup_or_cutmix,
        "mixupe": vc.MixupE,
        "noisyfeaturemixup": vc.NoisyFeatureMixup,
        "puzzlemix": vc.PuzzleMix,
        "regmixup": vc.RegMixup,
        "remix": vc.Remix,
        "resizemix": vc.ResizeMix,
        "saliencymix": vc.SaliencyMix,
        "smoothmix": vc.SmoothMix,
    }


def numbers(kind: "Callable[..., Strategy]") -> dict[str, float]:
    """The options of a strategy that are numbers, with their defaults."""
    defaults = {name: option.default for name, option in signature(kind).parameters.items()}
    return {
        name: value
        for name, value in defaults.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _call(text: str) -> tuple[str, dict[str, Any]]:
    """The name and keyword options of `name` or `name(key=number, ...)`; nothing is executed."""
    try:
        if not text.isascii() or len(text) > LONGEST:
            raise ValueError
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            names = [str(k.arg) for k in node.keywords]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise Twice(f"{text}: {twice[0]} is given twice.")
            return node.func.id, {str(k.arg): _number(k.value) for k in node.keywords}
    except Twice:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise ValueError(
        f"cannot read the method {text[:LONGEST]!r}. Write a name, or a name with options in "
        "numbers, such as mixup(alpha=0.2); quote it for the shell."
    )


def shown(value: float) -> str:
    """A number with all its digits, so that no two methods share a name: 1, 0.2, 0.3333334."""
    return repr(value).removesuffix(".0")


class Twice(ValueError):
    """An option that is given twice."""


def _number(node: ast.expr) -> float:
    if isinstance(node, ast.Name) and node.id in ("nan", "inf"):
        return float(node.id)  # refused by the strategy, whose message says the rule
    value = ast.literal_eval(node)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > HUGE:
        raise ValueError
    return value
