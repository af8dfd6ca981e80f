"""Higher timeframes from base bars.

Decides which base bars make a higher bar and when it may be seen. Never fills a gap and never
looks ahead. Rule: a bar of k base intervals is the base bars whose absolute index divided by k is
the same; it is published at the close of the base bar that ends it or, where a gap swallowed that
one, at the first bar after the gap, before it is folded in. The bar in which a history begins is
left out unless it begins with its first base bar.
"""

import math

Fold = tuple[int, int, float, float, float, float, float]  # group, whole, o, h, l, c, v
FOLD_START: Fold = (-1, 0, math.nan, math.nan, math.nan, math.nan, 0.0)


def overdue(state: Fold, index: int, k: int) -> bool:
    """Say whether the bar being folded should have ended before base bar ``index``."""
    group, whole = state[0], state[1]
    return whole == 1 and group >= 0 and index // k != group


def fold(
    state: Fold,
    index: int,
    k: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[Fold, bool]:
    """Fold base bar ``index`` in; return (state, whether the higher bar ended with it).

    Call :func:`overdue` first, and publish the state's bar where it says so.
    """
    group, whole, first, top, bottom, _, total = state
    now = index // k
    if now != group:
        # Only the very first bar of a history can be a part of a whole.
        known = 1 if group >= 0 or index % k == 0 else 0
        folded = (now, known, open_, high, low, close, volume)
    else:
        folded = (now, whole, first, max(top, high), min(bottom, low), close, total + volume)
    if index % k != k - 1:
        return folded, False
    # Ended: nothing is overdue any more.
    ended = folded[1] == 1
    over = (now, 0, folded[2], folded[3], folded[4], folded[5], folded[6])
    return over, ended
