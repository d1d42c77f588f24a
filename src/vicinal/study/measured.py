"""What was measured of one run, as its record keeps it.

The names are those of the JSON files. A field that may be None with None as its default was not
measured where it is None; a number that is nan was measured, and was not finite.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Parts:
    """One score on the parts of the data; a search has no test part."""

    train: float | None = None
    validation: float | None = None
    test: float | None = None


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Test minus training loss, and training minus test accuracy where there are classes."""

    loss: float
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The bound on the loss of new data, of linear models; as `generalization.Bound`."""

    value: float
    train_loss: float
    complexity: float
    deviation: float
    vacuous: bool
    constant_loss: float
    factors: Mapping[str, float]
    caveat: str


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Examples of one range of confidence; no means where there are none."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well confidence matches accuracy; as `calibration.Calibration`."""

    accuracy: float
    ece: float
    signed_gap: float
    nll: float
    brier: float
    examples: int
    bins: tuple[Bin, ...]
    maximum: float | None = None
    debiased: float | None = None
    debiased_square: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Calibration as trained, and after one temperature."""

    before: Calibration
    after: Calibration


@dataclass(frozen=True, kw_only=True)
class Label:
    """What was measured of one of several labels; no average precision where it never varies."""

    label: str
    on: float
    accuracy: float
    average_precision: float | None
    ece: float
    nll: float


@dataclass(frozen=True, kw_only=True)
class Hard:
    """A test example with a large loss, its picture as a data address."""

    index: int
    label: int
    predicted: int
    confidence: float
    loss: float
    picture: str | None


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of examples with Wilson's interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often intervals of predicted values cover the truth; as `calibration.Coverage`."""

    levels: tuple[float, ...]
    covered: tuple[Share, ...]
    error: float
    nll: float
    width: float
    examples: int


@dataclass(frozen=True, kw_only=True)
class Risk:
    """The mixup loss; no error where it is exact."""

    value: float
    standard_error: float | None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The expansion of the mixup loss, the mixup loss itself, and what the one misses of it."""

    loss: float
    r1: float
    r2: float
    r3: float
    total: float
    standard_errors: Mapping[str, float]
    spread: float | None = None
    engine: str | None = None
    risk: Risk
    remainder: float
    remainder_standard_error: float


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The terms under one law of mixing weights, before and after training."""

    law: str
    initial: Terms
    final: Terms


@dataclass(frozen=True, kw_only=True)
class Point:
    """Accuracy under an attack of one size, with its interval over examples."""

    eps: float
    accuracy: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Account:
    """What one attack of an ensemble did and cost; as `robustness.Account`."""

    attack: str
    tried: int
    broken: int
    passes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Accuracy against the size of an attack; the last five only of an ensemble."""

    attack: str
    norm: str
    steps: int
    examples: int
    points: tuple[Point, ...]
    accounts: tuple[Account, ...] | None = None
    refused: int | None = None
    undefined: tuple[int, ...] | None = None
    complete: bool | None = None
    draws: int | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorPoint:
    """The root mean squared error of values under an attack of one size."""

    eps: float
    rmse: float


@dataclass(frozen=True, kw_only=True)
class ErrorCurve:
    """The error of values against the size of an attack."""

    attack: str
    norm: str
    steps: int
    points: tuple[ErrorPoint, ...]
    examples: int


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One check for masked gradients; as `robustness.Sign`."""

    passed: bool
    measured: Mapping[str, Any]
    words: str


@dataclass(frozen=True, kw_only=True)
class Masking:
    """The checks for masked gradients, how many failed, and under which attack."""

    signs: Mapping[str, Sign]
    examples: int
    failed: int
    verdict: str
    norm: str
    eps: float


@dataclass(frozen=True, kw_only=True)
class Constant:
    """What always answering the most frequent class of training scores on the test part."""

    answer: str
    accuracy: float
    nll: float | None


@dataclass(frozen=True, kw_only=True)
class Balance:
    """How well each class is recognised: balanced accuracy is the mean of the recalls."""

    balanced_accuracy: float
    recalls: tuple[float | None, ...]
    counts: tuple[int, ...]
    constant: Constant


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that was measured of one trained model; what it is depends on its targets.

    Attributes:
        loss, accuracy: on the training and test parts, for a search on the validation part.
        gap: between training and test part.
        bound: on the loss, of linear models with one output.
        temperature: fitted on validation data.
        temperature_at_limit: whether that data did not determine it.
        calibration: before and after it.
        balance: recalls of the classes, and what a constant answer scores.
        labels_right, average_precision, labels: of several labels for each example.
        hardest: test examples, the worst first.
        rmse, mae, r2, coverage: of values.
        explanation: what mixing adds to the loss.
        robustness: accuracy under attacks.
        robust_rmse: the error of values under attacks.
        masking: signs of masked gradients.
    """

    loss: Parts | None = None
    gap: Gap | None = None
    bound: Bound | None = None
    accuracy: Parts | None = None
    temperature: float | None = None
    temperature_at_limit: bool | None = None
    calibration: Scaled | None = None
    balance: Balance | None = None
    labels_right: float | None = None
    average_precision: float | None = None
    labels: tuple[Label, ...] | None = None
    hardest: tuple[Hard, ...] | None = None
    rmse: float | None = None
    mae: float | None = None
    r2: float | None = None
    coverage: Coverage | None = None
    explanation: Explanation | None = None
    robustness: tuple[Curve, ...] | None = None
    robust_rmse: tuple[ErrorCurve, ...] | None = None
    masking: Masking | None = None
