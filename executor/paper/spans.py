"""The lengths of candle that clients may ask for, weeks and months among them.

Decides where the candle of a length begins that holds a time. Never adds one up (``market`` does).
Rule, the venue's: a week begins on Monday, a month on its first day, everything else at a multiple
of its length, all in UTC.
"""

from dataclasses import dataclass

import numpy as np

from features.types import IntArray

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MONDAY_MS = 4 * DAY_MS  # 1970-01-05


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One length of candle: ``code`` is the venue's word, ``most_ms`` its greatest length."""

    code: str
    most_ms: int
    anchor_ms: int = 0
    is_month: bool = False

    def starts(self, times_ms: IntArray) -> IntArray:
        """Return the beginnings of the candles that hold ``times_ms``, UTC ms, shape (n,)."""
        if self.is_month:
            months = times_ms.astype("datetime64[ms]").astype("datetime64[M]")
            return months.astype("datetime64[ms]").astype(np.int64)
        return times_ms - (times_ms - self.anchor_ms) % self.most_ms

    def start(self, time_ms: int) -> int:
        """Return the beginning of the candle that holds ``time_ms``."""
        if self.is_month:
            return int(self.starts(np.array([time_ms], np.int64))[0])
        return time_ms - (time_ms - self.anchor_ms) % self.most_ms

    def following(self, time_ms: int) -> int:
        """Return the beginning of the candle after the one that holds ``time_ms``."""
        return self.start(self.start(time_ms) + self.most_ms)

    def ceiling(self, time_ms: int) -> int:
        """Return the first beginning of a candle at or after ``time_ms``."""
        return self.following(time_ms - 1)

    def is_made_of(self, length_ms: int) -> bool:
        """Say whether its candles are whole numbers of bars of ``length_ms``."""
        return (DAY_MS if self.is_month else self.most_ms) % length_ms == 0


def _plain(code: str, length_ms: int) -> Span:
    return Span(code=code, most_ms=length_ms)


SPANS: dict[str, Span] = {
    span.code: span
    for span in (
        *(_plain(str(n), n * 60_000) for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)),
        _plain("D", DAY_MS),
        Span(code="W", most_ms=7 * DAY_MS, anchor_ms=MONDAY_MS),
        Span(code="M", most_ms=31 * DAY_MS, is_month=True),
    )
}


def span_of(length_ms: int) -> Span:
    """Return the span of a fixed length that the venue has."""
    return next(span for span in SPANS.values() if span.most_ms == length_ms)
