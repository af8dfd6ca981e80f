"""Whether the best of all trials beats a benchmark by more than luck and search allow.

Decides one p-value: Hansen's test for superior predictive ability (SPA), studentised, with the
consistent recentring (SPA_c) and the bounds SPA_l and SPA_u beside it, over the stationary
bootstrap. Never chooses a trial. Rule: a draw's mean is divided by that draw's own deviation, as
the record's is by the record's, so that the draws know what two years leave open about it; with one
deviation for all draws the test promised 5 % and gave 6 to 7 (docs/decisions/0006).

Sources: Hansen: A test for superior predictive ability, J. of Business & Economic Statistics
23(4), 2005, eqs. 5-8; Romano, Wolf: Stepwise multiple testing as formalized data snooping,
Econometrica 73(4), 2005, section 4 (studentised draws).
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from features.errors import InputError
from features.types import FloatArray
from flows.research.bootstrap import (
    drawn_means,
    long_run_variance,
    stationary_blocks,
    stationary_counts,
)

# Of the record's variance, the least that a draw's may be: a trial of a handful of trades, one of
# them a great loss, has draws without it in which nothing seems to vary.
VARIANCE_MIN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Superiority:
    """Result of the SPA test; ``consistent`` is the p-value to act on."""

    lower: float
    consistent: float
    upper: float
    statistic: float
    best: int
    draws: int
    block_mean: float


def superior_ability(
    excess: FloatArray, *, block_mean: float, draws: int, rng: np.random.Generator
) -> Superiority:
    """Test that no column of ``excess`` has a positive mean.

    Parameters
    ----------
    excess
        Returns over the benchmark per period, shape (periods, trials), no NaN. Columns that never
        move carry no evidence and are left out.
    block_mean
        Mean block length of the stationary bootstrap, in periods, >= 1.
    draws
        Number of bootstrap draws.
    rng
        Source of randomness.

    Returns
    -------
    Superiority
        p-values in [1/(draws+1), 1]: (1 + exceedances) / (1 + draws), so never an exact 0.

    Raises
    ------
    InputError
        Fewer than 10 periods or a block length below 1.
    """
    periods = int(excess.shape[0])
    if periods < 10:
        raise InputError(f"the SPA test needs at least 10 periods, got {periods}")
    if block_mean < 1.0:
        raise InputError(f"the mean block must be >= 1 period, got {block_mean}")
    live = np.flatnonzero(excess.std(axis=0) > 1e-12)
    if live.size == 0:
        return Superiority(
            lower=1.0,
            consistent=1.0,
            upper=1.0,
            statistic=0.0,
            best=0,
            draws=draws,
            block_mean=block_mean,
        )
    returns = excess[:, live]
    mean = returns.mean(axis=0)
    omega = np.sqrt(long_run_variance(returns, block_mean))
    scaled = sqrt(periods) * mean / omega
    statistic = max(float(scaled.max()), 0.0)
    shift, variance = drawn_means(
        returns - mean, stationary_blocks(periods, block_mean, draws, rng)
    )
    spread = np.sqrt(np.maximum(variance, VARIANCE_MIN * omega * omega) / periods)
    # Hansen eq. 8: only trials that are not hopelessly bad keep their place in the null.
    keep = scaled >= -sqrt(2.0 * log(log(periods)))
    centre = {
        "upper": np.zeros_like(mean),
        "consistent": np.where(keep, 0.0, mean),
        "lower": np.minimum(mean, 0.0),
    }
    p = {
        name: (1 + int(np.sum(((shift + at) / spread).max(axis=1) >= statistic))) / (draws + 1)
        if statistic > 0.0
        else 1.0
        for name, at in centre.items()
    }
    return Superiority(
        lower=p["lower"],
        consistent=p["consistent"],
        upper=p["upper"],
        statistic=statistic,
        best=int(live[int(scaled.argmax())]),
        draws=draws,
        block_mean=block_mean,
    )


def chances_not_worse(
    ours: FloatArray,
    theirs: FloatArray,
    *,
    block_mean: float,
    draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the share of stationary-bootstrap draws in which our Sharpe ratio is at least theirs.

    Parameters
    ----------
    ours
        Daily returns, shape (n,).
    theirs
        Those of k others on the same days, shape (n, k). Days are drawn together, so that what all
        owe to the same market cancels.

    Returns
    -------
    FloatArray
        Shape (k,).
    """
    counts = stationary_counts(int(ours.size), block_mean, draws, rng)
    every = np.column_stack([ours, theirs])
    mean = counts @ every / ours.size
    spread = np.sqrt(np.maximum(counts @ (every * every) / ours.size - mean * mean, 0.0))
    ratio = np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 1e-12)
    return np.asarray(np.mean(ratio[:, :1] >= ratio[:, 1:], axis=0), dtype=np.float64)
