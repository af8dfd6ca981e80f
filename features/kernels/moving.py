"""Moving averages and the distance of the price from them.

Decides the recurrences and their seeds (TA-Lib's). Never looks past the value it is given.
Rule: undecorated ``update(state, inputs…) -> (state, value)``, with ``ring`` as its second argument
where it keeps a window; parameters live in the state; NaN until warm; no ``**``, no ``sum()``,
every division guarded. ``x_start(parameters)`` gives the first state (and ring).
"""

import math

Ema = tuple[int, int, float, float]  # period, values seen, gain, sum or average


def ema_start(period: int) -> Ema:
    """Return the state of :func:`ema` before its first value."""
    return (period, 0, 2.0 / (period + 1.0), 0.0)


def ema(state: Ema, x: float) -> tuple[Ema, float]:
    """Exponential moving average e += 2/(n+1)·(x - e), seeded with the mean of n values.

    Unit of x; NaN for the first n-1 values. Forgets its seed to the last bit, in time. Source:
    TA-Lib ``EMA``.
    """
    period, count, gain, value = state
    count += 1
    if count < period:
        return (period, count, gain, value + x), math.nan
    value = (value + x) / period if count == period else value + gain * (x - value)
    return (period, count, gain, value), value


def ema_distance_start(period: int) -> float:
    """Return (n-1)/(2√n), the deviation of log(price/EMA) in units of one step's."""
    return (period - 1.0) / (2.0 * math.sqrt(period))


def ema_distance(
    state: float, close: float, average: float, volatility: float
) -> tuple[float, float]:
    """Close above its EMA in standard deviations under a random walk (DESIGN §3).

    z = (close/EMA - 1) / (σ·(n-1)/(2√n)), since the EMA's lag has the variance σ²q²/(1-q²) with
    q = (n-1)/(n+1). Unit 1; no lookback of its own; 0 where the price did not move at all.
    """
    scale = state * volatility
    if not (scale > 0.0 and average > 0.0):
        return state, 0.0
    return state, (close / average - 1.0) / scale
