"""Windows over the last n values: mean, deviation, z-score, extremes, channels.

Decides how a window forgets. Sums add the new value and drop the old one, and are taken anew, in
order from the oldest, at the first bar of every block of n absolute bar indices, so rounding never
piles up and any two histories agree to the last bit after at most 2n bars. Never interpolates.
Rule: kernels as in ``moving``; a window counts bars that exist, a gap does not shorten it; the
ring is the one part of a state that is changed in place.
"""

import math

# window, values held, next slot, block, anchor, sum and sum of squares of (x - anchor), ring
Moments = tuple[int, int, int, int, float, float, float, list[float]]
Extreme = tuple[int, int, int, int, float, list[float]]  # window, held, slot, its slot, max, ring
Channel = tuple[Extreme, Extreme, float, float]


def moments_start(window: int) -> Moments:
    """Return the state of :func:`moments` before its first value."""
    return (window, 0, 0, -1, 0.0, 0.0, 0.0, [0.0] * window)


def moments(state: Moments, x: float, index: int) -> tuple[Moments, float, float]:
    """Return (state, mean, variance) of the last n values; NaN for the first n-1.

    Population variance about the mean, from sums about an anchor of the window's own size, so
    that large levels cost no digits. ``index`` is the absolute bar index of x.
    """
    window, held, slot, block, anchor, total, squares, ring = state
    old = ring[slot]
    full = held == window
    ring[slot] = x
    slot = slot + 1 if slot + 1 < window else 0
    held = held if full else held + 1
    if index // window != block:
        block = index // window
        anchor = x
        total = 0.0
        squares = 0.0
        at = slot if held == window else 0
        for _ in range(held):
            away = ring[at] - anchor
            total += away
            squares += away * away
            at = at + 1 if at + 1 < window else 0
    else:
        new = x - anchor
        gone = old - anchor if full else 0.0
        total += new - gone
        squares += new * new - gone * gone
    state = (window, held, slot, block, anchor, total, squares, ring)
    if held < window:
        return state, math.nan, math.nan
    lean = total / window
    mean = anchor + lean
    variance = squares / window - lean * lean
    # Below 1e-8 of the mean a deviation is rounding, not movement.
    return state, mean, variance if variance > 1e-16 * (mean * mean) else 0.0


def rolling_mean(state: Moments, x: float, index: int) -> tuple[Moments, float]:
    """Mean of the last n values; unit of x; NaN for the first n-1."""
    state, mean, _ = moments(state, x, index)
    return state, mean


def rolling_deviation(state: Moments, x: float, index: int) -> tuple[Moments, float]:
    """Deviation (population) of the last n values; unit of x. Source: TA-Lib ``STDDEV``."""
    state, _, variance = moments(state, x, index)
    return state, math.sqrt(variance) if variance >= 0.0 else math.nan


def rolling_z(state: Moments, x: float, index: int) -> tuple[Moments, float]:
    """Distance of x from the mean of its last n values in deviations; 0 where all are equal."""
    state, mean, variance = moments(state, x, index)
    if math.isnan(variance):
        return state, math.nan
    return state, (x - mean) / math.sqrt(variance) if variance > 0.0 else 0.0


def extreme_start(window: int) -> Extreme:
    """Return the state of :func:`rolling_max` and :func:`rolling_min` before its first value."""
    return (window, 0, 0, 0, 0.0, [0.0] * window)


def rolling_max(state: Extreme, x: float) -> tuple[Extreme, float]:
    """Largest of the last n values; unit of x; NaN for the first n-1. Source: TA-Lib ``MAX``."""
    window, held, slot, place, top, ring = state
    ring[slot] = x
    held = held if held == window else held + 1
    if held == 1 or x >= top:
        top = x
        place = slot
    elif place == slot:
        top = x
        for at in range(window):
            if ring[at] > top:
                top = ring[at]
                place = at
    slot = slot + 1 if slot + 1 < window else 0
    return (window, held, slot, place, top, ring), top if held == window else math.nan


def rolling_min(state: Extreme, x: float) -> tuple[Extreme, float]:
    """Smallest of the last n values; unit of x; NaN for the first n-1. Source: TA-Lib ``MIN``."""
    state, top = rolling_max(state, -x)
    return state, -top


def range_place_start() -> int:
    """Return the state of :func:`range_place`: none."""
    return 0


def range_place(state: int, x: float, low: float, high: float) -> tuple[int, float]:
    """Where x lies between ``low`` (-1) and ``high`` (1); 0 where they are equal."""
    span = high - low
    return state, (2.0 * x - high - low) / span if span > 0.0 else 0.0


def donchian_start(window: int) -> Channel:
    """Return the state of :func:`donchian` before its first bar."""
    return (extreme_start(window), extreme_start(window), math.nan, math.nan)


def donchian(state: Channel, high: float, low: float, close: float) -> tuple[Channel, float]:
    """Where the close lies in the channel of the n bars before it: -1 low, 1 high, beyond: broken.

    Unit 1; NaN for the first n bars; clipped to ±5; 0 where the channel has no width. Source:
    Donchian's channel of the previous n bars' extremes.
    """
    highs, lows, top, bottom = state
    span = top - bottom
    place = math.nan
    if not math.isnan(span):
        place = (2.0 * close - top - bottom) / span if span > 0.0 else 0.0
        place = min(max(place, -5.0), 5.0)
    highs, top = rolling_max(highs, high)
    lows, bottom = rolling_min(lows, low)
    return (highs, lows, top, bottom), place
