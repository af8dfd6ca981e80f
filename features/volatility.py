"""The per-bar volatility that labels, slippage, sizing and the paper exchange share.

Decides the number called ``volatility_96``: the root mean square of the log returns of the last 96
bars (their standard deviation about zero), a fraction per bar. Never annualises.
Rule: whoever needs "the volatility" takes this one.
"""

import math
from collections.abc import MutableSequence

VOLATILITY_WINDOW = 96

Squares = tuple[int, int, int, float]  # values held, next slot, index of the next renewal, sum
Volatility = tuple[float, Squares]  # last close, 0 before the first
SQUARES_START: Squares = (0, 0, 0, 0.0)
VOLATILITY_START: Volatility = (0.0, SQUARES_START)


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
    last, squares = state
    if not last > 0.0:
        return (close, squares), math.nan
    squares, value = root_mean_square(
        squares, ring, VOLATILITY_WINDOW, index, math.log(close / last)
    )
    return (close, squares), value


def root_mean_square(
    state: Squares, ring: MutableSequence[float], window: int, index: int, x: float
) -> tuple[Squares, float]:
    """Return the state and the root mean square of the last ``window`` values of x, NaN before.

    The sum of squares is taken anew, from the oldest, at the first bar of every block of
    ``window`` absolute indices, so two histories agree to the last bit after 2·window bars.
    """
    held, slot, renewal, total = state
    square = x * x
    old = ring[slot] if held == window else 0.0
    ring[slot] = square
    slot = slot + 1 if slot + 1 < window else 0
    held = held if held == window else held + 1
    if index >= renewal:
        renewal = (index // window + 1) * window
        total = 0.0
        for at in range(slot, held):
            total += ring[at]
        for at in range(slot):
            total += ring[at]
    else:
        total += square - old
    state = (held, slot, renewal, total)
    if held < window:
        return state, math.nan
    return state, math.sqrt(total / window) if total > 0.0 else 0.0
