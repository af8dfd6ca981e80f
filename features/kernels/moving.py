"""Kernels that remember the price by recurrence: EMA distance, RSI, MACD, ATR, ADX.

Decides the recurrences, their seeds and their warm-up. Never looks past the bar it is given.
Rule: undecorated ``kernel(state, ring, n, index, open, high, low, close, volume) -> (state,
value)`` over floats and tuples, NaN until warm, no ``**``; compiled for a history, interpreted for
one bar, equal to the last bit.
"""

import math
from collections.abc import MutableSequence

from features.volatility import VOLATILITY_START, Volatility, bar_volatility

Ema = tuple[int, float]
EMA_START: Ema = (0, 0.0)
EMA_Z_START: tuple[Ema, Volatility] = (EMA_START, VOLATILITY_START)
Rsi = tuple[int, float, float, float]
RSI_START: Rsi = (0, 0.0, 0.0, 0.0)
MACD_START: tuple[Ema, Ema, Ema] = (EMA_START, EMA_START, EMA_START)
Atr = tuple[int, float, float]
ATR_START: Atr = (0, 0.0, 0.0)
Adx = tuple[int, float, float, float, float, float, float, float]
ADX_START: Adx = (0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def ema(state: Ema, n: int, x: float) -> tuple[Ema, float]:
    """Return the EMA of ``n`` values, seeded with the mean of the first n (TA-Lib's seed).

    e_t = e_{t-1} + 2/(n+1)·(x_t - e_{t-1}); unit of x; NaN for the first n-1 values.
    """
    count, value = state
    count += 1
    if count < n:
        return (count, value + x), math.nan
    value = (value + x) / n if count == n else value + (2.0 / (n + 1.0)) * (x - value)
    return (count, value), value


def ema_z(
    state: tuple[Ema, Volatility],
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[tuple[Ema, Volatility], float]:
    """Return close/EMA_n - 1 in its own standard deviations under a random walk (DESIGN §3).

    z = (close/EMA - 1) / (σ·(n-1)/(2√n)) with σ the volatility of 96 bars; 0 where the price did
    not move at all; NaN until both are warm.
    """
    average, spread = state
    average, value = ema(average, n, close)
    spread, sigma = bar_volatility(spread, ring, index, close)
    scale = sigma * (n - 1.0) / (2.0 * math.sqrt(float(n)))
    if math.isnan(value) or math.isnan(scale):
        return (average, spread), math.nan
    return (average, spread), (close / value - 1.0) / scale if scale > 0.0 else 0.0


def rsi(
    state: Rsi,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[Rsi, float]:
    """Return Wilder's relative strength index, 0 to 100; NaN for the first n bars.

    RSI = 100·G/(G+L), G and L the smoothed gains and losses (Wilder 1978); 0 where nothing moved.
    """
    count, last, gains, losses = state
    count += 1
    if count == 1:
        return (count, close, gains, losses), math.nan
    change = close - last
    gain = max(change, 0.0)
    loss = max(-change, 0.0)
    if count <= n + 1:
        gains += gain
        losses += loss
        if count < n + 1:
            return (count, close, gains, losses), math.nan
        gains /= n
        losses /= n
    else:
        gains = (gains * (n - 1) + gain) / n
        losses = (losses * (n - 1) + loss) / n
    both = gains + losses
    return (count, close, gains, losses), 100.0 * gains / both if both > 0.0 else 0.0


def macd_histogram(
    state: tuple[Ema, Ema, Ema],
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[tuple[Ema, Ema, Ema], float]:
    """Return the MACD histogram (12, 26, signal ``n``) as a fraction of the close."""
    fast, slow, signal = state
    fast, short = ema(fast, 12, close)
    slow, long = ema(slow, 26, close)
    line = short - long
    if math.isnan(line):
        return (fast, slow, signal), math.nan
    signal, smooth = ema(signal, n, line)
    return (fast, slow, signal), (line - smooth) / close


def true_range(last: float, high: float, low: float) -> float:
    """Return max(high - low, |high - last close|, |low - last close|), Wilder 1978."""
    return max(high - low, abs(high - last), abs(low - last))


def atr(
    state: Atr,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[Atr, float]:
    """Return Wilder's average true range as a fraction of the close; NaN for the first n bars."""
    count, last, value = state
    count += 1
    if count == 1:
        return (count, close, value), math.nan
    span = true_range(last, high, low)
    if count <= n + 1:
        value += span
        if count < n + 1:
            return (count, close, value), math.nan
        value /= n
    else:
        value = (value * (n - 1) + span) / n
    return (count, close, value), value / close


def adx(
    state: Adx,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[Adx, float]:
    """Return Wilder's average directional index, 0 to 100; NaN for the first 2n-1 bars."""
    count, top, bottom, last, span, plus, minus, value = state
    count += 1
    if count == 1:
        return (count, high, low, close, 0.0, 0.0, 0.0, 0.0), math.nan
    up = high - top
    down = bottom - low
    rise = up if up > down and up > 0.0 else 0.0
    fall = down if down > up and down > 0.0 else 0.0
    fade = 0.0 if count <= n else 1.0 / n
    span += true_range(last, high, low) - span * fade
    plus += rise - plus * fade
    minus += fall - minus * fade
    if count <= n:
        return (count, high, low, close, span, plus, minus, 0.0), math.nan
    both = plus + minus
    spread = 100.0 * abs(plus - minus) / both if both > 0.0 else 0.0
    if count < 2 * n:
        return (count, high, low, close, span, plus, minus, value + spread), math.nan
    value = (value + spread) / n if count == 2 * n else (value * (n - 1) + spread) / n
    return (count, high, low, close, span, plus, minus, value), value


def volatility(
    state: Volatility,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[Volatility, float]:
    """Return the shared per-bar volatility (``features.volatility``)."""
    return bar_volatility(state, ring, index, close)
