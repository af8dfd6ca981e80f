"""The volatility that slippage is reckoned with, followed bar by bar.

Decides which bars it knows: those before the one that has just opened. Never looks at a bar that is
not closed. Rule: the number is ``features.volatility``'s own, to the bit, so that what a fill costs
here is what it costs in the simulation.
"""

import math

from features.types import Candles
from features.volatility import VOLATILITY_START, VOLATILITY_WINDOW, Volatility, bar_volatility

# Windows after which the stream has forgotten where it began.
WARM_WINDOWS = 4


class VolatilityStream:
    """The volatility of one symbol, from ``WARM_WINDOWS`` before the first bar asked for on."""

    def __init__(self) -> None:
        self._state: Volatility = VOLATILITY_START
        self._ring = [0.0] * VOLATILITY_WINDOW
        self._next = -1
        self._value = math.nan

    def before(self, candles: Candles, index: int) -> float:
        """Return ``volatility_96`` as of the bar before ``index``; NaN where it is not known.

        ``index`` may stay or grow from call to call.
        """
        if self._next < 0:
            self._next = max(0, index - WARM_WINDOWS * VOLATILITY_WINDOW)
        numbers = (candles.open_ms[self._next : index] // candles.interval_ms).tolist()
        closes = candles.close[self._next : index].tolist()
        for number, close in zip(numbers, closes, strict=True):
            self._state, self._value = bar_volatility(self._state, self._ring, number, close)
        self._next = max(self._next, index)
        return self._value
