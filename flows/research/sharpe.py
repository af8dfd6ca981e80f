"""What a Sharpe ratio is worth after its sample size, its tails and the number of attempts.

Decides nothing: every function maps plain numbers to a number. Ratios are *per period* (never
annualised inside), kurtosis is raw (3 for a normal), and formulas that differ between papers carry
the paper's year in their name. The 2012/2014 forms are the defaults here: they are the stricter.
Rule: a function is named after its source, and a published figure in the tests pins it.

Sources
-------
[2012] Bailey, López de Prado: The Sharpe ratio efficient frontier, J. Risk 15(2).
[2014] Bailey, López de Prado: The deflated Sharpe ratio, J. Portfolio Management 40(5).
[MinBTL] Bailey, Borwein, López de Prado, Zhu: Pseudo-mathematics, Notices of the AMS 61(5), 2014.
[2025] López de Prado, Lipton, Zoonekynd: How to use the Sharpe ratio, 2025.
"""

from dataclasses import dataclass
from math import e, inf, pi, sqrt

import numpy as np
from scipy.special import ndtr, ndtri

from features.types import FloatArray

EULER_GAMMA = 0.5772156649015329


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpeMoments:
    """Moments of a return series that every statistic below needs; all per period."""

    sharpe: float
    periods: int
    skew: float
    kurtosis: float


def sharpe_moments(returns: FloatArray) -> SharpeMoments:
    """Return the per-period Sharpe ratio, length, skew and raw kurtosis of ``returns``, shape (n,).

    A series without variance has Sharpe ratio 0, skew 0 and kurtosis 3. NaN is not accepted.
    """
    n = int(returns.size)
    if n < 2:
        return SharpeMoments(sharpe=0.0, periods=n, skew=0.0, kurtosis=3.0)
    centred = returns - returns.mean()
    variance = float(np.mean(centred * centred))
    if variance <= 1e-24:
        return SharpeMoments(sharpe=0.0, periods=n, skew=0.0, kurtosis=3.0)
    scaled = centred / sqrt(variance)
    return SharpeMoments(
        sharpe=float(returns.mean()) / sqrt(variance * n / (n - 1)),
        periods=n,
        skew=float(np.mean(scaled**3)),
        kurtosis=float(np.mean(scaled**4)),
    )


def probabilistic_sharpe_2012(moments: SharpeMoments, benchmark: float = 0.0) -> float:
    """Return P(true Sharpe > ``benchmark``), [2012] eq. 9; variance taken at the observed ratio."""
    if moments.periods < 2:
        return 0.5
    error = _variance_2012(moments)
    return float(ndtr((moments.sharpe - benchmark) * sqrt(moments.periods - 1) / sqrt(error)))


def minimum_track_record_2012(
    moments: SharpeMoments, benchmark: float = 0.0, alpha: float = 0.05
) -> float:
    """Return how many periods prove Sharpe > ``benchmark`` at level ``alpha``, [2012] eq. 11.

    Infinite where the observed ratio is not above the benchmark.
    """
    excess = moments.sharpe - benchmark
    if excess <= 0.0:
        return inf
    return float(1.0 + _variance_2012(moments) * (ndtri(1.0 - alpha) / excess) ** 2)


def expected_max_normal(trials: float) -> float:
    """Return the expected largest of ``trials`` standard normals, [2014] eq. 6; 0 for one trial."""
    if trials <= 1.0:
        return 0.0
    return float(
        (1.0 - EULER_GAMMA) * ndtri(1.0 - 1.0 / trials)
        + EULER_GAMMA * ndtri(1.0 - 1.0 / (trials * e))
    )


def deflated_sharpe_2014(moments: SharpeMoments, trials: float, variance: float) -> float:
    """Return P(true Sharpe > the best of ``trials`` worthless ones), [2014] eq. 9.

    Parameters
    ----------
    moments
        Of the chosen trial's returns.
    trials
        Number of independent trials (see :func:`effective_trials`).
    variance
        Cross-trial variance of the per-period Sharpe ratios.
    """
    benchmark = sqrt(max(variance, 0.0)) * expected_max_normal(trials)
    return probabilistic_sharpe_2012(moments, benchmark)


def minimum_backtest_years(trials: float, sharpe_annual: float = 1.0) -> float:
    """Return the years below which ``trials`` worthless trials show ``sharpe_annual``, [MinBTL]."""
    return (expected_max_normal(trials) / sharpe_annual) ** 2


def probabilistic_sharpe_2025(
    moments: SharpeMoments, benchmark: float = 0.0, spread: float = 1.0
) -> float:
    """Return P(true Sharpe > ``benchmark``), [2025]; variance taken at the benchmark.

    ``spread`` is the standard deviation of the largest of the trials, 1 for a single trial.
    """
    if moments.periods < 1:
        return 0.5
    error = _variance_2025(moments, benchmark) / moments.periods
    return float(ndtr((moments.sharpe - benchmark) / (spread * sqrt(error))))


def minimum_track_record_2025(
    moments: SharpeMoments, benchmark: float = 0.0, alpha: float = 0.05
) -> float:
    """Return how many periods prove Sharpe > ``benchmark``, [2025]; infinite where it is below."""
    excess = moments.sharpe - benchmark
    if excess <= 0.0:
        return inf
    return float(_variance_2025(moments, benchmark) * (ndtri(1.0 - alpha) / excess) ** 2)


def deflated_sharpe_2025(moments: SharpeMoments, trials: int, variance: float) -> float:
    """Return P(true Sharpe > the best of ``trials`` worthless ones), [2025]."""
    benchmark = sqrt(max(variance, 0.0)) * expected_max_normal(trials)
    return probabilistic_sharpe_2025(moments, benchmark, spread_max_normal(trials))


def spread_max_normal(trials: int) -> float:
    """Return the standard deviation of the largest of ``trials`` normals (by quadrature)."""
    x = np.linspace(-9.0, 9.0, 20_001)
    density = trials * np.exp(-x * x / 2.0) / sqrt(2.0 * pi) * ndtr(x) ** (trials - 1)
    mean = float(np.trapezoid(x * density, x))
    return sqrt(float(np.trapezoid((x - mean) ** 2 * density, x)))


def effective_trials(series: FloatArray) -> float:
    """Return how many independent trials the columns of ``series``, shape (periods, k), amount to.

    [2014] appendix A.3: N = ρ̄ + (1 − ρ̄)·k with ρ̄ the mean pairwise correlation, held in [0, 1].
    Columns without variance count for nothing.
    """
    live = series[:, series.std(axis=0) > 1e-12] if series.size else series
    k = int(live.shape[1]) if live.ndim == 2 else 0
    if k < 2:
        return float(k)
    correlation = np.corrcoef(live, rowvar=False)
    mean = float((correlation.sum() - k) / (k * (k - 1)))
    mean = min(1.0, max(0.0, mean))
    return mean + (1.0 - mean) * k


def _variance_2012(moments: SharpeMoments) -> float:
    s = moments.sharpe
    return max(1e-12, 1.0 - moments.skew * s + (moments.kurtosis - 1.0) / 4.0 * s * s)


def _variance_2025(moments: SharpeMoments, benchmark: float) -> float:
    b = benchmark
    return max(1e-12, 1.0 - moments.skew * b + (moments.kurtosis - 1.0) / 4.0 * b * b)
