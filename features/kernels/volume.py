"""Volume: on-balance volume, and which side of the market it came with.

Decides how volume is signed by the close and in what lots it is counted. Never assumes a unit:
features are shares. Rule: kernels as in ``moving``; sums of lots are integers, so adding and
removing is exact.
"""

import math

LOTS_PER_UNIT = 1_048_576.0  # a lot is 2**-20 base units
LOTS_MAX = 36_028_797_018_963_968.0  # 2**55: 128 such bars still fit an int64

Obv = tuple[int, float, float]  # bars, last close, balance
# window, last close, bars held, next slot, signed lots, all lots
Signed = tuple[int, float, int, int, int, int]


def lots(volume: float) -> int:
    """Return ``volume`` in lots of 2⁻²⁰ base units, at most 2⁵⁵ (3.4e10 base units) a bar."""
    return int(min(volume * LOTS_PER_UNIT, LOTS_MAX))


def obv_start() -> Obv:
    """Return the state of :func:`obv` before its first bar."""
    return (0, 0.0, 0.0)


def obv(state: Obv, close: float, volume: float) -> tuple[Obv, float]:
    """On-balance volume: volume added on a rise, taken off on a fall, begun with the first bar's.

    Unit of volume. Never forgets its start, so it is no feature; :func:`signed_volume` is. Source:
    Granville 1963; TA-Lib ``OBV``.
    """
    count, last, balance = state
    if count == 0 or close > last:
        balance += volume
    elif close < last:
        balance -= volume
    return (1, close, balance), balance


def signed_volume_start(window: int) -> tuple[Signed, list[int]]:
    """Return state and ring of :func:`signed_volume` before its first bar."""
    return (window, 0.0, 0, 0, 0, 0), [0] * window


def signed_volume(
    state: Signed, ring: list[int], close: float, volume: float
) -> tuple[Signed, float]:
    """Volume on rises less volume on falls, as a share of both over the last n bars.

    -1 to 1; 0 where neither traded; NaN for the first n bars. The balance moves as OBV does.
    """
    window, last, held, slot, balance, traded = state
    if not last > 0.0:
        return (window, close, held, slot, balance, traded), math.nan
    size = lots(volume)
    lean = size if close > last else (-size if close < last else 0)
    if held == window:
        balance -= ring[slot]
        traded -= abs(ring[slot])
    else:
        held += 1
    ring[slot] = lean
    balance += lean
    traded += abs(lean)
    slot = slot + 1 if slot + 1 < window else 0
    state = (window, close, held, slot, balance, traded)
    if held < window:
        return state, math.nan
    return state, float(balance) / float(traded) if traded > 0 else 0.0
