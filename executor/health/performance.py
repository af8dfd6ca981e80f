"""How the account has done, from closed trades and the equity at each close.

Decides the formulas of the figures shown. Never feeds a decision. Rule: fractions, not percent;
too little data gives 0, never NaN, because Redis readers expect numbers.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Final

from executor.core.types import Trade

YEAR_MS: Final = 31_557_600_000
RECENT: Final = 50
BARS_MIN: Final = 10


def win_rate(trades: Sequence[Trade]) -> float:
    """Return the share of trades with a net gain, 0 where there is none."""
    return sum(trade.pnl > 0.0 for trade in trades) / len(trades) if trades else 0.0


def profit_factor(trades: Sequence[Trade]) -> float:
    """Return net gains over net losses, 99 at most (and where nothing was lost)."""
    gains = sum(trade.pnl for trade in trades if trade.pnl > 0.0)
    losses = -sum(trade.pnl for trade in trades if trade.pnl < 0.0)
    if losses > 0.0:
        return min(99.0, gains / losses)
    return 99.0 if gains > 0.0 else 0.0


def max_drawdown(equity: Sequence[float]) -> float:
    """Return the largest drop from a peak as a positive fraction."""
    peak, worst = 0.0, 0.0
    for value in equity:
        peak = max(peak, value)
        if peak > 0.0:
            worst = max(worst, 1.0 - value / peak)
    return worst


def sharpe(equity: Sequence[float], interval_ms: int) -> float:
    """Return the annualised mean over standard deviation of the bar returns, rate 0."""
    returns = [b / a - 1.0 for a, b in itertools.pairwise(equity) if a > 0.0]
    if len(returns) < BARS_MIN:
        return 0.0
    mean = math.fsum(returns) / len(returns)
    variance = math.fsum((r - mean) * (r - mean) for r in returns) / (len(returns) - 1)
    if variance <= 0.0:
        return 0.0
    return mean / math.sqrt(variance) * math.sqrt(YEAR_MS / interval_ms)
