"""Volatility: true range, bands, and deviations from returns and ranges.

Decides estimators per bar. Never annualises. Rule: kernels as in ``moving``; "the volatility" of
the project is ``features.volatility.bar_volatility``, which :func:`realised` repeats on returns.
"""

import math

from features.kernels.momentum import true_range
from features.kernels.windows import (
    Mean,
    Moments,
    Ring,
    mean_start,
    moments,
    moments_start,
    rolling_mean,
)
from features.volatility import SQUARES_START, Squares, root_mean_square

# period, bars, last close, weight of the past, weight of the new, average
Atr = tuple[int, int, float, float, float, float]
Realised = tuple[int, Squares]  # window, its sum


def realised_start(window: int) -> tuple[Realised, Ring]:
    """Return state and ring of :func:`realised` before its first return."""
    return (window, SQUARES_START), [0.0] * window


def realised(state: Realised, ring: Ring, change: float, index: int) -> tuple[Realised, float]:
    """Realised volatility per bar: root mean square of the last n log returns, as a fraction.

    ``change`` is the log return of one bar; NaN for the first n-1 of them. With n = 96 it is the
    project's ``volatility_96``.
    """
    window, squares = state
    squares, value = root_mean_square(squares, ring, window, index, change)
    return (window, squares), value


def parkinson_start(window: int) -> tuple[Mean, Ring]:
    """Return state and ring of :func:`parkinson` before its first bar."""
    return mean_start(window)


def parkinson(state: Mean, ring: Ring, high: float, low: float, index: int) -> tuple[Mean, float]:
    """Parkinson's volatility per bar from ranges: sqrt(mean of log(high/low)² / (4·log 2)).

    A fraction; NaN for the first n-1 bars. Source: Parkinson 1980.
    """
    span = math.log(high / low)
    state, mean = rolling_mean(state, ring, span * span, index)
    if math.isnan(mean):
        return state, math.nan
    return state, math.sqrt(mean / 2.772588722239781) if mean > 0.0 else 0.0


def atr_start(period: int) -> Atr:
    """Return the state of :func:`atr` before its first bar."""
    return (period, 0, 0.0, (period - 1.0) / period, 1.0 / period, 0.0)


def atr(state: Atr, high: float, low: float, close: float) -> tuple[Atr, float]:
    """Average true range in units of the price, Wilder's average; NaN for the first n bars.

    Source: Wilder 1978; TA-Lib ``ATR``.
    """
    period, count, last, past, new, value = state
    count += 1
    if count == 1:
        return (period, count, close, past, new, 0.0), math.nan
    span = true_range(last, high, low)
    if count <= period + 1:
        value += span
        if count <= period:
            return (period, count, close, past, new, value), math.nan
        value *= new
    else:
        value = value * past + span * new
    return (period, count, close, past, new, value), value


def bollinger_start(window: int) -> tuple[Moments, Ring]:
    """Return state and ring of :func:`bollinger` before its first close."""
    return moments_start(window)


def bollinger(
    state: Moments, ring: Ring, close: float, index: int
) -> tuple[Moments, tuple[float, float]]:
    """Bollinger's bands at mean ± 2σ over n closes: (%b, width).

    %b = (close - lower)/(upper - lower), 0.5 where there is no width; width = (upper - lower)/mean
    as a fraction. NaN for the first n-1 bars. Source: Bollinger; TA-Lib ``BBANDS``.
    """
    state, mean, variance = moments(state, ring, close, index)
    if math.isnan(variance):
        return state, (math.nan, math.nan)
    if not (variance > 0.0 and mean > 0.0):
        return state, (0.5, 0.0)
    deviation = math.sqrt(variance)
    return state, (0.5 + (close - mean) / (4.0 * deviation), 4.0 * deviation / mean)


def ratio_start() -> int:
    """Return the state of :func:`ratio`: none."""
    return 0


def ratio(state: int, x: float, y: float) -> tuple[int, float]:
    """Return x / y; 0 where y is not above 0."""
    return state, x / y if y > 0.0 else 0.0
