"""Higher timeframes from base bars.

Decides which base bars make a higher bar and when it may be seen. Never fills a gap and never
looks ahead. Rule: a bar of k base intervals is the base bars whose absolute index divided by k is
the same; it is published at the close of the base bar that ends it or, where a gap swallowed that
one, at the close of the first bar after the gap, made of the bars that were there. The bar in
which a history begins is left out unless it begins with its first base bar.
"""

import math

# group, 1 if it may be published, open, high, low, close, volume, settled, funding rate
Fold = tuple[int, int, float, float, float, float, float, float, float]
FOLD_START: Fold = (-1, 0, math.nan, math.nan, math.nan, math.nan, 0.0, 0.0, 0.0)


def overdue(state: Fold, index: int, k: int) -> bool:
    """Say whether the bar being folded should have ended before base bar ``index``."""
    return state[1] == 1 and index // k != state[0]


def fold(
    state: Fold,
    index: int,
    k: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    settled: float,
    rate: float,
) -> tuple[Fold, bool]:
    """Fold base bar ``index`` in; return (state, whether the higher bar ended with it).

    Call :func:`overdue` first, and publish the state's bar where it says so. ``settled`` and
    ``rate`` are the newest funding settlement among the base bars.
    """
    group, whole, first, top, bottom, _, total, due, newest = state
    now = index // k
    if now != group:
        # Only the very first bar of a history can be part of a whole.
        whole = 1 if group >= 0 or index % k == 0 else 0
        first, top, bottom, total, due, newest = open_, high, low, volume, settled, rate
    else:
        top = max(top, high)
        bottom = min(bottom, low)
        total += volume
        due = max(due, settled)
        newest = rate if settled > 0.0 else newest
    ended = index % k == k - 1
    # Once ended nothing is overdue any more.
    open_bar = 0 if ended else whole
    return (now, open_bar, first, top, bottom, close, total, due, newest), ended and whole == 1
