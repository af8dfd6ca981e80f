"""Whether the best of all trials beats a benchmark by more than luck and search allow.

Decides one p-value: Hansen's test for superior predictive ability (SPA), studentised, with the
consistent recentring (SPA_c) and the bounds SPA_l and SPA_u beside it, over the stationary
bootstrap. Never chooses a trial. Rule: all randomness comes from the Generator passed in, and the
draws are counts over days times the return matrix, so 5,000 draws cost one matrix product.

Sources: Hansen: A test for superior predictive ability, J. of Business & Economic Statistics
23(4), 2005, eqs. 5-8; Politis, Romano: The stationary bootstrap, JASA 89, 1994.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError
from features.types import FloatArray


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
    counts = stationary_counts(periods, block_mean, draws, rng)
    shift = counts @ returns / periods - mean
    drawn = sqrt(periods) * shift / omega
    # Hansen eq. 8: only trials that are not hopelessly bad keep their place in the null.
    keep = scaled >= -sqrt(2.0 * log(log(periods)))
    centre = {
        "upper": np.zeros_like(scaled),
        "consistent": np.where(keep, 0.0, scaled),
        "lower": np.minimum(scaled, 0.0),
    }
    p = {
        name: (1 + int(np.sum(np.maximum((drawn + offset).max(axis=1), 0.0) >= statistic)))
        / (draws + 1)
        for name, offset in centre.items()
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


def stationary_counts(
    periods: int, block_mean: float, draws: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return how often each period is drawn, shape (draws, periods); every row sums to ``periods``.

    Blocks start anywhere, have geometric lengths of mean ``block_mean`` and wrap around.
    """
    fresh = rng.random((draws, periods)) < 1.0 / block_mean
    fresh[:, 0] = True
    start = rng.integers(0, periods, size=(draws, periods), dtype=np.int32)
    position = np.arange(periods, dtype=np.int32)
    opened = np.where(fresh, position, 0)
    np.maximum.accumulate(opened, axis=1, out=opened)
    index = (np.take_along_axis(start, opened, axis=1) + position - opened) % periods
    index += (np.arange(draws, dtype=np.int64) * periods)[:, None]
    counts = np.bincount(index.ravel(), minlength=draws * periods)
    return counts.reshape(draws, periods).astype(np.float32)


def long_run_variance(returns: FloatArray, block_mean: float) -> FloatArray:
    """Return the variance of √n times the mean that the stationary bootstrap implies.

    Hansen (2005) section 3.2: γ₀ + 2·Σ κ(n, i)·γᵢ with
    κ(n, i) = ((n − i)/n)(1 − q)^i + (i/n)(1 − q)^(n − i), q = 1/``block_mean``.

    Parameters
    ----------
    returns
        Shape (n, k).

    Returns
    -------
    FloatArray
        Shape (k,), at least a thousandth of γ₀ so that a studentised mean stays finite.
    """
    n = int(returns.shape[0])
    centred = returns - returns.mean(axis=0)
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, size, axis=0)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum), size, axis=0)[:n] / n
    lag = np.arange(1, n)
    stay = 1.0 - 1.0 / block_mean
    weight = (n - lag) / n * stay**lag + lag / n * stay ** (n - lag)
    variance = covariance[0] + 2.0 * weight @ covariance[1:]
    return np.asarray(np.maximum(variance, 1e-3 * covariance[0]), dtype=np.float64)
