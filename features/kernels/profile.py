"""Volume profile: where in the price range the volume of the last n bars was traded.

Decides the bins (of equal log width, the same for every history), the point of control and the
value area. Never rounds a sum: volume is counted in integer lots, so a bar that leaves takes out
exactly what it brought. Rule: kernels as in ``moving``; every answer depends on the bars in the
window alone, ties included.
"""

import math

from features.kernels.volume import lots

SLOTS = 512  # bins are folded into this many; a window spans them only in a 2.8-fold price range
MASK = SLOTS - 1
VALUE_AREA = 0.7

# window, bin width, bars held, next place, lots in all, fullest slot
Profile = tuple[int, float, int, int, int, int]
# the slot of each bar (window of them), its lots (window), the lots of each slot (SLOTS)
Ring = list[int]


def volume_profile_start(window: int, width: float) -> tuple[Profile, Ring]:
    """Return state and ring of :func:`volume_profile` before its first bar."""
    return (window, width, 0, 0, 0, 0), [0] * (2 * window + SLOTS)


def volume_profile(
    state: Profile, ring: Ring, high: float, low: float, close: float, volume: float
) -> tuple[Profile, tuple[float, float]]:
    """Return (distance of the close from the point of control, its place in the value area).

    A bar's volume lies at its typical price (h+l+c)/3, in bins of ``width`` log price. The point
    of control is the fullest bin (of equals the lowest slot); the value area grows from it to the
    fuller neighbour (of equals to both) until it holds 70 % of the volume. Distance = log(close /
    middle of the bin), a fraction; place = -1 at the area's lower edge, 1 at the upper, clipped to
    ±5. NaN for the first n-1 bars; 0 where nothing traded. Source: Steidlmayer's market profile.
    """
    window, width, held, at, total, best = state
    lots_at = window + at
    slots = 2 * window
    size = lots(volume)
    level = math.log(close)
    slot = math.floor(math.log((high + low + close) / 3.0) / width) & MASK
    stale = False
    if held == window:
        gone = ring[at]
        ring[slots + gone] -= ring[lots_at]
        total -= ring[lots_at]
        stale = gone == best
    else:
        held += 1
    ring[at] = slot
    ring[lots_at] = size
    ring[slots + slot] += size
    fuller = ring[slots + slot] - ring[slots + best]
    total += size
    at = at + 1 if at + 1 < window else 0
    if stale:
        best = fullest(ring, slots, held)
    elif fuller > 0 or (fuller == 0 and slot < best):
        best = slot
    state = (window, width, held, at, total, best)
    if held < window:
        return state, (math.nan, math.nan)
    if total == 0:
        return state, (0.0, 0.0)
    # The bin of this slot that is nearest to the close.
    now = math.floor(level / width)
    control = now + ((best - now + SLOTS // 2) & MASK) - SLOTS // 2
    below, above = value_area(ring, slots, best, total)
    lower = (control - below) * width
    upper = (control + above + 1) * width
    place = (2.0 * level - lower - upper) / (upper - lower)
    return state, (level - (control + 0.5) * width, min(max(place, -5.0), 5.0))


def fullest(ring: Ring, slots: int, held: int) -> int:
    """Return the slot with the most lots among those of the bars held; of equals the lowest."""
    best = ring[0]
    most = ring[slots + best]
    for i in range(held):
        slot = ring[i]
        here = ring[slots + slot]
        if here > most or (here == most and slot < best):
            best = slot
            most = here
    return best


def value_area(ring: Ring, slots: int, best: int, total: int) -> tuple[int, int]:
    """Return how many slots below and above ``best`` hold 70 % of ``total`` lots with it."""
    missing = VALUE_AREA * float(total) - float(ring[slots + best])
    top = best
    bottom = best
    up = ring[slots + ((best + 1) & MASK)]
    down = ring[slots + ((best - 1) & MASK)]
    while missing > 0.0 and top - bottom < MASK:
        # Of two equal neighbours both: two empty ones must not send it off to one side.
        rise = up >= down
        fall = down >= up
        if rise:
            top += 1
            missing -= float(up)
        if fall:
            bottom -= 1
            missing -= float(down)
        up = ring[slots + ((top + 1) & MASK)]
        down = ring[slots + ((bottom - 1) & MASK)]
    return best - bottom, top - best
