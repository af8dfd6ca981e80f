"""Funding: what it costs to hold, and when it is next due.

Decides what a bar knows of funding: settlements before its close. Never assumes a rate or a
schedule: until the market showed them the value is NaN. Rule: kernels as in ``moving``; whether a
settlement falls to a bar is decided in ``features.funding``, for batch and stream alike.
"""

import math

# settlements kept, seen, next slot, last close with one, time between, newest rate, mean
Carry = tuple[int, int, int, int, int, float, float]


def funding_start(settlements: int) -> tuple[Carry, list[float]]:
    """Return state and ring of :func:`funding` before its first bar."""
    return (settlements, 0, 0, 0, 0, math.nan, math.nan), [0.0] * settlements


def funding(
    state: Carry, ring: list[float], close_ms: int, settled: float, rate: float
) -> tuple[Carry, tuple[float, float, float]]:
    """Return (last rate, mean of the last n rates, share of the interval to the next settlement).

    Rates are fractions per settlement, positive where longs pay. ``settled`` is 1 on a bar that
    brings a settlement, whose ``rate`` is then new. The share falls from 1, at the close that
    brings a settlement, to 0 at the close that will bring the next, whose time is taken from the
    last two. NaN until the first, the nth and the second settlement.
    """
    keep, seen, slot, last_ms, interval_ms, newest, mean = state
    if settled > 0.0:
        newest = rate
        ring[slot] = rate
        slot = slot + 1 if slot + 1 < keep else 0
        interval_ms = close_ms - last_ms if seen > 0 else 0
        last_ms = close_ms
        seen += 1
        if seen >= keep:
            total = 0.0
            for i in range(keep):
                total += ring[slot + i if slot + i < keep else slot + i - keep]
            mean = total / keep
        state = (keep, seen, slot, last_ms, interval_ms, newest, mean)
    left = math.nan
    if interval_ms > 0:
        left = max(1.0 - float(close_ms - last_ms) / float(interval_ms), 0.0)
    return state, (newest, mean, left)
