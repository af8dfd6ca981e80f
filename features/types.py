"""The market data that every part passes around.

Decides the shape of a candle, of columns of candles and of funding settlements. Never checks
prices (``features.validation`` does) and never computes. Rule: frozen, slotted, keyword-only;
times are int UTC milliseconds; a candle is named by ``open_ms`` and may be used only at its close.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One closed bar. Prices in quote currency, ``volume`` in base units."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candles:
    """Columns of closed bars of one symbol, ascending by ``open_ms``; arrays of shape (n,)."""

    interval_ms: int
    open_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    @property
    def n(self) -> int:
        """Number of bars."""
        return int(self.open_ms.size)

    @property
    def close_ms(self) -> IntArray:
        """Time at which each bar may be used, shape (n,)."""
        return self.open_ms + self.interval_ms

    def slice(self, start: int, stop: int) -> "Candles":
        """Return bars ``start`` to ``stop`` (exclusive) as views."""
        cut = slice(start, stop)
        return Candles(
            interval_ms=self.interval_ms,
            open_ms=self.open_ms[cut],
            open=self.open[cut],
            high=self.high[cut],
            low=self.low[cut],
            close=self.close[cut],
            volume=self.volume[cut],
        )

    def candle(self, index: int) -> Candle:
        """Return bar ``index`` as plain Python numbers."""
        return Candle(
            open_ms=int(self.open_ms[index]),
            open=float(self.open[index]),
            high=float(self.high[index]),
            low=float(self.low[index]),
            close=float(self.close[index]),
            volume=float(self.volume[index]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Funding:
    """Funding settlements of one symbol, ascending; a positive ``rate`` is paid by longs."""

    time_ms: IntArray
    rate: FloatArray
