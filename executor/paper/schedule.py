"""The funding schedule: what clients are told of the settlements to come.

Decides the next settlement, the minutes between two, and the rate that is shown. Never books a
settlement (``mover`` does). Rule: what is announced comes. The next settlement is the next one
that the market really holds, at whatever distance: so a changed interval is announced at the last
settlement of the old one, as at the venue, and one that a recording lacks is never promised.
"""

from dataclasses import dataclass

import numpy as np

from features.funding import check_funding, on_minute
from features.types import FloatArray, Funding, IntArray

MINUTE_MS = 60_000
INTERVALS_MIN = (60, 120, 240, 480)
RATE_DECIMALS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """All settlements of one symbol: whole minutes ascending, their rates, and the intervals.

    ``interval_min[i]`` is in force before settlement ``i``, the last one after all of them; its
    shape is (n + 1,).
    """

    time_ms: IntArray
    rate: FloatArray
    interval_min: IntArray

    def made(self, now_ms: int) -> int:
        """Return how many settlements have been made at ``now_ms``."""
        return int(self.time_ms.searchsorted(now_ms, side="right"))

    def interval_at(self, now_ms: int) -> int:
        """Return the minutes between settlements, as in force at ``now_ms``."""
        return int(self.interval_min[self.made(now_ms)])

    def rate_at(self, now_ms: int) -> float | None:
        """Return the rate settled last, which is all that is known of the next; None without any.

        Before the first one it is 0.
        """
        made = self.made(now_ms)
        return (float(self.rate[made - 1]) if made else 0.0) if self.rate.size else None

    def next_ms(self, now_ms: int, end_ms: int) -> int:
        """Return the first settlement after ``now_ms``; 0 where the symbol has none at all.

        After the last one, the first that its interval foretells for after ``end_ms``, where the
        market stops: before that none would come.
        """
        made = self.made(now_ms)
        if made < self.time_ms.size:
            return int(self.time_ms[made])
        if not made:
            return 0
        last, length = int(self.time_ms[-1]), int(self.interval_min[-1]) * MINUTE_MS
        return last + (max(now_ms, end_ms, last) - last) // length * length + length


def schedule_of(funding: Funding) -> Schedule:
    """Return the schedule of recorded settlements.

    Raises
    ------
    InputError
        Where settlements are unsorted or a rate is not a number.
    """
    time_ms = on_minute(funding.time_ms)
    check_funding(Funding(time_ms=time_ms, rate=funding.rate))
    return Schedule(
        time_ms=time_ms,
        rate=np.round(funding.rate, RATE_DECIMALS),
        interval_min=_intervals_min(time_ms),
    )


def _intervals_min(time_ms: IntArray) -> IntArray:
    """Return the interval in force before each settlement and after the last, shape (n + 1,).

    It is the distance between the settlements around. Where that is none of the venue's intervals
    (settlements are missing), the one before goes on, or at first the one that comes.
    """
    gaps = (np.diff(time_ms) // MINUTE_MS).tolist()
    current = next((gap for gap in gaps if gap in INTERVALS_MIN), INTERVALS_MIN[-1])
    known = [current]
    for gap in gaps:
        current = gap if gap in INTERVALS_MIN else current
        known.append(current)
    return np.array([*known, current][: time_ms.size + 1], dtype=np.int64)
