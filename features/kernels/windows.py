"""Windows over the last n values: mean, deviation, z-score, extremes, channels.

Decides how a window forgets. Sums add the new value and drop the old one, and are taken anew, in
order from the oldest, at the first bar of every block of n absolute bar indices, so rounding never
piles up and any two histories agree to the last bit after at most 2n bars. Never interpolates.
Rule: kernels as in ``moving``; a window counts bars that exist, a gap does not shorten it. The
ring is changed in place and passed beside the state: compiled code then keeps the state in
registers.
"""

import math

Ring = list[float]
# window, values held, next slot, next renewal, 1/window, anchor, sum of x - anchor
Mean = tuple[int, int, int, int, float, float, float]
# the same, and the sum of the squares of x - anchor
Moments = tuple[int, int, int, int, float, float, float, float]
Extreme = tuple[int, int, float]  # window, next slot, largest of this block
Channel = tuple[float, float]  # the last bar's low and high extremes


def mean_start(window: int) -> tuple[Mean, Ring]:
    """Return state and ring of :func:`rolling_mean` before its first value."""
    return (window, 0, 0, 0, 1.0 / window, 0.0, 0.0), [0.0] * window


def rolling_mean(state: Mean, ring: Ring, x: float, index: int) -> tuple[Mean, float]:
    """Mean of the last n values; unit of x; NaN for the first n-1. Source: TA-Lib ``SMA``.

    ``index`` is the absolute bar index of x; the sum is about an anchor, as in :func:`moments`.
    """
    window, held, slot, renewal, share, anchor, total = state
    old = ring[slot] if held == window else anchor
    ring[slot] = x
    slot = slot + 1 if slot + 1 < window else 0
    held = held if held == window else held + 1
    if index >= renewal:
        renewal = (index // window + 1) * window
        anchor = x
        total = 0.0
        # Oldest first; a ring that is not full begins at 0 and ends before its slot.
        for at in range(slot, held):
            total += ring[at] - anchor
        for at in range(slot):
            total += ring[at] - anchor
    else:
        total += (x - anchor) - (old - anchor)
    state = (window, held, slot, renewal, share, anchor, total)
    return state, anchor + total * share if held == window else math.nan


def moments_start(window: int) -> tuple[Moments, Ring]:
    """Return state and ring of :func:`moments` before its first value."""
    return (window, 0, 0, 0, 1.0 / window, 0.0, 0.0, 0.0), [0.0] * window


def moments(state: Moments, ring: Ring, x: float, index: int) -> tuple[Moments, float, float]:
    """Return (state, mean, variance) of the last n values; NaN for the first n-1.

    Population variance about the mean, from sums about an anchor of the window's own size, so
    that large levels cost no digits. ``index`` is the absolute bar index of x.
    """
    window, held, slot, renewal, share, anchor, total, squares = state
    old = ring[slot] if held == window else anchor
    ring[slot] = x
    slot = slot + 1 if slot + 1 < window else 0
    held = held if held == window else held + 1
    if index >= renewal:
        renewal = (index // window + 1) * window
        anchor = x
        total = 0.0
        squares = 0.0
        for at in range(slot, held):
            away = ring[at] - anchor
            total += away
            squares += away * away
        for at in range(slot):
            away = ring[at] - anchor
            total += away
            squares += away * away
    else:
        new = x - anchor
        gone = old - anchor
        total += new - gone
        squares += new * new - gone * gone
    state = (window, held, slot, renewal, share, anchor, total, squares)
    if held < window:
        return state, math.nan, math.nan
    lean = total * share
    mean = anchor + lean
    variance = squares * share - lean * lean
    # Below 1e-8 of the mean a deviation is rounding, not movement.
    return state, mean, variance if variance > 1e-16 * (mean * mean) else 0.0


def rolling_deviation(state: Moments, ring: Ring, x: float, index: int) -> tuple[Moments, float]:
    """Deviation (population) of the last n values; unit of x. Source: TA-Lib ``STDDEV``."""
    state, _, variance = moments(state, ring, x, index)
    return state, math.sqrt(variance) if variance >= 0.0 else math.nan


def rolling_z(state: Moments, ring: Ring, x: float, index: int) -> tuple[Moments, float]:
    """Distance of x from the mean of its last n values in deviations; 0 where all are equal."""
    state, mean, variance = moments(state, ring, x, index)
    if math.isnan(variance):
        return state, math.nan
    return state, (x - mean) / math.sqrt(variance) if variance > 0.0 else 0.0


def extreme_start(window: int) -> tuple[Extreme, Ring]:
    """Return state and ring of :func:`rolling_max` and :func:`rolling_min`.

    The ring holds this block's values up to the slot, and from there on the last block's maxima
    from each value to its end: NaN while there was no block.
    """
    return (window, 0, 0.0), [math.nan] * window


def rolling_max(state: Extreme, ring: Ring, x: float) -> tuple[Extreme, float]:
    """Largest of the last n values; unit of x; NaN for the first n-1. Source: TA-Lib ``MAX``.

    Two comparisons a value, whatever the order (van Herk 1992).
    """
    window, slot, top = state
    ring[slot] = x
    top = x if slot == 0 or x > top else top
    slot += 1
    if slot < window:
        # max keeps its first argument, so NaN until a block is full.
        return (window, slot, top), max(ring[slot], top)
    largest = x
    for k in range(window):
        at = window - 1 - k
        largest = max(largest, ring[at])
        ring[at] = largest
    return (window, 0, top), top


def rolling_min(state: Extreme, ring: Ring, x: float) -> tuple[Extreme, float]:
    """Smallest of the last n values; unit of x; NaN for the first n-1. Source: TA-Lib ``MIN``."""
    state, top = rolling_max(state, ring, -x)
    return state, -top


def range_place_start() -> int:
    """Return the state of :func:`range_place`: none."""
    return 0


def range_place(state: int, x: float, low: float, high: float) -> tuple[int, float]:
    """Where x lies between ``low`` (-1) and ``high`` (1); 0 where they are equal."""
    span = high - low
    return state, (2.0 * x - high - low) / span if span > 0.0 else 0.0


def donchian_start() -> Channel:
    """Return the state of :func:`donchian` before its first bar."""
    return (math.nan, math.nan)


def donchian(state: Channel, close: float, low: float, high: float) -> tuple[Channel, float]:
    """Where the close lies in the channel of the bars before it: -1 low, 1 high, beyond: broken.

    ``low`` and ``high`` are the rolling extremes that include this bar: they are the channel of
    the next. Unit 1; NaN for the first bar; clipped to ±5; 0 where the channel has no width.
    Source: Donchian's channel of the previous n bars' extremes.
    """
    bottom, top = state
    span = top - bottom
    if math.isnan(span):
        return (low, high), math.nan
    place = (2.0 * close - top - bottom) / span if span > 0.0 else 0.0
    return (low, high), min(max(place, -5.0), 5.0)
