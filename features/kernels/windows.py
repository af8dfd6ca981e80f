"""Kernels over the last n bars: returns, moments, z-scores, extremes.

Decides how a window forgets. Sums add the new and drop the old value and are taken anew whenever
the absolute bar index enters a new block of n bars, so rounding never piles up and any two streams
agree to the last bit after at most 2n bars; a gap that swallows the boundary re-anchors at the
first bar after it. Never interpolates.
Rule: ``ring`` holds the last n values at position count mod n and is the only mutable argument.
"""

import math
from collections.abc import MutableSequence

COUNT_START = 0
Moments = tuple[int, int, float, float]  # values seen, block, sum, sum of squares
MOMENTS_START: Moments = (0, -1, 0.0, 0.0)


def moments(
    state: Moments, ring: MutableSequence[float], n: int, index: int, x: float
) -> tuple[Moments, float, float]:
    """Return (state, mean, population standard deviation) of the last ``n`` values of x."""
    count, block, total, squares = state
    now = index // n
    slot = count % n
    old = ring[slot] if count >= n else 0.0
    ring[slot] = x
    count += 1
    if now != block:
        held = min(count, n)
        total = 0.0
        squares = 0.0
        for i in range(held):
            value = ring[(count - held + i) % n]
            total += value
            squares += value * value
    else:
        total += x - old
        squares += x * x - old * old
    if count < n:
        return (count, now, total, squares), math.nan, math.nan
    mean = total / n
    variance = squares / n - mean * mean
    deviation = math.sqrt(variance) if variance > 1e-14 * mean * mean else 0.0
    return (count, now, total, squares), mean, deviation


def log_return(
    state: int,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[int, float]:
    """Return log(close / close n bars before); NaN for the first n bars."""
    slot = state % n
    value = math.log(close / ring[slot]) if state >= n else math.nan
    ring[slot] = close
    return state + 1, value


def volume_z(
    state: Moments,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[Moments, float]:
    """Return log(1 + volume) in standard deviations from its mean of n bars; 0 where constant."""
    x = math.log(1.0 + volume)
    state, mean, deviation = moments(state, ring, n, index, x)
    if math.isnan(mean):
        return state, math.nan
    return state, (x - mean) / deviation if deviation > 0.0 else 0.0


def bollinger_z(
    state: Moments,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[Moments, float]:
    """Return the close in standard deviations from its mean of n bars; 0 where constant."""
    state, mean, deviation = moments(state, ring, n, index, close)
    if math.isnan(mean):
        return state, math.nan
    return state, (close - mean) / deviation if deviation > 0.0 else 0.0


def bollinger_width(
    state: Moments,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[Moments, float]:
    """Return four standard deviations of the close as a fraction of its mean of n bars."""
    state, mean, deviation = moments(state, ring, n, index, close)
    return state, 4.0 * deviation / mean


def parkinson(
    state: Moments,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[Moments, float]:
    """Return Parkinson's volatility (1980) per bar: sqrt(mean(log(high/low)²) / (4·log 2))."""
    span = math.log(high / low)
    state, mean, _ = moments(state, ring, n, index, span * span)
    if math.isnan(mean):
        return state, math.nan
    return state, math.sqrt(mean / 2.772588722239781) if mean > 0.0 else 0.0


def donchian(
    state: int,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[int, float]:
    """Return where the close lies in the range of the last n closes, -1 to 1; 0 where flat."""
    ring[state % n] = close
    state += 1
    if state < n:
        return state, math.nan
    top = close
    bottom = close
    for i in range(n):
        value = ring[i]
        top = max(top, value)
        bottom = min(bottom, value)
    span = top - bottom
    return state, (2.0 * close - top - bottom) / span if span > 0.0 else 0.0
