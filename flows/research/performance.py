"""How a series of daily net returns and its trades read in the trade's own words.

Decides nothing: numbers in, named numbers out. Never annualises by trading days: crypto trades on
365. Rule: returns and drawdowns are fractions, drawdown is positive, durations say their unit, and
a figure that does not exist (no trade, no loss) is NaN, never 0 or infinity.
"""

from math import nan, sqrt

import numpy as np
from numpy.typing import NDArray

from features.types import FloatArray

DAYS_A_YEAR = 365.0
MEMORY_DAYS_MIN = 30


def sharpe_annual(daily: FloatArray) -> float:
    """Return the annualised Sharpe ratio of daily returns; 0 for a series that never moves."""
    spread = float(daily.std(ddof=1)) if daily.size > 1 else 0.0
    if spread <= 1e-12:
        return 0.0
    return float(daily.mean()) / spread * sqrt(DAYS_A_YEAR)


def memory_days(daily: FloatArray, most: int = 30) -> int:
    """Return the days after which the series' autocorrelation is noise: ρ within ±1.96/√n.

    0 where the very next day is, and for less than 30 days.
    """
    n = int(daily.size)
    centred = daily - daily.mean() if n else daily
    power = float(centred @ centred)
    if n < MEMORY_DAYS_MIN or power <= 0.0:
        return 0
    bound = 1.96 / sqrt(n)
    for lag in range(1, min(most, n - 1) + 1):
        if abs(float(centred[lag:] @ centred[:-lag])) / power <= bound:
            return lag - 1
    return most


def equity_curve(daily: FloatArray) -> FloatArray:
    """Return equity from 1.0, compounded daily, shape (days + 1,)."""
    return np.concatenate(([1.0], np.cumprod(1.0 + daily)))


def drawdowns(equity: FloatArray) -> FloatArray:
    """Return the fraction below the highest point so far, >= 0."""
    return 1.0 - equity / np.maximum.accumulate(equity)


def longest_below_peak(equity: FloatArray) -> int:
    """Return the most periods spent in a row below an earlier high."""
    return longest_run(drawdowns(equity) > 1e-12)


def longest_run(flags: NDArray[np.bool_]) -> int:
    """Return the length of the longest run of True."""
    if flags.size == 0:
        return 0
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0


def return_metrics(daily: FloatArray) -> dict[str, float]:
    """Return the metrics of a daily series, shape (days,)."""
    if daily.size == 0:
        return {}
    equity = equity_curve(daily)
    years = daily.size / DAYS_A_YEAR
    total = float(equity[-1] - 1.0)
    annual = float(equity[-1] ** (1.0 / years) - 1.0) if equity[-1] > 0.0 else -1.0
    below = np.minimum(daily, 0.0)
    downside = sqrt(float(np.mean(below * below)))
    deepest = float(drawdowns(equity).max())
    return {
        "days": float(daily.size),
        "return_total": total,
        "return_annual": annual,
        "volatility_annual": float(daily.std(ddof=1)) * sqrt(DAYS_A_YEAR)
        if daily.size > 1
        else nan,
        "sharpe": sharpe_annual(daily),
        "sortino": float(daily.mean()) / downside * sqrt(DAYS_A_YEAR) if downside > 0 else nan,
        "calmar": annual / deepest if deepest > 0.0 else nan,
        "max_drawdown": deepest,
        "max_drawdown_days": float(longest_below_peak(equity)),
        "worst_day": float(daily.min()),
        "best_day": float(daily.max()),
    }


def trade_metrics(net: FloatArray, gross: FloatArray, hold_hours: FloatArray) -> dict[str, float]:
    """Return the metrics of round trips in order of entry; returns per unit of notional."""
    n = int(net.size)
    if n == 0:
        return {"trades": 0.0}
    won = net > 0.0
    profit, loss = float(net[won].sum()), -float(net[~won].sum())
    return {
        "trades": float(n),
        "win_rate": float(won.mean()),
        "profit_factor": profit / loss if loss > 0.0 else nan,
        "expectancy": float(net.mean()),
        "gross_mean": float(gross.mean()),
        "cost_mean": float((gross - net).mean()),
        "win_mean": float(net[won].mean()) if won.any() else nan,
        "loss_mean": -float(net[~won].mean()) if not won.all() else nan,
        "hold_hours_mean": float(hold_hours.mean()),
        "hold_hours_median": float(np.median(hold_hours)),
        "hold_hours_max": float(hold_hours.max()),
        "win_streak_max": float(longest_run(won)),
        "loss_streak_max": float(longest_run(~won)),
    }
