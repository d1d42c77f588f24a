"""Standard errors from few independent parts, widened so that 1.96 of them cover what they should.

An error that is itself estimated from ν degrees of freedom is too small as often as too large, and
the value lies beyond 1.96 of it more often than in 5 % of cases: in 7 % at ν = 15, in 14 % at 3.
Multiplied by t_ν(0.975)/1.96 it is beyond in 5 %.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtrit
from torch import Tensor

COVERED = 0.975


def widened(error: float, freedom: float) -> float:
    """A standard error estimated with so many degrees of freedom, times t_ν(0.975)/1.96."""
    if not error > 0:
        return error
    return error * float(stdtrit(max(freedom, 1.0), COVERED) / ndtri(COVERED))


def of_parts(means: Float[np.ndarray, " parts"]) -> float:
    """The standard error of the mean of independent parts of equal size, widened."""
    error = float(np.std(means, ddof=1)) / len(means) ** 0.5
    return widened(error, len(means) - 1)


def of_sum(variances: Float[Tensor, " n"], freedom: int) -> float:
    """The standard error of a sum of independent numbers, widened.

    The variance of the sum is the sum of the variances; where a few of these rule it, or they
    differ much, it is known as badly as they are.

    Args:
        variances: of each number, estimated without bias.
        freedom: degrees of freedom of each of them.

    Source:
        Satterthwaite (1946), Biometrics Bulletin 2; Welch (1947), Biometrika 34.
    """
    total = float(variances.sum())
    if not total > 0:
        return 0.0
    share = variances / total  # first, so that nothing under- or overflows
    return widened(total**0.5, freedom / float(share.square().sum()))
