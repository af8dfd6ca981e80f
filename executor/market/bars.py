"""Which bars are closed, and when a close is complete.

Decides that a bar counts only when a newer one has begun (or the venue confirmed it and nothing
followed), that its values are trusted only where the venue confirmed them (else they are asked for
again by REST), that bars of a symbol come out in order without a hole that could have been filled,
and that one close carries all symbols. Never does I/O and never reads a clock. Rule: a bar comes
out once; an unfinished one never.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from features.types import Candle


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Bars of a symbol from ``start_ms`` to before ``end_ms`` that are not known for sure."""

    symbol: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """One closed bar and the first price of what came after it."""

    symbol: str
    candle: Candle
    next_open: float


@dataclass(slots=True)
class _Series:
    """What is known of one symbol; ``head_ms`` is the open of the newest bar that came out."""

    head_ms: int
    forming: Candle | None = None
    confirmed: bool = False
    closed: dict[int, Candle] = field(default_factory=dict)
    asked: Hole | None = None


class BarBook:
    """Assembles pushed candles and fetched history into complete closes."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._series: dict[str, _Series] = {}
        self._pending: dict[int, dict[str, Closed]] = {}
        self.ignored = 0

    @property
    def newest_ms(self) -> int:
        """Return the start of the newest bar seen for any symbol: the market's time, coarsely."""
        starts = [s.forming.open_ms for s in self._series.values() if s.forming is not None]
        return max(starts, default=0)

    @property
    def asking(self) -> bool:
        """Say whether REST is being asked for the bars of any hole."""
        return any(series.asked is not None for series in self._series.values())

    def last_price(self, symbol: str) -> float | None:
        """Return the newest price seen, None where nothing was pushed yet."""
        series = self._series.get(symbol)
        return series.forming.close if series is not None and series.forming is not None else None

    def seed(self, symbol: str, head_ms: int, rows: Sequence[Candle]) -> None:
        """Begin a symbol: bars up to ``head_ms`` came out, of ``rows`` the last is unfinished."""
        series = _Series(head_ms=head_ms)
        self._series[symbol] = series
        later = [row for row in rows if row.open_ms > head_ms]
        if later:
            series.closed = {row.open_ms: row for row in later[:-1]}
            series.forming = later[-1]
        self._release(symbol, series)

    def drop(self, symbol: str) -> None:
        """Forget a symbol; a close of which nothing else is known is forgotten with it."""
        self._series.pop(symbol, None)
        for close_ms, bars in list(self._pending.items()):
            bars.pop(symbol, None)
            if not bars:
                del self._pending[close_ms]

    def push(self, symbol: str, candle: Candle, *, confirmed: bool) -> None:
        """Take one pushed state of a bar; late news of an older bar is ignored."""
        series = self._series.get(symbol)
        if series is None or candle.open_ms <= series.head_ms:
            self.ignored += 1
            return
        forming = series.forming
        if forming is None or candle.open_ms > forming.open_ms:
            if forming is not None and series.confirmed:
                series.closed[forming.open_ms] = forming
            series.forming, series.confirmed = candle, confirmed
            self._release(symbol, series)
        elif candle.open_ms == forming.open_ms and not series.confirmed:
            series.forming, series.confirmed = candle, confirmed
        else:
            self.ignored += 1

    def fill(self, hole: Hole, rows: Iterable[Candle]) -> None:
        """Take what REST says of a hole; bars that it does not have never existed."""
        series = self._series.get(hole.symbol)
        if series is None:
            return
        inside = {r.open_ms: r for r in rows if hole.start_ms <= r.open_ms < hole.end_ms}
        series.closed |= {at: row for at, row in inside.items() if at > series.head_ms}
        series.asked = None
        self._release(hole.symbol, series, known_until_ms=hole.end_ms)

    def refuse(self, hole: Hole) -> None:
        """Forget that a hole was asked for, so that it is asked for again."""
        series = self._series.get(hole.symbol)
        if series is not None:
            series.asked = None

    def hole(self, symbol: str) -> Hole | None:
        """Return what to ask REST for, if anything; once, until it is filled or refused."""
        series = self._series.get(symbol)
        if series is None or series.forming is None or series.asked is not None:
            return None
        start = series.head_ms + self._interval_ms
        while start in series.closed:
            start += self._interval_ms
        end = min((at for at in series.closed if at > start), default=series.forming.open_ms)
        if start >= end:
            return None
        series.asked = Hole(symbol=symbol, start_ms=start, end_ms=end)
        return series.asked

    def force(self, close_ms: int) -> None:
        """Let out bars that the venue confirmed but that nothing has followed: a quiet market."""
        for symbol, series in self._series.items():
            forming = series.forming
            if forming is None or not series.confirmed:
                continue
            at = forming.open_ms
            if at + self._interval_ms == close_ms and series.head_ms + self._interval_ms == at:
                series.head_ms = at
                bar = Closed(symbol=symbol, candle=forming, next_open=forming.close)
                self._pending.setdefault(close_ms, {})[symbol] = bar

    def refresh(self, symbol: str, rows: Sequence[Candle]) -> None:
        """Take the newest bars from REST, the last unfinished: frames may have been lost."""
        series = self._series.get(symbol)
        if series is None:
            return
        later = [row for row in rows if row.open_ms > series.head_ms]
        if not later or (series.forming and later[-1].open_ms < series.forming.open_ms):
            return
        first, last = later[0], later[-1]
        if series.forming is None or last.open_ms > series.forming.open_ms:
            series.forming, series.confirmed = last, False
        if first.open_ms == series.head_ms + self._interval_ms:
            hole = Hole(symbol=symbol, start_ms=first.open_ms, end_ms=last.open_ms)
            self.fill(hole, later)

    def first_pending_ms(self) -> int | None:
        """Return the oldest close of which some symbol is known and which did not come out."""
        return min(self._pending, default=None)

    def complete(self, close_ms: int) -> bool:
        """Say whether every symbol either has its bar of this close or is beyond it."""
        have = self._pending.get(close_ms, {})
        return len(have) == len(self._series) or all(
            symbol in have or series.head_ms + self._interval_ms >= close_ms
            for symbol, series in self._series.items()
        )

    def missing(self, close_ms: int) -> list[str]:
        """Return the symbols that have neither their bar of this close nor anything after it."""
        have = self._pending.get(close_ms, {})
        return [
            symbol
            for symbol, series in self._series.items()
            if symbol not in have and series.head_ms + self._interval_ms < close_ms
        ]

    def take(self, close_ms: int) -> list[Closed]:
        """Return the bars of a close, by symbol, and forget it."""
        return [bar for _, bar in sorted(self._pending.pop(close_ms, {}).items())]

    def _release(self, symbol: str, series: _Series, known_until_ms: int = 0) -> None:
        """Let out every bar whose follower is known; before ``known_until_ms`` all is known."""
        forming = series.forming
        while forming is not None:
            at = series.head_ms + self._interval_ms
            if at >= forming.open_ms:
                return
            candle, after = series.closed.get(at), at + self._interval_ms
            following = forming if after == forming.open_ms else series.closed.get(after)
            if (candle is None and at >= known_until_ms) or (
                candle is not None and following is None and after >= known_until_ms
            ):
                return
            series.head_ms = at
            if candle is not None:
                del series.closed[at]
                next_open = following.open if following is not None else candle.close
                bar = Closed(symbol=symbol, candle=candle, next_open=next_open)
                self._pending.setdefault(after, {})[symbol] = bar
