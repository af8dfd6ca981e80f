"""Momentum: returns, RSI, MACD and the directional movement system.

Decides Wilder's and Appel's recurrences with TA-Lib's seeds. Never looks past its bar.
Rule: kernels as in ``moving``.
"""

import math

from features.kernels.moving import Ema, ema, ema_start

Returns = tuple[int, int, int]  # horizon, closes held, next slot
# period, bars, last close, weight of the past, weight of the new, gains, losses
Rsi = tuple[int, int, float, float, float, float, float]
# fast and slow period, values, fast, slow, signal
Macd = tuple[int, int, int, float, float, Ema]
# period, bars, last high, low and close, smoothed range, rises and falls, ADX
Adx = tuple[int, int, float, float, float, float, float, float, float]


def log_return_start(horizon: int) -> tuple[Returns, list[float]]:
    """Return state and ring of :func:`log_return` before its first close."""
    return (horizon, 0, 0), [0.0] * horizon


def log_return(state: Returns, ring: list[float], close: float) -> tuple[Returns, float]:
    """Log return over h bars, log(close / close h bars before); NaN for the first h bars."""
    horizon, held, slot = state
    value = math.log(close / ring[slot]) if held == horizon else math.nan
    ring[slot] = close
    slot = slot + 1 if slot + 1 < horizon else 0
    return (horizon, held if held == horizon else held + 1, slot), value


def scaled_return_start(horizon: int) -> float:
    """Return √h, the growth of a random walk's deviation over the horizon."""
    return math.sqrt(horizon)


def scaled_return(state: float, change: float, volatility: float) -> tuple[float, float]:
    """Log return over h bars in its standard deviations under a random walk: r / (σ·√h).

    ``volatility`` is per bar; 0 where nothing moved.
    """
    scale = state * volatility
    return state, change / scale if scale > 0.0 else 0.0


def rsi_start(period: int) -> Rsi:
    """Return the state of :func:`rsi` before its first close."""
    return (period, 0, 0.0, (period - 1.0) / period, 1.0 / period, 0.0, 0.0)


def rsi(state: Rsi, close: float) -> tuple[Rsi, float]:
    """Relative strength index 100·G/(G+L) of Wilder's averaged gains and losses.

    0 to 100, 50 where nothing moved (TA-Lib says 0); NaN for the first n bars. Source: Wilder
    1978; TA-Lib ``RSI``.
    """
    period, count, last, past, new, gains, losses = state
    count += 1
    if count == 1:
        return (period, count, close, past, new, 0.0, 0.0), math.nan
    change = close - last
    gain = max(0.0, change)
    loss = -change if change < 0.0 else 0.0
    if count <= period + 1:
        gains += gain
        losses += loss
        if count <= period:
            return (period, count, close, past, new, gains, losses), math.nan
        gains *= new
        losses *= new
    else:
        gains = gains * past + gain * new
        losses = losses * past + loss * new
    both = gains + losses
    value = 100.0 * (gains / both) if both > 0.0 else 50.0
    return (period, count, close, past, new, gains, losses), value


def macd_start(fast: int, slow: int, signal: int) -> Macd:
    """Return the state of :func:`macd` before its first close."""
    return (fast, slow, 0, 0.0, 0.0, ema_start(signal))


def macd(state: Macd, close: float) -> tuple[Macd, tuple[float, float, float]]:
    """MACD, the convergence of moving averages: (line, signal, histogram), unit of the price.

    line = EMA_fast - EMA_slow, signal = EMA of the line, histogram = line - signal. The fast EMA
    is seeded where the slow one is; the line is NaN for the first slow-1 bars, the other two for
    signal-1 more. Source: Appel; TA-Lib ``MACD``, which shows the line only with its signal.
    """
    fast, slow, count, quick, calm, average = state
    count += 1
    if count <= slow:
        if count > slow - fast:
            quick += close
        calm += close
        if count < slow:
            return (fast, slow, count, quick, calm, average), (math.nan, math.nan, math.nan)
        quick /= fast
        calm /= slow
    else:
        quick += (2.0 / (fast + 1.0)) * (close - quick)
        calm += (2.0 / (slow + 1.0)) * (close - calm)
    line = quick - calm
    average, signal = ema(average, line)
    return (fast, slow, count, quick, calm, average), (line, signal, line - signal)


def true_range(last: float, high: float, low: float) -> float:
    """Return the range of a bar including the gap from the last close (Wilder 1978)."""
    span = high - low
    up = abs(high - last)
    down = abs(low - last)
    span = max(span, up)
    return max(span, down)


def adx_start(period: int) -> Adx:
    """Return the state of :func:`adx` before its first bar."""
    return (period, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def adx(
    state: Adx, high: float, low: float, close: float
) -> tuple[Adx, tuple[float, float, float]]:
    """Directional movement: (ADX, +DI, -DI), each 0 to 100.

    +DI = 100·(smoothed rises / smoothed true range), DX = 100·|+DI - -DI|/(+DI + -DI), ADX its
    Wilder average. The DIs are NaN for the first n bars, the ADX for the first 2n-1; 0 where the
    price has no range, and a bar without movement leaves the ADX as it is. Source: Wilder 1978;
    TA-Lib ``ADX``, ``PLUS_DI``, ``MINUS_DI``.
    """
    period, count, last_high, last_low, last, span, rises, falls, average = state
    count += 1
    if count == 1:
        blank = (period, count, high, low, close, 0.0, 0.0, 0.0, 0.0)
        return blank, (math.nan, math.nan, math.nan)
    up = high - last_high
    down = last_low - low
    rise = up if up > 0.0 and up > down else 0.0
    fall = down if down > 0.0 and down > up else 0.0
    reach = true_range(last, high, low)
    if count <= period:
        early = (period, count, high, low, close, span + reach, rises + rise, falls + fall, 0.0)
        return early, (math.nan, math.nan, math.nan)
    span = span - span / period + reach
    rises = rises - rises / period + rise
    falls = falls - falls / period + fall
    plus = 100.0 * (rises / span) if span > 0.0 else 0.0
    minus = 100.0 * (falls / span) if span > 0.0 else 0.0
    both = plus + minus
    value = math.nan
    if count <= 2 * period:
        if both > 0.0:
            average += 100.0 * (abs(plus - minus) / both)
        if count == 2 * period:
            average /= period
            value = average
    else:
        if both > 0.0:
            average = (average * (period - 1) + 100.0 * (abs(plus - minus) / both)) / period
        value = average
    state = (period, count, high, low, close, span, rises, falls, average)
    return state, (value, plus, minus)
