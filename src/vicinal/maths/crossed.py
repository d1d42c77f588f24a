"""Intervals for data like these: from differences of single examples, or of any measure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int, Shaped

from vicinal.maths.intervals import DataInterval, Sampling, check_level, combined

Values = Sequence[Shaped[np.ndarray, " _"]] | Shaped[np.ndarray, "_ _"]
"""For each seed one value of each of its test examples; the seeds may have other examples."""
Numbers = Sequence[Shaped[np.ndarray, "_ ..."]] | Shaped[np.ndarray, "_ _ ..."]
"""The same of several values each."""
Places = list[Int[np.ndarray, " _"]]
"""For each seed, the column of each of its test examples in the table of seeds and examples."""
Statistic = Callable[
    [Shaped[np.ndarray, "n ..."], Float[np.ndarray, "b n"]], Float[np.ndarray, " b"]
]
"""From numbers and b rows of weights of examples to b values."""
BLOCK = 100  # resamples at once: 40 MB for 50,000 examples


def data_interval(
    differences: Values,
    rows: Values | None = None,
    *,
    fixed: bool,
    train: int | None = None,
    pool: float | None = None,
    level: float = 0.95,
) -> DataInterval:
    r"""The difference to expect on data like these, from differences of single test examples.

    With Σ_st the covariance over examples that seeds s and t share, divided by n², summed over
    them, the variance of the mean over k seeds is estimated without bias by

        V = s_d²/k + C + c σ_b²,     C = mean of Σ_st over s ≠ t

    s_d² has k-1 degrees of freedom. C is what seeds share by testing on the same examples; a
    fixed test part and re-drawn splits differ only in how many. σ_b² is what s_d² has beyond the
    sampling of examples, not below 0. c stands for shared training examples, which no study of
    one pool can see. Of the pool, seeds train on a share r. Where examples add up in what a
    training part does, r of its variance is shared; and where a new training part moves the
    difference no more than seeds are seen to move it, c = r is enough.
    Each part has its own quantile of Student's law, squared (Banerjee), which is cautious for
    every ratio of parts:

        h² = t²_{k-1} s_d²/k + t²_ν C + c max(0, t²_{k-1} s_d² - t²_ν A),     σ_b² = s_d² - A

    h is never less than from the sampling of examples alone, which is all there is for one seed,
    or for seeds that are equal. ν is Satterthwaite's, from the kurtosis of the examples: where
    few differ, few degrees.

    Args:
        differences: for each seed e_si = method minus baseline of each of its test examples:
            correctness (0 or 1) or loss.
        rows: for each seed the names of these examples, in which the same example has the same
            name. None for one fixed test part in one order.
        fixed: whether one test part serves all seeds; otherwise each seed draws its own.
        train: number of training examples of a seed. Not needed for one seed.
        pool: number of examples from which training parts are drawn. By default
            `train` + test examples for re-drawn splits, and `train` (all seeds train on the same
            examples) for a fixed test part. `math.inf` for fresh data at every seed.
        level: coverage, in (0, 1).

    Returns:
        DataInterval. For one seed it is about the two trained models, on new examples.

    Raises:
        ValueError: if there is no seed, or a test part has fewer than 2 examples, differs in
            length from its rows or repeats one; if values are not finite, rows are missing or
            different where needed; if train, pool or level are impossible.

    Source:
        Owen (2007), Annals of Applied Statistics 1, for the crossed table; Nadeau and Bengio
        (2003), Machine Learning 52, for overlapping splits; Banerjee (1960), Sankhyā 22.

    Example:
        >>> right = np.random.default_rng(0).random((5, 400)) < 0.9
        >>> data_interval(right - right[::-1].astype(float), fixed=True, train=1000).mean
        0.0
    """
    check_level(level)
    values = [np.asarray(part, dtype=float) for part in differences]
    places = _places([len(part) for part in values], rows, fixed)
    if not all(np.isfinite(part).all() for part in values):
        raise ValueError("differences of examples must be finite; leave out seeds that failed.")
    sampling = _of_means(values, places)
    training = _training(len(values), sampling.examples, fixed, train, pool)
    return combined([float(part.mean()) for part in values], sampling, training, level)


def statistic_interval(
    statistic: Statistic,
    method: Numbers,
    baseline: Numbers,
    rows: Values | None = None,
    *,
    rng: np.random.Generator,
    fixed: bool,
    train: int | None = None,
    pool: float | None = None,
    resamples: int = 500,
    level: float = 0.95,
) -> DataInterval:
    """The same for a measure that is no mean over examples, such as the ECE, RMSE or AUC.

    Examples are resampled, in one draw for all seeds and both methods: two seeds vary together
    as far as the same examples move both. Their covariances take the place of Σ in
    `data_interval`. Seeds are not resampled: of k seeds that would lose a share 1/k of their
    variance, half of it for two; s_d² loses nothing.

    Resamples of a measure with kinks, such as the ECE, vary more than samples do: of |z| with z
    normal around 0 by a factor 1.55. So only half of A is taken off s_d².

    It is about the measure as computed of a test part of this size, its bias included.

    Args:
        statistic: from numbers of the examples of one method at one seed, along the first axis,
            and weights (b, n), to b values. Must not depend on the scale of the weights.
        method: numbers of each seed of one method.
        baseline: the same of the other.
        rows: as in `data_interval`.
        rng: where the resamples come from.
        fixed: as in `data_interval`.
        train: as in `data_interval`.
        pool: as in `data_interval`.
        resamples: how many, at least 100.
        level: coverage, in (0, 1).

    Raises:
        ValueError: as `data_interval`; for methods of different seeds or examples; for fewer
            than 100 resamples.

    Source:
        Owen (2007), Annals of Applied Statistics 1: of the pigeonhole bootstrap, the examples.
    """
    check_level(level)
    lengths = [len(numbers) for numbers in method]
    if lengths != [len(numbers) for numbers in baseline]:
        raise ValueError("method and baseline must have the same seeds and test examples.")
    if not resamples >= 100:
        raise ValueError(f"resamples must be at least 100, got {resamples}.")
    places = _places(lengths, rows, fixed)
    whole = _differences(statistic, method, baseline, [np.ones((1, n)) for n in lengths])[:, 0]
    shares = np.full(_count(places), 1 / _count(places))
    blocks = []
    for start in range(0, resamples, BLOCK):
        size = min(BLOCK, resamples - start)
        drawn = rng.multinomial(len(shares), shares, size=size).astype(float)
        weights = [drawn[:, place] for place in places]
        blocks.append(_differences(statistic, method, baseline, weights))
    sampling = _of_resamples(np.concatenate(blocks, 1), places)
    training = _training(len(whole), sampling.examples, fixed, train, pool)
    return combined(whole.tolist(), sampling, training, level)


def resplit_interval(
    differences: Sequence[float], *, train: int, test: int, level: float = 0.95
) -> DataInterval:
    r"""For data like these from one difference per seed, each of its own split of one pool.

    Nadeau and Bengio's $\bar d \pm t_{k-1} s_d \sqrt{1/k + n_{test}/n_{train}}$, for records that
    do not know their test examples. With a fixed test part, means alone give no interval for new
    data, at any number of seeds.

    Args:
        differences: one per seed, finite.
        train: number of training examples of a seed.
        test: number of its test examples.
        level: coverage, in (0, 1).

    Returns:
        DataInterval; without ends for a single seed and for equal differences.

    Raises:
        ValueError: if there is no difference, one is not finite, or a number is impossible.

    Source:
        Nadeau and Bengio (2003), Machine Learning 52, section 3.

    Example:
        >>> round(resplit_interval([0.0, 1.0, 2.0], train=800, test=200).high, 2)
        4.29
    """
    check_level(level)
    values = np.asarray(differences, dtype=float)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"need one or more finite differences, got {list(differences)}.")
    if not (train >= 1 and test >= 1):
        raise ValueError(f"train and test must be at least 1, got {train} and {test}.")
    unknown = Sampling(0.0, 0.0, 0.0, math.inf, 0.0, test)
    return replace(combined(list(values), unknown, test / train, level), means_only=True)


def _differences(
    statistic: Statistic,
    method: Numbers,
    baseline: Numbers,
    weights: Sequence[Float[np.ndarray, "b _"]],
) -> Float[np.ndarray, "k b"]:
    """Of each seed, for each row of its weights."""
    parts = zip(method, baseline, weights, strict=True)
    return np.stack([statistic(one, row) - statistic(two, row) for one, two, row in parts])


def _places(lengths: Sequence[int], rows: Values | None, fixed: bool) -> Places:
    """Where each example stands."""
    if not lengths or min(lengths) < 2:
        raise ValueError(f"need one or more seeds of 2 or more examples, got {list(lengths)}.")
    if rows is None:
        if len(set(lengths)) > 1 or not (fixed or len(lengths) == 1):
            raise ValueError(
                "rows are needed where test parts differ between seeds: the names of their "
                "examples, the same for the same example."
            )
        return [np.arange(lengths[0])] * len(lengths)
    if [len(names) for names in rows] != list(lengths):
        raise ValueError("rows must name each test example of each seed.")
    every, inverse = np.unique(np.concatenate(list(rows)), return_inverse=True)
    places = np.split(inverse, np.cumsum(lengths)[:-1])
    if any(len(np.unique(place)) < len(place) for place in places):
        raise ValueError("rows must name each example of a seed once; some stand twice.")
    if fixed and any(len(place) < len(every) for place in places):
        raise ValueError(
            "records of different test sets: with a fixed test part all seeds name the same rows."
        )
    return places


def _count(places: Places) -> int:
    return int(max(place.max() for place in places)) + 1


def _overlap(places: Places) -> float:
    """The share of a test part that two seeds have in common, mean over pairs."""
    k, total = len(places), sum(map(len, places))
    times = np.bincount(np.concatenate(list(places)))
    return float((times * (times - 1)).sum() / (total * (k - 1))) if k > 1 else 1.0


def _size(places: Places) -> int:
    return round(sum(map(len, places)) / len(places))


def _of_means(values: Sequence[Float[np.ndarray, " _"]], places: Places) -> Sampling:
    """Covariances of means, from the examples themselves."""
    k, every, n = len(values), _count(places), _size(places)
    table = np.zeros((k, every))  # what each example adds to the mean of each seed
    for seed, (part, place) in enumerate(zip(values, places, strict=True)):
        table[seed, place] = (part - part.mean()) / (len(part) * (len(part) - 1)) ** 0.5
    own = float((table**2).sum() / k)
    squares = table.mean(0) ** 2
    mean = float(squares.sum())
    shared = (k * mean - own) / (k - 1) if k > 1 else 0.0
    # Satterthwaite: a sum of squares has variance 2 mean² / degrees
    noise = float((squares**2).sum() - mean**2 / every)
    degrees = min(max(1.0, 2 * mean**2 / noise), every - 1.0) if noise > 0 else every - 1.0
    if all(np.isin(part, (-1, 0, 1)).all() for part in values):
        # as if one example each way had differed: that none did is no proof of equality
        mean = max(mean, 2 / every**2)
    return Sampling(own, shared, mean, degrees, _overlap(places), n)


def _of_resamples(moved: Float[np.ndarray, "k b"], places: Places) -> Sampling:
    """The same of any measure, from its resamples."""
    k, overlap = len(moved), _overlap(places)
    table = np.atleast_2d(np.cov(moved))
    own = float(np.trace(table)) / k
    shared = (float(table.sum()) - k * own) / (k * (k - 1)) if k > 1 and overlap else 0.0
    mean = own / k + shared * (k - 1) / k
    own = shared + max(0.0, own - shared) / 2  # see statistic_interval
    degrees = 1 / (1 / (_count(places) - 1) + 1 / (moved.shape[1] - 1))
    return Sampling(own, shared, mean, degrees, overlap, _size(places))


def _training(seeds: int, test: int, fixed: bool, train: int | None, pool: float | None) -> float:
    """What shared training examples add to the variance, as a multiple of that of seeds."""
    if seeds == 1:
        return 0.0
    if train is None or not train >= 1:
        raise ValueError(f"train must be the number of training examples, got {train}.")
    whole = pool if pool is not None else train if fixed else train + test
    if not whole >= train:
        raise ValueError(f"pool must hold the {train} training examples, got {pool}.")
    return train / whole
