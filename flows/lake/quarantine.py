"""What a missing or a put-aside bar means to training: the masking rule.

Decides which labels may not be used. Never touches prices or storage. The rule, in full:

1. A bar that quality put aside is left out of ``Lake.candles``; to everything after that it is a
   gap like any other, so no feature ever sees its numbers.
2. Features go on after a gap as they do live after an outage (``features`` re-anchors by time).
3. A label whose span, from the signal's bar to its exit's bar, crosses a gap is not used: what
   happened in between is not known. The same holds for a span that would enter across a gap.

4. In an automatic universe a bar is decided on only while its symbol was a member; at other bars
   there are no features, so there is no label. Before the first recorded choice nobody's membership
   is known: every symbol that ever was a member counts there (survivorship cannot be undone).
5. A symbol with the verdict ``fail`` is left out whole.

Rule for reviewers: nothing is filled, interpolated or clipped, here or anywhere before.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.types import Candles, IntArray


def crosses_gap(candles: Candles, first: IntArray, last: IntArray) -> NDArray[np.bool_]:
    """Return which spans of bars have a bar missing inside.

    Parameters
    ----------
    candles
        The bars, ascending.
    first, last
        Bar indices, shape (m,), ``first <= last``: the signal's bar and the exit's bar.

    Returns
    -------
    ndarray of bool, shape (m,)
        True where, between bar ``first`` and bar ``last``, two neighbours are further apart than
        one interval.
    """
    jumps = np.zeros(candles.n, dtype=np.int64)
    jumps[1:] = np.diff(candles.open_ms) != candles.interval_ms
    before = np.cumsum(jumps)
    crossed: NDArray[np.bool_] = before[last] != before[first]
    return crossed


def outside(
    times_ms: IntArray, since_ms: int, spans: Sequence[tuple[int, int]]
) -> NDArray[np.bool_]:
    """Return at which times, from ``since_ms`` on, none of the spans ``[start, end)`` holds."""
    inside = times_ms < since_ms
    for start, end in spans:
        inside |= (times_ms >= start) & (times_ms < end)
    answer: NDArray[np.bool_] = ~inside
    return answer
