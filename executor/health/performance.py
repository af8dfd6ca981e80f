"""How the account has done, from closed trades and the equity at each close.

Decides the formulas of the figures shown. Never feeds a decision. Rule: fractions, not percent;
too little data gives 0, never NaN, because Redis readers expect numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(slots=True)
class EquityCurve:
    """The equity at every close, taken in one by one; holds sums and none of the values."""

    max_drawdown: float = 0.0
    last: float = 0.0
    peak: float = 0.0
    returns: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def note(self, equity: float) -> None:
        """Take in the equity at a close.

        ``max_drawdown`` is the largest drop from a peak so far, as a positive fraction. Mean and
        spread of the returns are kept up by Welford's recurrence.
        """
        self.peak = max(self.peak, equity)
        if self.peak > 0.0:
            self.max_drawdown = max(self.max_drawdown, 1.0 - equity / self.peak)
        if self.last > 0.0:
            value = equity / self.last - 1.0
            self.returns += 1
            away = value - self.mean
            self.mean += away / self.returns
            self.squares += away * (value - self.mean)
        self.last = equity

    def sharpe(self, interval_ms: int) -> float:
        """Return the annualised mean over standard deviation of the bar returns, rate 0."""
        if self.returns < BARS_MIN or self.squares <= 0.0:
            return 0.0
        deviation = math.sqrt(self.squares / (self.returns - 1))
        return self.mean / deviation * math.sqrt(YEAR_MS / interval_ms)
