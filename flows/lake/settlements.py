"""When funding is settled: what a stamp means, and which settlements are missing.

Decides where a settlement should have been, from the rhythm of those around it. Never assumes 8 h
for a symbol whose settlements show another rhythm. Rule: pure functions of times in ms.
"""

from collections.abc import Sequence
from itertools import pairwise

import polars as pl

HOUR_MS = 3_600_000
USUAL_INTERVAL_MS = 8 * HOUR_MS
GRID_MS = 60_000
JITTER_MS_MAX = 5_000


def settlement_ms(stamp_ms: int) -> int:
    """Return the settlement a funding stamp means: the nearest whole minute within 5 s.

    Venues settle on whole minutes and stamp with a jitter (0 to 47 ms on Binance); joining on the
    raw stamp would lose settlements. A stamp further off is left as it is, for quality to see.
    """
    nearest = (stamp_ms + GRID_MS // 2) // GRID_MS * GRID_MS
    return nearest if abs(nearest - stamp_ms) <= JITTER_MS_MAX else stamp_ms


def settlement_ms_expr(column: str) -> pl.Expr:
    """Return :func:`settlement_ms` of a column of stamps."""
    stamp = pl.col(column)
    nearest = (stamp + GRID_MS // 2) // GRID_MS * GRID_MS
    return (
        pl.when((nearest - stamp).abs() <= JITTER_MS_MAX)
        .then(nearest)
        .otherwise(stamp)
        .alias(column)
    )


def missing_settlements(times_ms: Sequence[int], first_ms: int, last_ms: int) -> list[int]:
    """Return the times of missing settlements in ``[first_ms, last_ms)``, ascending.

    Between two settlements further apart than the steps beside them, the larger of those steps is
    the rhythm (so a change from 4 h to 8 h is no hole). Before the first and after the last one the
    nearest step is; without any settlement, every whole 8 h is missing.
    """
    if not times_ms:
        first = -(-first_ms // USUAL_INTERVAL_MS) * USUAL_INTERVAL_MS
        return list(range(first, last_ms, USUAL_INTERVAL_MS))
    steps = [b - a for a, b in pairwise(times_ms)]
    head = steps[0] if steps else USUAL_INTERVAL_MS
    tail = steps[-1] if steps else USUAL_INTERVAL_MS
    if len(steps) > 1:  # a hole at the very edge is not the rhythm
        head, tail = min(steps[:2]), min(steps[-2:])
    missing = list(range(times_ms[0] - head, first_ms - 1, -head))[::-1]
    for at, step in enumerate(steps):
        beside = [steps[i] for i in (at - 1, at + 1) if 0 <= i < len(steps)]
        rhythm = max(beside, default=USUAL_INTERVAL_MS)
        if step > rhythm:
            missing += range(times_ms[at] + rhythm, times_ms[at + 1], rhythm)
    missing += range(times_ms[-1] + tail, last_ms, tail)
    return missing
