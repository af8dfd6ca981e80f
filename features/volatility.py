"""The per-bar volatility that labels, slippage, sizing and the paper exchange share.

Decides the number called ``volatility_96``: the root mean square of the log returns of the last 96
bars (their standard deviation about zero), a fraction per bar. Never annualises.
Rule: whoever needs "the volatility" takes this one.
"""

import math
from collections.abc import MutableSequence

VOLATILITY_WINDOW = 96

Volatility = tuple[int, int, float, float]  # closes seen, block, last close, sum of squares
VOLATILITY_START: Volatility = (0, -1, 1.0, 0.0)


def bar_volatility(
    state: Volatility, ring: MutableSequence[float], index: int, close: float
) -> tuple[Volatility, float]:
    """Return the state and the volatility after a bar, NaN until 96 returns were seen.

    Parameters
    ----------
    state : tuple
        ``VOLATILITY_START``, or what the last call returned.
    ring : mutable sequence of float, length 96
        The last squared returns; changed in place.
    index : int
        Absolute bar index, ``open_ms // interval_ms``: the sum is taken anew in every block of 96.
    close : float
        Close of the bar, above 0.
    """
    return windowed_volatility(state, ring, VOLATILITY_WINDOW, index, close)


def windowed_volatility(
    state: Volatility, ring: MutableSequence[float], window: int, index: int, close: float
) -> tuple[Volatility, float]:
    """Return the state and the volatility of the last ``window`` returns, NaN until there are.

    The sum of squares is taken anew, from the oldest, at the first bar of every block of
    ``window`` absolute indices, so two histories agree to the last bit after 2·window + 1 bars.
    """
    count, block, last, total = state
    now = index // window
    if count == 0:
        return (1, now, close, 0.0), math.nan
    change = math.log(close / last)
    slot = (count - 1) % window
    old = ring[slot] if count > window else 0.0
    ring[slot] = change * change
    if now != block:
        held = min(count, window)
        total = 0.0
        for i in range(held):
            total += ring[(count - held + i) % window]
    else:
        total += ring[slot] - old
    value = math.nan
    if count >= window:
        value = math.sqrt(total / window) if total > 0.0 else 0.0
    return (count + 1, now, close, total), value
