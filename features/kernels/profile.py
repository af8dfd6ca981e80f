"""Volume profile: where in the price range the volume of the last n bars was traded.

Decides the bins (of equal log width, the same for every history), the point of control and the
value area. Never rounds a sum: volume is counted in integer lots, so a bar that leaves takes out
exactly what it brought. Rule: kernels as in ``moving``; every answer depends on the bars in the
window alone, ties included.
"""

import math

from features.kernels.volume import lots

SLOTS = 512  # bins are folded into this many; a window spans them only in a 2.8-fold price range
VALUE_AREA = 0.7

# window, bin width, held, next slot, lots in all, fullest bin, bins of the bars, their lots, lots
Profile = tuple[int, float, int, int, int, int, list[int], list[int], list[int]]


def volume_profile_start(window: int, width: float) -> Profile:
    """Return the state of :func:`volume_profile` before its first bar."""
    return (window, width, 0, 0, 0, 0, [0] * window, [0] * window, [0] * SLOTS)


def volume_profile(
    state: Profile, high: float, low: float, close: float, volume: float
) -> tuple[Profile, tuple[float, float]]:
    """Return (distance of the close from the point of control, its place in the value area).

    A bar's volume lies at its typical price (h+l+c)/3, in bins of ``width`` log price. The point
    of control is the fullest bin (of equals the lowest slot); the value area grows from it to the
    fuller neighbour until it holds 70 % of the volume. Distance = log(close / middle of the bin),
    a fraction; place = -1 at the area's lower edge, 1 at the upper, clipped to ±5. NaN for the
    first n-1 bars; 0 where nothing traded. Source: Steidlmayer's market profile.
    """
    window, width, held, at, total, best, bins, sizes, slots = state
    size = lots(volume)
    level = math.log(close)
    bin_ = math.floor(math.log((high + low + close) / 3.0) / width)
    slot = bin_ % SLOTS
    stale = False
    if held == window:
        gone = bins[at] % SLOTS
        slots[gone] -= sizes[at]
        total -= sizes[at]
        stale = gone == best
    else:
        held += 1
    bins[at] = bin_
    sizes[at] = size
    slots[slot] += size
    total += size
    at = at + 1 if at + 1 < window else 0
    if stale:
        best = fullest(slots, bins, held)
    elif slots[slot] > slots[best] or (slots[slot] == slots[best] and slot < best):
        best = slot
    state = (window, width, held, at, total, best, bins, sizes, slots)
    if held < window:
        return state, (math.nan, math.nan)
    if total == 0:
        return state, (0.0, 0.0)
    # The bin of this slot that is nearest to the close.
    now = math.floor(level / width)
    control = now + (best - now + SLOTS // 2) % SLOTS - SLOTS // 2
    below, above = value_area(slots, best, total)
    lower = (control - below) * width
    upper = (control + above + 1) * width
    place = (2.0 * level - lower - upper) / (upper - lower)
    return state, (level - (control + 0.5) * width, min(max(place, -5.0), 5.0))


def fullest(slots: list[int], bins: list[int], held: int) -> int:
    """Return the slot with the most lots among those of the bars held; of equals the lowest."""
    best = bins[0] % SLOTS
    for i in range(held):
        slot = bins[i] % SLOTS
        if slots[slot] > slots[best] or (slots[slot] == slots[best] and slot < best):
            best = slot
    return best


def value_area(slots: list[int], best: int, total: int) -> tuple[int, int]:
    """Return how many bins below and above ``best`` hold 70 % of ``total`` lots with it."""
    wanted = VALUE_AREA * float(total)
    inside = slots[best]
    below = 0
    above = 0
    while float(inside) < wanted and below + above + 1 < SLOTS:
        up = slots[(best + above + 1) % SLOTS]
        down = slots[(best - below - 1) % SLOTS]
        if up >= down:
            above += 1
            inside += up
        else:
            below += 1
            inside += down
    return below, above
